//! Messages held against bytes that were written by hand, and against anything else.

use proptest::prelude::*;
use skep_wire::hostile;

use super::*;

const HEX: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn listing() -> Listing {
    Listing {
        file_size: 70_000,
        name: FileName::parse("lorem.txt").unwrap(),
        seeder: "127.0.0.1:9001".parse().unwrap(),
        hash: FileHash::from_hex(HEX).unwrap(),
    }
}

/// Written by hand from the document's table: number of bytes, then the bytes.
fn golden(parts: &[(usize, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (bytes, start) in parts {
        let end = out.len() + bytes;
        out.extend(*start);
        out.resize(end, 0);
    }
    out
}

const SIZE: (usize, &[u8]) = (4, &[0, 1, 0x11, 0x70]);
const NAME: (usize, &[u8]) = (20, b"lorem.txt");
const IP: (usize, &[u8]) = (16, b"127.0.0.1");
const PORT: (usize, &[u8]) = (2, &[0x23, 0x29]);
const HASH: (usize, &[u8]) = (64, HEX);

fn all() -> Vec<(Message<'static>, Vec<u8>)> {
    let Listing {
        file_size,
        name,
        seeder,
        hash,
    } = listing();
    let kind = |kind: &'static [u8; 2]| (2, &kind[..]);
    vec![
        (
            Message::Register(listing()),
            golden(&[kind(&[0, 0]), SIZE, NAME, IP, PORT, HASH]),
        ),
        (
            Message::Confirm {
                file_size,
                name: name.clone(),
                index: seeder,
            },
            golden(&[kind(&[0, 1]), SIZE, NAME, IP, PORT]),
        ),
        (
            Message::Acknowledge(listing()),
            golden(&[kind(&[0, 2]), SIZE, NAME, IP, PORT, HASH]),
        ),
        (
            Message::Found {
                name: name.clone(),
                seeder,
                hash,
            },
            golden(&[kind(&[0, 3]), NAME, IP, PORT, HASH]),
        ),
        (Message::NotFound, golden(&[kind(&[0, 4])])),
        (
            Message::Request {
                name,
                leecher: seeder,
            },
            golden(&[kind(&[0, 5]), NAME, IP, PORT]),
        ),
        (
            Message::Data(Segment {
                of: listing(),
                number: 8,
                segment_size: 4464,
                data: &[7; 8192],
            }),
            golden(&[
                kind(&[0, 6]),
                SIZE,
                NAME,
                (4, &[0, 0, 0x11, 0x70]),
                (4, &[0, 0, 0, 8]),
                IP,
                PORT,
                HASH,
                (8192, &[7; 8192]),
            ]),
        ),
    ]
}

#[test]
fn every_message_has_the_bytes_of_the_document() {
    for (message, bytes) in all() {
        assert_eq!(message.encode(), bytes, "{message}");
        assert_eq!(Message::decode(&bytes), Ok(message.clone()), "{message}");
        assert_eq!(message_bytes(message.kind(), SEGMENT_BYTES), Ok(bytes.len()));
    }
    assert_eq!(message_bytes(6, 8000), Ok(8116));
    assert_eq!(message_bytes(7, 8192), Err(BadMessage::Kind(7)));
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    for (message, bytes) in all().into_iter().filter(|(message, _)| message.kind() != 6) {
        for end in 0..bytes.len() {
            assert!(Message::decode(&bytes[..end]).is_err(), "{message} cut to {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Message::decode(&longer), Err(BadMessage::Length), "{message}");
    }
}

#[test]
fn a_full_field_has_no_nul() {
    let mut full = listing();
    full.name = FileName::parse("12345678901234567890").unwrap();
    full.seeder = "255.255.255.255:65535".parse().unwrap();
    let message = Message::Register(full);
    assert_eq!(Message::decode(&message.encode()), Ok(message.clone()));
    assert_eq!(
        FileName::parse("123456789012345678901"),
        Err(BadMessage::LongName)
    );
}

#[test]
fn what_follows_a_nul_is_ignored_and_digits_may_be_capital() {
    let (_, mut bytes) = all().swap_remove(0);
    bytes[6 + 10..26].fill(b'x');
    bytes[26 + 10..42].fill(0xff);
    bytes[44..108].make_ascii_uppercase();
    assert_eq!(Message::decode(&bytes), Ok(Message::Register(listing())));
}

#[test]
fn hostile_names_are_no_names() {
    for text in hostile::components() {
        assert!(FileName::parse(&text).is_err(), "{text:.40?}");
    }
    for text in hostile::paths() {
        assert!(FileName::parse(&text).is_err(), "{text:.40?}");
    }
}

#[test]
fn bad_addresses_and_hashes_are_refused() {
    let (_, bytes) = all().swap_remove(0);
    let with = |at: usize, what: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + what.len()].copy_from_slice(what);
        Message::decode(&bytes).unwrap_err()
    };
    assert_eq!(with(26, b"127.0.0.256"), BadMessage::Address);
    assert_eq!(with(26, b"\0"), BadMessage::Address);
    assert_eq!(with(42, &[0, 0]), BadMessage::Address);
    assert_eq!(with(44, b"x"), BadMessage::Hash);
    assert_eq!(with(107, b"\0"), BadMessage::Hash);
}

#[test]
fn the_journal_tells_every_message_in_a_line() {
    let listed = format!("lorem.txt 70000 bytes at 127.0.0.1:9001 {}", listing().hash);
    let told = [
        format!("REGISTER {listed}"),
        "REGISTER_CONF lorem.txt 70000 bytes, index 127.0.0.1:9001".into(),
        format!("REGISTER_ACK {listed}"),
        format!("FILE_FOUND lorem.txt at 127.0.0.1:9001 {}", listing().hash),
        "ERR_FILE_NOT_FOUND".into(),
        "REQ_FILE lorem.txt to 127.0.0.1:9001".into(),
        "DATA lorem.txt segment 8, 4464 of 70000 bytes".into(),
    ];
    assert_eq!(
        all()
            .iter()
            .map(|(message, _)| message.to_string())
            .collect::<Vec<_>>(),
        told
    );
    assert_eq!(format!("{:?}", listing().hash), listing().hash.to_string());
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = Message::decode(&bytes) {
            let _ = message.to_string();
        }
    }

    /// What was read is written so that it is read as the same again.
    #[test]
    fn flipped_bytes_are_read_or_refused(which in 0..7_usize, at in 0..116_usize, to: u8) {
        let (_, mut bytes) = all().swap_remove(which);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = to;
        }
        if let Ok(message) = Message::decode(&bytes) {
            let again = message.encode();
            prop_assert_eq!(again.len(), bytes.len());
            prop_assert_eq!(Message::decode(&again), Ok(message));
        }
    }
}
