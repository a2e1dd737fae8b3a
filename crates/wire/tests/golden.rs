//! The bytes of version 1, committed: what one release wrote, every later one reads and writes alike.
//!
//! With `SKEP_BLESS=1` the file is written anew, which is right only while version 1 is not released,
//! or for examples that are new.

mod examples;

use std::{collections::BTreeSet, path::Path};

use data_encoding::HEXLOWER;
use serde::Serialize;
use skep_wire::{
    BlobId,
    manifest::Node,
    message::{self, Lane, Level, Paper, Presence, Query, Reason},
    record::{Audience, ContentKind, Role},
};

const GOLDEN: &str = include_str!("golden/v1.txt");

/// Name and bytes of each line.
fn golden() -> Vec<(&'static str, Vec<u8>)> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, hex) = line.split_once(':').expect("NAME: HEX");
            (
                name,
                HEXLOWER
                    .decode(hex.trim().as_bytes())
                    .expect("hexadecimal digits"),
            )
        })
        .collect()
}

#[test]
fn examples_encode_to_the_golden_bytes() {
    if std::env::var_os("SKEP_BLESS").is_some() {
        return bless();
    }
    let golden = golden();
    let examples = examples::all();
    assert_eq!(golden.len(), examples.len());
    for ((name, bytes), example) in golden.iter().zip(&examples) {
        assert_eq!((*name, bytes), (example.name, &example.bytes));
    }
}

#[test]
fn golden_bytes_decode_and_encode_to_themselves() {
    for ((name, bytes), example) in golden().into_iter().zip(examples::all()) {
        assert_eq!((example.recode)(&bytes), Some(bytes), "{name}");
    }
}

#[test]
fn every_message_has_an_example() {
    let names: BTreeSet<_> = examples::all().into_iter().map(|example| example.name).collect();
    for (_, name, _) in message::all() {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn variants_keep_their_numbers() {
    fn numbers<T: Serialize>(variants: &[T]) -> Vec<u8> {
        let first = |variant| postcard::to_allocvec(variant).expect("variants encode")[0];
        variants.iter().map(first).collect()
    }
    assert_eq!(numbers(&[Role::Owner, Role::Storage, Role::Both]), [0, 1, 2]);
    assert_eq!(numbers(&[ContentKind::File, ContentKind::Folder]), [0, 1]);
    assert_eq!(numbers(&[Audience::Everyone, Audience::Peers(vec![])]), [0, 1]);
    assert_eq!(numbers(&[Lane::Control, Lane::Talk, Lane::Bulk]), [0, 1, 2]);
    let presence = [Presence::Online, Presence::Offline, Presence::Failed];
    assert_eq!(numbers(&presence), [0, 1, 2]);
    let papers = [Paper::Roster, Paper::Head, Paper::List, Paper::Docket];
    assert_eq!(numbers(&papers), [0, 1, 2, 3]);
    let levels = [Level::Whole, Level::Degraded, Level::AtRisk, Level::Lost];
    assert_eq!(numbers(&levels), [0, 1, 2, 3]);
    let (publisher, name) = (None, "a".parse().expect("a name"));
    let (id, size, executable) = (BlobId([0; 32]), 0, false);
    let queries = [
        Query::All,
        Query::Words(vec![]),
        Query::Name { publisher, name },
        Query::Id(id),
    ];
    assert_eq!(numbers(&queries), [0, 1, 2, 3]);
    assert_eq!(
        numbers(&[Node::Folder, Node::File { size, id, executable }]),
        [0, 1]
    );
}

#[test]
fn reasons_keep_their_numbers() {
    let reasons = [
        Reason::NotAllowed,
        Reason::Revoked,
        Reason::Expired,
        Reason::BadTicket,
        Reason::NameInUse,
        Reason::Full,
        Reason::RoleTooWide,
        Reason::NotFound,
        Reason::Changed,
        Reason::Ambiguous,
        Reason::Stale,
        Reason::NotVerified,
        Reason::Busy,
        Reason::BadRequest,
        Reason::Internal,
        Reason::NoRoom,
    ];
    for (number, reason) in (0..).zip(reasons) {
        assert_eq!(postcard::to_allocvec(&reason), Ok(vec![number]), "{reason:?}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the crate is pure, its golden file must be written by somebody"
)]
fn bless() {
    let mut text =
        String::from("# The bytes of version 1 of the protocol, made by tests/golden.rs. NAME: HEX\n");
    for example in examples::all() {
        let line = format!("{}: {}", example.name, HEXLOWER.encode(&example.bytes));
        text += line.trim_end();
        text += "\n";
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1.txt");
    std::fs::write(path, text).expect("the golden file can be written");
}
