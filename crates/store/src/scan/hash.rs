//! Hashing files: many small ones side by side, the chunks of a large one side by side.

use std::io;

use skep_wire::{
    BlobId, CHUNK_BYTES,
    chunk::{chunk_count, chunk_len, hash_chunk},
    outline::{Outline, page_count},
};
use skep_world::File;

use super::{SkipReason, walk::Found};
use crate::{
    hashing::{Hashing, Stopped},
    place::Place,
    stamp::Stamp,
};

/// From this size on, all workers read one file.
const SPLIT_FROM: u64 = 64 * CHUNK_BYTES;

/// What is known of a file that was read.
pub(super) struct Hashed {
    pub(super) id: BlobId,
    pub(super) stamp: Stamp,
    pub(super) executable: bool,
    /// Of files over one chunk.
    pub(super) outline: Option<Outline>,
    /// How much of it was read, for this scan.
    pub(super) read_bytes: u64,
}

/// A file that was left out, with the reason.
type Outcome = Result<Hashed, SkipReason>;

/// Hashes those that are not known.
pub(super) fn hash_files(
    place: &Place,
    found: &[Found],
    known: Vec<Option<Hashed>>,
    hashing: &Hashing<'_>,
) -> Result<Vec<Outcome>, Stopped> {
    let alone = Hashing {
        workers: 1,
        ..*hashing
    };
    let small = hashing.each(found.iter().zip(&known), |(found, known), buffer| {
        if known.is_some() || found.stat.size >= SPLIT_FROM {
            return Ok(None);
        }
        hash_file(place, found, &alone, buffer).map(Some)
    })?;
    let mut outcomes = Vec::with_capacity(found.len());
    for ((found, known), small) in found.iter().zip(known).zip(small) {
        outcomes.push(match known.map(Ok).or(small) {
            Some(outcome) => outcome,
            None => hash_file(place, found, hashing, &mut Vec::new())?,
        });
    }
    Ok(outcomes)
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

/// None if it changed meanwhile.
fn hash_once(
    place: &Place,
    found: &Found,
    hashing: &Hashing<'_>,
    buffer: &mut Vec<u8>,
) -> Result<Option<Hashed>, ReadError> {
    let file = place.open(found.path.as_ref())?;
    let before = file.stat()?;
    let (id, outline) = hash_bytes(&*file, before.size, hashing, buffer)?;
    let after = file.stat()?;
    Ok((before == after).then(|| Hashed {
        id,
        stamp: Stamp::from(&after),
        executable: after.executable,
        outline,
        read_bytes: after.size,
    }))
}

fn hash_bytes(
    file: &dyn File,
    size: u64,
    hashing: &Hashing<'_>,
    buffer: &mut Vec<u8>,
) -> Result<(BlobId, Option<Outline>), ReadError> {
    if page_count(size) > 0 {
        let outline = hash_chunks::<ReadError>(size, hashing, |at, out| Ok(file.read_exact_at(at, out)?))?;
        return Ok((outline.root(), Some(outline)));
    }
    buffer.resize(chunk_len(size, 0) as usize, 0);
    file.read_exact_at(0, buffer)?;
    (hashing.progress)(size);
    Ok((BlobId(*blake3::hash(buffer).as_bytes()), None))
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
    let hashes = hashing.each(0..chunk_count(size), |index, buffer| {
        let len = chunk_len(size, index);
        buffer.resize(len as usize, 0);
        read(index * CHUNK_BYTES, buffer)?;
        (hashing.progress)(u64::from(len));
        Ok::<_, E>(hash_chunk(index, buffer))
    })?;
    Ok(Outline::new(size, hashes).expect("one hash for each of several chunks"))
}
