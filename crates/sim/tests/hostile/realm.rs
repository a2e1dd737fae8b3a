//! A network whose coordinator is played by hand: it has the network's key, and says whatever a test wants.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use skep_net::{Inbox, Limits, Link};
use skep_node::{Config, Node, api::types::GetRequest, fetch::GetError};
use skep_wire::{
    NetworkId, PeerId, PeerName, ShareName, Signed, SigningKey,
    message::{
        Attend, Done, Endpoint, Find, Heartbeat, HeartbeatSeen, Hello, Hold, Holder, Holders, Join, Joined,
        Lane, Listed, Lookup, Message as _, Questions, Shares, Welcome,
    },
    record::{Audience, Content, CoordinatorCertificate, Grant, Role, ShareRecord},
    ticket::{Secret, Ticket},
};
use skep_world::{
    Disk as _, World,
    simulated::{Machine, Universe},
};
use tokio::{task::JoinSet, time::timeout};

pub(crate) const PORT: u16 = 7700;
/// No download here takes longer, however the others behave.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What the coordinator says.
#[derive(Default)]
pub(crate) struct Says {
    pub(crate) shares: Vec<Listed>,
    pub(crate) holders: Vec<Holder>,
}

/// The coordinator, and a peer that believes that it belongs to an honest network.
pub(crate) struct Realm {
    pub(crate) universe: Universe,
    pub(crate) node: Node,
    machine: Machine,
    network: Arc<SigningKey>,
    says: Arc<Mutex<Says>>,
    _serving: JoinSet<()>,
}

impl Realm {
    pub(crate) async fn new() -> Self {
        let universe = Universe::new(7);
        let (network, key) = (keyed(100), keyed(101));
        let says: Arc<Mutex<Says>> = Arc::default();
        let world = universe.machine(address(0).ip()).boot();
        let mut serving = JoinSet::new();
        let hello = Hello {
            certificate: Some(certificate(&network, key.peer_id())),
            ..hello(None)
        };
        let answers = Answers {
            network: network.clone(),
            says: says.clone(),
        };
        let listener = world.network.listen(&key, address(0)).await.unwrap();
        serving.spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok(stream) = listener.accept().await {
                let (peer, hello, answers) = (stream.peer, hello.clone(), answers.clone());
                talks.spawn(async move {
                    if let Ok((_link, inbox)) = Link::open(stream, hello, Limits::of(Lane::Control)).await {
                        answers.serve(peer, inbox).await;
                    }
                });
            }
        });
        let mut machine = universe.machine([10, 0, 9, 9].into());
        machine.disk().make_dir(Path::new("/down")).unwrap();
        let config = Config {
            ticket: Some(ticket(&network, &world)),
            capacity_bytes: Some(0),
            workers: 1,
            ..Config::new(PathBuf::from("/home"), SocketAddr::new(machine.ip(), 0))
        };
        let node = Node::start(machine.boot(), config).await.unwrap();
        Self {
            universe,
            node,
            machine,
            network,
            says,
            _serving: serving,
        }
    }

    pub(crate) fn says(&self) -> MutexGuard<'_, Says> {
        self.says.lock().unwrap()
    }

    /// A grant of this network.
    pub(crate) fn grant(&self, key: &SigningKey, name: &str) -> Signed<Grant> {
        grant(&self.network, key.peer_id(), name)
    }

    /// A share by this publisher, called `file`.
    pub(crate) fn record(&self, publisher: &SigningKey, content: Content, sequence: u64) -> ShareRecord {
        ShareRecord {
            network: NetworkId(self.network.public()),
            publisher: publisher.peer_id(),
            name: ShareName::parse("file").unwrap(),
            sequence,
            content,
            bytes: content.size,
            audience: Audience::Everyone,
            withdrawn: false,
        }
    }

    /// Lists this share alone, as one of the publisher's.
    pub(crate) fn list(&self, publisher: &SigningKey, name: &str, record: Signed<ShareRecord>) {
        self.says().shares = vec![Listed {
            record,
            publisher: PeerName::parse(name).unwrap(),
            grant: self.grant(publisher, name),
            holders: 1,
        }];
    }

    /// Downloads `file` to `/down/NAME`: what it had in the end, or why there is nothing.
    pub(crate) async fn get(&self, name: &str) -> Result<Vec<u8>, Arc<GetError>> {
        let output = Path::new("/down").join(name);
        let request = GetRequest {
            what: "file".to_owned(),
            output: output.clone(),
            from: None,
            overwrite: true,
        };
        let getting = self.node.get(&request).await.map_err(Arc::new)?;
        let ended = timeout(PATIENCE, getting.done()).await;
        ended.expect("it ends")?;
        Ok(self.machine.disk().read(&output).unwrap())
    }

    /// The files that are where people look for them.
    pub(crate) fn visible(&self) -> Vec<PathBuf> {
        let hidden = |path: &Path| path.to_string_lossy().contains("skep-");
        let files = self.machine.disk().files().into_iter();
        files
            .filter(|path| path.starts_with("/down") && !hidden(path))
            .collect()
    }
}

/// The coordinator's side of a connection.
#[derive(Clone)]
struct Answers {
    network: Arc<SigningKey>,
    says: Arc<Mutex<Says>>,
}

impl Answers {
    async fn serve(&self, peer: PeerId, mut inbox: Inbox) {
        while let Some(incoming) = inbox.recv().await {
            let responder = incoming.responder;
            match incoming.kind {
                Join::KIND => responder.reply(&self.joined(peer)).await,
                Attend::KIND => responder.reply(&welcome()).await,
                Heartbeat::KIND => responder.reply(&HEARTBEAT_SEEN).await,
                Hold::KIND => responder.reply(&Questions { questions: vec![] }).await,
                Find::KIND => responder.reply(&self.shares()).await,
                Lookup::KIND => responder.reply(&self.holders()).await,
                _ => responder.reply(&Done {}).await,
            }
        }
    }

    fn joined(&self, peer: PeerId) -> Joined {
        Joined {
            grant: grant(&self.network, peer, "ada"),
            returning: false,
        }
    }

    fn shares(&self) -> Shares {
        Shares {
            shares: self.says.lock().unwrap().shares.clone(),
            more: false,
        }
    }

    fn holders(&self) -> Holders {
        Holders {
            holders: self.says.lock().unwrap().holders.clone(),
        }
    }
}

const HEARTBEAT_SEEN: HeartbeatSeen = HeartbeatSeen {
    reachable: None,
    address: None,
};

fn welcome() -> Welcome {
    Welcome {
        name: PeerName::parse("ada").unwrap(),
        returning: false,
        heartbeat_ms: 10_000,
        holdings_known: true,
    }
}

fn ticket(network: &SigningKey, world: &World) -> Ticket {
    Ticket {
        network: NetworkId(network.public()),
        coordinators: vec![endpoint(address(0))],
        secret: Secret([7; 16]),
        role: Role::Both,
        expires_unix_s: world.clock.now().unix_s + 1000,
    }
}

fn certificate(network: &SigningKey, coordinator: PeerId) -> Signed<CoordinatorCertificate> {
    let certificate = CoordinatorCertificate {
        network: NetworkId(network.public()),
        coordinator,
        expires_unix_s: 0,
    };
    Signed::new(&certificate, network)
}

fn grant(network: &SigningKey, peer: PeerId, name: &str) -> Signed<Grant> {
    let grant = Grant {
        network: NetworkId(network.public()),
        peer,
        name: PeerName::parse(name).unwrap(),
        role: Role::Both,
        serial: 1,
        expires_unix_s: 0,
    };
    Signed::new(&grant, network)
}

pub(crate) fn hello(grant: Option<Signed<Grant>>) -> Hello {
    Hello {
        features: 0,
        agent: "villain".to_owned(),
        lane: Lane::Control,
        grant,
        certificate: None,
        revocations: 0,
    }
}

pub(crate) fn keyed(n: u8) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed([n; 32]))
}

pub(crate) fn address(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 1, n], PORT))
}

pub(crate) fn endpoint(address: SocketAddr) -> Endpoint {
    Endpoint {
        host: address.ip().to_string(),
        port: address.port(),
    }
}
