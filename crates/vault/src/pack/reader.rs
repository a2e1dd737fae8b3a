//! Reading packs: single pieces whose place is known from the index, or what is in a whole pack.

use std::ops::Range;

use thiserror::Error;

use crate::{
    cipher::{Cipher, TAG_BYTES},
    keys::{EpochKey, KeyRing},
    pack::{
        Bound, Contents, Entry, HEADER_BYTES, LABEL, MAGIC, MAX_PACK_BYTES, Part, TRAILER_BYTES,
        contents::decode_entries,
    },
    piece::{Decoder, Kind, Namer},
};

/// Why a pack or a piece is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OpenError {
    /// It does not begin like a pack of version 1, or is too short or too long for one.
    #[error("this is not a pack of version 1")]
    NotAPack,
    /// The device was not given the key of this epoch.
    #[error("there is no key for epoch {0}")]
    NoKey(u32),
    /// Damaged, forged, or of another place.
    #[error("the sealed bytes do not open")]
    Damaged,
    /// Sealed by one of the owner's devices, and yet not what it says: a device misbehaves.
    #[error("what was sealed contradicts itself")]
    Contradiction,
}

/// The readable beginning of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The epoch of its key.
    pub epoch: u32,
    /// From which its key is derived.
    pub salt: [u8; 32],
}

/// The key of one pack.
pub struct PackKey(Cipher);

impl Header {
    /// Reads the first [`HEADER_BYTES`] of a pack.
    ///
    /// # Errors
    /// [`OpenError::NotAPack`].
    pub fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(OpenError::NotAPack)?;
        let (front, salt) = header.split_last_chunk::<32>().ok_or(OpenError::NotAPack)?;
        let (magic, epoch) = front.split_first_chunk::<8>().ok_or(OpenError::NotAPack)?;
        let [a, b, c, d, 0, 0, 0, 0] = *epoch else {
            return Err(OpenError::NotAPack);
        };
        if magic != MAGIC {
            return Err(OpenError::NotAPack);
        }
        Ok(Self {
            epoch: u32::from_le_bytes([a, b, c, d]),
            salt: *salt,
        })
    }
}

impl PackKey {
    /// The key of the pack with this salt.
    #[must_use]
    pub fn new(key: &EpochKey, salt: &[u8; 32]) -> Self {
        Self(Cipher::derive(key.bytes(), salt, LABEL))
    }

    /// The key of the pack, if the ring has the key of its epoch.
    ///
    /// # Errors
    /// [`OpenError::NoKey`].
    pub fn of(contents: &Contents, ring: &KeyRing) -> Result<Self, OpenError> {
        let key = ring
            .epoch(contents.epoch)
            .ok_or(OpenError::NoKey(contents.epoch))?;
        Ok(Self::new(key, &contents.salt))
    }

    /// The plaintext of a piece: opened for its place, decompressed to its length, and named again.
    ///
    /// `contents` may be without entries. `sealed` is decrypted in place.
    ///
    /// # Errors
    /// [`OpenError`] when any of it fails.
    pub fn open_piece(
        &self,
        contents: &Contents,
        number: u32,
        entry: &Entry,
        sealed: &mut [u8],
        namer: &Namer,
        decoder: &mut Decoder,
    ) -> Result<Vec<u8>, OpenError> {
        let bound = Bound::piece(contents, entry);
        let coded = self
            .0
            .open(number, &bound.0, sealed)
            .map_err(|_| OpenError::Damaged)?;
        let plain = decoder
            .decode(entry.coding, coded, entry.len as usize)
            .map_err(|_| OpenError::Contradiction)?;
        if namer.name(contents.kind, &plain) == entry.id {
            Ok(plain)
        } else {
            Err(OpenError::Contradiction)
        }
    }

    fn open_part(&self, part: Part, salt: &[u8; 32], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut sealed = sealed.to_vec();
        let bound = Bound::part(part, salt);
        let plain = self.0.open(part.number(), &bound.0, &mut sealed);
        let len = plain.map_err(|_| OpenError::Damaged)?.len();
        sealed.truncate(len);
        Ok(sealed)
    }
}

/// The two ends of a pack, which say what is in it: for making an index anew without reading all of it.
pub struct Ends<'a> {
    ring: &'a KeyRing,
    header: Header,
    kind: Kind,
    /// Bytes of the sealed contents.
    contents_bytes: usize,
}

impl<'a> Ends<'a> {
    /// Reads the first [`HEADER_BYTES`] and the last [`TRAILER_BYTES`] of a pack.
    ///
    /// # Errors
    /// [`OpenError`] when they are not those of a pack.
    pub fn open(header: &[u8], trailer: &[u8], ring: &'a KeyRing) -> Result<Self, OpenError> {
        let header = Header::parse(header)?;
        let key = key(&header, ring)?;
        let trailer = key.open_part(Part::Trailer, &header.salt, trailer)?;
        let (kind, contents_bytes) = decode_trailer(&trailer).ok_or(OpenError::Contradiction)?;
        Ok(Self {
            ring,
            header,
            kind,
            contents_bytes,
        })
    }

    /// Where the sealed contents are in a pack of `size` bytes; none if there is no room for them.
    #[must_use]
    pub fn place(&self, size: u64) -> Option<Range<u64>> {
        let end = size.checked_sub(TRAILER_BYTES as u64)?;
        let start = end.checked_sub(self.contents_bytes as u64)?;
        (start >= HEADER_BYTES as u64).then_some(start..end)
    }

    /// What is in the pack, from its sealed contents.
    ///
    /// # Errors
    /// [`OpenError`] when they do not open.
    pub fn contents(&self, sealed: &[u8]) -> Result<Contents, OpenError> {
        let salt = self.header.salt;
        let entries = key(&self.header, self.ring)?.open_part(Part::Contents, &salt, sealed)?;
        Ok(Contents {
            kind: self.kind,
            epoch: self.header.epoch,
            salt,
            entries: decode_entries(&entries).ok_or(OpenError::Contradiction)?,
        })
    }
}

fn key(header: &Header, ring: &KeyRing) -> Result<PackKey, OpenError> {
    let key = ring.epoch(header.epoch).ok_or(OpenError::NoKey(header.epoch))?;
    Ok(PackKey::new(key, &header.salt))
}

/// What is in a pack, from its own bytes alone: to check it, or to read its index.
///
/// The padding is opened too, so that every byte of a pack is accounted for; the pieces are not.
///
/// # Errors
/// [`OpenError`] when it is no pack, or damaged, or its parts do not fit together.
pub fn open_contents(pack: &[u8], ring: &KeyRing) -> Result<Contents, OpenError> {
    let header = pack.first_chunk::<HEADER_BYTES>().ok_or(OpenError::NotAPack)?;
    let whole = pack.get(HEADER_BYTES..).filter(|_| pack.len() <= MAX_PACK_BYTES);
    let trailer = whole.and_then(|body| body.last_chunk::<TRAILER_BYTES>());
    let ends = Ends::open(header, trailer.ok_or(OpenError::NotAPack)?, ring)?;
    let place = ends.place(pack.len() as u64).ok_or(OpenError::Contradiction)?;
    let at = |byte: u64| usize::try_from(byte).map_err(|_| OpenError::Contradiction);
    let (start, end) = (at(place.start)?, at(place.end)?);
    let contents = ends.contents(&pack[start..end])?;
    let lens = contents.entries.iter().map(|entry| u64::from(entry.sealed_len));
    let pieces = at(HEADER_BYTES as u64 + lens.sum::<u64>())?;
    let padding = pack[..start].get(pieces..).ok_or(OpenError::Contradiction)?;
    let padding = key(&ends.header, ring)?.open_part(Part::Padding, &contents.salt, padding)?;
    match padding.iter().all(|byte| *byte == 0) {
        true => Ok(contents),
        false => Err(OpenError::Contradiction),
    }
}

pub(super) fn encode_trailer(kind: Kind, contents_bytes: usize) -> [u8; 8] {
    let len = u32::try_from(contents_bytes).expect("a pack is far below 4 GiB");
    let [a, b, c, d] = len.to_le_bytes();
    [kind as u8, 0, 0, 0, a, b, c, d]
}

fn decode_trailer(bytes: &[u8]) -> Option<(Kind, usize)> {
    let [kind, 0, 0, 0, a, b, c, d] = *bytes else {
        return None;
    };
    let len = u32::from_le_bytes([a, b, c, d]) as usize;
    let kind = Kind::from_number(kind)?;
    (len >= TAG_BYTES).then_some((kind, len))
}
