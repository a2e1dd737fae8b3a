//! A ledger on a disk that fails, fills up and loses power, at every operation it does.
//!
//! The model is a list of the facts after each commit. After any trouble the ledger opens, and has
//! all commits that were acknowledged: exactly these, or the one that was under way besides.

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::{collections::BTreeMap, ops::Range, path::Path};

use skep_ledger::{
    Change, CommitError, Epoch, FactStore, OpenError, Redb, Revision,
    conformance::{dump, set, unset},
};
use skep_wire::RelPath;
use skep_world::{
    Disk as _,
    simulated::{Crash, Disk, Fault},
};

const COMMITS: u64 = 8;
const HOME: &str = "/home";

type Facts = BTreeMap<Vec<u8>, Vec<u8>>;

fn open(disk: &Disk) -> Result<Redb, OpenError> {
    let name = RelPath::parse("ledger").unwrap();
    let dir = disk.dir(Path::new(HOME)).map_err(|source| OpenError::Io {
        path: HOME.to_owned(),
        source,
    })?;
    Redb::open(dir, &name, 1 << 20)
}

/// The changes of each commit: small ones, large ones, removals.
fn batch(revision: u64) -> Vec<Change> {
    let size = if revision % 3 == 1 { 9000 } else { 20 };
    let mut changes: Vec<_> = (0..4)
        .map(|n| set(&[n, (revision % 4) as u8], &vec![revision as u8; size]))
        .collect();
    changes.push(unset(&[1, (revision % 3) as u8]));
    changes
}

/// The facts after 0, 1, 2... commits.
fn model() -> Vec<Facts> {
    let mut states = vec![Facts::new()];
    for revision in 0..COMMITS {
        let mut facts = states.last().unwrap().clone();
        for Change { key, value } in batch(revision) {
            match value {
                Some(value) => facts.insert(key, value),
                None => facts.remove(&key),
            };
        }
        states.push(facts);
    }
    states
}

/// Opens and commits until something fails. Returns how many commits were acknowledged.
fn work(disk: &Disk) -> u64 {
    let Ok(store) = open(disk) else {
        return 0;
    };
    let first = dump(&store).0.revision.0;
    let acknowledged = (first..COMMITS).take_while(|&revision| {
        store
            .commit(Epoch(1), Revision(revision), &batch(revision))
            .is_ok()
    });
    first + acknowledged.count() as u64
}

/// A disk with the folder on it.
fn disk() -> Disk {
    let disk = Disk::new();
    disk.make_dir(Path::new(HOME)).unwrap();
    disk
}

/// What the ledger has after trouble: all that was acknowledged, and at most one commit more.
fn check(disk: &Disk, acknowledged: u64, states: &[Facts], story: &str) -> u64 {
    let store = open(disk).unwrap_or_else(|e| panic!("{story}: {e}"));
    let (head, facts) = dump(&store);
    let found = head.revision.0;
    assert!(
        (acknowledged..=acknowledged + 1).contains(&found),
        "{story}: {found}, not {acknowledged}"
    );
    assert_eq!(facts, states[usize::try_from(found).unwrap()], "{story}");
    found
}

/// How many operations the whole work takes, from the first on.
fn operations() -> Range<u64> {
    let disk = disk();
    let first = disk.operations();
    assert_eq!(work(&disk), COMMITS);
    first..disk.operations()
}

#[test]
fn whenever_the_machine_dies_the_acknowledged_is_there() {
    let (states, operations) = (model(), operations());
    for last in operations {
        for crash in [
            Crash::Kill,
            Crash::Power,
            Crash::TornPower(last),
            Crash::TornPower(!last),
        ] {
            let disk = disk();
            disk.fail(last..u64::MAX, Fault::Io);
            let acknowledged = work(&disk);
            disk.heal();
            disk.crash(crash);
            let story = format!("{crash:?} at operation {last}");
            check(&disk, acknowledged, &states, &story);
            assert_eq!(work(&disk), COMMITS, "{story}: no way on");
        }
    }
}

#[test]
fn dying_again_while_the_ledger_opens_loses_nothing() {
    let (states, operations) = (model(), operations());
    for last in operations.step_by(11) {
        for again in (1..60).step_by(3) {
            let disk = disk();
            disk.fail(last..u64::MAX, Fault::Io);
            let acknowledged = work(&disk);
            disk.heal();
            disk.crash(Crash::TornPower(last + again));
            let now = disk.operations();
            disk.fail(now + again..u64::MAX, Fault::Io);
            drop(open(&disk));
            disk.heal();
            disk.crash(Crash::TornPower(last * again));
            check(
                &disk,
                acknowledged,
                &states,
                &format!("died at {last}, then {again} into opening"),
            );
        }
    }
}

/// One operation fails and the machine goes on: the caller tries the same batch again, or learns
/// that the store is broken and opens it anew.
#[test]
fn one_failed_operation_is_survived() {
    let (states, operations) = (model(), operations());
    for (failed, fault) in operations.flat_map(|n| [(n, Fault::Io), (n, Fault::Full)]) {
        let disk = disk();
        disk.fail(failed..failed + 1, fault);
        let story = format!("{fault:?} at operation {failed}");
        let store = open(&disk)
            .or_else(|_| open(&disk))
            .unwrap_or_else(|e| panic!("{story}: {e}"));
        let acknowledged = commit_all(&store);
        drop(store);
        check(&disk, acknowledged, &states, &story);
        assert_eq!(work(&disk), COMMITS, "{story}: no way on");
    }
}

/// Commits until all is done or the store is broken. Returns how many commits were acknowledged.
fn commit_all(store: &Redb) -> u64 {
    let mut revision = 0;
    let mut failed = 0;
    while revision < COMMITS {
        match store.commit(Epoch(1), Revision(revision), &batch(revision)) {
            Ok(next) => revision = next.0,
            Err(CommitError::Failed(_)) if failed < 3 => failed += 1,
            Err(CommitError::Stale { current, .. }) if failed > 0 && current.0 == revision + 1 => {
                revision += 1
            }
            Err(CommitError::Broken(_)) => {
                let again = store.commit(Epoch(1), Revision(revision), &[]);
                assert!(matches!(again, Err(CommitError::Broken(_))), "{again:?}");
                break;
            }
            Err(e) => panic!("commit {revision}: {e}"),
        }
    }
    revision
}

#[test]
fn a_full_disk_refuses_and_later_takes_the_same_batch() {
    let disk = disk();
    let store = open(&disk).unwrap();
    store.commit(Epoch(1), Revision(0), &[set(b"a", b"1")]).unwrap();
    disk.set_capacity(0);
    let large = [set(b"b", &vec![7; 3 << 20])];
    for _ in 0..3 {
        let refused = store.commit(Epoch(1), Revision(1), &large);
        let Err(CommitError::Failed(e)) = refused else {
            panic!("not refused: {refused:?}")
        };
        assert_eq!(e.kind(), std::io::ErrorKind::StorageFull);
    }
    assert_eq!(dump(&store).1.len(), 1);
    disk.set_capacity(1 << 30);
    assert_eq!(store.commit(Epoch(1), Revision(1), &large).unwrap(), Revision(2));
    drop(store);
    assert_eq!(dump(&open(&disk).unwrap()).1.len(), 2);
}
