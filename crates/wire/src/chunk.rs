//! Chunks: the unit in which contents are moved and verified. 1 MiB, a complete subtree of BLAKE3.

use crate::id::BlobId;

/// Bytes of a chunk; the last of a blob is what remains.
pub const CHUNK_BYTES: u64 = 1 << 20;
/// Bytes of a unit, in which reads name ranges of a chunk, and which is the leaf of audits.
pub const UNIT_BYTES: u64 = 16 << 10;
/// Units in a whole chunk.
pub const UNITS_PER_CHUNK: u64 = CHUNK_BYTES / UNIT_BYTES;

/// The non-root BLAKE3 chaining value of a chunk, at its place in its blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkHash(pub [u8; 32]);

/// How many chunks a blob of `size` bytes has; the empty blob has one of no bytes.
#[must_use]
pub fn chunk_count(size: u64) -> u64 {
    size.div_ceil(CHUNK_BYTES).max(1)
}

/// Bytes of chunk `index` of a blob of `size` bytes.
#[must_use]
pub fn chunk_len(size: u64, index: u64) -> u32 {
    let left = size.saturating_sub(index.saturating_mul(CHUNK_BYTES));
    u32::try_from(left.min(CHUNK_BYTES)).expect("a chunk is 1 MiB")
}

/// The hash of chunk `index` of a blob of more than one chunk.
#[must_use]
pub fn hash_chunk(index: u64, bytes: &[u8]) -> ChunkHash {
    let _ = (index, bytes);
    todo!()
}

/// What a chunk of a content must be.
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
        let _ = (&expected, &bytes);
        todo!()
    }

    /// The share's content.
    pub fn content(&self) -> BlobId {
        self.expected.content
    }

    /// The chunk's number in its content.
    pub fn number(&self) -> u64 {
        self.expected.number
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
