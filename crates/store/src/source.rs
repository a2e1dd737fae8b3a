//! A content served in place: reads in units, with the file's stamp compared before and after.
//!
//! Equal stamps do not prove equal bytes; who asked verifies what it gets.

use std::{io, sync::Arc};

use skep_wire::{Layout, chunk::Expected, record::Content};

use crate::{
    hashing::{Hashing, Stopped},
    home::Home,
    outlines::OutlineError,
    place::Place,
};

/// A whole content, ready for serving. All methods may be called from several threads.
pub struct Source {
    content: Content,
    bytes: u64,
    layout: Layout,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file is not what it was when it was scanned: withdraw.
    #[error("{0} has changed")]
    Changed(String),
    /// The file is not there any more: withdraw.
    #[error("{0} is gone")]
    Gone(String),
    /// The content has no such chunk, or the chunk no such unit.
    #[error("there is no chunk {0}")]
    NoSuchChunk(u64),
    /// The chunk is not stored (yet); only of downloads in progress.
    #[error("chunk {0} is not here")]
    NotStored(u64),
    /// An outline page is missing or damaged.
    #[error(transparent)]
    Outline(#[from] OutlineError),
    /// As the caller wished.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Source {
    /// What was found at `place` by its last scan, or by the download that ended there. Reads no file of it.
    ///
    /// # Errors
    /// [`SourceError::Io`] of kind `NotFound` if there was none, `InvalidData` if what was noted is
    /// damaged: scan again.
    pub fn open(home: &Arc<Home>, place: &Place) -> Result<Self, SourceError> {
        let _ = (home, place);
        todo!()
    }

    /// What it is.
    #[must_use]
    pub fn content(&self) -> Content {
        self.content
    }

    /// All bytes of it: the blob's size, or the sum over the collection's files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The numbering of its chunks.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Reads `units` units of `chunk` from `first_unit` on into `out`, and returns how many bytes that
    /// is; what lies beyond the chunk's end, or does not fit, is left out.
    ///
    /// # Errors
    /// [`SourceError`]. Then `out` is of no use.
    pub fn read(
        &self,
        chunk: u64,
        first_unit: u16,
        units: u16,
        out: &mut [u8],
    ) -> Result<usize, SourceError> {
        let _ = (chunk, first_unit, units, out);
        todo!()
    }

    /// Reads leaf `leaf` (chunk x 64 + unit): at most 16 KiB.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn leaf(&self, leaf: u64, out: &mut [u8]) -> Result<usize, SourceError> {
        let _ = (leaf, out);
        todo!()
    }

    /// What `chunk` must be.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn expected(&self, chunk: u64) -> Result<Expected, SourceError> {
        let _ = chunk;
        todo!()
    }

    /// Compares the stamps of all files. Reads none.
    ///
    /// # Errors
    /// [`SourceError::Changed`] or [`SourceError::Gone`] of the first that differs.
    pub fn check_stamps(&self) -> Result<(), SourceError> {
        todo!()
    }

    /// Reads and verifies all of it.
    ///
    /// # Errors
    /// [`SourceError::Changed`] for bytes that do not verify.
    pub fn check_bytes(&self, hashing: &Hashing<'_>) -> Result<(), SourceError> {
        let _ = hashing;
        todo!()
    }
}
