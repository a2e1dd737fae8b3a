//! The numbering of a content's chunks.
//!
//! Object 0 is the blob, or the manifest of a collection; objects from 1 are the manifest's files
//! in its order. The chunks of object 0 come first. Then, in collections, the *runs*: files of 1
//! byte to 1 MiB, in order, are put together while they fit 1 MiB, and each run is one chunk (the
//! larger files between them are passed over). Then the chunks of the files over 1 MiB, in order.
//! Empty files have no chunk. There are no bytes here and no hashes, only numbers.

use std::ops::Range;

use crate::{
    chunk::{CHUNK_BYTES, Check, ChunkHash, Expected, chunk_count, chunk_len},
    id::BlobId,
    manifest::{MAX_ENTRIES, Manifest},
};

/// Where each chunk of a content lies. About 8 bytes for each small file, 24 for each large one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of object 0.
    head_bytes: u64,
    /// Bytes of everything.
    total_bytes: u64,
    /// Files of a run, all runs one after the other.
    small: Vec<Small>,
    runs: Vec<Run>,
    large: Vec<Large>,
    chunks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Small {
    object: u32,
    len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// Its first file in `small`; it ends where the next begins.
    first: u32,
    len: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Large {
    object: u32,
    size: u64,
    first_chunk: u64,
}

/// What a chunk number stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Chunk `index` of `object`.
    Piece {
        /// 0: the blob or the manifest; n: the manifest's n-th file.
        object: u32,
        /// Which chunk of it.
        index: u64,
        /// Bytes of it.
        len: u32,
    },
    /// Whole small files, one after the other.
    Run {
        /// Object numbers and bytes of each, ascending.
        objects: Vec<(u32, u32)>,
    },
}

/// Why nothing is known of a chunk that it could be checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoCheck {
    /// The content has no such chunk.
    #[error("the content has no chunk {0}")]
    NoSuchChunk(u64),
    /// The outline of the object is not known there.
    #[error("the hash of chunk {index} of object {object} is not known yet")]
    NoHash {
        /// Object number.
        object: u32,
        /// Which chunk of it.
        index: u64,
    },
}

impl Layout {
    /// Of a single blob, or of a manifest that is not read yet.
    #[must_use]
    pub fn blob(size: u64) -> Self {
        Self {
            head_bytes: size,
            total_bytes: size,
            small: Vec::new(),
            runs: Vec::new(),
            large: Vec::new(),
            chunks: chunk_count(size),
        }
    }

    /// Of a collection whose manifest has `manifest_bytes` bytes.
    #[must_use]
    pub fn collection(manifest_bytes: u64, manifest: &Manifest) -> Self {
        Self::of_sizes(manifest_bytes, manifest.files().map(|file| file.size))
    }

    /// Of a collection, from the sizes of its files in the manifest's order.
    ///
    /// # Panics
    /// With more files than a manifest can have ([`crate::manifest::MAX_ENTRIES`]).
    #[must_use]
    pub fn of_sizes(manifest_bytes: u64, sizes: impl IntoIterator<Item = u64>) -> Self {
        let mut layout = Self::blob(manifest_bytes);
        for (object, size) in (1..).zip(sizes) {
            assert!(object as usize <= MAX_ENTRIES, "no manifest has so many files");
            layout.add(object, size);
        }
        layout.chunks += layout.runs.len() as u64;
        for large in &mut layout.large {
            large.first_chunk = layout.chunks;
            layout.chunks = layout.chunks.saturating_add(chunk_count(large.size));
        }
        layout.small.shrink_to_fit();
        layout
    }

    fn add(&mut self, object: u32, size: u64) {
        self.total_bytes = self.total_bytes.saturating_add(size);
        match u32::try_from(size) {
            Ok(0) => {}
            Ok(len) if size <= CHUNK_BYTES => self.add_small(object, len),
            _ => self.large.push(Large {
                object,
                size,
                first_chunk: 0,
            }),
        }
    }

    fn add_small(&mut self, object: u32, len: u32) {
        let first = u32::try_from(self.small.len()).expect("no more than objects");
        self.small.push(Small { object, len });
        match self.runs.last_mut() {
            Some(run) if u64::from(run.len) + u64::from(len) <= CHUNK_BYTES => run.len += len,
            _ => self.runs.push(Run { first, len }),
        }
    }

    /// How many chunks there are.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// How many of them, the first ones, belong to object 0.
    #[must_use]
    pub fn head_chunks(&self) -> u64 {
        chunk_count(self.head_bytes)
    }

    /// Bytes of all chunks.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// Bytes of `chunk`; none beyond the end.
    #[must_use]
    pub fn chunk_bytes(&self, chunk: u64) -> Option<u32> {
        match self.place(chunk)? {
            Found::Piece { size, index, .. } => Some(chunk_len(size, index)),
            Found::Run(run) => self.runs.get(run).map(|run| run.len),
        }
    }

    /// What `chunk` is; none beyond the end.
    #[must_use]
    pub fn extent(&self, chunk: u64) -> Option<Extent> {
        match self.place(chunk)? {
            Found::Piece { object, size, index } => Some(Extent::Piece {
                object,
                index,
                len: chunk_len(size, index),
            }),
            Found::Run(run) => Some(Extent::Run {
                objects: self.run_files(run)?.iter().map(|s| (s.object, s.len)).collect(),
            }),
        }
    }

    /// The chunks in which `object` lies: of a small file, the one of its run. Empty for an empty
    /// file, and for an object that is not there.
    #[must_use]
    pub fn object_chunks(&self, object: u32) -> Range<u64> {
        if object == 0 {
            return 0..self.head_chunks();
        }
        if let Ok(at) = self.small.binary_search_by_key(&object, |small| small.object) {
            let runs = self.runs.partition_point(|run| run.first as usize <= at);
            let end = self.head_chunks() + runs as u64;
            return end - 1..end;
        }
        match self.large.binary_search_by_key(&object, |large| large.object) {
            Ok(at) => self.large.get(at).map_or(0..0, Large::chunks),
            Err(_) => 0..0,
        }
    }

    /// What `chunk` of `content` must be. `manifest` is the one this layout was made of, or an
    /// empty one for a blob; `hash` finds a chunk of an object over 1 MiB in its verified outline.
    ///
    /// # Errors
    /// [`NoCheck`] when there is no such chunk, or `hash` does not know it.
    pub fn expected(
        &self,
        content: BlobId,
        manifest: &Manifest,
        chunk: u64,
        hash: impl FnOnce(u32, u64) -> Option<ChunkHash>,
    ) -> Result<Expected, NoCheck> {
        let missing = NoCheck::NoSuchChunk(chunk);
        let blob = |object| match object {
            0 => Some(content),
            _ => manifest.file(object).map(|file| file.id),
        };
        let check = match self.place(chunk).ok_or(missing)? {
            Found::Piece { object, size, .. } if size <= CHUNK_BYTES => Check::Whole {
                id: blob(object).ok_or(missing)?,
                len: chunk_len(size, 0),
            },
            Found::Piece { object, size, index } => Check::Piece {
                hash: hash(object, index).ok_or(NoCheck::NoHash { object, index })?,
                index,
                len: chunk_len(size, index),
            },
            Found::Run(run) => {
                let files = self.run_files(run).ok_or(missing)?.iter();
                let blobs = files.map(|s| Some((blob(s.object)?, s.len)));
                Check::Run(blobs.collect::<Option<_>>().ok_or(missing)?)
            }
        };
        Ok(Expected {
            content,
            number: chunk,
            check,
        })
    }

    fn place(&self, chunk: u64) -> Option<Found> {
        let Some(after_head) = chunk.checked_sub(self.head_chunks()) else {
            return Some(Found::Piece {
                object: 0,
                size: self.head_bytes,
                index: chunk,
            });
        };
        let run = usize::try_from(after_head).ok()?;
        if run < self.runs.len() {
            return Some(Found::Run(run));
        }
        let after = self.large.partition_point(|large| large.first_chunk <= chunk);
        let large = self.large.get(after.checked_sub(1)?)?;
        large.chunks().contains(&chunk).then(|| Found::Piece {
            object: large.object,
            size: large.size,
            index: chunk - large.first_chunk,
        })
    }

    fn run_files(&self, run: usize) -> Option<&[Small]> {
        let first = self.runs.get(run)?.first as usize;
        let end = self
            .runs
            .get(run + 1)
            .map_or(self.small.len(), |next| next.first as usize);
        self.small.get(first..end)
    }
}

/// A chunk's place, without its files.
enum Found {
    Piece { object: u32, size: u64, index: u64 },
    Run(usize),
}

impl Large {
    fn chunks(&self) -> Range<u64> {
        self.first_chunk..self.first_chunk.saturating_add(chunk_count(self.size))
    }
}
