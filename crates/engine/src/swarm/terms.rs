//! What goes into a [`Swarm`](super::Swarm) and what comes out of it: plain data, no decisions.

use std::time::Duration;

use roaring::RoaringTreemap;
use skep_wire::{CHUNK_BYTES, PeerId};

/// The knobs of one download. The defaults are meant for use.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Bytes asked for or received and not yet stored, over all holders: what the download costs in memory.
    pub budget_bytes: u64,
    /// Chunks asked of one holder at a time: at least this many, however slow it is.
    pub min_depth: usize,
    /// At least this many chunks are asked of a holder that is reached over several connections, so that all of
    /// them have something to do.
    pub wide_depth: usize,
    /// And at most this many, however fast.
    pub max_depth: usize,
    /// How far ahead a holder is kept busy beyond its round trip: covers our own turn-around.
    pub slack: Duration,
    /// A holder is never called stalled before this silence.
    pub min_stall: Duration,
    /// A first silence of this length is always a stall; it doubles with every stall in a row.
    pub max_stall: Duration,
    /// The pause after the first failure; it doubles with each further one.
    pub min_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// How often one chunk is asked of one holder.
    pub max_tries: u32,
    /// For how long a holder that sent bad chunks repeatedly is to be avoided.
    pub avoid_for: Duration,
    /// For so long it is hoped that a holder whose connection broke comes back, if it had given something.
    pub patience: Duration,
    /// The part of all bytes that may be asked for twice to finish earlier.
    pub duplicate_share: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            budget_bytes: 24 << 20,
            min_depth: 2,
            wide_depth: 8,
            max_depth: 16,
            slack: Duration::from_millis(10),
            min_stall: Duration::from_secs(2),
            max_stall: Duration::from_secs(30),
            min_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(30),
            max_tries: 8,
            avoid_for: Duration::from_secs(600),
            patience: Duration::from_secs(15),
            duplicate_share: 0.02,
        }
    }
}

/// How many bytes each chunk has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sizes {
    /// Whole chunks but for the last: a blob.
    Even {
        /// Of the blob.
        total_bytes: u64,
    },
    /// One number for each chunk: a collection.
    Each(Vec<u32>),
}

impl Sizes {
    /// How many chunks there are. An empty blob has one of no bytes.
    pub fn chunks(&self) -> u64 {
        match self {
            Self::Even { total_bytes } => total_bytes.div_ceil(CHUNK_BYTES).max(1),
            Self::Each(sizes) => sizes.len() as u64,
        }
    }

    /// The bytes of `chunk`; none beyond the end.
    pub fn bytes(&self, chunk: u64) -> u64 {
        match self {
            Self::Even { total_bytes } => total_bytes
                .saturating_sub(chunk.saturating_mul(CHUNK_BYTES))
                .min(CHUNK_BYTES),
            Self::Each(sizes) => usize::try_from(chunk)
                .ok()
                .and_then(|at| sizes.get(at))
                .copied()
                .map_or(0, u64::from),
        }
    }
}

/// What a holder says that it has.
#[derive(Debug, Clone, PartialEq)]
pub enum Have {
    /// Everything.
    Complete,
    /// These chunks, and more as it gets them.
    Some(RoaringTreemap),
}

/// Why a chunk did not come. Bad bytes are another matter: [`Swarm::handle_bad`](super::Swarm::handle_bad).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// The holder serves as many as it can just now; it is asked again later.
    Busy,
    /// The holder has some trouble with this chunk; it may be asked again later.
    Refused,
    /// The holder has not got this chunk; it is not asked for it again.
    Missing,
    /// The holder serves this content no more; it is asked again only when it is announced again.
    Withdrawn,
    /// Nothing came for too long.
    Stalled,
    /// The connection broke.
    Disconnected,
}

/// What to do with the bytes of a chunk that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "bytes that are not wanted any more must be dropped"]
pub enum Received {
    /// Verify and store them; then tell `handle_stored`, `handle_bad` or `handle_not_stored`.
    Store,
    /// Drop them: the chunk is here already, is not wanted, or came from somebody who is not trusted.
    Drop,
}

/// What the driver has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Ask `peer` for `chunk`.
    Request {
        /// Whom.
        peer: PeerId,
        /// For which.
        chunk: u64,
    },
    /// `chunk` is not wanted from `peer` any more: stop the request, report nothing about it.
    Cancel {
        /// Whom.
        peer: PeerId,
        /// For which.
        chunk: u64,
    },
    /// Look for more holders: report each with `handle_holder`, then `handle_no_more_holders`.
    FindHolders,
    /// Use `peer` for nothing until `until`: it has sent bad bytes more than once.
    Avoid {
        /// Whom.
        peer: PeerId,
        /// On the clock of `now`.
        until: Duration,
    },
}

/// How the download stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Something is under way, or may still come.
    Running,
    /// Every wanted chunk is stored.
    Complete,
    /// What is missing can be had from nobody who is known, and nobody new was found.
    /// A new holder, or more chunks at an old one, sets it going again.
    Stuck {
        /// Every holder that was ever known, with what is wrong with it.
        reasons: Vec<(PeerId, Reason)>,
    },
}

/// Why a holder is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It sent bytes that are not those of the chunk.
    Lied,
    /// The connection is gone.
    Gone,
    /// It serves this content no more.
    Withdrawn,
    /// It was asked as often as is sensible; this is what happened last.
    Exhausted(Failure),
    /// It has none of the missing chunks.
    HasNoneOfIt,
}

/// How far a download is. Bytes of chunks that are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Progress {
    /// Chunks that are wanted, here or not.
    pub wanted_chunks: u64,
    /// Their bytes.
    pub wanted_bytes: u64,
    /// Chunks that are wanted and here.
    pub have_chunks: u64,
    /// Their bytes.
    pub have_bytes: u64,
    /// Bytes that came over the network, whatever became of them.
    pub received_bytes: u64,
    /// Of these, bytes that came in vain because the chunk was taken elsewhere, and nobody was to blame.
    pub duplicate_bytes: u64,
    /// Of these, bytes that came in vain because a holder failed or lied.
    pub lost_bytes: u64,
    /// Bytes a second now, over all holders.
    pub rate: f64,
}

/// One holder, for display.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HolderStats {
    /// Who.
    pub peer: PeerId,
    /// Whether it has everything.
    pub complete: bool,
    /// Bytes that came from it.
    pub bytes: u64,
    /// Its part of the bytes that came from all, 0 to 1.
    pub share: f64,
    /// Bytes a second now.
    pub rate: f64,
    /// Round trip, once measured.
    pub latency: Option<Duration>,
    /// Chunks asked of it now.
    pub in_flight: usize,
    /// Why it is of no use at the moment, if so.
    pub unusable: Option<Reason>,
}
