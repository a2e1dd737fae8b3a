//! Which piece is where: the index that a backup writes beside its packs, and reads at the next.
//!
//! A piece of the index is a row of records, one for each pack:
//!
//! ```text
//! pack 32 | salt 32 | epoch u32 LE | size u32 LE | kind u8 | count u32 LE | entries 40 each
//! ```
//!
//! The index is a help: all of it can be made anew from the packs ([`crate::pack::open_contents`]).

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use skep_wire::PackId;
use thiserror::Error;

use crate::{
    pack::{
        Contents, Entry, HEADER_BYTES, MAX_PACK_BYTES, MAX_PIECES,
        contents::{decode_entries, encode_entries},
    },
    piece::{Kind, MAX_PIECE_BYTES, PieceId},
};

/// Bytes of a record before its entries.
const RECORD_BYTES: usize = 77;

/// A pack as the index lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The pack.
    pub pack: PackId,
    /// All its bytes.
    pub size: u32,
    /// What is in it.
    pub contents: Contents,
}

/// Bytes that are no piece of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the index cannot be read")]
pub struct BadIndex;

/// Where a piece is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location<'a> {
    /// The pack that it is in.
    pub listed: &'a Listed,
    /// Its number in the pack.
    pub number: u32,
    /// Where its sealed bytes begin in the pack.
    pub offset: u32,
    /// Its lengths.
    pub entry: &'a Entry,
}

/// A short name for a place in one [`Index`]: of a piece that is in several packs, always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    row: u32,
    number: u32,
}

/// The pieces that are stored, in memory.
#[derive(Debug, Default)]
pub struct Index {
    packs: Vec<Row>,
    /// Pack and number of each piece. Names are uniform already and need no hashing.
    pieces: HashMap<PieceId, (u32, u32), BuildHasherDefault<NameHasher>>,
}

#[derive(Debug)]
struct Row {
    listed: Listed,
    /// Where each piece begins.
    offsets: Vec<u32>,
}

impl Listed {
    /// Bytes of its record.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        RECORD_BYTES + self.contents.entries.len() * Entry::BYTES
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let contents = &self.contents;
        let count = u32::try_from(contents.entries.len()).expect("a pack has few pieces");
        out.extend_from_slice(&self.pack.0);
        out.extend_from_slice(&contents.salt);
        out.extend_from_slice(&contents.epoch.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        out.push(contents.kind as u8);
        out.extend_from_slice(&count.to_le_bytes());
        out.extend_from_slice(&encode_entries(&contents.entries));
    }

    /// The first record, and the bytes behind it.
    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (pack, rest) = bytes.split_first_chunk::<32>()?;
        let (salt, rest) = rest.split_first_chunk::<32>()?;
        let (epoch, rest) = number(rest)?;
        let (size, rest) = number(rest)?;
        let (kind, rest) = rest.split_first()?;
        let (count, rest) = number(rest)?;
        if count as usize > MAX_PIECES || size as usize > MAX_PACK_BYTES {
            return None;
        }
        let (entries, rest) = rest.split_at_checked(count as usize * Entry::BYTES)?;
        let contents = Contents {
            kind: Kind::from_number(*kind)?,
            epoch,
            salt: *salt,
            entries: decode_entries(entries)?,
        };
        let listed = Self {
            pack: PackId(*pack),
            size,
            contents,
        };
        listed.fits_its_size().then_some((listed, rest))
    }

    fn fits_its_size(&self) -> bool {
        let lens = self
            .contents
            .entries
            .iter()
            .map(|entry| u64::from(entry.sealed_len));
        lens.sum::<u64>() + HEADER_BYTES as u64 <= u64::from(self.size)
    }
}

fn number(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
}

/// The pieces of an index over these packs, each of as many records as fit.
#[must_use]
pub fn encode<'a>(packs: impl IntoIterator<Item = &'a Listed>) -> Vec<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    for listed in packs {
        let fits = |piece: &&mut Vec<u8>| piece.len() + listed.encoded_bytes() <= MAX_PIECE_BYTES;
        match pieces.last_mut().filter(fits) {
            Some(piece) => listed.encode(piece),
            None => {
                let mut piece = Vec::new();
                listed.encode(&mut piece);
                pieces.push(piece);
            }
        }
    }
    pieces
}

/// The packs in a piece of an index.
///
/// # Errors
/// [`BadIndex`] when it is not one.
pub fn decode(mut bytes: &[u8]) -> Result<Vec<Listed>, BadIndex> {
    let mut packs = Vec::new();
    while !bytes.is_empty() {
        let (listed, rest) = Listed::decode(bytes).ok_or(BadIndex)?;
        packs.push(listed);
        bytes = rest;
    }
    Ok(packs)
}

impl Index {
    /// Nothing stored yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pack. A piece that is known already keeps its place.
    ///
    /// # Panics
    /// With more than 2^32 packs, which are 64 PiB.
    pub fn insert(&mut self, listed: Listed) {
        let row = u32::try_from(self.packs.len()).expect("fewer than 2^32 packs");
        let mut offsets = Vec::with_capacity(listed.contents.entries.len());
        for (number, offset, entry) in listed.contents.places() {
            offsets.push(offset);
            self.pieces.entry(entry.id).or_insert((row, number));
        }
        self.packs.push(Row { listed, offsets });
    }

    /// Whether a piece is stored.
    #[must_use]
    pub fn contains(&self, id: &PieceId) -> bool {
        self.pieces.contains_key(id)
    }

    /// Where a piece is.
    #[must_use]
    pub fn locate(&self, id: &PieceId) -> Option<Location<'_>> {
        let (row, number) = *self.pieces.get(id)?;
        let row = self.packs.get(row as usize)?;
        Some(Location {
            listed: &row.listed,
            number,
            offset: *row.offsets.get(number as usize)?,
            entry: row.listed.contents.entries.get(number as usize)?,
        })
    }

    /// A short name for the place of a piece.
    #[must_use]
    pub fn slot(&self, id: &PieceId) -> Option<Slot> {
        let (row, number) = *self.pieces.get(id)?;
        Some(Slot { row, number })
    }

    /// What is at a place: the pack, and the piece in it.
    #[must_use]
    pub fn at(&self, slot: Slot) -> Option<(&Listed, &Entry)> {
        let listed = &self.packs.get(slot.row as usize)?.listed;
        let entry = listed.contents.entries.get(slot.number as usize)?;
        Some((listed, entry))
    }

    /// All packs, in the order they were added.
    pub fn packs(&self) -> impl Iterator<Item = &Listed> {
        self.packs.iter().map(|row| &row.listed)
    }
}

/// Takes 8 bytes of a name as its hash.
#[derive(Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::piece::Coding;

    fn entry(id: u64, len: u32, sealed_len: u32) -> Entry {
        let mut name = [9; 32];
        name[..8].copy_from_slice(&id.to_le_bytes());
        Entry {
            id: PieceId(name),
            len,
            coding: if id.is_multiple_of(2) {
                Coding::Zstd
            } else {
                Coding::Stored
            },
            sealed_len,
        }
    }

    fn listed(n: u8, entries: Vec<Entry>) -> Listed {
        let bytes: u32 = entries.iter().map(|entry| entry.sealed_len).sum();
        Listed {
            pack: PackId([n; 32]),
            size: bytes + 1000,
            contents: Contents {
                kind: Kind::Data,
                epoch: 7,
                salt: [n; 32],
                entries,
            },
        }
    }

    #[test]
    fn pieces_are_found_in_the_first_pack_that_has_them() {
        let mut index = Index::new();
        index.insert(listed(1, vec![entry(1, 10, 26), entry(2, 20, 36)]));
        index.insert(listed(2, vec![entry(2, 20, 36), entry(3, 30, 46)]));
        let place = |id| {
            let location = index.locate(&entry(id, 0, 0).id)?;
            Some((
                location.listed.pack.0[0],
                location.number,
                location.offset,
                location.entry.len,
            ))
        };
        assert_eq!(place(1), Some((1, 0, 48, 10)));
        assert_eq!(place(2), Some((1, 1, 74, 20)));
        assert_eq!(place(3), Some((2, 1, 84, 30)));
        assert_eq!(place(4), None);
        assert!(index.contains(&entry(3, 0, 0).id) && !index.contains(&entry(4, 0, 0).id));
        assert_eq!(index.packs().count(), 2);
    }

    #[test]
    fn the_fullest_pack_fits_a_piece() {
        let full = listed(1, vec![entry(1, 0, 16); MAX_PIECES]);
        assert!(full.encoded_bytes() <= MAX_PIECE_BYTES);
        let pieces = encode([&full, &full, &listed(2, vec![])]);
        assert_eq!(pieces.len(), 2);
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_PIECE_BYTES));
    }

    #[test]
    fn records_that_contradict_themselves_are_refused() {
        let good = listed(1, vec![entry(1, 10, 26)]);
        let bytes = &encode([&good])[0];
        assert_eq!(decode(bytes), Ok(vec![good]));
        assert_eq!(decode(&[]), Ok(vec![]));
        for len in 1..bytes.len() {
            assert_eq!(decode(&bytes[..len]), Err(BadIndex), "{len}");
        }
        let with = |at: usize, value: u32| {
            let mut bytes = bytes.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            decode(&bytes)
        };
        let (size, count, len, sealed_len) = (68, 73, 109, 113);
        for (at, value) in [
            (size, 73),
            (size, (16 << 20) + 1),
            (count, 0),
            (count, 2),
            (count, u32::MAX),
            (len, (1 << 20) + 1),
            (len, u32::MAX),
            (sealed_len, 15),
            (sealed_len, (1 << 20) + 17),
            (sealed_len, u32::MAX),
        ] {
            assert_eq!(with(at, value), Err(BadIndex), "{at} {value}");
        }
        let mut kind = bytes.clone();
        kind[72] = 4;
        assert_eq!(decode(&kind), Err(BadIndex));
    }

    proptest! {
        #[test]
        fn encoding_is_undone(packs in prop::collection::vec(
            prop::collection::vec((any::<u64>(), 0u32..=1 << 20, 16u32..=1 << 16), 0..40), 0..10,
        )) {
            let packs: Vec<Listed> = (0..).zip(packs).map(|(n, entries)| {
                listed(n, entries.into_iter().map(|(id, len, sealed)| entry(id, len, sealed)).collect())
            }).collect();
            let read: Vec<Listed> = encode(&packs).iter().flat_map(|piece| decode(piece).unwrap()).collect();
            prop_assert_eq!(read, packs);
        }

        #[test]
        fn rubbish_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode(&bytes);
        }
    }
}
