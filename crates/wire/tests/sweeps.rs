//! No bytes make a parser panic, and what a parser accepts it encodes to what it accepts again.

mod examples;

use proptest::prelude::*;
use skep_wire::{BlobId, RelPath, chunk::Check, frame::Header, message, outline, proof};

use crate::examples::Example;

/// What every parser must do with any bytes.
fn judge(example: &Example, bytes: &[u8]) {
    let Some(once) = (example.recode)(bytes) else {
        return;
    };
    let twice = (example.recode)(&once);
    assert_eq!(twice.as_deref(), Some(&once[..]), "{}", example.name);
}

/// The interesting values of a length or a count: 0, -1, MAX, as varint and as fixed bytes.
const NUMBERS: [&[u8]; 8] = [
    &[0],
    &[0x7f],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
    &[0x80, 0x80, 0x80, 0x80, 0x08],
    &[0xff; 32],
    &[0x80, 0x00],
];

#[test]
fn cut_and_lengthened_examples_are_nothing() {
    for example in examples::all() {
        for end in 0..example.bytes.len() {
            assert_eq!(
                (example.recode)(&example.bytes[..end]),
                None,
                "{} {end}",
                example.name
            );
        }
        let longer = [&example.bytes[..], &[0]].concat();
        assert_eq!((example.recode)(&longer), None, "{}", example.name);
    }
}

#[test]
fn a_number_of_every_kind_at_every_place() {
    for example in examples::all() {
        for at in 0..example.bytes.len() {
            for number in NUMBERS {
                let (before, after) = example.bytes.split_at(at);
                judge(&example, &[before, number, &after[1..]].concat());
                judge(&example, &[before, number, after].concat());
            }
        }
    }
}

#[test]
fn hashes_of_the_wrong_length_are_no_message() {
    for len in [0, 1, 31, 33, 64] {
        for kind in [
            message_kind("Lookup"),
            message_kind("WantHave"),
            message_kind("Introduce"),
        ] {
            let shown = message::describe(kind, &vec![7; len]);
            assert!(shown.ends_with("cannot be read"), "{len}: {shown}");
        }
    }
}

fn message_kind(name: &str) -> u16 {
    message::all()
        .find(|(_, known, _)| *known == name)
        .expect("a name of the table")
        .0
}

#[test]
fn a_body_over_its_limit_is_malformed_before_it_is_read() {
    for (kind, name, limit) in message::all() {
        assert_eq!(message::limit(*kind), Some(*limit));
        assert_eq!(message::name(*kind), *name);
        let shown = message::describe(*kind, &vec![0; *limit as usize + 1]);
        assert!(shown.ends_with("cannot be read"), "{name}: {shown}");
    }
    assert_eq!((message::limit(0x7fff), message::name(0x7fff)), (None, "?"));
}

#[test]
fn numbers_and_names_are_not_used_twice() {
    for (at, (kind, name, _)) in message::all().enumerate() {
        for (later, other, _) in message::all().skip(at + 1) {
            assert!(kind < later && name != other, "{name} {other}");
        }
        assert!(![message::SEGMENT, message::SEGMENT_LAST].contains(kind));
    }
}

proptest! {
    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for example in examples::all() {
            judge(&example, &bytes);
        }
        let _ = String::from_utf8_lossy(&bytes).parse::<RelPath>();
        if let Some(head) = bytes.first_chunk() {
            prop_assert_eq!(Header::decode(*head).encode(), *head);
        }
    }

    #[test]
    fn mutated_examples(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        for example in examples::all() {
            let mut bytes = example.bytes.clone();
            if bytes.is_empty() {
                continue;
            }
            for (at, byte) in &edits {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            judge(&example, &bytes);
        }
    }

    #[test]
    fn random_pages_and_proofs(
        size in any::<u64>(),
        number in any::<u64>(),
        leaves in prop::collection::vec(any::<[u8; 32]>(), 0..4),
        units in any::<(u64, u64)>(),
        len in any::<u32>(),
    ) {
        let message = message::OutlinePage { leaves: leaves.clone(), path: leaves.clone() };
        for number in [number, number % outline::page_count(size).max(1)] {
            prop_assert!(outline::verify_page(BlobId([1; 32]), size, number, message.clone().into()).is_err());
        }
        let check = Check::Whole { id: BlobId([1; 32]), len };
        let units = units.0..units.1;
        let bytes = leaves.concat();
        prop_assert!(proof::verify(&check, &units, &leaves, &bytes).is_err());
        prop_assert!(proof::prove(&check, &bytes, &units).is_err() || bytes.len() == len as usize);
    }
}
