//! The loop behind a stream: lets the scheduler read ahead of who reads, and hands over in order.
//!
//! What is decided is `skep_engine::swarm`'s, as for downloads; chunks are held in memory here.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use roaring::RoaringTreemap;
use skep_engine::swarm::{Action, Config, Failure, Outcome, Received, Sizes, Swarm};
use skep_net::Link;
use skep_wire::{CHUNK_BYTES, PeerId};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time,
};

use super::{
    error::GetError,
    holders,
    job::News,
    stream::{Came, File},
};

/// How often arriving bytes are looked at.
const TICK: Duration = Duration::from_millis(200);
/// Chunks that are read ahead: at first, when the reader may still seek elsewhere, and at most.
const AHEAD: (u64, u64) = (2, 16);

/// What a task of the reader has to tell.
enum Told {
    Came {
        peer: PeerId,
        chunk: u64,
        came: Came,
        gone: bool,
    },
    Searched,
}

/// A request that is under way.
struct UnderWay {
    task: AbortHandle,
    arrived: Arc<AtomicU64>,
}

/// One who reads a range.
pub(super) struct Reader {
    file: Arc<File>,
    range: Range<u64>,
    /// The chunk that is handed over next.
    next: u64,
    end: u64,
    ahead: u64,
    /// What should be on this machine already.
    here: RoaringTreemap,
    /// What has come before its turn.
    ready: BTreeMap<u64, Bytes>,
    swarm: Swarm,
    links: BTreeMap<PeerId, Link>,
    names: BTreeMap<PeerId, String>,
    unusable: BTreeMap<PeerId, String>,
    under_way: BTreeMap<(PeerId, u64), UnderWay>,
    tasks: JoinSet<Told>,
    news: mpsc::Sender<News>,
    inbox: mpsc::Receiver<News>,
    out: mpsc::Sender<Result<Bytes, GetError>>,
}

impl Reader {
    /// One who reads `range`, which is not empty and within the file.
    pub(super) fn new(
        file: Arc<File>,
        range: Range<u64>,
        out: mpsc::Sender<Result<Bytes, GetError>>,
    ) -> Self {
        let (news, inbox) = mpsc::channel(64);
        let mut seed = [0; 8];
        file.core.world.entropy.fill(&mut seed);
        let sizes = Sizes::Even {
            total_bytes: file.size(),
        };
        let here = file.stored();
        let seed = u64::from_le_bytes(seed);
        let swarm = Swarm::new(Config::default(), sizes, 0..0, &here, seed).known_as(file.core.id());
        Self {
            next: range.start / CHUNK_BYTES,
            end: range.end.div_ceil(CHUNK_BYTES),
            ahead: AHEAD.0,
            here,
            ready: BTreeMap::new(),
            swarm,
            links: BTreeMap::new(),
            names: BTreeMap::new(),
            unusable: BTreeMap::new(),
            under_way: BTreeMap::new(),
            tasks: JoinSet::new(),
            news,
            inbox,
            out,
            file,
            range,
        }
    }

    /// Hands everything over, or says why not.
    pub(super) async fn run(mut self) {
        if let Err(error) = self.hand_over().await {
            tracing::info!("reading {} has stopped: {error}", self.file.goal.name);
            // Whoever has gone does not want to know.
            let _ = self.out.send(Err(error)).await;
        }
    }

    async fn hand_over(&mut self) -> Result<(), GetError> {
        let out = self.out.clone();
        let mut tick = time::interval(TICK);
        let mut actions = Vec::new();
        while self.next < self.end {
            self.look_here().await;
            self.read_ahead();
            let now = self.now();
            self.swarm.poll(now, &mut actions);
            actions.drain(..).for_each(|action| self.act(action));
            let is_ready = self.ready.contains_key(&self.next);
            if !is_ready && matches!(self.swarm.outcome(), Outcome::Stuck { .. }) {
                return Err(self.stuck());
            }
            let wakeup = self.swarm.next_wakeup().map(|at| at.saturating_sub(now));
            tokio::select! {
                biased;
                () = out.closed() => return Ok(()),
                Ok(permit) = out.reserve(), if is_ready => {
                    permit.send(Ok(self.ready.remove(&self.next).expect("it is ready")));
                    self.next += 1;
                    self.ahead = (self.ahead * 2).min(AHEAD.1);
                }
                Some(news) = self.inbox.recv() => self.hear(news),
                Some(Ok(told)) = self.tasks.join_next() => self.heed(told),
                _ = tick.tick() => self.look(),
                () = sleep(wakeup) => {}
            }
        }
        Ok(())
    }

    fn now(&self) -> Duration {
        self.file.core.mono()
    }

    /// Takes what is next from this machine, if it is here.
    async fn look_here(&mut self) {
        if self.ready.contains_key(&self.next) {
            return;
        }
        if let Some(bytes) = self.file.local(self.next, &self.range).await {
            self.swarm.handle_stored(self.now(), self.next);
            self.ready.insert(self.next, bytes);
        } else if self.here.remove(self.next) {
            self.swarm.handle_not_stored(self.now(), self.next);
        }
    }

    /// Wants the next chunks, as far as they are not here.
    fn read_ahead(&mut self) {
        let window = self.next..(self.next + self.ahead).min(self.end);
        let here = self.file.core.shelf.item(self.file.goal.origin);
        if here.is_some_and(|item| item.is_whole()) && self.ready.contains_key(&self.next) {
            return;
        }
        self.swarm.handle_priority(&[window]);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Request { peer, chunk } => self.request(peer, chunk),
            Action::Cancel { peer, chunk } => {
                if let Some(under_way) = self.under_way.remove(&(peer, chunk)) {
                    under_way.task.abort();
                }
            }
            Action::FindHolders => {
                let known = self.links.keys().copied().collect();
                let (core, goal) = (self.file.core.clone(), self.file.goal.clone());
                let search = holders::search(core, goal, known, None, self.news.clone());
                self.tasks.spawn(async move {
                    search.await;
                    Told::Searched
                });
            }
            Action::Avoid { peer, .. } => drop(self.links.remove(&peer)),
        }
    }

    fn request(&mut self, peer: PeerId, chunk: u64) {
        let Some(link) = self.links.get(&peer).cloned() else {
            return self.swarm.handle_gone(self.now(), peer);
        };
        let arrived = Arc::new(AtomicU64::new(0));
        let (file, range, counter) = (self.file.clone(), self.range.clone(), arrived.clone());
        let task = self.tasks.spawn(async move {
            let came = file.fetch(&link, chunk, &range, counter).await;
            Told::Came {
                peer,
                chunk,
                came,
                gone: link.is_closed(),
            }
        });
        self.under_way.insert((peer, chunk), UnderWay { task, arrived });
    }

    fn hear(&mut self, news: News) {
        let now = self.now();
        match news {
            News::Holder {
                holder,
                link,
                have,
                round_trip,
            } => {
                self.links.insert(holder.peer, link);
                self.names.insert(holder.peer, holder.name.to_string());
                let have = self.file.goal.have(have);
                self.swarm.handle_holder(now, holder.peer, have);
                if let Some(round_trip) = round_trip {
                    self.swarm.handle_latency(now, holder.peer, round_trip);
                }
            }
            News::NoHolder { holder, why } => {
                let why = format!("{}: {why}", holder.name);
                self.unusable.insert(holder.peer, why);
            }
            _ => {}
        }
    }

    fn heed(&mut self, told: Told) {
        let now = self.now();
        let Told::Came {
            peer,
            chunk,
            came,
            gone,
        } = told
        else {
            return self.swarm.handle_no_more_holders(now);
        };
        self.under_way.remove(&(peer, chunk));
        match came {
            Came::Good(bytes) => {
                let taken = self.swarm.handle_received(now, peer, chunk, bytes.len() as u64);
                if taken == Received::Store {
                    self.file.core.count_received(peer, bytes.len() as u64);
                    self.swarm.handle_stored(now, chunk);
                    self.ready.insert(chunk, bytes);
                }
            }
            Came::Bad => {
                tracing::warn!("{peer:?} sent bad bytes of {}", self.file.goal.name);
                let _ = self.swarm.handle_received(now, peer, chunk, 0);
                self.swarm.handle_bad(now, peer, chunk);
            }
            Came::Failed(failure) => {
                self.swarm.handle_failed(now, peer, chunk, failure);
                if gone && self.links.remove(&peer).is_some() {
                    self.swarm.handle_gone(now, peer);
                }
                if failure == Failure::Withdrawn {
                    let name = self.names.get(&peer).cloned().unwrap_or_default();
                    let why = format!("{name}: its copy has changed or is gone");
                    self.unusable.insert(peer, why);
                }
            }
        }
    }

    /// Tells the scheduler what has come so far.
    fn look(&mut self) {
        let now = self.now();
        for (&(peer, chunk), under_way) in &self.under_way {
            let arrived = under_way.arrived.load(Ordering::Relaxed);
            self.swarm.handle_progress(now, peer, chunk, arrived);
        }
    }

    fn stuck(&self) -> GetError {
        let share = self.file.goal.name.clone();
        if self.links.is_empty() && self.unusable.is_empty() {
            return GetError::NoHolders(share);
        }
        let missing = self.range.end - (self.next * CHUNK_BYTES).max(self.range.start);
        GetError::Stuck {
            share,
            missing: format!("{missing} bytes"),
            reasons: self.unusable.values().cloned().collect(),
        }
    }
}

async fn sleep(wakeup: Option<Duration>) {
    match wakeup {
        Some(wakeup) => time::sleep(wakeup).await,
        None => std::future::pending().await,
    }
}
