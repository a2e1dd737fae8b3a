//! Pieces: what packs are made of, their keyed names, and their compression.
//!
//! A name is the keyed BLAKE3 hash of a piece's plaintext, under a key of the owner: equal pieces of
//! all devices have one name, and a name tells nobody else anything. Pieces of different kinds have
//! different keys, so a piece never stands in for one of another kind.

use std::fmt;

use thiserror::Error;
use zstd::bulk::{Compressor, Decompressor};

use crate::keys::NamingKey;

/// The most bytes of a piece before compression: what a reader ever allocates for one.
pub const MAX_PIECE_BYTES: usize = 1 << 20;

/// The level of zstd. Not part of the format; chosen so that one core compresses faster than a gigabit
/// network carries what comes out.
const LEVEL: i32 = 3;
/// Pieces that are shorter are compressed without a probe: it would cost as much.
const PROBE_FROM_BYTES: usize = 32 << 10;
/// How much of a longer piece is tried first.
const PROBE_BYTES: usize = 8 << 10;

/// What a piece is part of. The number is part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A file's content.
    Data = 0,
    /// A folder's entries ([`crate::tree`]).
    Tree = 1,
    /// A list of pieces ([`crate::content`]).
    List = 2,
    /// Which piece is where ([`crate::index`]).
    Index = 3,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Data, Self::Tree, Self::List, Self::Index];

    /// The kind of this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// The name of a piece.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceId(pub [u8; 32]);

impl fmt::Debug for PieceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "PieceId({a:02x}{b:02x}{c:02x}{d:02x})")
    }
}

/// Gives pieces their names.
pub struct Namer {
    keys: [zeroize::Zeroizing<[u8; 32]>; 4],
}

impl Namer {
    /// The names under this key.
    #[must_use]
    pub fn new(key: &NamingKey) -> Self {
        Self {
            keys: [
                key.derive("skep 2026 piece name v1: data"),
                key.derive("skep 2026 piece name v1: tree"),
                key.derive("skep 2026 piece name v1: list"),
                key.derive("skep 2026 piece name v1: index"),
            ],
        }
    }

    /// The name of a piece with this content.
    #[must_use]
    pub fn name(&self, kind: Kind, plain: &[u8]) -> PieceId {
        PieceId(*blake3::keyed_hash(&self.keys[kind as usize], plain).as_bytes())
    }
}

/// How the bytes of a piece are coded inside its seal. The number is part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Coding {
    /// As they are.
    Stored = 0,
    /// One zstd frame (RFC 8878).
    Zstd = 1,
}

/// The coded bytes are not what the index says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the piece does not decompress to its length")]
pub struct BadCoding;

/// Compresses pieces, one after the other.
pub struct Encoder {
    zstd: Compressor<'static>,
    buffer: Vec<u8>,
}

impl Encoder {
    /// With buffers for one piece.
    ///
    /// # Panics
    /// When memory is short.
    #[must_use]
    pub fn new() -> Self {
        Self {
            zstd: Compressor::new(LEVEL).expect("the level exists"),
            buffer: Vec::with_capacity(zstd::zstd_safe::compress_bound(MAX_PIECE_BYTES)),
        }
    }

    /// The shorter of `plain` and what zstd makes of it. What looks incompressible is only probed.
    pub fn encode<'a>(&'a mut self, plain: &'a [u8]) -> (Coding, &'a [u8]) {
        if self.is_hopeless(plain) || !self.shrinks(plain, plain.len()) {
            return (Coding::Stored, plain);
        }
        (Coding::Zstd, &self.buffer)
    }

    /// Whether a sample of a long piece does not get at least 1/32 shorter.
    fn is_hopeless(&mut self, plain: &[u8]) -> bool {
        if plain.len() < PROBE_FROM_BYTES {
            return false;
        }
        let start = (plain.len() - PROBE_BYTES) / 2;
        !self.shrinks(&plain[start..][..PROBE_BYTES], PROBE_BYTES - PROBE_BYTES / 32)
    }

    /// Compresses into the buffer; whether it is shorter than `limit`.
    fn shrinks(&mut self, plain: &[u8], limit: usize) -> bool {
        self.buffer.clear();
        self.buffer.reserve(zstd::zstd_safe::compress_bound(plain.len()));
        let written = self.zstd.compress_to_buffer(plain, &mut self.buffer);
        written.is_ok_and(|len| len < limit)
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Decompresses pieces, one after the other.
pub struct Decoder(Decompressor<'static>);

impl Decoder {
    /// With the tables of zstd.
    ///
    /// # Panics
    /// When memory is short.
    #[must_use]
    pub fn new() -> Self {
        Self(Decompressor::new().expect("memory for zstd's tables"))
    }

    /// The `len` bytes of a piece. Never allocates more than `len`, whatever the frame claims.
    ///
    /// # Errors
    /// [`BadCoding`] when it is not exactly so many, or more than a piece may have.
    pub fn decode(&mut self, coding: Coding, coded: &[u8], len: usize) -> Result<Vec<u8>, BadCoding> {
        if len > MAX_PIECE_BYTES {
            return Err(BadCoding);
        }
        let plain = match coding {
            Coding::Stored => coded.to_vec(),
            Coding::Zstd => self.0.decompress(coded, len).map_err(|_| BadCoding)?,
        };
        if plain.len() == len {
            Ok(plain)
        } else {
            Err(BadCoding)
        }
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::{RngCore, SeedableRng, rngs::SmallRng};
    use zeroize::Zeroizing;

    use super::*;

    fn namer(n: u8) -> Namer {
        Namer::new(&NamingKey::new(Zeroizing::new([n; 32])))
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        SmallRng::seed_from_u64(1).fill_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn names_depend_on_content_kind_and_key() {
        let names = [
            namer(1).name(Kind::Data, b"a"),
            namer(1).name(Kind::Tree, b"a"),
            namer(1).name(Kind::Data, b"b"),
            namer(2).name(Kind::Data, b"a"),
        ];
        for (i, name) in names.iter().enumerate() {
            assert!(!names[..i].contains(name));
        }
        assert_eq!(names[0], namer(1).name(Kind::Data, b"a"));
        assert_eq!(
            data_encoding::HEXLOWER.encode(&names[0].0),
            include_str!("golden/piece_name.hex").trim()
        );
    }

    #[test]
    fn what_looks_incompressible_is_only_probed() {
        let mut encoder = Encoder::new();
        // Noise in the middle, where it is probed, and zeroes around it.
        let padded = |len: usize| [vec![0; len / 2], noise(PROBE_BYTES), vec![0; len / 2]].concat();
        let (long, short) = (padded(PROBE_FROM_BYTES), padded(PROBE_FROM_BYTES / 2));
        assert_eq!(encoder.encode(&long), (Coding::Stored, &long[..]));
        assert_eq!(
            encoder.encode(&short).0,
            Coding::Zstd,
            "short ones are not probed"
        );
    }

    #[test]
    fn kinds_have_numbers() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_number(kind as u8), Some(kind));
        }
        assert_eq!(Kind::from_number(4), None);
    }

    #[test]
    fn noise_is_stored_and_text_is_compressed() {
        let mut encoder = Encoder::new();
        for len in [0, 1, 100, PROBE_FROM_BYTES, MAX_PIECE_BYTES] {
            let plain = noise(len);
            assert_eq!(encoder.encode(&plain), (Coding::Stored, &plain[..]), "{len}");
        }
        let text = b"all work and no play ".repeat(1000);
        let (coding, coded) = encoder.encode(&text);
        assert_eq!(coding, Coding::Zstd);
        assert!(coded.len() < 200);
    }

    #[test]
    fn a_bomb_costs_no_more_than_its_length() {
        let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 1).unwrap();
        assert!(bomb.len() < 16 << 10);
        for len in [
            0,
            1,
            1000,
            MAX_PIECE_BYTES,
            MAX_PIECE_BYTES + 1,
            64 << 20,
            usize::MAX,
        ] {
            assert_eq!(
                Decoder::new().decode(Coding::Zstd, &bomb, len),
                Err(BadCoding),
                "{len}"
            );
        }
    }

    #[test]
    fn another_length_is_refused() {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new());
        let plain = [7; 1000];
        let (coding, coded) = encoder.encode(&plain);
        for len in [0, 999, 1001, 4000] {
            assert_eq!(decoder.decode(coding, coded, len), Err(BadCoding), "{len}");
            assert_eq!(
                decoder.decode(Coding::Stored, &plain, len),
                Err(BadCoding),
                "{len}"
            );
        }
        assert_eq!(decoder.decode(coding, coded, 1000).unwrap(), plain);
    }

    proptest! {
        #[test]
        fn coding_is_undone(plain in prop::collection::vec(0u8..4, 0..5000), level in 0usize..40_000) {
            let mut plain = plain;
            plain.extend(noise(level));
            let mut encoder = Encoder::new();
            let (coding, coded) = encoder.encode(&plain);
            prop_assert!(coded.len() <= plain.len());
            let read = Decoder::new().decode(coding, coded, plain.len());
            prop_assert_eq!(read.unwrap(), plain);
        }

        #[test]
        fn rubbish_is_refused(coded in prop::collection::vec(any::<u8>(), 0..300), len in 0usize..5000) {
            if let Ok(plain) = Decoder::new().decode(Coding::Zstd, &coded, len) {
                prop_assert_eq!(plain.len(), len);
            }
        }
    }
}
