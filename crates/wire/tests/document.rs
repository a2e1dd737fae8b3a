//! docs/protocol.md says what the code does: every message with its number, limit and fields, every record.

use skep_wire::{
    backup::Permit,
    chunk, manifest, message, outline, path,
    record::{CoordinatorCertificate, Grant, Revocations, ShareRecord},
    signed::Record,
    ticket,
};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");
const MESSAGES: &str = concat!(
    include_str!("../src/message/v1.rs"),
    include_str!("../src/message/backup.rs")
);
const RECORDS: &str = concat!(
    include_str!("../src/record.rs"),
    include_str!("../src/backup/permit.rs")
);

/// 1048576 as people write it: 1,048,576.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The row of a table that begins with these cells.
fn row(cells: &[&str]) -> &'static str {
    let start = format!("| {} |", cells.join(" | "));
    let mut rows = DOCUMENT.lines().filter(|line| line.starts_with(&start));
    let row = rows
        .next()
        .unwrap_or_else(|| panic!("no row begins with {start}"));
    assert_eq!(rows.next(), None, "two rows begin with {start}");
    row
}

/// The names of a struct's fields, out of the source: what stands after `opening`, up to the brace.
fn fields(source: &'static str, opening: &str) -> Vec<&'static str> {
    let at = source
        .find(opening)
        .unwrap_or_else(|| panic!("no {opening} in the source"));
    let body = source[at + opening.len()..]
        .split('}')
        .next()
        .expect("a split has a first part");
    let lines = body.lines().map(|line| line.trim().trim_start_matches("pub "));
    let code = lines.filter(|line| !line.starts_with(['/', '#']));
    code.filter_map(|line| Some(line.split_once(": ")?.0)).collect()
}

/// The row has these fields, in this order, as `name: type`.
fn has_fields(row: &str, fields: &[&str]) {
    let mut rest = row;
    for field in fields {
        let start = format!(" {field}: ");
        let at = rest.find(&start).unwrap_or_else(|| panic!("no {field} in {row}"));
        rest = &rest[at + start.len()..];
    }
}

#[test]
fn every_message_has_its_row() {
    for (kind, name, limit) in message::all() {
        let row = row(&[&format!("{kind:#06x}"), name, &grouped(u64::from(*limit))]);
        has_fields(row, &fields(MESSAGES, &format!(", {name} {{")));
    }
    let limit = grouped(u64::from(message::SEGMENT_BYTES));
    for kind in [message::SEGMENT, message::SEGMENT_LAST] {
        row(&[&format!("{kind:#06x}"), message::name(kind), &limit]);
    }
}

#[test]
fn no_row_is_of_an_unknown_message() {
    for line in DOCUMENT.lines().filter(|line| line.starts_with("| 0x")) {
        let kind = u16::from_str_radix(&line[4..8], 16).expect("four digits");
        assert!(message::limit(kind).is_some(), "{line}");
    }
}

#[test]
fn every_record_has_its_row() {
    fn check<T: Record>(name: &str) {
        let domain = format!("`{}`", T::DOMAIN);
        let row = row(&[name, &domain, &grouped(T::LIMIT as u64)]);
        has_fields(row, &fields(RECORDS, &format!("pub struct {name} {{")));
    }
    check::<Grant>("Grant");
    check::<CoordinatorCertificate>("CoordinatorCertificate");
    check::<Revocations>("Revocations");
    check::<ShareRecord>("ShareRecord");
    check::<Permit>("Permit");
}

#[test]
fn every_reason_has_its_number() {
    for number in 0..16u8 {
        let reason: message::Reason = postcard::from_bytes(&[number]).expect("a reason");
        row(&[&number.to_string(), &format!("{reason:?}")]);
    }
    assert!(postcard::from_bytes::<message::Reason>(&[16]).is_err());
}

#[test]
fn the_other_limits_are_those_of_the_code() {
    let unknown = grouped(u64::from(message::UNKNOWN_LIMIT));
    row(&[
        "body of an unknown type that is read and dropped",
        &format!("{unknown} bytes"),
    ]);
    row(&["a chunk", &format!("{} bytes", grouped(chunk::CHUNK_BYTES))]);
    row(&[
        "a page of an outline",
        &format!("{} hashes", grouped(outline::PAGE_CHUNKS)),
    ]);
    let [path_bytes, component] =
        [path::MAX_PATH_BYTES, path::MAX_COMPONENT_BYTES].map(|n| grouped(n as u64));
    row(&[
        "a path, a component of it",
        &format!("{path_bytes} bytes, {component} bytes"),
    ]);
    row(&[
        "a ticket or link as text",
        &format!("{} characters", grouped(ticket::MAX_TEXT as u64)),
    ]);
    row(&[
        "addresses in a ticket",
        &format!("1 to {}", ticket::MAX_COORDINATORS),
    ]);
    assert_eq!(
        (manifest::MAX_MANIFEST_BYTES, manifest::MAX_ENTRIES),
        (1 << 30, 1 << 22)
    );
    row(&[
        "a manifest",
        "2^30 bytes, 2^22 entries, 2^63 - 1 bytes in all files",
    ]);
    assert_eq!(manifest::MAX_TOTAL_BYTES, (1 << 63) - 1);
}
