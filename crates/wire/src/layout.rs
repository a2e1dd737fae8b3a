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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        chunk::{VerifiedChunk, hash_chunk},
        manifest::{Entry, Node},
    };

    const MIB: u64 = CHUNK_BYTES;

    fn run(objects: &[(u32, u32)]) -> Option<Extent> {
        Some(Extent::Run {
            objects: objects.to_vec(),
        })
    }

    fn piece(object: u32, index: u64, len: u64) -> Option<Extent> {
        let len = len.try_into().unwrap();
        Some(Extent::Piece { object, index, len })
    }

    #[test]
    fn a_blob() {
        let empty = Layout::blob(0);
        assert_eq!(
            (empty.chunks(), empty.head_chunks(), empty.total_bytes()),
            (1, 1, 0)
        );
        assert_eq!(empty.extent(0), piece(0, 0, 0));
        let layout = Layout::blob(2 * MIB + 5);
        assert_eq!((layout.chunks(), layout.head_chunks()), (3, 3));
        assert_eq!(layout.extent(1), piece(0, 1, MIB));
        assert_eq!(layout.extent(2), piece(0, 2, 5));
        assert_eq!((layout.extent(3), layout.chunk_bytes(3)), (None, None));
        assert_eq!((layout.object_chunks(0), layout.object_chunks(1)), (0..3, 0..0));
        assert_eq!(Layout::blob(u64::MAX).chunks(), 1 << 44);
    }

    #[test]
    fn the_example_of_the_protocol() {
        // Files 1 to 7: small ones run together over a large and an empty one between them.
        let layout = Layout::of_sizes(300, [10, 3 * MIB, 0, MIB - 10, 1, 2 * MIB + 1, MIB]);
        assert_eq!(layout.extent(0), piece(0, 0, 300));
        assert_eq!(layout.extent(1), run(&[(1, 10), (4, 1_048_566)]));
        assert_eq!(layout.extent(2), run(&[(5, 1)]));
        assert_eq!(layout.extent(3), run(&[(7, 1 << 20)]));
        assert_eq!(layout.extent(4), piece(2, 0, MIB));
        assert_eq!(layout.extent(6), piece(2, 2, MIB));
        assert_eq!(layout.extent(7), piece(6, 0, MIB));
        assert_eq!(layout.extent(9), piece(6, 2, 1));
        assert_eq!((layout.chunks(), layout.extent(10)), (10, None));
        assert_eq!(layout.object_chunks(2), 4..7);
        assert_eq!(layout.object_chunks(3), 0..0);
        assert_eq!(layout.object_chunks(4), 1..2);
        assert_eq!(layout.object_chunks(6), 7..10);
    }

    #[test]
    fn a_million_files_are_a_few_megabytes() {
        let layout = Layout::of_sizes(100 * MIB, (0..1_000_000).map(|n| n % 2_000));
        let bytes = layout.small.capacity() * size_of::<Small>() + layout.runs.capacity() * size_of::<Run>();
        assert!(bytes < 9_000_000, "{bytes}");
        assert_eq!(
            layout.object_chunks(1_000_000),
            layout.chunks() - 1..layout.chunks()
        );
    }

    proptest! {
        #[test]
        fn every_byte_has_one_chunk(
            head in 0..3 * MIB,
            sizes in prop::collection::vec(prop_oneof![0..3u64, 0..MIB + 2, MIB - 1..5 * MIB], 0..40),
        ) {
            let layout = Layout::of_sizes(head, sizes.iter().copied());
            let mut seen: BTreeMap<u32, u64> = BTreeMap::new();
            let mut total = 0;
            for chunk in 0..layout.chunks() {
                let parts = match layout.extent(chunk).unwrap() {
                    Extent::Piece { object, index, len } => {
                        prop_assert_eq!(layout.object_chunks(object).start + index, chunk);
                        vec![(object, len)]
                    }
                    Extent::Run { objects } => objects,
                };
                let bytes: u64 = parts.iter().map(|(_, len)| u64::from(*len)).sum();
                prop_assert_eq!(layout.chunk_bytes(chunk).map(u64::from), Some(bytes));
                prop_assert!(bytes <= MIB);
                total += bytes;
                for (object, len) in parts {
                    prop_assert!(layout.object_chunks(object).contains(&chunk));
                    *seen.entry(object).or_default() += u64::from(len);
                }
            }
            prop_assert_eq!(total, layout.total_bytes());
            for (object, size) in (0..).zip(std::iter::once(&head).chain(&sizes)) {
                prop_assert_eq!(seen.get(&object).copied().unwrap_or(0), *size);
            }
            prop_assert_eq!(layout.extent(layout.chunks()), None);
        }
    }

    /// A collection with its bytes.
    fn collection() -> (Manifest, Vec<Vec<u8>>) {
        let sizes = [3, 0, 2 * MIB + 9, 70_000, MIB, 1];
        let files: Vec<Vec<u8>> = sizes.map(|size| vec![7; usize::try_from(size).unwrap()]).into();
        let entries = files.iter().enumerate().map(|(n, bytes)| Entry {
            path: format!("f{n}").parse().unwrap(),
            node: Node::File {
                size: bytes.len() as u64,
                id: BlobId(*blake3::hash(bytes).as_bytes()),
                executable: false,
            },
        });
        (Manifest::new(entries.collect()).unwrap(), files)
    }

    #[test]
    fn what_is_expected_verifies_the_bytes_of_the_files() {
        let (manifest, files) = collection();
        let head = manifest.encode();
        let content = BlobId(*blake3::hash(&head).as_bytes());
        let layout = Layout::collection(head.len() as u64, &manifest);
        let objects: Vec<&[u8]> = std::iter::once(&head).chain(&files).map(Vec::as_slice).collect();
        let bytes_of = |object: u32, index: u64| {
            let at = usize::try_from(index * MIB).unwrap();
            let all = objects[object as usize];
            &all[at..all.len().min(at + (1 << 20))]
        };
        for chunk in 0..layout.chunks() {
            let bytes = match layout.extent(chunk).unwrap() {
                Extent::Piece { object, index, .. } => bytes_of(object, index).to_vec(),
                Extent::Run { objects } => objects
                    .iter()
                    .flat_map(|(o, _)| bytes_of(*o, 0))
                    .copied()
                    .collect(),
            };
            let hash = |object, index| Some(hash_chunk(index, bytes_of(object, index)));
            let expected = layout.expected(content, &manifest, chunk, hash).unwrap();
            let verified = VerifiedChunk::verify(expected, bytes).unwrap();
            assert_eq!((verified.content(), verified.number()), (content, chunk));
        }
    }

    #[test]
    fn what_cannot_be_expected() {
        let (manifest, _) = collection();
        let layout = Layout::collection(9, &manifest);
        let expected = |chunk| layout.expected(BlobId([0; 32]), &manifest, chunk, |_, _| None);
        assert_eq!(
            expected(layout.chunks()),
            Err(NoCheck::NoSuchChunk(layout.chunks()))
        );
        let large = layout.object_chunks(3).start;
        let missing = NoCheck::NoHash { object: 3, index: 1 };
        assert_eq!(expected(large + 1), Err(missing));
        let strange = layout.expected(BlobId([0; 32]), &Manifest::default(), 1, |_, _| None);
        assert_eq!(strange, Err(NoCheck::NoSuchChunk(1)));
    }
}
