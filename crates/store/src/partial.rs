//! A download in progress: hidden beside its target, whole or not there.
//!
//! The bytes grow in `.NAME.skep-partial`, a file or a folder on the target's own file system, and
//! get the target's name when every chunk is stored and durable. A chunk comes in as a
//! [`VerifiedChunk`] and in no other way. The note of which chunks are stored is a hint: at
//! [`Partial::open`] all that it claims is hashed again.

mod adopt;
mod body;
mod finish;
mod hidden;
mod hint;
mod names;
mod replace;
mod resume;
mod write;

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, atomic::AtomicBool},
};

use roaring::{RoaringBitmap, RoaringTreemap};
use skep_wire::{
    BlobId, Layout, Manifest, RelPath, VerifiedChunk,
    chunk::Expected,
    layout::{Extent, NoCheck},
    manifest::ManifestError,
    outline::{Page, verify_page},
    record::Content,
};

use self::{
    body::Body,
    hidden::Target,
    hint::{Hint, Label},
};
use crate::{
    hashing::{Hashing, Stopped},
    home::Home,
    open_files::Scope,
    outlines::{OutlineError, Outlines, page_of},
    place::Place,
    source::{Source, SourceError},
};

/// A download in progress. All methods may be called from several threads.
pub struct Partial {
    home: Arc<Home>,
    place: Place,
    target: Target,
    body: RwLock<Arc<Body>>,
    outlines: Outlines,
    hint: Hint,
    label: Mutex<Label>,
    chunks: Mutex<Chunks>,
    /// A chunk is not being written any more.
    written: Condvar,
    /// Objects whose file was made.
    made: Mutex<RoaringBitmap>,
    /// Objects over one chunk that were written to since they were last synced.
    unflushed: Mutex<RoaringBitmap>,
    /// A sync has failed: nothing here is known to be durable.
    failed: AtomicBool,
    scope: Scope,
}

/// Where each chunk stands: stored, being written, or neither.
#[derive(Default)]
struct Chunks {
    stored: RoaringTreemap,
    writing: BTreeSet<u64>,
}

/// What lies at a place where a content is wanted.
pub enum Opened {
    /// Some or none of it.
    Partial(Box<Partial>),
    /// All of it: the download was finished before.
    Finished(Box<Source>),
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
        page: u32,
    },
    /// The manifest's bytes are what the publisher said, but no manifest.
    #[error("the share's list of files cannot be used: {0}")]
    BadManifest(#[source] ManifestError),
    /// Two names that this file system takes for one.
    #[error("{0} and {1} are one name on this file system")]
    Collision(RelPath, RelPath),
    /// There is something by that name.
    #[error("{0} exists")]
    Exists(String),
    /// Somebody removed or replaced the hidden file or folder.
    #[error("the partial download {0} was taken away")]
    Lost(String),
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

impl From<io::Error> for PartialError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

impl Partial {
    /// The download of `content` to `place`, new or as far as it got. Chunks that are claimed to be
    /// stored are hashed. Nothing is made beside the target before the first chunk is put.
    ///
    /// One place takes one download at a time: the caller sees to that.
    ///
    /// # Errors
    /// [`PartialError`].
    pub fn open(
        home: &Arc<Home>,
        place: &Place,
        content: Content,
        hashing: &Hashing<'_>,
    ) -> Result<Opened, PartialError> {
        resume::open(home, place, content, hashing)
    }

    /// Whether a download was finished: the whole content lies at the place, as the notes of it and the files'
    /// stamps tell. Nothing is read.
    #[must_use]
    pub fn is_finished(home: &Arc<Home>, place: &Place, content: Content) -> bool {
        matches!(resume::finished(home, place, content), Ok(Some(_)))
    }

    /// What is wanted.
    #[must_use]
    pub fn content(&self) -> Content {
        self.body().content
    }

    /// Where it is wanted.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The numbering of its chunks; of a folder only the manifest's until that is whole.
    #[must_use]
    pub fn layout(&self) -> Arc<Layout> {
        Arc::clone(&self.body().layout)
    }

    /// The manifest of a folder, once it is whole.
    #[must_use]
    pub fn manifest(&self) -> Option<Arc<Manifest>> {
        self.body().manifest.clone()
    }

    /// The chunk that proves the size and has to be put before any other.
    #[must_use]
    pub fn first_chunk(&self) -> u64 {
        self.body().layout.head_chunks() - 1
    }

    /// Whether `chunk` is stored.
    #[must_use]
    pub fn is_stored(&self, chunk: u64) -> bool {
        self.chunks().stored.contains(chunk)
    }

    /// The chunks that are stored.
    #[must_use]
    pub fn stored(&self) -> RoaringTreemap {
        self.chunks().stored.clone()
    }

    /// Whether all chunks are stored: it can be finished.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let body = self.body();
        body.is_known() && self.chunks().stored.len() == body.layout.chunks()
    }

    /// Object and page number of the outline page that `chunk` is checked with, if that is not here yet.
    ///
    /// # Errors
    /// [`PartialError::NoSuchChunk`], [`PartialError::Io`].
    pub fn missing_page(&self, chunk: u64) -> Result<Option<(u32, u32)>, PartialError> {
        match self.expected(chunk) {
            Ok(_) => Ok(None),
            Err(PartialError::Outline(
                OutlineError::Missing { object, page } | OutlineError::Damaged { object, page },
            )) => Ok(Some((object, page))),
            Err(e) => Err(e),
        }
    }

    /// Verifies and keeps an outline page, which survives a restart.
    ///
    /// # Errors
    /// [`PartialError::BadPage`] if it does not verify.
    pub fn put_page(&self, object: u32, page: u32, claim: Page) -> Result<(), PartialError> {
        let body = self.body();
        let none = OutlineError::NoSuchPage { object, page };
        let of = body.object(object).ok_or(none)?;
        let bad = |_| PartialError::BadPage { object, page };
        let verified = verify_page(of.id, of.size, u64::from(page), claim).map_err(bad)?;
        Ok(self.outlines.put(&of, verified)?)
    }

    /// A page of an object's outline, to be sent.
    ///
    /// # Errors
    /// [`SourceError::Outline`].
    pub fn page(&self, object: u32, page: u32) -> Result<Page, SourceError> {
        let none = OutlineError::NoSuchPage { object, page };
        let of = self.body().object(object).ok_or(none)?;
        Ok(self.outlines.page(&of, page)?.page().clone())
    }

    /// What `chunk` must be, for [`VerifiedChunk::verify`].
    ///
    /// # Errors
    /// [`PartialError::Outline`] when its page is missing.
    pub fn expected(&self, chunk: u64) -> Result<Expected, PartialError> {
        let body = self.body();
        let unread = Manifest::default();
        let manifest = body.manifest.as_deref().unwrap_or(&unread);
        let mut failed = None;
        let hash = |object, index| {
            let found = self.hash(&body, object, index);
            found.map_err(|e| failed = Some(e)).ok()
        };
        let expected = body.layout.expected(body.content.id, manifest, chunk, hash);
        expected.map_err(|e| match (e, failed) {
            (NoCheck::NoHash { .. }, Some(e)) => e.into(),
            _ => PartialError::NoSuchChunk(chunk),
        })
    }

    /// Writes a chunk.
    ///
    /// # Errors
    /// [`PartialError`]; the download can go on after [`PartialError::Full`].
    pub fn put<B: AsRef<[u8]>>(&self, chunk: &VerifiedChunk<B>) -> Result<Put, PartialError> {
        let number = chunk.number();
        if *chunk.expected() != self.expected(number)? {
            return Err(PartialError::OtherContent(self.content().id));
        }
        self.put_checked(number, chunk.bytes())
    }

    fn hash(
        &self,
        body: &Body,
        object: u32,
        index: u64,
    ) -> Result<skep_wire::chunk::ChunkHash, OutlineError> {
        let none = OutlineError::NoSuchPage {
            object,
            page: page_of(index),
        };
        let object = body.object(object).ok_or(none)?;
        self.outlines.hash(&object, index)
    }

    fn extent(&self, chunk: u64) -> Result<Extent, PartialError> {
        self.body()
            .layout
            .extent(chunk)
            .ok_or(PartialError::NoSuchChunk(chunk))
    }

    fn body(&self) -> Arc<Body> {
        Arc::clone(&self.body.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_body(&self, body: Body) {
        self.outlines.set_slots(body.slots());
        *self.body.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(body);
    }

    // A panic between two statements under these locks leaves nothing that is not checked later.
    fn chunks(&self) -> MutexGuard<'_, Chunks> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn label(&self) -> MutexGuard<'_, Label> {
        self.label.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(&self) -> MutexGuard<'_, RoaringBitmap> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
