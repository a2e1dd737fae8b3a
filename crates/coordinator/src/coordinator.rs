//! A running coordinator, as its owner sees it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use skep_engine::index::{self, Command, CommandReply, Denial, Index};
use skep_ledger::{FactStore, Revision};
use skep_wire::{
    NetworkId, PeerName, Signed,
    message::{Endpoint, Reason},
    record::CoordinatorCertificate,
    ticket::{MAX_COORDINATORS, Secret, Ticket},
};
use skep_world::{Listener, World};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    config::{Config, Failure, InviteOptions, Ready, StartError, Status},
    dials::Dials,
    door::{Door, Greeting},
    home::Home,
    service::{self, Counts, Input, Service},
    writer::Writer,
};

/// How long stopping may take.
const STOPPING: Duration = Duration::from_secs(5);

/// A coordinator that runs until it is stopped. Dropped, it stops at once; what was acknowledged is durable.
pub struct Coordinator {
    handle: Handle,
    stop: CancellationToken,
    task: AbortOnDropHandle<Result<(), Failure>>,
}

/// Talks to a running coordinator. Cheap to clone.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    world: World,
    ready: Ready,
    /// What goes into tickets.
    endpoints: Vec<Endpoint>,
    started: Duration,
    service: mpsc::Sender<Input>,
    stopping: CancellationToken,
}

impl Coordinator {
    /// Opens the home (and creates the network, the first time), reads the ledger and listens.
    ///
    /// # Errors
    /// [`StartError`] when one of these fails.
    pub async fn start(world: World, config: Config) -> Result<Self, StartError> {
        let (home, index, writer) = open(&world, &config).await?;
        let listener = listen(&world, &config, &home).await?;
        let (service, inputs) = mpsc::channel(service::INPUTS);
        let handle = Handle::new(&world, &config, &home, listener.local(), service.clone());
        let revocations = Arc::new(AtomicU64::new(0));
        let door = Door {
            listener,
            greeting: Greeting {
                certificate: certify(&home),
                revocations: revocations.clone(),
            },
            service,
            max_sessions: max_sessions(&config),
        };
        let parts = service::Parts {
            index,
            inputs,
            dials: Dials::new(world.clone(), home.key.clone()),
            revocations,
            writer,
            world,
        };
        let stop = CancellationToken::new();
        let running = run(
            Service::new(parts),
            door,
            home,
            (stop.clone(), handle.0.stopping.clone()),
        );
        let task = AbortOnDropHandle::new(tokio::spawn(running));
        Ok(Self { handle, stop, task })
    }

    /// What it told at its start.
    #[must_use]
    pub fn ready(&self) -> &Ready {
        &self.handle.0.ready
    }

    /// Talks to it, also from elsewhere.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Makes a ticket.
    ///
    /// # Errors
    /// [`Denial`] when the options make no sense, or the coordinator stops meanwhile.
    pub async fn invite(&self, options: InviteOptions) -> Result<Ticket, Denial> {
        self.handle.invite(options).await
    }

    /// Resolves when it is asked to stop from elsewhere ([`Handle::request_stop`]) or has failed;
    /// either way, call [`Coordinator::stop`] then, which tells.
    pub async fn stopping(&self) {
        self.handle.0.stopping.cancelled().await;
    }

    /// Stops: no new connections, what is queued is committed and answered, then all close. At most 5 seconds.
    ///
    /// # Errors
    /// [`Failure`] when it had ended by itself.
    pub async fn stop(self) -> Result<(), Failure> {
        self.stop.cancel();
        match timeout(STOPPING, self.task).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Err(Failure::Internal(error.to_string())),
            Err(_) => Err(Failure::Internal("it did not stop in time".to_owned())),
        }
    }
}

impl Handle {
    fn new(
        world: &World,
        config: &Config,
        home: &Home,
        listen: SocketAddr,
        service: mpsc::Sender<Input>,
    ) -> Self {
        Self(Arc::new(Inner {
            ready: Ready {
                listen,
                network: NetworkId(home.network_key.public()),
                id: home.key.peer_id(),
            },
            endpoints: endpoints(&config.advertise, listen),
            started: world.clock.now().mono,
            world: world.clone(),
            service,
            stopping: CancellationToken::new(),
        }))
    }

    /// Makes a ticket; resolves once it is durable.
    ///
    /// # Errors
    /// [`Denial`] when the options make no sense, or the coordinator stops meanwhile.
    pub async fn invite(&self, options: InviteOptions) -> Result<Ticket, Denial> {
        let mut secret = Secret([0; 16]);
        self.0.world.entropy.fill(&mut secret.0);
        let command = Command::Invite {
            secret,
            role: options.role,
            uses: options.uses,
            lifetime_s: options.expires.as_secs(),
        };
        let CommandReply::Invited { expires_unix_s } = self.call(command).await? else {
            return Err(denial(Reason::Internal, "the index answered something else"));
        };
        Ok(Ticket {
            network: self.0.ready.network,
            coordinators: self.0.endpoints.clone(),
            secret,
            role: options.role,
            expires_unix_s,
        })
    }

    /// Revokes a peer's grant; resolves once it is durable.
    ///
    /// # Errors
    /// [`Denial`] when there is no such peer, or the coordinator stops meanwhile.
    pub async fn revoke(&self, name: PeerName) -> Result<(), Denial> {
        self.call(Command::Revoke { name }).await.map(drop)
    }

    /// How it is doing; none when it stops meanwhile.
    pub async fn status(&self) -> Option<Status> {
        let (answer, counted) = oneshot::channel();
        self.0.service.send(Input::Count(answer)).await.ok()?;
        Some(self.describe(counted.await.ok()?))
    }

    /// Makes [`Coordinator::stopping`] resolve.
    pub fn request_stop(&self) {
        self.0.stopping.cancel();
    }

    fn describe(&self, counts: Counts) -> Status {
        let uptime = self.0.world.clock.now().mono.saturating_sub(self.0.started);
        Status {
            network: self.0.ready.network.to_string(),
            id: self.0.ready.id.to_string(),
            listen: self.0.ready.listen,
            peers: counts.summary.peers,
            online: counts.summary.online,
            shares: counts.summary.shares,
            contents: counts.summary.contents,
            holdings: counts.summary.holdings,
            invitations: counts.summary.invitations,
            connections: counts.connections,
            uptime_s: uptime.as_secs(),
            trouble: counts.trouble,
        }
    }

    async fn call(&self, command: Command) -> Result<CommandReply, Denial> {
        let (answer, outcome) = oneshot::channel();
        let stopping = |_| denial(Reason::Busy, "the coordinator is stopping");
        self.0
            .service
            .send(Input::Call(command, answer))
            .await
            .map_err(|_| denial(Reason::Busy, "the coordinator is stopping"))?;
        outcome.await.map_err(stopping)?
    }
}

/// Opens the home, restores the index and takes the ledger over from whoever wrote to it before.
async fn open(world: &World, config: &Config) -> Result<(Home, Index, Writer), StartError> {
    let (on_worker, config) = (world.clone(), config.clone());
    world
        .work
        .call(move || {
            let home = Home::open(&on_worker, &config)?;
            let (index, writer) = restore(&on_worker, &config, &home)?;
            Ok((home, index, writer))
        })
        .await
}

/// The index as the ledger and the snapshot have it, and the only writer to the ledger from now on.
fn restore(world: &World, config: &Config, home: &Home) -> Result<(Index, Writer), StartError> {
    let mut facts = Vec::new();
    let head = home
        .ledger
        .load(&mut |key, value| facts.push((key.to_vec(), value.to_vec())))?;
    let epoch = head.epoch.next();
    let revision: Revision = home.ledger.commit(epoch, head.revision, &[])?;
    let settings = index::Config {
        network_key: home.network_key.clone(),
        max_peers: config.max_peers,
        heartbeat: config.heartbeat,
        failed_after: config.failed_after,
        coordinator_key: home.key.clone(),
        backups: config.backups(),
    };
    let now = world.clock.now();
    let index =
        Index::restore(settings, world.entropy.bytes32(), now, facts).map_err(|e| StartError::Facts {
            home: config.home.clone(),
            what: e.to_string(),
        })?;
    let writer = Writer {
        world: world.clone(),
        store: home.ledger.clone(),
        epoch,
        revision,
        trouble: watch::Sender::new(None),
    };
    Ok((index, writer))
}

async fn listen(world: &World, config: &Config, home: &Home) -> Result<Box<dyn Listener>, StartError> {
    let listen = config.listen;
    world
        .network
        .listen(&home.key, listen)
        .await
        .map_err(|source| StartError::Listen { listen, source })
}

/// The network's word for this coordinator. It holds for as long as its key is in this home.
fn certify(home: &Home) -> Signed<CoordinatorCertificate> {
    let certificate = CoordinatorCertificate {
        network: NetworkId(home.network_key.public()),
        coordinator: home.key.peer_id(),
        expires_unix_s: 0,
    };
    Signed::new(&certificate, &home.network_key)
}

/// One connection for every peer, some of them twice while they reconnect, and some newcomers.
fn max_sessions(config: &Config) -> usize {
    let peers = usize::try_from(config.max_peers).unwrap_or(usize::MAX);
    peers.saturating_add(peers / 4).saturating_add(64)
}

/// Where tickets say that the coordinator is.
fn endpoints(advertise: &[Endpoint], listen: SocketAddr) -> Vec<Endpoint> {
    let with_port = |endpoint: &Endpoint| Endpoint {
        port: if endpoint.port == 0 {
            listen.port()
        } else {
            endpoint.port
        },
        ..endpoint.clone()
    };
    if !advertise.is_empty() {
        return advertise.iter().take(MAX_COORDINATORS).map(with_port).collect();
    }
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    vec![Endpoint {
        host: ip.to_string(),
        port: listen.port(),
    }]
}

/// Runs the door and the service until `stop`, or until one of them fails, which stops the other.
async fn run(
    service: Service,
    door: Door,
    home: Home,
    (stop, stopping): (CancellationToken, CancellationToken),
) -> Result<(), Failure> {
    let _tell_the_owner = stopping.drop_guard();
    let work = service.world.work.clone();
    let mut doors = JoinSet::new();
    doors.spawn(door.run(stop.clone()));
    let served = service.run(stop.clone()).await;
    stop.cancel();
    let taken = doors.join_next().await;
    work.call(move || drop(home)).await;
    served?;
    match taken {
        Some(Ok(Err(error))) => Err(Failure::Listener(error)),
        Some(Err(error)) => Err(Failure::Internal(error.to_string())),
        Some(Ok(Ok(()))) | None => Ok(()),
    }
}

fn denial(reason: Reason, text: &str) -> Denial {
    Denial {
        reason,
        text: text.to_owned(),
    }
}
