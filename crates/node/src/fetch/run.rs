//! The loop of a download: the scheduler decides, this carries out and reports back.
//!
//! The scheduler is `skep_engine::swarm`; nothing is decided here. Bytes go from a holder's link to
//! the blocking pool, where they are verified and written, and never through this task.

mod view;

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::BytesMut;
use roaring::RoaringTreemap;
use skep_engine::swarm::{Action, Config, Failure, Have, Outcome, Received, Sizes, Swarm};
use skep_net::Link;
use skep_store::{Partial, partial::PartialError};
use skep_wire::{PeerId, message::Holder, record::ContentKind};
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time,
};

use super::{
    control::{Doing, Wish},
    error::GetError,
    holders,
    job::{Body, Job, News, Way},
    offer::Offer,
    reuse, space,
};
use crate::api::types::PeerShare;

/// How often progress is told and looked at.
const TICK: Duration = Duration::from_millis(200);
/// Bytes that are stored before they are made durable along the way: a sync competes with the
/// download for disk and processor, but a system that is full of unwritten bytes stalls everybody.
const FLUSH_BYTES: u64 = 2 << 30;
/// The shortest and the longest time that a full disk is left alone before the next try.
const FULL_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What a download has cost.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// Bytes that crossed the network.
    pub(crate) fetched: u64,
    /// Bytes that were of use, by holder's name.
    pub(crate) from: BTreeMap<String, u64>,
    /// How the holders did, whatever became of the bytes.
    pub(crate) peers: Vec<PeerShare>,
}

/// Gets every chunk that is missing.
pub(crate) async fn run(
    job: &Arc<Job>,
    only: Option<PeerId>,
    news: mpsc::Sender<News>,
    inbox: mpsc::Receiver<News>,
) -> Result<Moved, GetError> {
    let Body::Growing(partial) = &job.body else {
        return Ok(Moved::default());
    };
    let mut pump = Pump::new(job, partial, only, news, inbox);
    let first = partial.first_chunk();
    pump.swarm.hurry(first);
    if !partial.is_stored(first) && !job.donors.is_empty() {
        pump.want(first..first + 1).await?;
        pump.reuse(0..partial.layout().head_chunks()).await?;
    }
    let head = partial.layout().head_chunks();
    pump.want(0..head).await?;
    if job.goal.content.kind == ContentKind::Folder {
        let layout = partial.layout();
        pump.reuse(head..layout.chunks()).await?;
        pump.want(head..layout.chunks()).await?;
    }
    pump.moved.peers = pump.shares(job.core.mono());
    Ok(std::mem::take(&mut pump.moved))
}

/// A holder that is connected.
struct Connected {
    holder: Holder,
    link: Link,
    /// What it has of the origin, if that is not everything.
    origin: RoaringTreemap,
}

/// A chunk that is under way.
struct UnderWay {
    task: AbortHandle,
    way: Arc<Way>,
    told: u64,
}

/// A chunk that cannot be stored yet.
struct Early {
    peer: PeerId,
    chunk: u64,
    bytes: BytesMut,
}

struct Pump<'a> {
    job: &'a Arc<Job>,
    partial: &'a Arc<Partial>,
    swarm: Swarm,
    only: Option<PeerId>,
    news: mpsc::Sender<News>,
    inbox: mpsc::Receiver<News>,
    tasks: JoinSet<News>,
    under_way: BTreeMap<(PeerId, u64), UnderWay>,
    connected: BTreeMap<PeerId, Connected>,
    /// The names of all who were ever connected.
    names: BTreeMap<PeerId, String>,
    /// Why holders could not be used, for the error if nobody is left.
    unusable: BTreeMap<PeerId, String>,
    /// Chunks that came before the one that has to be stored first.
    early: Vec<Early>,
    /// The chunk of which the coordinator asks.
    asked: Option<u64>,
    /// Bytes stored since the last flush began; none while one is running.
    unflushed: Option<u64>,
    /// What others may have of it; none if they may not.
    offer: Option<Offer>,
    /// The disk is full: nothing is asked for.
    full: bool,
    full_pause: Duration,
    moved: Moved,
}

impl<'a> Pump<'a> {
    fn new(
        job: &'a Arc<Job>,
        partial: &'a Arc<Partial>,
        only: Option<PeerId>,
        news: mpsc::Sender<News>,
        inbox: mpsc::Receiver<News>,
    ) -> Self {
        let offer = Offer::begin(job, partial, &news);
        Self {
            job,
            partial,
            swarm: new_swarm(job, partial),
            only,
            news,
            inbox,
            tasks: JoinSet::new(),
            under_way: BTreeMap::new(),
            connected: BTreeMap::new(),
            names: BTreeMap::new(),
            unusable: BTreeMap::new(),
            early: Vec::new(),
            asked: None,
            unflushed: Some(0),
            offer,
            full: false,
            full_pause: FULL_PAUSE.0,
            moved: Moved::default(),
        }
    }

    /// Takes what is on this machine already, and goes on with what is missing then and with the
    /// numbers that chunks have now: a new scheduler, the same holders.
    async fn reuse(&mut self, chunks: Range<u64>) -> Result<(), GetError> {
        let links = self.connected.values().map(|c| c.link.clone()).collect();
        reuse::reuse(self.job, self.partial, chunks, links).await?;
        let now = self.job.core.mono();
        self.swarm = new_swarm(self.job, self.partial);
        if let Some(chunk) = self.asked {
            self.swarm.hurry(chunk);
        }
        self.connected.retain(|_, connected| connected.holder.complete);
        for peer in self.connected.keys() {
            self.swarm.handle_holder(now, *peer, Have::Complete);
        }
        Ok(())
    }

    /// Gets these chunks, as far as they are missing.
    async fn want(&mut self, chunks: Range<u64>) -> Result<(), GetError> {
        self.swarm.want(chunks);
        let mut tick = time::interval(TICK);
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let mut actions = Vec::new();
        let (mut wishes, mut calls) = (self.job.control.wishes(), self.job.control.calls());
        self.obey();
        loop {
            let now = self.job.core.mono();
            self.swarm.poll(now, &mut actions);
            actions.drain(..).for_each(|action| self.act(action));
            match self.swarm.outcome() {
                Outcome::Complete => return Ok(()),
                Outcome::Stuck { reasons } if self.may_fail() => return Err(self.stuck(&reasons)),
                Outcome::Stuck { .. } | Outcome::Running => {}
            }
            let wakeup = self.swarm.next_wakeup().map(|at| at.saturating_sub(now));
            tokio::select! {
                biased;
                Some(news) = self.inbox.recv() => self.hear(news).await?,
                Some(done) = self.tasks.join_next() => {
                    // A task that was cancelled has nothing to tell.
                    if let Ok(news) = done {
                        self.hear(news).await?;
                    }
                }
                Ok(()) = wishes.changed() => self.obey(),
                Ok(()) = calls.changed() => self.begin_anew(),
                _ = tick.tick() => self.look(),
                () = sleep(wakeup) => {}
            }
        }
    }

    /// Goes on or stands still, as is wished and as there is room.
    fn obey(&mut self) {
        if !self.full && self.job.control.wished() == Wish::Run {
            self.swarm.resume();
        } else {
            self.swarm.pause();
        }
    }

    /// Somebody asks for it anew: holders are looked for again, and costs are counted from here.
    fn begin_anew(&mut self) {
        self.swarm.want(0..0);
        self.moved = Moved::default();
    }

    /// Who waits for the end is told that nobody can go on; else that is waited for.
    fn may_fail(&self) -> bool {
        self.job.control.is_watched() && !self.swarm.is_paused()
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Request { peer, chunk } => self.request(peer, chunk),
            Action::Cancel { peer, chunk } => {
                if let Some(under_way) = self.under_way.remove(&(peer, chunk)) {
                    self.moved.fetched += under_way.way.arrived.load(Ordering::Relaxed);
                    under_way.task.abort();
                }
            }
            Action::FindHolders => {
                let known = self.connected.keys().copied().collect();
                let (core, goal) = (self.job.core.clone(), self.job.goal.clone());
                let search = holders::search(core, goal, known, self.only, self.news.clone());
                self.tasks.spawn(search);
            }
            Action::Avoid { peer, .. } => {
                self.connected.remove(&peer);
            }
        }
    }

    fn request(&mut self, peer: PeerId, chunk: u64) {
        let now = self.job.core.mono();
        let Some(connected) = self.connected.get(&peer) else {
            return self.swarm.handle_gone(now, peer);
        };
        let len = self.partial.layout().chunk_bytes(chunk).unwrap_or_default();
        let way = Arc::new(Way::default());
        let len = usize::try_from(len).expect("at most 1 MiB");
        let fetch = self.job.clone().fetch(
            self.partial.clone(),
            self.job
                .core
                .links
                .next_bulk(&peer)
                .unwrap_or_else(|| connected.link.clone()),
            chunk,
            len,
            way.clone(),
        );
        let task = self.tasks.spawn(fetch);
        self.under_way
            .insert((peer, chunk), UnderWay { task, way, told: 0 });
    }

    async fn hear(&mut self, news: News) -> Result<(), GetError> {
        let now = self.job.core.mono();
        match news {
            News::Holder {
                holder,
                link,
                have,
                round_trip,
            } => {
                self.found(now, holder, link, have, round_trip);
            }
            News::Widened { peer, several } => self.swarm.handle_wide(peer, several),
            News::NoHolder { holder, why } => {
                tracing::debug!("{} is of no use: {why}", holder.name);
                self.unusable
                    .insert(holder.peer, format!("{}: {why}", holder.name));
            }
            News::Searched { found } => {
                tracing::debug!("{found} more holders");
                self.swarm.handle_no_more_holders(now);
                if found == 0 && self.doing() == Doing::WaitingForHolders {
                    // Those who were of no use may be another time.
                    self.connected.clear();
                }
            }
            News::Asked { chunk } => {
                self.asked = Some(chunk);
                self.swarm.hurry(chunk);
            }
            News::Met { holder } => self.met(holder),
            News::HaveMore { peer, chunks } => {
                let chunks = self.have_more(peer, chunks);
                self.swarm.handle_have_more(now, peer, &chunks);
            }
            News::Received { peer, chunk, bytes } => self.received(now, peer, chunk, bytes),
            News::Failed {
                peer,
                chunk,
                failure,
                gone,
            } => self.failed(now, peer, chunk, failure, gone),
            News::Stored { chunk, bytes } => self.stored(now, chunk, bytes),
            News::Flushed { result } => {
                result.map_err(|error| self.job.error(error))?;
                self.unflushed = Some(0);
            }
            News::Bad { peer, chunk } => {
                tracing::warn!(
                    "{peer:?} sent bad bytes as chunk {chunk} of {}",
                    self.job.goal.name
                );
                self.swarm.handle_bad(now, peer, chunk);
            }
            News::NotStored { chunk, error } => {
                self.swarm.handle_not_stored(now, chunk);
                self.not_kept(error)?;
            }
            News::NoPage { peer, chunk, error } => {
                self.failed(now, peer, chunk, Failure::Busy, false);
                self.not_kept(error)?;
            }
            News::Room => {
                self.full = false;
                self.obey();
            }
        }
        Ok(())
    }

    fn found(&mut self, now: Duration, holder: Holder, link: Link, have: Have, round_trip: Option<Duration>) {
        let peer = holder.peer;
        self.names.insert(peer, holder.name.to_string());
        let origin = match &have {
            Have::Some(chunks) => chunks.clone(),
            Have::Complete => RoaringTreemap::new(),
        };
        self.swarm.handle_holder(now, peer, self.job.goal.have(have));
        if let Some(round_trip) = round_trip {
            self.swarm.handle_latency(now, peer, round_trip);
            self.widen(holder.clone(), round_trip);
        }
        let connected = Connected { holder, link, origin };
        self.connected.insert(peer, connected);
    }

    /// What a holder has by now that has these chunks more of the origin.
    fn have_more(&mut self, peer: PeerId, chunks: Vec<u64>) -> Vec<u64> {
        let (Some(part), Some(connected)) = (&self.job.goal.part, self.connected.get_mut(&peer)) else {
            return chunks;
        };
        connected.origin.extend(chunks);
        part.chunks_of(&connected.origin).iter().collect()
    }

    fn stored(&mut self, now: Duration, chunk: u64, bytes: BytesMut) {
        self.swarm.handle_stored(now, chunk);
        self.full_pause = FULL_PAUSE.0;
        for early in std::mem::take(&mut self.early) {
            self.store(early);
        }
        self.flush(bytes.len() as u64);
        self.job.give_back(bytes);
        if let Some(offer) = &mut self.offer {
            offer.grown();
        }
    }

    fn received(&mut self, now: Duration, peer: PeerId, chunk: u64, bytes: BytesMut) {
        self.under_way.remove(&(peer, chunk));
        let len = bytes.len() as u64;
        self.moved.fetched += len;
        match self.swarm.handle_received(now, peer, chunk, len) {
            Received::Drop => self.job.give_back(bytes),
            Received::Store => {
                if let Some(connected) = self.connected.get(&peer) {
                    *self
                        .moved
                        .from
                        .entry(connected.holder.name.to_string())
                        .or_default() += len;
                }
                self.store(Early { peer, chunk, bytes });
            }
        }
    }

    /// Stores a chunk, or keeps it until the one that has to be first is stored.
    fn store(&mut self, came: Early) {
        let first = self.partial.first_chunk();
        if came.chunk != first && !self.partial.is_stored(first) {
            return self.early.push(came);
        }
        let Early { peer, chunk, bytes } = came;
        let store = self.job.clone().store(self.partial.clone(), peer, chunk, bytes);
        self.tasks.spawn(store);
    }

    fn failed(&mut self, now: Duration, peer: PeerId, chunk: u64, failure: Failure, gone: bool) {
        if let Some(under_way) = self.under_way.remove(&(peer, chunk)) {
            self.moved.fetched += under_way.way.arrived.load(Ordering::Relaxed);
        }
        self.swarm.handle_failed(now, peer, chunk, failure);
        let gone = gone && self.job.core.links.bulk(&peer) == 0;
        if gone && self.connected.remove(&peer).is_some() {
            self.swarm.handle_gone(now, peer);
        }
    }

    /// A full disk is waited for; other failures of the disk end the download.
    fn not_kept(&mut self, error: PartialError) -> Result<(), GetError> {
        if !matches!(error, PartialError::Full) {
            return Err(self.job.error(error));
        }
        if std::mem::replace(&mut self.full, true) {
            return Ok(());
        }
        self.obey();
        let seen = self.swarm.progress(self.job.core.mono());
        let missing = self
            .partial
            .layout()
            .total_bytes()
            .saturating_sub(seen.have_bytes);
        let (job, pause) = (self.job.clone(), self.full_pause);
        self.full_pause = (pause * 2).min(FULL_PAUSE.1);
        self.tasks.spawn(async move {
            space::wait(&job.core, &job.target.path, missing, pause).await;
            News::Room
        });
        Ok(())
    }

    /// Keeps the disk busy along the way, so that little is left to the end.
    fn flush(&mut self, stored: u64) {
        let Some(unflushed) = &mut self.unflushed else {
            return;
        };
        *unflushed += stored;
        if *unflushed >= FLUSH_BYTES {
            self.unflushed = None;
            self.tasks.spawn(self.job.clone().flush(self.partial.clone()));
        }
    }

    /// Only then is much asked of a holder that is far: what was asked before would queue for the first connection.
    fn widen(&mut self, holder: Holder, round_trip: Duration) {
        let core = self.job.core.clone();
        self.tasks.spawn(async move {
            let several = core.links.widen(&core, &holder, round_trip).await;
            News::Widened {
                peer: holder.peer,
                several,
            }
        });
    }

    /// A peer that downloads the same has found this one: it is found in return.
    fn met(&mut self, holder: Holder) {
        let wanted = self.only.is_none_or(|peer| peer == holder.peer);
        if wanted && !self.connected.contains_key(&holder.peer) {
            let (core, goal) = (self.job.core.clone(), self.job.goal.clone());
            self.tasks.spawn(holders::connect(core, goal, holder));
        }
    }
}

impl Drop for Pump<'_> {
    fn drop(&mut self) {
        if let Some(offer) = self.offer.take()
            && self.swarm.outcome() != Outcome::Complete
        {
            offer.withdraw();
        }
    }
}

/// A scheduler of the chunks that are known now: those of a file or a manifest, or all of a folder.
fn new_swarm(job: &Job, partial: &Partial) -> Swarm {
    let layout = partial.layout();
    let sizes = if layout.chunks() == layout.head_chunks() {
        Sizes::Even {
            total_bytes: job.goal.content.size,
        }
    } else {
        let sizes = (0..layout.chunks()).map(|chunk| layout.chunk_bytes(chunk).unwrap_or_default());
        Sizes::Each(sizes.collect())
    };
    let mut seed = [0; 8];
    job.core.world.entropy.fill(&mut seed);
    Swarm::new(
        Config::default(),
        sizes,
        0..0,
        &partial.stored(),
        u64::from_le_bytes(seed),
    )
    .known_as(job.core.id())
}

async fn sleep(wakeup: Option<Duration>) {
    match wakeup {
        Some(wakeup) => time::sleep(wakeup).await,
        None => std::future::pending().await,
    }
}
