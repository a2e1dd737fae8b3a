//! What is in a pack: the names and lengths of its pieces, in order.

use crate::{
    pack::HEADER_BYTES,
    piece::{Coding, Kind, MAX_PIECE_BYTES, PieceId},
};

/// The most pieces in a pack, so that the contents of one fit a piece of the index.
pub const MAX_PIECES: usize = 16 << 10;

/// The highest bit of a piece's length: it is compressed.
const ZSTD_BIT: u32 = 1 << 31;

/// One piece of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub id: PieceId,
    /// Bytes before compression.
    pub len: u32,
    /// How it is coded.
    pub coding: Coding,
    /// Bytes in the pack, with the tag.
    pub sealed_len: u32,
}

/// All that it takes to find and open the pieces of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The kind of all its pieces.
    pub kind: Kind,
    /// The epoch of its key.
    pub epoch: u32,
    /// From which its key is derived.
    pub salt: [u8; 32],
    /// The pieces, in order, without gaps from [`HEADER_BYTES`] on.
    pub entries: Vec<Entry>,
}

impl Entry {
    /// Bytes of an encoded entry.
    pub(crate) const BYTES: usize = 40;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let flag = match self.coding {
            Coding::Stored => 0,
            Coding::Zstd => ZSTD_BIT,
        };
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&(self.len | flag).to_le_bytes());
        out.extend_from_slice(&self.sealed_len.to_le_bytes());
    }

    /// None if a piece cannot have these lengths.
    pub(crate) fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk::<32>()?;
        let (len, sealed_len) = rest.split_first_chunk::<4>()?;
        let len = u32::from_le_bytes(*len);
        let sealed_len = u32::from_le_bytes(sealed_len.try_into().ok()?);
        let coding = match len & ZSTD_BIT {
            0 => Coding::Stored,
            _ => Coding::Zstd,
        };
        let len = len & !ZSTD_BIT;
        let sealed_fits = (16..=MAX_PIECE_BYTES + 16).contains(&(sealed_len as usize));
        (len as usize <= MAX_PIECE_BYTES && sealed_fits).then_some(Self {
            id: PieceId(*id),
            len,
            coding,
            sealed_len,
        })
    }
}

impl Contents {
    pub(crate) fn new(kind: Kind, epoch: u32, salt: [u8; 32]) -> Self {
        Self {
            kind,
            epoch,
            salt,
            entries: Vec::new(),
        }
    }

    /// The entries, one after the other.
    pub(crate) fn encode(&self) -> Vec<u8> {
        encode_entries(&self.entries)
    }

    /// Each piece's number and the place of its sealed bytes in the pack.
    pub fn places(&self) -> impl Iterator<Item = (u32, u32, &Entry)> {
        let mut offset = u32::try_from(HEADER_BYTES).expect("48");
        (0u32..).zip(&self.entries).map(move |(number, entry)| {
            let at = offset;
            offset = offset.saturating_add(entry.sealed_len);
            (number, at, entry)
        })
    }
}

pub(crate) fn encode_entries(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * Entry::BYTES);
    entries.iter().for_each(|entry| entry.encode(&mut out));
    out
}

/// None if these are not whole entries of pieces, or too many.
pub(crate) fn decode_entries(bytes: &[u8]) -> Option<Vec<Entry>> {
    let (entries, []) = bytes.as_chunks::<{ Entry::BYTES }>() else {
        return None;
    };
    if entries.len() > MAX_PIECES {
        return None;
    }
    entries.iter().map(Entry::decode).collect()
}
