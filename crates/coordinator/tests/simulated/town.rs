//! A machine for a coordinator, others for peers, and what tests want to do with them.

use std::{net::IpAddr, path::PathBuf, pin::Pin, sync::Arc, time::Duration};

use skep_coordinator::{Config, Coordinator, InviteOptions, StartError};
use skep_net::{AskError, Inbox, Limits, Link, OpenError};
use skep_wire::{
    BlobId, NetworkId, PeerName, ShareName, Signed, SigningKey,
    message::{
        Attend, Done, Endpoint, Find, Hello, Holders, Join, Joined, Lane, Lookup, Publish, Query, Reason,
        Shares, Welcome,
    },
    record::{Audience, Content, ContentKind, Grant, ShareRecord},
    ticket::Ticket,
};
use skep_world::{
    Work, World,
    simulated::{Crash, Machine, Universe},
    work::{Job, Waited},
};

pub(crate) const HOME: &str = "/coordinator";
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(10);

/// A simulated world with one machine for a coordinator.
pub(crate) struct Town {
    pub(crate) universe: Universe,
    pub(crate) hall: Machine,
    peers: u8,
}

impl Town {
    pub(crate) fn new(seed: u64) -> Self {
        let universe = Universe::new(seed);
        let hall = universe.machine(ip(1));
        Self {
            universe,
            hall,
            peers: 0,
        }
    }

    pub(crate) fn config() -> Config {
        Config {
            heartbeat: HEARTBEAT,
            ..Config::new(PathBuf::from(HOME), "10.0.0.1:7700".parse().unwrap())
        }
    }

    /// A coordinator with the usual settings.
    pub(crate) async fn open(&mut self) -> Coordinator {
        self.try_open(Self::config()).await.unwrap()
    }

    pub(crate) async fn try_open(&mut self, config: Config) -> Result<Coordinator, StartError> {
        let world = self.hall.boot();
        Coordinator::start(world, config).await
    }

    /// A coordinator on which every blocking job takes so long.
    pub(crate) async fn open_slow(&mut self, job: Duration) -> Coordinator {
        let world = World {
            work: Arc::new(Slow(job)),
            ..self.hall.boot()
        };
        Coordinator::start(world, Self::config()).await.unwrap()
    }

    /// The coordinator's machine loses its power, and what runs on it with it.
    pub(crate) fn power_cut(&mut self, coordinator: Coordinator) {
        drop(coordinator);
        self.hall.crash(Crash::Power);
    }

    /// A new device, with a key of its own.
    pub(crate) fn peer(&mut self) -> Peer {
        self.peers += 1;
        let mut machine = self.universe.machine(ip(10 + self.peers));
        let world = machine.boot();
        let key = Arc::new(SigningKey::from_seed(world.entropy.bytes32()));
        Peer {
            world,
            key,
            grant: None,
        }
    }

    /// A new device that is in the network, attends, and is called so.
    pub(crate) async fn member(&mut self, coordinator: &Coordinator, name: &str) -> (Peer, Link) {
        let mut peer = self.peer();
        let ticket = coordinator.invite(InviteOptions::default()).await.unwrap();
        peer.join(&ticket, Some(name)).await.unwrap();
        let link = peer.attend(&ticket.coordinators[0]).await;
        (peer, link)
    }
}

fn ip(host: u8) -> IpAddr {
    [10, 0, 0, host].into()
}

/// Blocking jobs that take their time, one after the other or not.
struct Slow(Duration);

impl Work for Slow {
    fn run(&self, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let takes = self.0;
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            job();
        })
    }

    fn run_waiting(&self, job: Job) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.run(job)
    }

    fn wait(&self, _future: Waited<'_>) {
        unreachable!("a coordinator's jobs wait for nothing but the disk");
    }
}

/// A device, as the coordinator sees it.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) world: World,
    pub(crate) key: Arc<SigningKey>,
    pub(crate) grant: Option<Signed<Grant>>,
}

impl Peer {
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            features: 0,
            agent: "test".to_owned(),
            lane: Lane::Control,
            grant: self.grant.clone(),
            certificate: None,
            revocations: 0,
        }
    }

    /// A link to the coordinator, with whatever it says on its own.
    pub(crate) async fn connect(&self, to: &Endpoint) -> Result<(Link, Inbox), OpenError> {
        let stream = self.world.network.dial(&self.key, to, None).await?;
        Link::open(stream, self.hello(), Limits::of(Lane::Control)).await
    }

    /// Joins on a connection of its own.
    pub(crate) async fn join(&mut self, ticket: &Ticket, name: Option<&str>) -> Result<Joined, AskError> {
        let (link, _inbox) = self.connect(&ticket.coordinators[0]).await.unwrap();
        let join = Join {
            secret: ticket.secret,
            name: name.map(|name| PeerName::parse(name).unwrap()),
            role: None,
        };
        let joined: Joined = link.ask(&join).await?;
        self.grant = Some(joined.grant.clone());
        Ok(joined)
    }

    /// A connection on which the device is present.
    pub(crate) async fn attend(&self, to: &Endpoint) -> Link {
        let (link, _inbox) = self.connect(to).await.unwrap();
        welcome(&link).await;
        link
    }

    /// The n-th thing that this device shares.
    pub(crate) fn share(&self, n: u8) -> Publish {
        let content = Content {
            id: BlobId([n; 32]),
            size: 5,
            kind: ContentKind::File,
        };
        let record = ShareRecord {
            network: self.network(),
            publisher: self.key.peer_id(),
            name: ShareName::parse(&format!("share {n}")).unwrap(),
            sequence: 1,
            content,
            bytes: 5,
            audience: Audience::Everyone,
            withdrawn: false,
        };
        Publish {
            record: Signed::new(&record, &self.key),
            triples: Vec::new(),
        }
    }

    fn network(&self) -> NetworkId {
        self.grant.as_ref().unwrap().peek().unwrap().network
    }
}

/// Attends without listening, with nothing in hand.
pub(crate) async fn welcome(link: &Link) -> Welcome {
    let attend = Attend {
        listen_port: 0,
        advertise: None,
        capacity_bytes: 0,
        used_bytes: 0,
        site: None,
        holdings: [0; 32],
    };
    link.ask(&attend).await.unwrap()
}

pub(crate) async fn publish(link: &Link, share: &Publish) -> Result<(), AskError> {
    link.ask::<_, Done>(share).await.map(drop)
}

/// The names of all shares.
pub(crate) async fn shares(link: &Link) -> Vec<String> {
    let find = Find {
        query: Query::All,
        after: None,
    };
    let found: Shares = link.ask(&find).await.unwrap();
    let name = |record: &Signed<ShareRecord>| record.peek().unwrap().name.to_string();
    found.shares.iter().map(|listed| name(&listed.record)).collect()
}

pub(crate) async fn holders(link: &Link, n: u8) -> Vec<String> {
    let content = BlobId([n; 32]);
    let found: Holders = link.ask(&Lookup { content }).await.unwrap();
    found
        .holders
        .iter()
        .map(|holder| holder.name.to_string())
        .collect()
}

/// Why a request was denied.
pub(crate) fn reason<T: std::fmt::Debug>(outcome: Result<T, AskError>) -> Reason {
    match outcome {
        Err(AskError::Refused { reason, .. }) => reason,
        other => panic!("not denied: {other:?}"),
    }
}
