//! Chunks: the unit in which contents are moved and verified.
//!
//! A chunk is 1 MiB of a blob, the last is what remains; each is a complete subtree of the blob's
//! BLAKE3 tree, so its hash can be checked alone. Where a chunk lies in a content is the business
//! of [`crate::layout`], where its hash comes from that of [`crate::outline`].

use blake3::{Hasher, hazmat::HasherExt};

use crate::id::BlobId;

/// Bytes of a chunk; the last of a blob is what remains.
pub const CHUNK_BYTES: u64 = 1 << 20;
/// Bytes of a unit, in which reads name ranges of a chunk, and which is the leaf of audits.
pub const UNIT_BYTES: u64 = 16 << 10;
/// Units in a whole chunk.
pub const UNITS_PER_CHUNK: u64 = CHUNK_BYTES / UNIT_BYTES;

/// Chunks of the longest blob that 64 bits can measure.
const MAX_CHUNKS: u64 = 1 << 44;

/// The non-root BLAKE3 chaining value of a chunk, at its place in its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkHash(pub [u8; 32]);

/// How many chunks a blob of `size` bytes has; the empty blob has one of no bytes.
#[must_use]
pub fn chunk_count(size: u64) -> u64 {
    size.div_ceil(CHUNK_BYTES).max(1)
}

/// Bytes of chunk `index` of a blob of `size` bytes; 0 beyond the end.
///
/// # Panics
/// Never: a chunk's bytes fit 32 bits.
#[must_use]
pub fn chunk_len(size: u64, index: u64) -> u32 {
    let left = size.saturating_sub(index.saturating_mul(CHUNK_BYTES));
    u32::try_from(left.min(CHUNK_BYTES)).expect("a chunk is 1 MiB")
}

/// The hash of chunk `index` of a blob of more than one chunk.
///
/// # Panics
/// If `bytes` are none or more than a chunk, or no blob has a chunk `index`.
#[must_use]
pub fn hash_chunk(index: u64, bytes: &[u8]) -> ChunkHash {
    assert!(index < MAX_CHUNKS, "no blob has a chunk {index}");
    assert!(bytes.len() as u64 <= CHUNK_BYTES, "a chunk is 1 MiB");
    let offset = index * CHUNK_BYTES;
    ChunkHash(
        Hasher::new()
            .set_input_offset(offset)
            .update(bytes)
            .finalize_non_root(),
    )
}

/// What a chunk of a content must be. Made by [`crate::Layout::expected`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The share's content.
    pub content: BlobId,
    /// The chunk's number in the content's layout.
    pub number: u64,
    /// How to check it.
    pub check: Check,
}

/// How a chunk is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// It is a whole blob.
    Whole {
        /// The blob.
        id: BlobId,
        /// Its bytes.
        len: u32,
    },
    /// It is a chunk of a larger blob, whose outline is verified.
    Piece {
        /// From the outline.
        hash: ChunkHash,
        /// Its index in the blob.
        index: u64,
        /// Its bytes.
        len: u32,
    },
    /// It is a run of whole blobs, one after the other.
    Run(Vec<(BlobId, u32)>),
}

impl Check {
    /// The bytes the chunk must have.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Whole { len, .. } | Self::Piece { len, .. } => u64::from(*len),
            Self::Run(blobs) => blobs.iter().map(|(_, len)| u64::from(*len)).sum(),
        }
    }

    /// Whether the chunk must be empty: the one of the empty blob.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether `bytes` are the chunk.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        if bytes.len() as u64 != self.len() || self.len() > CHUNK_BYTES {
            return false;
        }
        match self {
            Self::Whole { id, .. } => is_blob(*id, bytes),
            Self::Piece { hash, index, .. } => {
                *index < MAX_CHUNKS && !bytes.is_empty() && hash_chunk(*index, bytes) == *hash
            }
            Self::Run(blobs) => is_run(blobs, bytes),
        }
    }
}

fn is_blob(id: BlobId, bytes: &[u8]) -> bool {
    *blake3::hash(bytes).as_bytes() == id.0
}

fn is_run(blobs: &[(BlobId, u32)], mut bytes: &[u8]) -> bool {
    blobs.iter().all(|(id, len)| {
        let Some((blob, rest)) = bytes.split_at_checked(*len as usize) else {
            return false;
        };
        bytes = rest;
        is_blob(*id, blob)
    })
}

/// The bytes are not the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes of chunk {number} do not verify")]
pub struct BadChunk {
    /// The chunk's number in its content.
    pub number: u64,
}

/// Bytes that are the chunk they are said to be. Only [`VerifiedChunk::verify`] makes one.
#[derive(Debug)]
pub struct VerifiedChunk<B> {
    expected: Expected,
    bytes: B,
}

impl<B: AsRef<[u8]>> VerifiedChunk<B> {
    /// Checks `bytes` against what is expected.
    ///
    /// # Errors
    /// [`BadChunk`] if length or hash differ.
    pub fn verify(expected: Expected, bytes: B) -> Result<Self, BadChunk> {
        if expected.check.holds(bytes.as_ref()) {
            Ok(Self { expected, bytes })
        } else {
            Err(BadChunk {
                number: expected.number,
            })
        }
    }

    /// The share's content.
    pub fn content(&self) -> BlobId {
        self.expected.content
    }

    /// The chunk's number in its content.
    pub fn number(&self) -> u64 {
        self.expected.number
    }

    /// What the bytes were checked against.
    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The bytes' buffer.
    pub fn into_bytes(self) -> B {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(check: Check) -> Expected {
        Expected {
            content: BlobId([7; 32]),
            number: 3,
            check,
        }
    }

    fn id(bytes: &[u8]) -> BlobId {
        BlobId(*blake3::hash(bytes).as_bytes())
    }

    #[test]
    fn arithmetic_at_the_boundaries() {
        for (size, count, last) in [
            (0, 1, 0),
            (1, 1, 1),
            (CHUNK_BYTES - 1, 1, CHUNK_BYTES - 1),
            (CHUNK_BYTES, 1, CHUNK_BYTES),
            (CHUNK_BYTES + 1, 2, 1),
            (u64::MAX, MAX_CHUNKS, CHUNK_BYTES - 1),
        ] {
            assert_eq!(chunk_count(size), count, "{size}");
            assert_eq!(u64::from(chunk_len(size, count - 1)), last, "{size}");
            assert_eq!(chunk_len(size, count), 0, "{size}");
        }
        assert_eq!(chunk_len(u64::MAX, u64::MAX), 0);
    }

    #[test]
    fn a_whole_blob_verifies_and_nothing_else_does() {
        let check = Check::Whole {
            id: id(b"honey"),
            len: 5,
        };
        let chunk = VerifiedChunk::verify(expected(check.clone()), b"honey".to_vec()).unwrap();
        assert_eq!((chunk.content(), chunk.number()), (BlobId([7; 32]), 3));
        assert_eq!(chunk.bytes(), b"honey");
        assert_eq!(chunk.into_bytes(), b"honey");
        for wrong in [&b"money"[..], b"hone", b"honey ", b""] {
            let refused = VerifiedChunk::verify(expected(check.clone()), wrong);
            assert_eq!(refused.unwrap_err(), BadChunk { number: 3 });
        }
        assert!(Check::Whole { id: id(b""), len: 0 }.holds(b""));
    }

    #[test]
    fn a_piece_verifies_only_at_its_place() {
        let bytes = vec![5; 3000];
        let piece = |index, len| Check::Piece {
            hash: hash_chunk(1, &bytes),
            index,
            len,
        };
        assert!(piece(1, 3000).holds(&bytes));
        assert!(!piece(2, 3000).holds(&bytes));
        assert!(!piece(1, 2999).holds(&bytes));
        assert!(!piece(1, 2999).holds(&bytes[1..]));
        assert!(!piece(1, 0).holds(b""));
        assert!(!piece(u64::MAX, 3000).holds(&bytes));
    }

    #[test]
    fn a_run_is_checked_blob_by_blob() {
        let run = Check::Run(vec![(id(b"bee"), 3), (id(b"hive"), 4)]);
        assert!(run.holds(b"beehive"));
        assert!(!run.holds(b"beehiv"));
        assert!(!run.holds(b"beehive!"));
        assert!(!run.holds(b"bedhive"));
        let swapped = Check::Run(vec![(id(b"hive"), 4), (id(b"bee"), 3)]);
        assert!(!swapped.holds(b"beehive"));
        let overflow = Check::Run(vec![(id(b"bee"), u32::MAX); 9]);
        assert!(!overflow.holds(b"bee"));
    }
}
