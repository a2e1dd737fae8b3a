//! Packs open for who has the key, in their place, unchanged; and not otherwise.

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::{
    keys::{KeyRing, NamingKey},
    piece::{Decoder, Encoder, MAX_PIECE_BYTES, Namer},
};

fn epoch_key(n: u8) -> EpochKey {
    EpochKey::new(Zeroizing::new([n; 32]))
}

fn naming() -> NamingKey {
    NamingKey::new(Zeroizing::new([1; 32]))
}

fn ring() -> KeyRing {
    let mut ring = KeyRing::new(naming());
    ring.insert(3, epoch_key(3));
    ring
}

fn seal(kind: Kind, salt: u8, pieces: &[Vec<u8>]) -> Sealed {
    let mut writer = Writer::new(kind, 3, &epoch_key(3), Salt::new([salt; 32]));
    let (namer, mut encoder) = (Namer::new(&naming()), Encoder::new());
    for plain in pieces {
        let (coding, coded) = encoder.encode(plain);
        let len = u32::try_from(plain.len()).unwrap();
        writer.push(namer.name(kind, plain), len, coding, coded);
    }
    writer.finish()
}

fn open(pack: &[u8], contents: &Contents, number: u32, at: u32, entry: &Entry) -> Result<Vec<u8>, OpenError> {
    let key = PackKey::of(contents, &ring())?;
    let (at, len) = (at as usize, entry.sealed_len as usize);
    let mut sealed = pack.get(at..at + len).ok_or(OpenError::NotAPack)?.to_vec();
    let (namer, mut decoder) = (Namer::new(&naming()), Decoder::new());
    key.open_piece(contents, number, entry, &mut sealed, &namer, &mut decoder)
}

/// Everything in the pack, by its own contents.
fn read(pack: &[u8]) -> Result<Vec<Vec<u8>>, OpenError> {
    let contents = open_contents(pack, &ring())?;
    let pieces = contents
        .places()
        .map(|(number, at, entry)| open(pack, &contents, number, at, entry));
    pieces.collect()
}

fn small() -> Vec<Vec<u8>> {
    vec![b"one".to_vec(), vec![], vec![7; 900], b"one".to_vec()]
}

#[test]
fn the_bytes_of_version_1() {
    let sealed = seal(Kind::Tree, 9, &small()[..2]);
    let hex = data_encoding::HEXLOWER.encode(&sealed.bytes);
    assert_eq!(hex, include_str!("../golden/pack.hex").trim());
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let good = seal(Kind::Data, 9, &small()).bytes;
    assert_eq!(read(&good).unwrap(), small());
    for byte in 0..good.len() {
        for bit in [0, 7] {
            let mut bad = good.clone();
            bad[byte] ^= 1 << bit;
            assert!(read(&bad).is_err(), "byte {byte}");
        }
    }
    for len in 0..good.len() {
        assert!(read(&good[..len]).is_err(), "{len}");
    }
    let longer = [&good[..], &[0]].concat();
    assert!(read(&longer).is_err());
}

#[test]
fn nothing_opens_in_the_place_of_another() {
    let (a, b) = (seal(Kind::Data, 1, &small()), seal(Kind::Data, 2, &small()));
    let places: Vec<_> = a.contents.places().collect();
    for (number, at, entry) in &places {
        // At its place in the other pack lies the same plaintext, under another salt.
        let swapped = open(&b.bytes, &a.contents, *number, *at, entry);
        assert_eq!(swapped, Err(OpenError::Damaged));
        // The same piece under another number, name, kind, length or coding.
        let wrong_number = open(&a.bytes, &a.contents, number + 1, *at, entry);
        assert_eq!(wrong_number, Err(OpenError::Damaged));
        let mut renamed = **entry;
        renamed.id.0[0] ^= 1;
        let mut resized = **entry;
        resized.len += 1;
        let mut recoded = **entry;
        recoded.coding = if entry.coding == Coding::Zstd {
            Coding::Stored
        } else {
            Coding::Zstd
        };
        for wrong in [renamed, resized, recoded] {
            assert_eq!(
                open(&a.bytes, &a.contents, *number, *at, &wrong),
                Err(OpenError::Damaged)
            );
        }
        let mut other_kind = a.contents.clone();
        other_kind.kind = Kind::Tree;
        assert_eq!(
            open(&a.bytes, &other_kind, *number, *at, entry),
            Err(OpenError::Damaged)
        );
    }
    // Two copies of one piece are under two numbers.
    let ((_, first_at, first), (last_number, ..)) = (places[0], places[3]);
    let doubled = open(&a.bytes, &a.contents, last_number, first_at, first);
    assert_eq!(doubled, Err(OpenError::Damaged));
}

#[test]
fn the_key_of_the_epoch_is_needed_and_the_right_one() {
    let sealed = seal(Kind::Data, 1, &small());
    let mut other = KeyRing::new(naming());
    assert_eq!(open_contents(&sealed.bytes, &other), Err(OpenError::NoKey(3)));
    other.insert(3, epoch_key(4));
    assert_eq!(open_contents(&sealed.bytes, &other), Err(OpenError::Damaged));
    assert_eq!(open_contents(&sealed.bytes, &ring()), Ok(sealed.contents));
}

#[test]
fn a_device_that_lies_about_a_piece_is_found_out() {
    let mut writer = Writer::new(Kind::Data, 3, &epoch_key(3), Salt::new([1; 32]));
    writer.push(PieceId([5; 32]), 3, Coding::Stored, b"lie");
    let name = Namer::new(&naming()).name(Kind::Data, b"longer");
    writer.push(name, 6, Coding::Stored, b"short");
    writer.push(name, 6, Coding::Zstd, b"not zstd");
    let sealed = writer.finish();
    for (number, at, entry) in sealed.contents.places() {
        let opened = open(&sealed.bytes, &sealed.contents, number, at, entry);
        assert_eq!(opened, Err(OpenError::Contradiction), "{number}");
    }
}

#[test]
fn a_full_pack_is_as_long_as_it_may_be() {
    let mut writer = Writer::new(Kind::Data, 3, &epoch_key(3), Salt::new([1; 32]));
    let piece = vec![9; MAX_PIECE_BYTES];
    let len = u32::try_from(MAX_PIECE_BYTES).unwrap();
    while writer.has_room_for(piece.len()) {
        writer.push(PieceId([1; 32]), len, Coding::Stored, &piece);
    }
    let rest = (0..MAX_PIECE_BYTES)
        .rev()
        .find(|len| writer.has_room_for(*len))
        .unwrap();
    writer.push(
        PieceId([2; 32]),
        u32::try_from(rest).unwrap(),
        Coding::Stored,
        &piece[..rest],
    );
    assert!(!writer.has_room_for(0));
    let sealed = writer.finish();
    assert_eq!(sealed.bytes.len(), MAX_PACK_BYTES);
    assert_eq!(open_contents(&sealed.bytes, &ring()), Ok(sealed.contents));
}

#[test]
fn a_pack_has_so_many_pieces_and_no_more() {
    let mut writer = Writer::new(Kind::Data, 3, &epoch_key(3), Salt::new([1; 32]));
    while writer.has_room_for(0) {
        writer.push(PieceId([1; 32]), 0, Coding::Stored, &[]);
    }
    let sealed = writer.finish();
    assert_eq!(sealed.contents.entries.len(), MAX_PIECES);
    assert_eq!(open_contents(&sealed.bytes, &ring()), Ok(sealed.contents));
}

#[test]
fn sizes_are_padded() {
    for len in [0, 1, 100, 5000, 100_000] {
        let bytes = seal(Kind::Data, 1, &[vec![1; len]]).bytes.len() as u64;
        assert_eq!(padme(bytes), bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn sealing_is_undone(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..20),
        kind in 0u8..4,
    ) {
        let sealed = seal(Kind::from_number(kind).unwrap(), 1, &pieces);
        prop_assert_eq!(sealed.id.0, *blake3::hash(&sealed.bytes).as_bytes());
        prop_assert_eq!(open_contents(&sealed.bytes, &ring()), Ok(sealed.contents.clone()));
        prop_assert_eq!(read(&sealed.bytes).unwrap(), pieces);
    }

    #[test]
    fn rubbish_is_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..500), magic: bool) {
        if magic && bytes.len() >= 16 {
            bytes[..8].copy_from_slice(MAGIC);
            bytes[8..16].copy_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0]);
        }
        prop_assert!(open_contents(&bytes, &ring()).is_err());
    }
}
