//! Facts in one file, kept by redb.

use std::{io, sync::Arc};

use skep_wire::RelPath;
use skep_world::Dir;
use thiserror::Error;

use crate::store::{Change, CommitError, Epoch, FactStore, Head, LoadError, Revision};

/// A [`FactStore`] in a file.
pub struct Redb {}

/// Why a ledger file cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Reading or writing failed.
    #[error("the ledger {path} cannot be opened: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{path} is not a ledger")]
    Foreign {
        /// The file.
        path: String,
    },
    /// It was a ledger, but bytes are missing or changed.
    #[error("the ledger {path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// A later version of this program made it.
    #[error("the ledger {path} has format {found}, and this version knows formats up to {known}")]
    TooNew {
        /// The file.
        path: String,
        /// Its format.
        found: u64,
        /// The newest format known.
        known: u64,
    },
}

impl Redb {
    /// Opens the ledger `name` in `dir`, or makes it. `cache_bytes` bounds the memory for its pages.
    ///
    /// The caller MUST hold a lock that keeps others away from the file.
    ///
    /// # Errors
    /// [`OpenError`] when it is not a whole ledger of a known format, or cannot be read.
    pub fn open(dir: Arc<dyn Dir>, name: &RelPath, cache_bytes: usize) -> Result<Self, OpenError> {
        let _ = (dir, name, cache_bytes);
        todo!()
    }
}

impl FactStore for Redb {
    fn load(&self, _visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<Head, LoadError> {
        todo!()
    }

    fn commit(&self, _epoch: Epoch, _expected: Revision, _batch: &[Change]) -> Result<Revision, CommitError> {
        todo!()
    }
}
