//! An index that runs: [`Index`] with a socket, a clock and a ledger.
//!
//! The document asks for no memory; this index has one all the same, so that seeders need not
//! register again when it was ended at once. Nobody is told of a listing, so nothing waits for it
//! to be durable.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::rngs::StdRng;
use skep_ledger::Change;
use skep_world::World;
use tokio::{
    net::TcpListener,
    sync::{Notify, Semaphore},
    time::interval,
};

use super::{
    codec::{FileName, Listing, Message},
    index::{Effect, Index, Rules},
    link::Link,
};
use crate::{
    journal::Journal,
    keep::{Facts, Keep},
    own::{self, StartError},
    tasks::Tasks,
};

/// The most connections that are read at once.
const MAX_GUESTS: usize = 512;
/// The most messages that are being sent at once; others wait.
const MAX_SENDING: usize = 64;
/// The most messages that wait for that; more are dropped.
const MAX_WAITING: usize = 4096;
/// How often it is looked whether somebody took too long.
const TICK: Duration = Duration::from_millis(250);

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the index remembers.
    pub home: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// The address to tell others.
    pub advertise: Option<IpAddr>,
    /// How it decides.
    pub rules: Rules,
    /// Bytes of a segment, of which an index only has to know where they end.
    pub segment_bytes: u32,
}

/// A running index. Cheap to clone.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    world: World,
    link: Link,
    local: SocketAddr,
    state: Mutex<State>,
    unsaved: Notify,
    sending: Semaphore,
    tasks: Tasks,
}

struct State {
    index: Index,
    rng: StdRng,
    changes: Vec<Change>,
}

impl Server {
    /// Starts an index.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(world: World, journal: Journal, config: Config) -> Result<Self, StartError> {
        let (listener, local) = own::listen(config.listen).await?;
        let me = own::v4(SocketAddr::new(
            config.advertise.unwrap_or(local.ip()),
            local.port(),
        ))?;
        let (keep, facts) = Keep::open(&world, &config.home)?;
        let mut index = Index::new(me, config.rules);
        index.restore(listings(&facts));
        let rng = world.entropy.rng();
        let server = Self(Arc::new(Inner {
            world,
            link: Link {
                journal,
                segment_bytes: config.segment_bytes,
            },
            local,
            state: Mutex::new(State {
                index,
                rng,
                changes: Vec::new(),
            }),
            unsaved: Notify::new(),
            sending: Semaphore::new(MAX_SENDING),
            tasks: Tasks::default(),
        }));
        server
            .listen(listener)
            .map_err(|source| StartError::Listen { at: local, source })?;
        server.0.tasks.spawn(server.clone().tick());
        server.0.tasks.spawn_whole(server.clone().save(keep));
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.0.local
    }

    /// Stops; what is listed is durable when this returns.
    pub async fn stop(self) {
        self.0.tasks.end().await;
    }

    fn listen(&self, listener: TcpListener) -> io::Result<()> {
        let server = self.clone();
        let take = move |ip: Ipv4Addr, message: Message<'_>| {
            server.with(|index, now, rng, out| index.handle(now, ip, message, rng, out));
        };
        self.0.link.listen(listener, MAX_GUESTS, &self.0.tasks, take)
    }

    async fn tick(self) {
        let mut ticks = interval(TICK);
        loop {
            ticks.tick().await;
            self.with(|index, now, rng, out| index.poll(now, rng, out));
        }
    }

    /// Makes durable what has changed, all of it together.
    async fn save(self, mut keep: Keep) {
        loop {
            let stopped = tokio::select! {
                () = self.0.unsaved.notified() => false,
                () = self.0.tasks.stop().cancelled() => true,
            };
            let changes = std::mem::take(&mut self.state().changes);
            if let Err(error) = keep.commit(changes).await {
                self.0
                    .link
                    .journal
                    .note(format_args!("the listings cannot be kept: {error}"));
                return;
            }
            if stopped {
                return;
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the index decide, and does what it wants.
    fn with(&self, decide: impl FnOnce(&mut Index, Duration, &mut StdRng, &mut Vec<Effect>)) {
        let now = self.0.world.clock.now().mono;
        let mut out = Vec::new();
        let mut state = self.state();
        let State { index, rng, changes } = &mut *state;
        decide(index, now, rng, &mut out);
        let before = changes.len();
        changes.extend(out.iter().filter_map(change));
        if changes.len() > before {
            self.0.unsaved.notify_one();
        }
        drop(state);
        for effect in out {
            self.perform(effect);
        }
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Send { to, message } if self.0.tasks.len() < MAX_WAITING => {
                self.0.tasks.spawn(self.clone().send(to, message));
            }
            Effect::Send { to, .. } => {
                self.0.link.journal.note(format_args!("too busy to answer {to}"));
            }
            Effect::Ignored(why) => self.0.link.journal.note(format_args!("passed over: {why}")),
            Effect::Listed(listing) => self.0.link.journal.note(format_args!("listed: {listing}")),
            Effect::Dropped(name, seeder) => {
                self.0
                    .link
                    .journal
                    .note(format_args!("dropped: {name} at {seeder}"));
            }
        }
    }

    async fn send(self, to: SocketAddrV4, message: Message<'static>) {
        let Ok(_permit) = self.0.sending.acquire().await else {
            return;
        };
        let message = self.with_own_address(to, message).await;
        if self.0.link.send(to, &message).await.is_err() {
            self.with(|index, now, rng, out| index.undelivered(now, to, &message, rng, out));
        }
    }

    /// Whoever listens on all addresses is reached at another one from everywhere.
    async fn with_own_address(&self, to: SocketAddrV4, message: Message<'static>) -> Message<'static> {
        match message {
            Message::Confirm {
                file_size,
                name,
                index,
            } if index.ip().is_unspecified() => {
                let ip = match own::toward(to.into()).await {
                    Ok(IpAddr::V4(ip)) => ip,
                    _ => *index.ip(),
                };
                let index = SocketAddrV4::new(ip, index.port());
                Message::Confirm {
                    file_size,
                    name,
                    index,
                }
            }
            other => other,
        }
    }
}

/// A listing is kept as the message that registered it.
fn change(effect: &Effect) -> Option<Change> {
    match effect {
        Effect::Listed(listing) => Some(Change {
            key: key(&listing.name, listing.seeder),
            value: Some(Message::Register(listing.clone()).encode()),
        }),
        Effect::Dropped(name, seeder) => Some(Change {
            key: key(name, *seeder),
            value: None,
        }),
        Effect::Send { .. } | Effect::Ignored(_) => None,
    }
}

fn key(name: &FileName, seeder: SocketAddrV4) -> Vec<u8> {
    format!("{seeder} {name}").into_bytes()
}

fn listings(facts: &Facts) -> impl Iterator<Item = Listing> {
    facts
        .iter()
        .filter_map(|(_, value)| match Message::decode(value) {
            Ok(Message::Register(listing)) => Some(listing),
            _ => None,
        })
}
