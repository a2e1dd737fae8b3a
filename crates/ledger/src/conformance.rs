//! The suite that every implementation of [`FactStore`] runs in its tests.
//!
//! It checks what the contract says short of crashes, which need a disk that can crash.

use std::{collections::BTreeMap, sync::Arc};

use crate::store::{
    BATCH_CHANGES, Change, CommitError, Epoch, FactStore, Head, KEY_BYTES, Revision, VALUE_BYTES,
};

/// Opens one store, each time it is called: what was committed before must be there again.
pub type Reopen = Box<dyn FnMut() -> Arc<dyn FactStore>>;

type Facts = BTreeMap<Vec<u8>, Vec<u8>>;

/// Runs all checks. `fresh` makes an empty store and returns how to open it; a store that was
/// opened is dropped before it is opened again.
///
/// # Panics
/// When the implementation breaks the contract.
pub fn run(mut fresh: impl FnMut() -> Reopen) {
    for check in CHECKS {
        check(fresh());
    }
}

const CHECKS: &[fn(Reopen)] = &[
    an_empty_store_is_at_the_start,
    a_batch_is_there_after_reopening,
    the_last_change_of_a_key_wins,
    a_stale_revision_is_refused,
    a_lower_epoch_is_fenced,
    an_empty_batch_takes_the_epoch,
    facts_come_ascending_by_key,
    the_largest_keys_and_values_fit,
    a_bad_batch_is_refused_whole,
    a_batch_of_the_most_changes_fits,
    commits_from_many_threads_take_turns,
    a_long_history_matches_a_model,
];

/// A change that sets `key`.
#[must_use]
pub fn set(key: &[u8], value: &[u8]) -> Change {
    Change {
        key: key.to_vec(),
        value: Some(value.to_vec()),
    }
}

/// A change that removes `key`.
#[must_use]
pub fn unset(key: &[u8]) -> Change {
    Change {
        key: key.to_vec(),
        value: None,
    }
}

/// Everything in a store.
///
/// # Panics
/// When it cannot be loaded, or a key comes twice or out of order.
#[must_use]
pub fn dump(store: &dyn FactStore) -> (Head, Facts) {
    let mut facts = Facts::new();
    let head = store
        .load(&mut |key, value| {
            assert!(
                facts
                    .last_key_value()
                    .is_none_or(|(last, _)| last.as_slice() < key)
            );
            facts.insert(key.to_vec(), value.to_vec());
        })
        .expect("a whole store loads");
    (head, facts)
}

fn head(epoch: u64, revision: u64) -> Head {
    Head {
        epoch: Epoch(epoch),
        revision: Revision(revision),
    }
}

fn commit(store: &dyn FactStore, revision: u64, batch: &[Change]) {
    let next = store.commit(Epoch(1), Revision(revision), batch);
    assert_eq!(next.expect("a good batch is committed"), Revision(revision + 1));
}

fn an_empty_store_is_at_the_start(mut open: Reopen) {
    assert_eq!(dump(&*open()), (head(0, 0), Facts::new()));
    assert_eq!(dump(&*open()), (head(0, 0), Facts::new()));
}

fn a_batch_is_there_after_reopening(mut open: Reopen) {
    commit(&*open(), 0, &[set(b"a", b"1"), set(b"b", b"2"), set(b"c", b"")]);
    commit(&*open(), 1, &[unset(b"a"), set(b"b", b"3"), unset(b"never")]);
    let facts = Facts::from([(b"b".to_vec(), b"3".to_vec()), (b"c".to_vec(), Vec::new())]);
    assert_eq!(dump(&*open()), (head(1, 2), facts));
}

fn the_last_change_of_a_key_wins(mut open: Reopen) {
    let store = open();
    commit(
        &*store,
        0,
        &[
            set(b"a", b"1"),
            unset(b"a"),
            set(b"b", b"1"),
            set(b"b", b"2"),
            unset(b"c"),
        ],
    );
    assert_eq!(dump(&*store).1, Facts::from([(b"b".to_vec(), b"2".to_vec())]));
}

fn a_stale_revision_is_refused(mut open: Reopen) {
    let store = open();
    commit(&*store, 0, &[set(b"a", b"1")]);
    for wrong in [0, 2, u64::MAX] {
        let refused = store.commit(Epoch(1), Revision(wrong), &[set(b"a", b"2")]);
        let Err(CommitError::Stale { expected, current }) = refused else {
            panic!("not refused as stale: {refused:?}")
        };
        assert_eq!((expected, current), (Revision(wrong), Revision(1)));
    }
    assert_eq!(dump(&*store).1, Facts::from([(b"a".to_vec(), b"1".to_vec())]));
}

fn a_lower_epoch_is_fenced(mut open: Reopen) {
    let store = open();
    store
        .commit(Epoch(5), Revision(0), &[set(b"a", b"1")])
        .expect("a higher epoch is taken over");
    // Fenced goes before stale: a writer that was replaced must learn that.
    for revision in [0, 1] {
        let refused = store.commit(Epoch(4), Revision(revision), &[set(b"a", b"2")]);
        let Err(CommitError::Fenced { given, current }) = refused else {
            panic!("not fenced: {refused:?}")
        };
        assert_eq!((given, current), (Epoch(4), Epoch(5)));
    }
    drop(store);
    assert_eq!(
        dump(&*open()),
        (head(5, 1), Facts::from([(b"a".to_vec(), b"1".to_vec())]))
    );
}

fn an_empty_batch_takes_the_epoch(mut open: Reopen) {
    let store = open();
    store
        .commit(Epoch(7), Revision(0), &[])
        .expect("an empty batch is a commit");
    assert!(matches!(
        store.commit(Epoch(6), Revision(1), &[]),
        Err(CommitError::Fenced { .. })
    ));
    drop(store);
    assert_eq!(dump(&*open()), (head(7, 1), Facts::new()));
}

fn facts_come_ascending_by_key(mut open: Reopen) {
    let store = open();
    let keys: [&[u8]; 6] = [b"b", b"a\xff", b"a", b"a\0", b"\xff", b"\0"];
    let batch: Vec<Change> = keys.iter().map(|key| set(key, b"x")).collect();
    commit(&*store, 0, &batch);
    assert_eq!(dump(&*store).1.len(), keys.len());
}

fn the_largest_keys_and_values_fit(mut open: Reopen) {
    let (key, value) = (vec![7; KEY_BYTES], vec![9; VALUE_BYTES]);
    commit(&*open(), 0, &[set(&key, &value)]);
    assert_eq!(dump(&*open()).1, Facts::from([(key, value)]));
}

fn a_bad_batch_is_refused_whole(mut open: Reopen) {
    let store = open();
    let bad = [
        vec![set(b"a", b"1"), set(b"", b"1")],
        vec![set(b"a", b"1"), set(&[7; KEY_BYTES + 1], b"1")],
        vec![set(b"a", b"1"), set(b"b", &vec![0; VALUE_BYTES + 1])],
        vec![unset(b"a"); BATCH_CHANGES + 1],
        vec![set(b"a", &vec![0; VALUE_BYTES]); 17],
    ];
    for batch in bad {
        let refused = store.commit(Epoch(1), Revision(0), &batch);
        assert!(matches!(refused, Err(CommitError::BadBatch(_))), "{refused:?}");
    }
    assert_eq!(dump(&*store), (head(0, 0), Facts::new()));
}

fn a_batch_of_the_most_changes_fits(mut open: Reopen) {
    let keys = (0..BATCH_CHANGES as u64).map(u64::to_be_bytes);
    let batch: Vec<Change> = keys.clone().map(|key| set(&key, b"some value")).collect();
    commit(&*open(), 0, &batch);
    assert_eq!(dump(&*open()).1.len(), BATCH_CHANGES);
    let batch: Vec<Change> = keys.map(|key| unset(&key)).collect();
    commit(&*open(), 1, &batch);
    assert_eq!(dump(&*open()), (head(1, 2), Facts::new()));
}

fn commits_from_many_threads_take_turns(mut open: Reopen) {
    const THREADS: u8 = 4;
    const COMMITS: u8 = 8;
    let store = open();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &*store;
            scope.spawn(move || (0..COMMITS).for_each(|n| commit_when_free(store, &[thread, n])));
        }
    });
    let (head, facts) = dump(&*store);
    let commits = u64::from(THREADS) * u64::from(COMMITS);
    assert_eq!((head.revision, facts.len() as u64), (Revision(commits), commits));
}

/// Commits one fact on whatever revision the store has.
fn commit_when_free(store: &dyn FactStore, key: &[u8]) {
    let mut revision = Revision(0);
    loop {
        match store.commit(Epoch(1), revision, &[set(key, b"x")]) {
            Ok(_) => return,
            Err(CommitError::Stale { current, .. }) => revision = current,
            Err(e) => panic!("not committed: {e}"),
        }
    }
}

fn a_long_history_matches_a_model(mut open: Reopen) {
    let mut model = Facts::new();
    let mut store = open();
    for revision in 0..200_u64 {
        let batch = history(revision);
        commit(&*store, revision, &batch);
        for change in batch {
            match change.value {
                Some(value) => model.insert(change.key, value),
                None => model.remove(&change.key),
            };
        }
        if revision % 50 == 49 {
            drop(store);
            store = open();
            assert_eq!(dump(&*store), (head(1, revision + 1), model.clone()));
        }
    }
}

/// Some sets and removals, among 64 keys, that follow from the revision alone.
fn history(revision: u64) -> Vec<Change> {
    let mixed = (revision + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (0..mixed % 7)
        .map(|n| {
            let pick = mixed.rotate_left(8 * u32::try_from(n).expect("below 7"));
            let key = [(pick % 64) as u8];
            let length = (pick >> 8) as usize % 5000;
            if pick & (1 << 40) == 0 {
                set(&key, &vec![key[0]; length])
            } else {
                unset(&key)
            }
        })
        .collect()
}
