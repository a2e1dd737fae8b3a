//! A download in progress: hidden beside its target, whole or not there.
//!
//! The bytes grow in `.NAME.skep-partial`, a file or a folder on the target's own file system, and
//! get the target's name when every chunk is stored and durable. A chunk comes in as a
//! [`VerifiedChunk`] and in no other way. The note of which chunks are stored is a hint: at
//! [`Partial::open`] all that it claims is hashed again.

use std::{io, sync::Arc};

use skep_wire::{BlobId, Layout, Manifest, RelPath, VerifiedChunk, chunk::Expected, record::Content};

use crate::{
    hashing::{Hashing, Stopped},
    home::Home,
    outlines::OutlineError,
    place::Place,
    source::{Source, SourceError},
};

/// A download in progress. All methods may be called from several threads.
pub struct Partial {
    content: Content,
}

/// What lies at a place where a content is wanted.
pub enum Opened {
    /// Some or none of it.
    Partial(Partial),
    /// All of it: the download was finished before.
    Finished(Source),
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// Written.
    Stored,
    /// It was stored before.
    Already,
    /// Written; with it the manifest is whole, and [`Partial::layout`] has grown.
    ManifestDone,
}

/// Why a download does not go on.
#[derive(Debug, thiserror::Error)]
pub enum PartialError {
    /// Chunk of another content, or not checked as it should have been.
    #[error("the chunk is not one of {0}")]
    OtherContent(BlobId),
    /// Nothing is written before the size is proven: put [`Partial::first_chunk`] first.
    #[error("chunk {first} has to come first")]
    SizeNotProven {
        /// The last chunk of the blob, or of the manifest.
        first: u64,
    },
    /// The content has no such chunk (yet: the manifest is not whole).
    #[error("there is no chunk {0}")]
    NoSuchChunk(u64),
    /// The chunk cannot be checked before that page was put, or the page is damaged.
    #[error(transparent)]
    Outline(#[from] OutlineError),
    /// The page does not verify.
    #[error("outline page {page} of object {object} does not verify")]
    BadPage {
        /// Object number.
        object: u32,
        /// Page number.
        page: u64,
    },
    /// The manifest's bytes are what the publisher said, but no manifest.
    #[error("the share's list of files cannot be used: {0}")]
    BadManifest(String),
    /// Two names that this file system takes for one.
    #[error("{0} and {1} are one name on this file system")]
    Collision(RelPath, RelPath),
    /// There is something by the target's name.
    #[error("{0} exists")]
    Exists(String),
    /// Not all chunks are stored.
    #[error("{missing} chunks are missing")]
    Incomplete {
        /// How many.
        missing: u64,
    },
    /// The disk is full. What is stored stays; go on when there is room.
    #[error("the disk is full")]
    Full,
    /// As the caller wished.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The disk failed.
    #[error(transparent)]
    Io(io::Error),
}

impl Partial {
    /// The download of `content` to `place`, new or as far as it got. Chunks that are claimed to be
    /// stored are hashed. Nothing is made beside the target before the first chunk is put.
    ///
    /// # Errors
    /// [`PartialError`].
    pub fn open(
        home: &Arc<Home>,
        place: &Place,
        content: Content,
        hashing: &Hashing<'_>,
    ) -> Result<Opened, PartialError> {
        let _ = (home, place, content, hashing);
        todo!()
    }

    /// What is wanted.
    #[must_use]
    pub fn content(&self) -> Content {
        self.content
    }

    /// The numbering of its chunks; of a folder only the manifest's until that is whole.
    #[must_use]
    pub fn layout(&self) -> Arc<Layout> {
        todo!()
    }

    /// The manifest of a folder, once it is whole.
    #[must_use]
    pub fn manifest(&self) -> Option<Arc<Manifest>> {
        todo!()
    }

    /// The chunk that proves the size and has to be put before any other.
    #[must_use]
    pub fn first_chunk(&self) -> u64 {
        todo!()
    }

    /// Whether `chunk` is stored.
    #[must_use]
    pub fn is_stored(&self, chunk: u64) -> bool {
        let _ = chunk;
        todo!()
    }

    /// The chunks that are stored, ascending.
    #[must_use]
    pub fn stored(&self) -> roaring::RoaringTreemap {
        todo!()
    }

    /// Object and page number of the outline page that `chunk` is checked with, if that is not here yet.
    ///
    /// # Errors
    /// [`PartialError::NoSuchChunk`], [`PartialError::Io`].
    pub fn missing_page(&self, chunk: u64) -> Result<Option<(u32, u64)>, PartialError> {
        let _ = chunk;
        todo!()
    }

    /// What `chunk` must be, for [`VerifiedChunk::verify`].
    ///
    /// # Errors
    /// [`PartialError::Outline`] when its page is missing.
    pub fn expected(&self, chunk: u64) -> Result<Expected, PartialError> {
        let _ = chunk;
        todo!()
    }

    /// Writes a chunk.
    ///
    /// # Errors
    /// [`PartialError`]; the download can go on after [`PartialError::Full`].
    pub fn put<B: AsRef<[u8]>>(&self, chunk: &VerifiedChunk<B>) -> Result<Put, PartialError> {
        let _ = chunk;
        todo!()
    }

    /// Reads a stored chunk, as [`Source::read`] does.
    ///
    /// # Errors
    /// [`SourceError`].
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

    /// Takes what verifies out of another local copy: an older version, or what was at the target
    /// already. Returns the bytes that need not be fetched.
    ///
    /// # Errors
    /// [`PartialError`]; a donor that cannot be read is none.
    pub fn adopt(&self, donor: &Place, hashing: &Hashing<'_>) -> Result<u64, PartialError> {
        let _ = (donor, hashing);
        todo!()
    }

    /// Makes it durable and gives it the target's name. With `overwrite` a file there is replaced, and
    /// a folder too: files of the same path are replaced, all others are carried over.
    ///
    /// # Errors
    /// [`PartialError::Exists`], [`PartialError::Incomplete`], or the disk's; it can be called again.
    pub fn finish(&self, overwrite: bool, hashing: &Hashing<'_>) -> Result<Source, PartialError> {
        let _ = (overwrite, hashing);
        todo!()
    }

    /// Removes all that was written, and nothing else.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn abandon(self) -> Result<(), PartialError> {
        todo!()
    }
}
