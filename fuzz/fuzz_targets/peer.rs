//! What a peer reads beside messages: its catalog, schedules, headers of HTTP, bodies of the local API, and the words of
//! a person. (`patterns` reads what it leaves out of a backup.)
//!
//! Input: a byte that says which of them, then what is in it.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use skep_ledger::{Change, Epoch, FactStore as _, Memory, Revision};
use skep_node::{api::types, catalog::Catalog, fetch::wanted::Wanted, parsers};
use skep_world::simulated::Work;

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    match which % 7 {
        0 => catalog(bytes),
        1 => schedules(bytes),
        2 => ranges(bytes),
        3 => headers(bytes),
        4 => bodies(bytes),
        5 => whens(bytes),
        _ => names(bytes),
    }
});

/// A fact: the key's length in a byte, the key, the value.
fn catalog(bytes: &[u8]) {
    let Some((key, value)) = part(bytes) else {
        return;
    };
    let change = Change {
        key: key.to_vec(),
        value: Some(value.to_vec()),
    };
    let store = Memory::new();
    if store.commit(Epoch(0), Revision(0), &[change]).is_err() {
        return;
    }
    if let Ok(catalog) = Catalog::open(Arc::new(store), Arc::new(Work)) {
        let state = catalog.state();
        assert!(state.held.len() + state.published.len() + state.unfinished.len() <= 1);
    }
}

fn schedules(bytes: &[u8]) {
    for now in [0, 1_800_000_000, u64::MAX] {
        if let Some(first) = parsers::schedules(bytes, now) {
            assert_eq!(parsers::schedules(&first.0, now).as_ref(), Some(&first));
        }
    }
}

fn whens(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for after in [0, 1_800_000_000, u64::MAX] {
        if let Some(first) = parsers::when(text, after) {
            assert_eq!(parsers::when(&first.0, after).as_ref(), Some(&first));
            assert!(first.1 > after || after == u64::MAX);
        }
    }
}

fn ranges(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for size in [0, 1, 1000, u64::MAX] {
        if let Some(range) = parsers::range(text, size) {
            assert!(range.start < range.end && range.end <= size);
        }
    }
}

fn names(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(wanted) = Wanted::parse(text)
    {
        assert!(!wanted.readings.is_empty());
    }
}

/// Three headers, and a token that nobody knows.
fn headers(bytes: &[u8]) {
    let Some((host, rest)) = part(bytes) else {
        return;
    };
    let Some((origin, authorization)) = part(rest) else {
        return;
    };
    let headers = [
        ("host", host),
        ("origin", origin),
        ("authorization", authorization),
    ];
    assert!(!parsers::is_admitted(
        &headers,
        "58a1c5b0f2e94d6d8c3b7a6f5e4d3c2b"
    ));
}

fn bodies(bytes: &[u8]) {
    let _ = serde_json::from_slice::<types::BackupRequest>(bytes);
    let _ = serde_json::from_slice::<types::ScheduleRequest>(bytes);
    let _ = serde_json::from_slice::<types::RestoreRequest>(bytes);
    let _ = serde_json::from_slice::<types::GetRequest>(bytes);
    let _ = serde_json::from_slice::<types::ShareRequest>(bytes);
    let _ = serde_json::from_slice::<types::Event<types::BackupDone>>(bytes);
}

fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}
