//! The contract of a store of facts.

use std::{fmt, io};

use thiserror::Error;

/// The most bytes of a key; the least is 1.
pub const KEY_BYTES: usize = 1024;
/// The most bytes of a value.
pub const VALUE_BYTES: usize = 4 << 20;
/// The most changes in one batch.
pub const BATCH_CHANGES: usize = 1 << 16;
/// The most bytes of all keys and values in one batch.
pub const BATCH_BYTES: usize = 64 << 20;

/// Counts the commits of a store up from 0, the empty store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The term of one writer. A writer with a higher one fences all with lower ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a store stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// The epoch of the last commit.
    pub epoch: Epoch,
    /// The number of the last commit.
    pub revision: Revision,
}

impl Head {
    /// Whether a commit with `epoch` on `expected` may go on from here; every implementation asks.
    ///
    /// # Errors
    /// [`CommitError::Fenced`], then [`CommitError::Stale`].
    pub fn check(self, epoch: Epoch, expected: Revision) -> Result<(), CommitError> {
        if epoch < self.epoch {
            let (given, current) = (epoch, self.epoch);
            return Err(CommitError::Fenced { given, current });
        }
        if expected != self.revision {
            let current = self.revision;
            return Err(CommitError::Stale { expected, current });
        }
        Ok(())
    }
}

/// One fact, set or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its key: 1 to [`KEY_BYTES`] bytes.
    pub key: Vec<u8>,
    /// Its new value, at most [`VALUE_BYTES`]; none removes it, which is no error when it is not there.
    pub value: Option<Vec<u8>>,
}

/// Keeps facts: keys with values, changed by atomic batches in one line of revisions.
///
/// - A batch MUST take effect as a whole or not at all, whatever fails or crashes, and be visible
///   in `load` afterwards in all of its parts or none.
/// - When `commit` returns `Ok`, the batch MUST survive a crash of the process and of the machine.
/// - `commit` MUST refuse an epoch below that of the store with [`CommitError::Fenced`], and then
///   an `expected` that is not the store's revision with [`CommitError::Stale`]; both change nothing.
///   A higher epoch MUST be taken over together with the batch: a new writer fences the others by
///   loading and committing, be it nothing, with the epoch after the one it found.
/// - Within a batch the last change of a key MUST win. An empty batch is a commit like any other.
/// - A batch within the limits of this module MUST be accepted; one beyond them MUST be refused
///   with [`CommitError::BadBatch`] and change nothing.
/// - After [`CommitError::Failed`] it is unknown whether the batch took effect. The caller may
///   commit the same batch again: it MUST then either take effect, or be refused as stale with
///   `current` the revision after `expected`, which says that the first attempt had taken effect
///   durably. (The caller's epoch is its own, so no other writer's commit looks like that.)
/// - After [`CommitError::Broken`] nothing can be promised by this store any more. Every later call
///   MUST fail likewise; opening it anew is the only way on.
/// - Both methods may be called from several threads at once; commits MUST take turns.
pub trait FactStore: Send + Sync {
    /// Hands all facts of one revision to `visit`, ascending by key, and returns that revision.
    ///
    /// # Errors
    /// [`LoadError`] when the facts cannot be read; `visit` may have seen some of them.
    fn load(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<Head, LoadError>;

    /// Applies `batch` to the revision `expected` and returns the next one once it is durable.
    ///
    /// # Errors
    /// [`CommitError`]; only after [`CommitError::Failed`] the outcome is open.
    fn commit(&self, epoch: Epoch, expected: Revision, batch: &[Change]) -> Result<Revision, CommitError>;
}

/// Why facts cannot be read.
#[derive(Debug, Error)]
pub enum LoadError {
    /// Reading failed.
    #[error("the ledger cannot be read: {0}")]
    Failed(#[source] io::Error),
    /// What was read makes no sense.
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    /// An earlier failure left this store without a promise to give.
    #[error("the ledger broke before: {0}")]
    Broken(String),
}

/// Why a batch was not committed.
#[derive(Debug, Error)]
pub enum CommitError {
    /// Another writer has taken over.
    #[error("another writer has taken over the ledger with epoch {current}, this one has {given}")]
    Fenced {
        /// The caller's epoch.
        given: Epoch,
        /// The store's.
        current: Epoch,
    },
    /// The store is not at the revision that the batch builds on.
    #[error("the ledger is at revision {current}, not at {expected}")]
    Stale {
        /// The caller's revision.
        expected: Revision,
        /// The store's.
        current: Revision,
    },
    /// The batch is beyond a limit.
    #[error("the batch cannot be committed: {0}")]
    BadBatch(&'static str),
    /// Writing failed, for instance because the disk is full; it may be tried again.
    #[error("the ledger cannot be written: {0}")]
    Failed(#[source] io::Error),
    /// The store cannot promise anything any more.
    #[error("the ledger is broken: {0}")]
    Broken(String),
}

/// Checks a batch against the limits; every implementation begins with it.
///
/// # Errors
/// [`CommitError::BadBatch`] says which limit it exceeds.
pub fn check_batch(batch: &[Change]) -> Result<(), CommitError> {
    if batch.len() > BATCH_CHANGES {
        return Err(CommitError::BadBatch("too many changes"));
    }
    let mut bytes = 0;
    for change in batch {
        let value = change.value.as_ref().map_or(0, Vec::len);
        if change.key.is_empty() || change.key.len() > KEY_BYTES {
            return Err(CommitError::BadBatch("a key has 1 to 1024 bytes"));
        }
        if value > VALUE_BYTES {
            return Err(CommitError::BadBatch("a value has at most 4 MiB"));
        }
        bytes += change.key.len() + value;
    }
    if bytes > BATCH_BYTES {
        return Err(CommitError::BadBatch("more than 64 MiB"));
    }
    Ok(())
}
