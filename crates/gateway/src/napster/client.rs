//! A peer that runs: [`Peer`] with a socket, a folder and a clock.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use skep_world::{File, World};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, oneshot},
    time::interval,
};

use super::{
    codec::{BadMessage, FileHash, FileName, Listing, Message},
    hashing::{self, SoFar},
    link::Link,
    peer::{Effect, Failure, Known, Peer, Taken},
    seeding,
};
use crate::{
    folder::{Folder, Incoming},
    journal::Journal,
    own::{self, StartError},
    tasks::Tasks,
};

/// The most connections that are read at once.
const MAX_GUESTS: usize = 256;
/// The most files that are sent at once; others wait.
const MAX_SERVED_AT_ONCE: usize = 8;
/// After so many bytes of a download the disk begins to write them, so that its end comes sooner.
const SYNC_BYTES: usize = 8 << 20;
/// How often it is looked whether somebody took too long.
const TICK: Duration = Duration::from_millis(250);

/// What a person decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// `HOST:PORT` of the index.
    pub server: String,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The address to tell others; none: the one from which the index is reached.
    pub advertise: Option<IpAddr>,
    /// The folder to share and to download into.
    pub dir: PathBuf,
    /// Bytes of a segment.
    pub segment_bytes: u32,
    /// Messages may name addresses that are not their sender's.
    pub other_addresses: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The file's name does not fit a message.
    #[error("{0:?} cannot be sent: {1}")]
    Name(String, BadMessage),
    /// The file to register cannot be read.
    #[error("{name} cannot be read: {source}")]
    Unreadable {
        /// The file.
        name: FileName,
        /// What the system said.
        source: io::Error,
    },
    /// There are four bytes for the size.
    #[error("{0} has 4 GiB or more, and the messages have no room for such a size")]
    TooLarge(FileName),
    /// The file to get is there.
    #[error("{0} is in the folder already")]
    Exists(FileName),
    /// It was asked for and has not ended.
    #[error("{0} is on its way already")]
    Busy(FileName),
    /// It went wrong.
    #[error("{0}: {1}")]
    Failed(FileName, Failure),
    /// The peer is being stopped.
    #[error("the peer stops")]
    Stopped,
}

/// A download that has ended well.
#[derive(Debug, Clone)]
pub struct Got {
    /// What it is.
    pub known: Known,
    /// Who sent it.
    pub seeder: SocketAddrV4,
}

/// A running peer. Cheap to clone.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    world: World,
    link: Link,
    folder: Folder,
    local: SocketAddr,
    state: Mutex<State>,
    uploads: Semaphore,
    tasks: Tasks,
}

struct State {
    peer: Peer,
    incoming: BTreeMap<FileName, Download>,
    registering: BTreeMap<FileName, oneshot::Sender<Result<(), Failure>>>,
    getting: BTreeMap<FileName, oneshot::Sender<Result<Got, Failure>>>,
}

/// A file on its way, and its hash as far as it has come in order.
struct Download {
    incoming: Incoming,
    so_far: SoFar,
    /// Bytes that were written since the last sync was begun.
    unsynced: usize,
}

impl Client {
    /// Starts a peer.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(world: World, journal: Journal, config: Config) -> Result<Self, StartError> {
        let index = own::server(&config.server).await?;
        let (listener, local) = own::listen(config.listen).await?;
        let me = own::advertised(local, config.advertise, index).await?;
        let folder = Folder::open(&*world.disk, &config.dir).map_err(|source| StartError::Folder {
            folder: config.dir.display().to_string(),
            source,
        })?;
        let peer = Peer::new(index, me, config.segment_bytes, config.other_addresses);
        let client = Self(Arc::new(Inner {
            world,
            link: Link {
                journal,
                segment_bytes: config.segment_bytes,
            },
            folder,
            local,
            state: Mutex::new(State {
                peer,
                incoming: BTreeMap::new(),
                registering: BTreeMap::new(),
                getting: BTreeMap::new(),
            }),
            uploads: Semaphore::new(MAX_SERVED_AT_ONCE),
            tasks: Tasks::default(),
        }));
        client
            .listen(listener)
            .map_err(|source| StartError::Listen { at: local, source })?;
        client.0.tasks.spawn(client.clone().tick());
        Ok(client)
    }

    /// Where it listens.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.0.local
    }

    /// Registers a file of the folder, and returns once the index has asked for it back.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn register(&self, name: &str) -> Result<Known, CommandError> {
        let name = parsed(name)?;
        let known = self
            .hash(name.clone())
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::FileTooLarge => CommandError::TooLarge(name.clone()),
                _ => CommandError::Unreadable {
                    name: name.clone(),
                    source,
                },
            })?;
        let (tell, told) = oneshot::channel();
        self.with(|state, now, out| {
            state.registering.insert(name.clone(), tell);
            state.peer.register(now, name.clone(), known, out);
        });
        self.outcome(name, told).await.map(|()| known)
    }

    /// Gets a file; it is in the folder when this returns.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn get(&self, name: &str) -> Result<Got, CommandError> {
        let name = parsed(name)?;
        if !matches!(self.0.folder.has(name.as_str()), Ok(false)) {
            return Err(CommandError::Exists(name));
        }
        let (tell, told) = oneshot::channel();
        let begun = self.with(|state, now, out| {
            let begun = state.peer.get(now, &name, out);
            if begun {
                state.getting.insert(name.clone(), tell);
            }
            begun
        });
        if !begun {
            return Err(CommandError::Busy(name));
        }
        self.outcome(name, told).await
    }

    /// The files that this peer has registered or got.
    #[must_use]
    pub fn files(&self) -> Vec<(FileName, Known)> {
        let files = |state: &mut State| {
            state
                .peer
                .files()
                .map(|(name, known)| (name.clone(), *known))
                .collect()
        };
        self.with(|state, _, _| files(state))
    }

    /// Stops at once; what is on its way is given up.
    pub async fn stop(self) {
        self.0.tasks.end().await;
    }

    async fn outcome<T>(
        &self,
        name: FileName,
        told: oneshot::Receiver<Result<T, Failure>>,
    ) -> Result<T, CommandError> {
        let outcome = told.await.map_err(|_| CommandError::Stopped)?;
        outcome.map_err(|failure| CommandError::Failed(name, failure))
    }

    fn listen(&self, listener: TcpListener) -> io::Result<()> {
        let client = self.clone();
        let take = move |ip: Ipv4Addr, message: Message<'_>| client.take(ip, message);
        self.0.link.listen(listener, MAX_GUESTS, &self.0.tasks, take)
    }

    async fn tick(self) {
        let mut ticks = interval(TICK);
        loop {
            ticks.tick().await;
            self.with(|state, now, out| state.peer.poll(now, out));
        }
    }

    /// Lets the peer decide, and does what it wants.
    fn with<T>(&self, decide: impl FnOnce(&mut State, Duration, &mut Vec<Effect>) -> T) -> T {
        let now = self.0.world.clock.now().mono;
        let mut out = Vec::new();
        let decided = {
            let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
            let decided = decide(&mut state, now, &mut out);
            out.retain_mut(|effect| !state.keeps(&self.0.folder, effect));
            decided
        };
        out.into_iter().for_each(|effect| self.perform(effect));
        decided
    }

    fn take(&self, from: Ipv4Addr, message: Message<'_>) {
        let unsynced = self.with(|state, now, out| match message {
            Message::Data(segment) => match state.peer.data(now, from, &segment, out) {
                Taken::Write(offset, bytes) => state.write(&segment.of.name, offset, bytes, out),
                Taken::Nothing => None,
            },
            message => {
                state.peer.handle(now, from, message, out);
                None
            }
        });
        if let Some(file) = unsynced {
            self.0.tasks.spawn(self.clone().sync(file));
        }
    }

    /// Ahead of time: whether it is durable is found out in the end.
    async fn sync(self, file: Arc<dyn File>) {
        let _ = self.0.world.work.call(move || file.sync()).await;
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.0.tasks.spawn(self.clone().send(to, message)),
            Effect::Hash(name) => self.0.tasks.spawn(self.clone().hash_anew(name)),
            Effect::Serve { listing, to } => self.0.tasks.spawn(self.clone().serve(listing, to)),
            Effect::Check(name, hash) => self.0.tasks.spawn(self.clone().check(name, hash)),
            Effect::Ignored(why) => self.0.link.journal.note(format_args!("passed over: {why}")),
            Effect::Restart(_) | Effect::Registered(_) | Effect::Failed(..) | Effect::Got(..) => {}
        }
    }

    async fn send(self, to: SocketAddrV4, message: Message<'static>) {
        let sent = self.0.link.send_until_closed(to, &message).await;
        self.with(|state, now, out| match sent {
            Ok(()) => state.peer.delivered(&message, out),
            Err(_) => state.peer.undelivered(now, to, &message, out),
        });
    }

    async fn hash(&self, name: FileName) -> io::Result<Known> {
        let folder = self.0.folder.clone();
        let job = move || hashing::hash(&*folder.file(name.as_str())?.0);
        self.0.world.work.call(job).await
    }

    async fn hash_anew(self, name: FileName) {
        let known = self.hash(name.clone()).await.ok();
        self.with(|state, _, out| state.peer.hashed(&name, known, out));
    }

    async fn serve(self, listing: Listing, to: SocketAddrV4) {
        let Ok(_permit) = self.0.uploads.acquire().await else {
            return;
        };
        let (inner, file_of) = (self.0.clone(), listing.clone());
        let sent = self.0.tasks.spawn_blocking(move || {
            let (file, _) = inner.folder.file(file_of.name.as_str())?;
            let Link {
                journal,
                segment_bytes,
            } = &inner.link;
            seeding::send(&*file, &file_of, *segment_bytes, to, journal, inner.tasks.stop())
        });
        let sent = sent.await.unwrap_or_else(|e| Err(io::Error::other(e)));
        let (name, journal) = (&listing.name, &self.0.link.journal);
        match &sent {
            Ok(()) => journal.note(format_args!("{name} was sent to {to} in DATA messages")),
            Err(error) => journal.note(format_args!("{name} could not be sent to {to}: {error}")),
        }
        self.with(|state, _, out| state.peer.served(&listing, to, sent.is_ok(), out));
    }

    /// A file that has the right hash gets its name.
    async fn check(self, name: FileName, hash: FileHash) {
        let Some(Download { incoming, so_far, .. }) = self.with(|state, _, _| state.incoming.remove(&name))
        else {
            return;
        };
        let job = move || -> io::Result<bool> {
            let is_right = so_far.finish(&**incoming.file())?.hash == hash;
            if is_right {
                incoming.complete()?;
            }
            Ok(is_right)
        };
        let checked = self.0.world.work.call(job).await;
        self.with(|state, now, out| match checked {
            Ok(is_right) => state.peer.checked(now, &name, is_right, out),
            Err(error) => state.peer.write_failed(&name, error.to_string(), out),
        });
    }
}

impl State {
    /// Does what belongs to the state itself; returns whether that was all of the effect.
    fn keeps(&mut self, folder: &Folder, effect: &mut Effect) -> bool {
        match effect {
            Effect::Restart(name) => {
                self.incoming.remove(name);
                if let Ok(incoming) = folder.begin(name.as_str()) {
                    let so_far = SoFar::default();
                    let download = Download {
                        incoming,
                        so_far,
                        unsynced: 0,
                    };
                    self.incoming.insert(name.clone(), download);
                }
            }
            Effect::Registered(name) => tell(self.registering.remove(name), Ok(())),
            Effect::Got(name, seeder, known) => {
                let got = Got {
                    known: *known,
                    seeder: *seeder,
                };
                tell(self.getting.remove(name), Ok(got));
            }
            Effect::Failed(name, why) => {
                self.incoming.remove(name);
                tell(self.registering.remove(name), Err(why.clone()));
                tell(self.getting.remove(name), Err(why.clone()));
            }
            _ => return false,
        }
        true
    }

    /// Writes at once: a segment is small, and it is known to be here when it is. Returns the file
    /// when much of it is not durable yet.
    fn write(
        &mut self,
        name: &FileName,
        offset: u64,
        bytes: &[u8],
        out: &mut Vec<Effect>,
    ) -> Option<Arc<dyn File>> {
        let Some(download) = self.incoming.get_mut(name) else {
            self.peer
                .write_failed(name, "it could not be begun".to_owned(), out);
            return None;
        };
        match download.write(offset, bytes) {
            Ok(()) => self.peer.wrote(name, out),
            Err(error) => self.peer.write_failed(name, error.to_string(), out),
        }
        download.due_for_sync()
    }
}

impl Download {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.incoming.file().write_at(offset, bytes)?;
        self.so_far.wrote(offset, bytes);
        self.unsynced += bytes.len();
        Ok(())
    }

    fn due_for_sync(&mut self) -> Option<Arc<dyn File>> {
        (self.unsynced >= SYNC_BYTES).then(|| {
            self.unsynced = 0;
            self.incoming.file().clone()
        })
    }
}

/// Nobody may wait any more.
fn tell<T>(who: Option<oneshot::Sender<T>>, what: T) {
    if let Some(who) = who {
        let _ = who.send(what);
    }
}

fn parsed(name: &str) -> Result<FileName, CommandError> {
    FileName::parse(name).map_err(|bad| CommandError::Name(name.to_owned(), bad))
}
