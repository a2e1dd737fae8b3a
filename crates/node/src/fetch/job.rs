//! One download as its tasks see it, and what they tell the one who schedules them.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use skep_engine::swarm::{Failure, Have};
use skep_net::{AskError, Link};
use skep_store::{
    Partial, Place, Source,
    partial::{Opened, PartialError},
};
use skep_wire::{
    PeerId, VerifiedChunk,
    message::{Holder, Reason},
};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::{
    control::Control,
    error::GetError,
    goal::{self, Goal},
    target::Target,
};
use crate::core::Core;

/// What a task tells the scheduler.
pub(crate) enum News {
    /// A holder is connected.
    Holder {
        holder: Holder,
        link: Link,
        have: Have,
        round_trip: Option<Duration>,
    },
    /// No more connections are being opened to a holder.
    Widened { peer: PeerId, several: bool },
    /// A holder cannot be used.
    NoHolder { holder: Holder, why: String },
    /// The search for holders is over.
    Searched { found: usize },
    /// A peer that downloads the same has found this one.
    Met { holder: Holder },
    /// The coordinator has asked about this chunk.
    Asked { chunk: u64 },
    /// A holder has more.
    HaveMore { peer: PeerId, chunks: Vec<u64> },
    /// All bytes of a chunk have come.
    Received {
        peer: PeerId,
        chunk: u64,
        bytes: BytesMut,
    },
    /// A chunk did not come.
    Failed {
        peer: PeerId,
        chunk: u64,
        failure: Failure,
        gone: bool,
    },
    /// A chunk is on disk.
    Stored { chunk: u64, bytes: BytesMut },
    /// What was written so far is durable, or will never be.
    Flushed {
        /// Whether the disk took it.
        result: Result<(), PartialError>,
    },
    /// A chunk is not what it should be.
    Bad { peer: PeerId, chunk: u64 },
    /// A chunk could not be stored.
    NotStored { chunk: u64, error: PartialError },
    /// What a chunk is verified with could not be kept.
    NoPage {
        peer: PeerId,
        chunk: u64,
        error: PartialError,
    },
    /// There is room on the disk again.
    Room,
}

/// One download.
pub(crate) struct Job {
    pub(crate) core: Arc<Core>,
    pub(crate) goal: Arc<Goal>,
    pub(crate) target: Target,
    /// What a person wants of it.
    pub(crate) control: Arc<Control>,
    pub(crate) body: Body,
    /// Copies on this machine that may have some of it.
    pub(crate) donors: Vec<Place>,
    stop: CancellationToken,
    pages: tokio::sync::Mutex<()>,
    buffers: Mutex<Vec<BytesMut>>,
}

/// How far a chunk has come that was asked for.
#[derive(Default)]
pub(crate) struct Way {
    /// It waits here for the download rate: the holder does not know of it yet.
    pub(crate) held: AtomicBool,
    /// Bytes of it that are here.
    pub(crate) arrived: Arc<AtomicU64>,
}

/// What is at the target.
pub(crate) enum Body {
    /// A part, or nothing yet.
    Growing(Arc<Partial>),
    /// Everything: an earlier run finished it.
    Finished(Arc<Source>),
}

/// Why there is nothing to verify a chunk with.
pub(crate) enum NoPage {
    /// The holder did not give it.
    Failed(Failure),
    /// It cannot be kept or read here.
    NotStored(PartialError),
}

/// Buffers that wait to be used again.
const SPARE_BUFFERS: usize = 16;
/// So long a page that is asked of one holder is waited for before it is asked of another, too.
const PAGE_PATIENCE: Duration = Duration::from_millis(100);

impl Job {
    /// Looks at what is there already, in the target or in the donors. What it claims to be is hashed.
    pub(crate) async fn open(
        core: &Arc<Core>,
        control: &Arc<Control>,
        goal: Goal,
        target: Target,
        donors: Vec<Place>,
        stop: CancellationToken,
    ) -> Result<Arc<Self>, GetError> {
        let goal = Arc::new(goal);
        let flag = flag_of(&stop, core);
        let open = {
            let (core, goal, place) = (core.clone(), goal.clone(), target.place.clone());
            let donors = donors.clone();
            move || goal::open(&core, &goal, &place, &donors, &flag)
        };
        let opened = core.world.work.call(open).await;
        let body = match opened.map_err(|source| store_error(&goal.name, &target, source))? {
            Opened::Partial(partial) => Body::Growing(Arc::from(partial)),
            Opened::Finished(source) => Body::Finished(Arc::from(source)),
        };
        Ok(Arc::new(Self {
            core: core.clone(),
            goal,
            target,
            control: control.clone(),
            body,
            donors,
            stop,
            pages: tokio::sync::Mutex::new(()),
            buffers: Mutex::default(),
        }))
    }

    /// A flag for blocking work that is raised when nobody wants the download any more.
    pub(crate) fn stop_flag(&self) -> Arc<AtomicBool> {
        flag_of(&self.stop, &self.core)
    }

    pub(crate) fn error(&self, source: PartialError) -> GetError {
        store_error(&self.goal.name, &self.target, source)
    }

    /// Gets the bytes of a chunk from a holder, and before them what they are verified with.
    pub(crate) async fn fetch(
        self: Arc<Self>,
        partial: Arc<Partial>,
        link: Link,
        chunk: u64,
        len: usize,
        way: Arc<Way>,
    ) -> News {
        let peer = link.peer();
        let failed = |failure| News::Failed {
            peer,
            chunk,
            failure,
            gone: link.is_closed(),
        };
        match self.fetch_page(&partial, &link, chunk).await {
            Ok(()) => {}
            Err(NoPage::Failed(failure)) => return failed(failure),
            Err(NoPage::NotStored(error)) => return News::NoPage { peer, chunk, error },
        }
        way.held.store(true, Ordering::Relaxed);
        self.control.down.pass(len as u64).await;
        self.core.down.pass(len as u64).await;
        way.held.store(false, Ordering::Relaxed);
        let arrived = way.arrived.clone();
        match self.goal.read(&link, chunk, len, self.buffer(), arrived).await {
            Ok(bytes) => News::Received { peer, chunk, bytes },
            Err(error) => {
                tracing::debug!("chunk {chunk} did not come from {peer:?}: {error}");
                failed(failure_of(&error))
            }
        }
    }

    /// Makes sure that the outline page of `chunk` is here. One at a time, as most chunks share theirs; but
    /// nobody waits long for what somebody else has asked of a slow holder.
    pub(crate) async fn fetch_page(
        &self,
        partial: &Arc<Partial>,
        link: &Link,
        chunk: u64,
    ) -> Result<(), NoPage> {
        if self.missing_page(partial, chunk).await?.is_none() {
            return Ok(());
        }
        let _one_at_a_time = time::timeout(PAGE_PATIENCE, self.pages.lock()).await;
        let Some((object, page)) = self.missing_page(partial, chunk).await? else {
            return Ok(());
        };
        let answer = self.goal.page(link, object, page).await.map_err(NoPage::Failed)?;
        let partial = partial.clone();
        let put = self
            .core
            .world
            .work
            .call(move || partial.put_page(object, page, answer))
            .await;
        put.map_err(|error| match error {
            PartialError::BadPage { .. } => {
                tracing::warn!("{:?} sent a wrong outline page: {error}", link.peer());
                NoPage::Failed(Failure::Missing)
            }
            error => NoPage::NotStored(error),
        })
    }

    async fn missing_page(&self, partial: &Arc<Partial>, chunk: u64) -> Result<Option<(u32, u32)>, NoPage> {
        let partial = partial.clone();
        let missing = self
            .core
            .world
            .work
            .call(move || partial.missing_page(chunk))
            .await;
        missing.map_err(NoPage::NotStored)
    }

    /// Verifies the bytes of a chunk and writes them.
    pub(crate) async fn store(
        self: Arc<Self>,
        partial: Arc<Partial>,
        peer: PeerId,
        chunk: u64,
        bytes: BytesMut,
    ) -> News {
        let core = self.core.clone();
        let work = move || {
            let expected = match partial.expected(chunk) {
                Ok(expected) => expected,
                Err(error) => return News::NotStored { chunk, error },
            };
            match VerifiedChunk::verify(expected, bytes) {
                Err(_) => News::Bad { peer, chunk },
                Ok(verified) => match partial.put(&verified) {
                    Ok(_) => {
                        let bytes = verified.into_bytes();
                        core.count_received(peer, bytes.len() as u64);
                        News::Stored { chunk, bytes }
                    }
                    Err(error) => News::NotStored { chunk, error },
                },
            }
        };
        self.core.world.work.call(work).await
    }

    /// Makes what was written so far durable.
    pub(crate) async fn flush(self: Arc<Self>, partial: Arc<Partial>) -> News {
        News::Flushed {
            result: self.core.world.work.call(move || partial.flush()).await,
        }
    }

    fn buffer(&self) -> BytesMut {
        self.buffers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
            .unwrap_or_default()
    }

    /// Takes a buffer back for the next chunk.
    pub(crate) fn give_back(&self, mut buffer: BytesMut) {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < SPARE_BUFFERS {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

fn flag_of(stop: &CancellationToken, core: &Core) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let (raised, stop) = (flag.clone(), stop.clone());
    core.spawn(async move {
        stop.cancelled().await;
        raised.store(true, Ordering::Relaxed);
    });
    flag
}

fn store_error(name: &str, target: &Target, source: PartialError) -> GetError {
    match source {
        PartialError::Full => GetError::Full(target.path.clone()),
        PartialError::Exists(_) => GetError::Exists(target.path.clone()),
        source => GetError::Store {
            share: name.to_owned(),
            source,
        },
    }
}

pub(super) fn failure_of(error: &AskError) -> Failure {
    match error {
        AskError::Refused {
            reason: Reason::NotFound | Reason::NotAllowed,
            ..
        } => Failure::Missing,
        AskError::Refused {
            reason: Reason::Changed,
            ..
        } => Failure::Withdrawn,
        AskError::Refused {
            reason: Reason::Busy, ..
        } => Failure::Busy,
        AskError::Refused { .. } | AskError::Unsupported | AskError::Malformed => Failure::Refused,
        AskError::TimedOut => Failure::Stalled,
        AskError::Closed(_) => Failure::Disconnected,
    }
}
