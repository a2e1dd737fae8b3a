//! A peer: it registers, sends heartbeats, holds chunks for others, and does what its person says.
//!
//! What it decides stands in modules without I/O: [`storage`], [`bringing`], [`fetching`]. The rest
//! are its drivers: `control` has the datagrams, `door` takes connections, `carry` brings chunks,
//! `backup` and `restore` do the person's commands, [`shelf`] has the disk.

mod backup;
pub mod bringing;
mod carry;
pub mod command;
mod control;
mod door;
mod error;
pub mod fetching;
mod restore;
pub mod shelf;
pub mod storage;
mod stream;

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use rand::Rng;
use skep_wire::RelPath;
use skep_world::World;
use tokio::{
    net::{TcpListener, UdpSocket},
    sync::{Notify, Semaphore},
};

pub use self::{
    backup::BackedUp,
    error::{CommandError, StartError},
    restore::Restored,
};
use self::{
    backup::Backups,
    control::Waiting,
    shelf::{Record, Shelf},
    storage::Storage,
};
use super::{
    checksum,
    codec::{Capacity, Message, Name, PeerList, Role, Rq},
};
use crate::{journal::Journal, tasks::Tasks};

/// Connections that are served at the same time.
const CONNECTIONS: usize = 128;
/// The most peers whose addresses are remembered.
const KNOWN: usize = 4096;
/// Copies for others that are brought at the same time.
const COPIES: usize = 4;

/// The most bytes of a chunk, whatever a plan says.
const CHUNK_BYTES: u64 = 1 << 20;
/// The most chunks of a file, whatever a plan says.
const CHUNKS: u64 = 1 << 20;

/// Whether a file that is cut like this can be brought and had back.
fn is_bounded(chunk_size: u64, chunks: u64) -> bool {
    (1..=CHUNK_BYTES).contains(&chunk_size) && chunks <= CHUNKS
}

/// How a peer is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its folder, for it alone.
    pub home: PathBuf,
    /// Where the person's files lie and come back to.
    pub dir: PathBuf,
    /// The server.
    pub server: SocketAddr,
    /// Its name.
    pub name: Name,
    /// What it does for others.
    pub role: Role,
    /// The ports; 0 is the same as last time, or any.
    pub udp: u16,
    /// See `udp`.
    pub tcp: u16,
    /// The address to tell others; then it listens on all addresses.
    pub advertise: Option<IpAddr>,
    /// What it offers.
    pub capacity: Capacity,
    /// Of its files and chunks.
    pub checksum: checksum::Kind,
    /// How often it says that it is there.
    pub heartbeat: Duration,
    /// Where peers take chunks, for servers whose plans have names alone.
    pub known: Vec<(Name, SocketAddr)>,
}

/// Where a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// Where it takes datagrams.
    pub udp: SocketAddr,
    /// Where it takes connections.
    pub tcp: SocketAddr,
}

/// A peer that runs. Cheap to clone.
#[derive(Clone)]
pub struct Peer {
    inner: Arc<Inner>,
}

struct Inner {
    world: World,
    journal: Journal,
    config: Config,
    ready: Ready,
    socket: UdpSocket,
    shelf: Shelf,
    storage: Mutex<Storage>,
    /// Something was announced: who waits to be expected looks again.
    announced: Notify,
    waiting: Mutex<Waiting>,
    backups: Mutex<Backups>,
    /// Where peers take chunks: what this one was told, and what it has seen in plans.
    known: Mutex<BTreeMap<Name, SocketAddr>>,
    copies: Semaphore,
    last_rq: AtomicU64,
    /// It has not been told to leave.
    belongs: AtomicBool,
    tasks: Tasks,
    _lock: Box<dyn Send + Sync>,
}

impl Peer {
    /// Opens the home, listens, and registers.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(world: World, config: Config, journal: Journal) -> Result<Self, StartError> {
        let (disk, home) = (world.disk.clone(), config.home.clone());
        let opened = world.work.call(move || open(&*disk, &home)).await;
        let (shelf, held, lock) = opened.map_err(|source| StartError::Home {
            home: config.home.clone(),
            source,
        })?;
        let ip = local_ip(&config).await.map_err(StartError::Listen)?;
        let (socket, listener) = listen(&config, ip, shelf.ports())
            .await
            .map_err(StartError::Listen)?;
        let ready = Ready {
            udp: socket.local_addr().map_err(StartError::Listen)?,
            tcp: listener.local_addr().map_err(StartError::Listen)?,
        };
        let (keeper, ports) = (shelf.clone(), (ready.udp.port(), ready.tcp.port()));
        let kept = world.work.call(move || keeper.keep_ports(ports.0, ports.1)).await;
        kept.map_err(|source| StartError::Home {
            home: config.home.clone(),
            source,
        })?;
        let first_rq = world.entropy.rng().random_range(1..1_000_000);
        let inner = Arc::new(Inner {
            storage: Mutex::new(Storage::new(config.capacity.bytes, held)),
            known: Mutex::new(config.known.iter().cloned().collect()),
            world,
            journal,
            config,
            ready,
            socket,
            shelf,
            announced: Notify::new(),
            waiting: Mutex::default(),
            backups: Mutex::default(),
            copies: Semaphore::new(COPIES),
            last_rq: AtomicU64::new(first_rq),
            belongs: AtomicBool::new(true),
            tasks: Tasks::default(),
            _lock: lock,
        });
        let peer = Self { inner };
        peer.spawn(control::read_datagrams(peer.inner.clone()));
        if let Err(error) = peer.inner.register().await {
            peer.stop().await;
            return Err(error.into());
        }
        peer.spawn(control::send_heartbeats(peer.inner.clone()));
        peer.spawn(door::take_connections(peer.inner.clone(), listener));
        Ok(peer)
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.spawn(task);
    }

    /// Where it is.
    #[must_use]
    pub fn ready(&self) -> Ready {
        self.inner.ready
    }

    /// Backs up a file: a path, or a name in the peer's folder.
    ///
    /// # Errors
    /// [`CommandError`] when it is denied, or some chunk found no peer.
    pub async fn backup(&self, file: &str, chunk_size: Option<u64>) -> Result<BackedUp, CommandError> {
        backup::run(&self.inner, file, chunk_size).await
    }

    /// Restores a file into the peer's folder.
    ///
    /// # Errors
    /// [`CommandError`] when there is no such file, or it cannot be put together.
    pub async fn restore(&self, file: &str) -> Result<Restored, CommandError> {
        restore::run(&self.inner, file).await
    }

    /// What this peer has backed up; how many chunks it holds for others, and their bytes.
    ///
    /// # Errors
    /// When the home cannot be read.
    pub async fn list(&self) -> Result<(Vec<Record>, usize, u64), CommandError> {
        let shelf = self.inner.shelf.clone();
        let records = self.inner.world.work.call(move || shelf.records()).await;
        let (chunks, (used, _)) = {
            let storage = self.inner.storage();
            (storage.chunks(), storage.room())
        };
        Ok((records.map_err(CommandError::Disk)?, chunks, used))
    }

    /// Leaves the server. The peer goes on running, for those who still copy what it held.
    ///
    /// # Errors
    /// When the datagram cannot be sent.
    pub async fn deregister(&self) -> Result<(), CommandError> {
        self.inner.deregister().await
    }

    /// Ends everything. The peer stays registered.
    pub async fn stop(&self) {
        self.inner.tasks.end().await;
    }
}

impl Inner {
    /// Runs a task until it ends or the peer does.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    fn number(&self) -> Rq {
        Rq::from(self.last_rq.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn storage(&self) -> MutexGuard<'_, Storage> {
        self.storage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn backups(&self) -> MutexGuard<'_, Backups> {
        self.backups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A plan with the addresses that are known of peers of which it has the names alone.
    fn with_addresses(&self, mut list: PeerList) -> PeerList {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for peer in &mut list.peers {
            match peer.address {
                Some(address) if known.len() < KNOWN || known.contains_key(&peer.name) => {
                    known.insert(peer.name.clone(), address);
                }
                Some(_) => {}
                None => peer.address = known.get(&peer.name).copied(),
            }
        }
        list
    }

    /// The message with which this peer registers.
    fn registration(&self, rq: Rq) -> Message {
        let config = &self.config;
        Message::Register {
            rq,
            name: config.name.clone(),
            role: config.role,
            ip: config.advertise.unwrap_or(self.ready.udp.ip()),
            udp: self.ready.udp.port(),
            tcp: self.ready.tcp.port(),
            capacity: config.capacity,
        }
    }
}

type Opened = (Shelf, BTreeMap<storage::ChunkName, u64>, Box<dyn Send + Sync>);

fn open(disk: &dyn skep_world::Disk, home: &std::path::Path) -> io::Result<Opened> {
    let dir = disk.make_dir(home)?;
    let lock = RelPath::parse("lock").map_err(io::Error::other)?;
    let lock = dir.lock(&lock)?;
    let (shelf, held) = Shelf::open(dir)?;
    Ok((shelf, held, lock))
}

/// The address of this machine from which the server is reached; all, if another is to be told.
async fn local_ip(config: &Config) -> io::Result<IpAddr> {
    let any: IpAddr = if config.server.is_ipv4() {
        IpAddr::from([0; 4])
    } else {
        IpAddr::from([0; 16])
    };
    if config.advertise.is_some() {
        return Ok(any);
    }
    let probe = UdpSocket::bind((any, 0)).await?;
    probe.connect(config.server).await?;
    Ok(probe.local_addr()?.ip())
}

/// Binds the ports: those that were asked for, else those of last time, else any.
async fn listen(
    config: &Config,
    ip: IpAddr,
    last: Option<(u16, u16)>,
) -> io::Result<(UdpSocket, TcpListener)> {
    let (last_udp, last_tcp) = last.unwrap_or((0, 0));
    let socket = match (config.udp, last_udp) {
        (0, 0) => UdpSocket::bind((ip, 0)).await?,
        (0, last) => match UdpSocket::bind((ip, last)).await {
            Ok(socket) => socket,
            Err(_) => UdpSocket::bind((ip, 0)).await?,
        },
        (wished, _) => UdpSocket::bind((ip, wished)).await?,
    };
    let listener = match (config.tcp, last_tcp) {
        (0, 0) => TcpListener::bind((ip, 0)).await?,
        (0, last) => match TcpListener::bind((ip, last)).await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind((ip, 0)).await?,
        },
        (wished, _) => TcpListener::bind((ip, wished)).await?,
    };
    Ok((socket, listener))
}
