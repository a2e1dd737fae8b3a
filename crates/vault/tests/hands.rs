//! Many threads seal one backup together.

#![allow(clippy::unwrap_used)] // all of it is test

use std::{
    collections::HashSet,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use skep_vault::{
    Index, Kind, Owner, Phrase, Sealer,
    pack::{self, Sealed},
    sealer::Keys,
};

fn noise(len: usize, n: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[n]).finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn many_hands_store_everything_once() {
    let ring = Owner::new(&Phrase::from_entropy([7; 32])).ring(1);
    let keys = Keys {
        naming: ring.naming(),
        epoch: 1,
        key: ring.epoch(1).unwrap(),
    };
    let (known, salts) = (Index::new(), AtomicU64::new(0));
    let sealed: Mutex<Vec<Sealed>> = Mutex::default();
    let entropy = || *blake3::hash(&salts.fetch_add(1, Ordering::SeqCst).to_le_bytes()).as_bytes();
    let out = |pack| sealed.lock().unwrap().push(pack);
    let sealer = Sealer::new(keys, &known, &entropy, &out);
    thread::scope(|scope| {
        for n in 0..4 {
            let sealer = &sealer;
            scope.spawn(move || {
                let mut hand = sealer.hand();
                // 4 MiB that all have, and 4 MiB of its own.
                for seed in [100, n] {
                    hand.content(Kind::Data, &noise(4 << 20, seed)).unwrap();
                }
            });
        }
    });
    sealer.flush();
    assert_eq!(sealer.new_bytes(), 20 << 20);
    let sealed = sealed.lock().unwrap();
    assert_eq!(sealed.len(), 2);
    let mut names = HashSet::new();
    for sealed in sealed.iter() {
        assert_eq!(
            pack::open_contents(&sealed.bytes, &ring).unwrap(),
            sealed.contents
        );
        for entry in &sealed.contents.entries {
            assert!(names.insert(entry.id), "stored twice");
        }
    }
}
