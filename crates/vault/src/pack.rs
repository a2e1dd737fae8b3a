//! Packs: many sealed pieces in one object of at most 16 MiB, which is all that holders ever see.
//!
//! ```text
//! header (48)   "SKPK", version 1, 3 zeros, epoch u32 LE, 4 zeros, salt 32
//! pieces        each: ciphertext, tag 16
//! padding       zeros, sealed like a piece, so that the whole has a padded size
//! contents      sealed: for each piece its name 32, length u32 LE (highest bit: zstd), sealed length u32 LE
//! trailer (24)  sealed: kind u8, 3 zeros, length of the sealed contents u32 LE
//! ```
//!
//! Everything is sealed with AES-256-GCM under one key, derived from the key of the epoch and the
//! salt. The nonce is the number of the piece. What is sealed is bound to version, kind, salt, name,
//! length and coding, so no object opens in the place of another. A salt is used for one pack, once:
//! [`Writer::new`] takes it, and a pack that must be made again is made with another.

pub(crate) mod contents;
mod reader;

use std::fmt;

use skep_wire::PackId;

use crate::{
    cipher::{Cipher, TAG_BYTES},
    keys::EpochKey,
    padding::padme,
    piece::{Coding, Kind, PieceId},
};

pub use self::{
    contents::{Contents, Entry, MAX_PIECES},
    reader::{Ends, Header, OpenError, PackKey, open_contents},
};

/// The most bytes of a pack, padding included.
pub const MAX_PACK_BYTES: usize = 16 << 20;
/// Bytes before the first piece.
pub const HEADER_BYTES: usize = 48;

/// Bytes behind the contents.
pub const TRAILER_BYTES: usize = 8 + TAG_BYTES;
const MAGIC: &[u8; 8] = b"SKPK\x01\0\0\0";
const VERSION: u8 = 1;
const LABEL: &[u8] = b"skep pack key v1";

/// 256 random bits for one pack. Taken, not borrowed: there is no second use.
pub struct Salt([u8; 32]);

impl Salt {
    /// Salt of random bytes that were never used before.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }
}

/// A pack, ready to be sharded and sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The hash of the bytes.
    pub id: PackId,
    /// All of it.
    pub bytes: Vec<u8>,
    /// What is in it, for the index.
    pub contents: Contents,
}

/// Fills one pack.
pub struct Writer {
    cipher: Cipher,
    bytes: Vec<u8>,
    contents: Contents,
}

impl Writer {
    /// An empty pack for pieces of one kind.
    #[must_use]
    pub fn new(kind: Kind, epoch: u32, key: &EpochKey, salt: Salt) -> Self {
        let mut bytes = Vec::with_capacity(MAX_PACK_BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&epoch.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&salt.0);
        Self {
            cipher: Cipher::derive(key.bytes(), &salt.0, LABEL),
            bytes,
            contents: Contents::new(kind, epoch, salt.0),
        }
    }

    /// Whether a piece of so many coded bytes still fits.
    #[must_use]
    pub fn has_room_for(&self, coded_bytes: usize) -> bool {
        let pieces = self.contents.entries.len() + 1;
        let body = self.bytes.len() + coded_bytes + TAG_BYTES;
        // The padding takes at least its tag.
        let whole = body + TAG_BYTES + pieces * Entry::BYTES + TAG_BYTES + TRAILER_BYTES;
        pieces <= MAX_PIECES && whole <= MAX_PACK_BYTES
    }

    /// Whether nothing was pushed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contents.entries.is_empty()
    }

    /// Seals a piece of `len` bytes that are coded as `coded`. The caller has asked for room.
    ///
    /// # Panics
    /// If there is no room.
    pub fn push(&mut self, id: PieceId, len: u32, coding: Coding, coded: &[u8]) {
        assert!(self.has_room_for(coded.len()), "the pack is full");
        let number = self.contents.entries.len();
        let sealed_len = u32::try_from(coded.len() + TAG_BYTES).expect("a pack is far below 4 GiB");
        let entry = Entry {
            id,
            len,
            coding,
            sealed_len,
        };
        let start = self.bytes.len();
        self.bytes.extend_from_slice(coded);
        let number = u32::try_from(number).expect("a pack has few pieces");
        let bound = Bound::piece(&self.contents, &entry);
        self.cipher.seal(number, &bound.0, &mut self.bytes, start);
        self.contents.entries.push(entry);
    }

    /// Closes the pack.
    #[must_use]
    pub fn finish(mut self) -> Sealed {
        let contents = self.contents.encode();
        let contents_bytes = contents.len() + TAG_BYTES;
        let least = self.bytes.len() + TAG_BYTES + contents_bytes + TRAILER_BYTES;
        let whole = usize::try_from(padme(least as u64)).expect("at most 16 MiB");
        self.seal_part(Part::Padding, &vec![0; whole - least]);
        self.seal_part(Part::Contents, &contents);
        let trailer = reader::encode_trailer(self.contents.kind, contents_bytes);
        self.seal_part(Part::Trailer, &trailer);
        debug_assert_eq!(self.bytes.len(), whole, "the sum of its parts");
        Sealed {
            id: PackId(*blake3::hash(&self.bytes).as_bytes()),
            bytes: self.bytes,
            contents: self.contents,
        }
    }

    fn seal_part(&mut self, part: Part, plain: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(plain);
        let bound = Bound::part(part, &self.contents.salt);
        self.cipher.seal(part.number(), &bound.0, &mut self.bytes, start);
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Writer({} pieces)", self.contents.entries.len())
    }
}

/// What is sealed beside the pieces. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Padding = 0xfd,
    Contents = 0xfe,
    Trailer = 0xff,
}

impl Part {
    /// Its nonce: far above all numbers of pieces.
    fn number(self) -> u32 {
        0xffff_ff00 | self as u32
    }
}

/// What a sealed object is bound to: version 1, kind 1, salt 32, name 32, length u32 LE, coding 1.
struct Bound([u8; 71]);

impl Bound {
    fn piece(contents: &Contents, entry: &Entry) -> Self {
        let kind = contents.kind as u8;
        Self::new(kind, &contents.salt, &entry.id.0, entry.len, entry.coding as u8)
    }

    /// Parts have no name; the tag covers their length.
    fn part(part: Part, salt: &[u8; 32]) -> Self {
        Self::new(part as u8, salt, &[0; 32], 0, 0)
    }

    fn new(kind: u8, salt: &[u8; 32], name: &[u8; 32], len: u32, coding: u8) -> Self {
        let mut out = [0; 71];
        out[0] = VERSION;
        out[1] = kind;
        out[2..34].copy_from_slice(salt);
        out[34..66].copy_from_slice(name);
        out[66..70].copy_from_slice(&len.to_le_bytes());
        out[70] = coding;
        Self(out)
    }
}

#[cfg(test)]
mod tests;
