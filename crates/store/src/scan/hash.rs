//! Hashing files: many small ones side by side, the chunks of a large one side by side.

use std::{io, path::PathBuf};

use skep_wire::{
    BlobId, CHUNK_BYTES,
    chunk::{chunk_count, chunk_len, hash_chunk},
    outline::{Outline, PAGE_CHUNKS, page_count},
};
use skep_world::File;

use super::{SkipReason, Skipped, walk::Found};
use crate::{
    hashing::{Hashing, Stopped},
    place::Place,
    stamp::Stamp,
};

/// From this size on, all workers read one file.
const SPLIT_FROM: u64 = 64 * CHUNK_BYTES;

/// What is in a file.
pub(super) struct Blob {
    pub(super) id: BlobId,
    /// Of files over one chunk.
    pub(super) outline: Option<Box<Outline>>,
}

impl Blob {
    /// Of up to one chunk.
    pub(super) fn small(bytes: &[u8]) -> Self {
        Self {
            id: BlobId(*blake3::hash(bytes).as_bytes()),
            outline: None,
        }
    }
}

/// A file that was read, and how it was then.
struct Hashed {
    blob: Blob,
    stamp: Stamp,
    executable: bool,
}

/// A file that was left out, with the reason.
type Outcome = Result<Hashed, SkipReason>;

/// Hashes the files that are not known, and says how many bytes were read. Files that cannot be read
/// are removed from the list.
pub(super) fn hash_files(
    place: &Place,
    files: &mut Vec<Found>,
    skipped: &mut Vec<Skipped>,
    hashing: &Hashing<'_>,
) -> Result<u64, Stopped> {
    let alone = Hashing {
        workers: 1,
        ..*hashing
    };
    let is_small = |file: &&Found| file.stamp.size < SPLIT_FROM;
    let unknown = files.iter().filter(|file| file.blob.is_none());
    let small = hashing.each(unknown.filter(is_small), |file, buffer| {
        hash_file(place, file, &alone, buffer)
    })?;
    let mut small = small.into_iter();
    let mut read_bytes = 0;
    for file in files.iter_mut().filter(|file| file.blob.is_none()) {
        let outcome = if is_small(&&*file) {
            small.next().expect("one for each small file")
        } else {
            hash_file(place, file, hashing, &mut Vec::new())?
        };
        read_bytes += file.settle(outcome, skipped);
    }
    files.retain(|file| file.blob.is_some());
    Ok(read_bytes)
}

impl Found {
    /// Takes over what came of reading it, and returns how many bytes that were.
    fn settle(&mut self, outcome: Outcome, skipped: &mut Vec<Skipped>) -> u64 {
        match outcome {
            Ok(hashed) => {
                self.blob = Some(hashed.blob);
                self.stamp = hashed.stamp;
                self.executable = hashed.executable;
                self.stamp.size
            }
            Err(reason) => {
                let path = self
                    .path
                    .as_ref()
                    .map(|path| PathBuf::from(path.as_str()))
                    .unwrap_or_default();
                skipped.push(Skipped { path, reason });
                0
            }
        }
    }
}

/// Why a reading of a file failed.
enum ReadError {
    Io(io::Error),
    Stopped,
}

impl From<Stopped> for ReadError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<io::Error> for ReadError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// Reads a file until it stays the same while it is read; twice at most.
fn hash_file(
    place: &Place,
    found: &Found,
    hashing: &Hashing<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Outcome, Stopped> {
    for _ in 0..2 {
        match hash_once(place, found, hashing, buffer) {
            Ok(Some(hashed)) => return Ok(Ok(hashed)),
            Ok(None) => {}
            Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(ReadError::Io(e)) => return Ok(Err(e.into())),
            Err(ReadError::Stopped) => return Err(Stopped),
        }
    }
    Ok(Err(SkipReason::Changing))
}

/// Reads a chunk, but not what is a hole in a sparse file: the system would make room for its zeros.
fn read(file: &dyn File, at: u64, out: &mut [u8]) -> io::Result<()> {
    if file.is_hole(at, out.len() as u64) {
        out.fill(0);
        return Ok(());
    }
    file.read_exact_at(at, out)
}

/// None if it changed meanwhile.
fn hash_once(
    place: &Place,
    found: &Found,
    hashing: &Hashing<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Option<Hashed>, ReadError> {
    let file = place.open(found.path.as_ref())?;
    let before = file.stat()?;
    let blob = hash_bytes(&*file, before.size, hashing, buffer)?;
    let after = file.stat()?;
    Ok((before == after).then(|| Hashed {
        blob,
        stamp: Stamp::from(&after),
        executable: after.executable,
    }))
}

fn hash_bytes(
    file: &dyn File,
    size: u64,
    hashing: &Hashing<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Blob, ReadError> {
    if page_count(size) > 0 {
        let outline = hash_chunks::<ReadError>(size, hashing, |at, out| Ok(read(file, at, out)?))?;
        return Ok(Blob {
            id: outline.root(),
            outline: Some(Box::new(outline)),
        });
    }
    buffer.resize(chunk_len(size, 0) as usize, 0);
    file.read_exact_at(0, buffer)?;
    (hashing.progress)(size);
    Ok(Blob::small(buffer))
}

/// The outline of a blob of more than one chunk, whose bytes `read` gives.
pub(crate) fn hash_chunks<E>(
    size: u64,
    hashing: &Hashing<'_>,
    read: impl Fn(u64, &mut [u8]) -> Result<(), E> + Sync,
) -> Result<Outline, E>
where
    E: From<Stopped> + Send,
{
    let hash = |index, buffer: &mut Vec<u8>| {
        let len = chunk_len(size, index);
        buffer.resize(len as usize, 0);
        read(index * CHUNK_BYTES, buffer)?;
        (hashing.progress)(u64::from(len));
        Ok::<_, E>(hash_chunk(index, buffer))
    };
    let count = chunk_count(size);
    let mut hashes = Vec::with_capacity(usize::try_from(count).expect("32 bytes for each are addressed"));
    // Page by page: of the largest files the hashes alone are 32 MiB and more, so that they are held once.
    for page in 0..page_count(size) {
        let first = page * PAGE_CHUNKS;
        hashes.append(&mut hashing.each(first..count.min(first + PAGE_CHUNKS), hash)?);
    }
    Ok(Outline::new(size, hashes).expect("one hash for each of several chunks"))
}
