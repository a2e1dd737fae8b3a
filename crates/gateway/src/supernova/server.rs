//! A tracker that runs: [`Tracker`] with a socket, a clock and its `peers.json`.
//!
//! What a peer is told is durable: a reply to a message that changed something leaves when the
//! file with the change is written. Changes that come meanwhile are written together.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_wire::RelPath;
use skep_world::{Dir, World, disk::Replace};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{interval, sleep, timeout},
};

use super::{
    book::{self, BadBook},
    codec::{MESSAGE_BYTES, Message, Name},
    link::Link,
    tracker::{Effect, Session, Tracker},
};
use crate::{
    guests::{self, Guest, Guests},
    journal::Journal,
    own::{self, StartError},
    tasks::Tasks,
};

/// The most connections of those who have not said their name yet.
const MAX_GUESTS: usize = 256;
/// The most connections of peers.
const MAX_SEATS: usize = 1024;
/// The most ports that are tried at once.
const MAX_PROBES: usize = 64;
/// How long a peer may take to accept a connection.
const PROBE_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked whether somebody is to be tried.
const TICK: Duration = Duration::from_secs(1);
/// The pause after a file could not be written.
const PAUSE: Duration = Duration::from_secs(1);

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where `peers.json` is.
    pub home: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// LISTENING may name an address that is not its sender's.
    pub other_addresses: bool,
}

/// A running tracker. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    world: World,
    journal: Journal,
    local: SocketAddr,
    tracker: Mutex<Tracker>,
    dir: Arc<dyn Dir>,
    /// How many changes there were, and how many of them are durable.
    changes: watch::Sender<u64>,
    saved: watch::Sender<u64>,
    sessions: AtomicU64,
    seats: Semaphore,
    probes: Semaphore,
    tasks: Tasks,
    _lock: Box<dyn Send + Sync>,
}

impl Server {
    /// Starts a tracker.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(world: World, journal: Journal, config: Config) -> Result<Self, StartError> {
        let (listener, local) = own::listen(config.listen).await?;
        let home = || config.home.display().to_string();
        let folder = |source| StartError::Folder {
            folder: home(),
            source,
        };
        let dir = world.disk.make_dir(&config.home).map_err(folder)?;
        let lock = dir.lock(&path("tracker.lock")).map_err(folder)?;
        let known = dir
            .read_whole(&path(book::PEERS), book::MAX_BYTES)
            .map_err(folder)?;
        let known = known.map_or(Ok(Vec::new()), |text| book::read_peers(&text));
        let known = known.map_err(|bad: BadBook| StartError::Damaged {
            file: config.home.join(book::PEERS).display().to_string(),
            why: bad.to_string(),
        })?;
        let server = Self(Arc::new(Inner {
            world,
            journal,
            local,
            tracker: Mutex::new(Tracker::new(known, config.other_addresses)),
            dir,
            changes: watch::Sender::new(0),
            saved: watch::Sender::new(0),
            sessions: AtomicU64::new(0),
            seats: Semaphore::new(MAX_SEATS),
            probes: Semaphore::new(MAX_PROBES),
            tasks: Tasks::default(),
            _lock: lock,
        }));
        server.listen(listener);
        server.0.tasks.spawn(server.clone().tick());
        server.0.tasks.spawn(server.clone().save());
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.0.local
    }

    /// Stops.
    pub async fn stop(self) {
        self.0.tasks.end().await;
    }

    fn listen(&self, listener: TcpListener) {
        let guests = Guests::new(MAX_GUESTS);
        let server = self.clone();
        guests::receive(listener, &self.0.tasks, move |stream, from| {
            let (server, guest) = (server.clone(), guests.enter());
            async move { server.converse(stream, from, &guest).await }
        });
    }

    async fn converse(&self, stream: TcpStream, from: SocketAddr, guest: &Guest) {
        let seat = Seat {
            session: Session(self.0.sessions.fetch_add(1, Ordering::Relaxed)),
            server: self.clone(),
        };
        self.tracker().connected(seat.session, from.ip().to_canonical());
        let mut link = Link::new(stream, from, self.0.journal.clone());
        if let Some(Err(error)) = guest.during(self.answer(&mut link, seat.session, guest)).await {
            self.0.journal.note(format_args!("{from}: {error}"));
        }
    }

    /// Answers one message after the other. A peer that has a name stays.
    async fn answer(&self, link: &mut Link, session: Session, guest: &Guest) -> io::Result<()> {
        let mut permit = None;
        while let Some(message) = link.read(MESSAGE_BYTES).await? {
            let mut out = Vec::new();
            self.tracker().handle(session, message, &mut out);
            if let Some(change) = self.note_change(&out) {
                let _ = self.0.saved.subscribe().wait_for(|saved| *saved >= change).await;
            }
            for effect in out {
                let Effect::Reply(_, reply) = effect else { continue };
                if matches!(reply, Message::Welcome(_)) && permit.is_none() {
                    permit = self.0.seats.try_acquire().ok();
                    if permit.is_some() {
                        guest.settle();
                    }
                }
                link.send(&reply).await?;
            }
        }
        Ok(())
    }

    async fn tick(self) {
        let mut ticks = interval(TICK);
        loop {
            ticks.tick().await;
            let mut out = Vec::new();
            self.tracker().poll(self.0.world.clock.now().mono, &mut out);
            for effect in out {
                if let Effect::Probe(name, at) = effect {
                    self.0.tasks.spawn(self.clone().probe(name, at));
                }
            }
        }
    }

    async fn probe(self, name: Name, at: SocketAddr) {
        let Ok(_permit) = self.0.probes.acquire().await else {
            return;
        };
        let connected = timeout(PROBE_WITHIN, TcpStream::connect(at)).await;
        let answers = matches!(connected, Ok(Ok(_)));
        if self.tracker().probed(&name, at, answers) {
            let state = if answers {
                "answers again"
            } else {
                "does not answer"
            };
            self.0.journal.note(format_args!("{name} at {at} {state}"));
        }
    }

    /// The number of the change, if something has changed.
    fn note_change(&self, out: &[Effect]) -> Option<u64> {
        if !out.contains(&Effect::Changed) {
            return None;
        }
        let mut number = 0;
        self.0.changes.send_modify(|changes| {
            *changes += 1;
            number = *changes;
        });
        Some(number)
    }

    /// Writes `peers.json` whenever something has changed.
    async fn save(self) {
        let mut changes = self.0.changes.subscribe();
        while changes.changed().await.is_ok() {
            let number = *changes.borrow_and_update();
            let text = book::write_peers(self.tracker().records());
            let dir = self.0.dir.clone();
            let write = move || dir.write_whole(&path(book::PEERS), &text, Replace::Allow);
            match self.0.world.work.call(write).await {
                Ok(()) => drop(self.0.saved.send_replace(number)),
                Err(error) => {
                    self.0
                        .journal
                        .note(format_args!("{} cannot be written: {error}", book::PEERS));
                    sleep(PAUSE).await;
                    changes.mark_changed();
                }
            }
        }
    }

    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.0.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place in the tracker, which is free again however the connection ends.
struct Seat {
    session: Session,
    server: Server,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.server.tracker().closed(self.session);
    }
}

fn path(name: &str) -> RelPath {
    RelPath::parse(name).expect("the names in this module are paths")
}
