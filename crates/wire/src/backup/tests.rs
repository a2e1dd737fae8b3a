//! Who may say what, and the limits of what is said.

use super::*;
use crate::key::SigningKey;

const OWNER: OwnerId = OwnerId([9; 32]);

fn key(n: u8) -> SigningKey {
    SigningKey::from_seed([n; 32])
}

fn device(n: u8, rights: Rights) -> Device {
    Device {
        peer: key(n).peer_id(),
        sealing: [n; 32],
        rights,
        keys: vec![n; 100],
    }
}

/// Device 1 may do anything, 2 only write, 3 is retired with two heads.
fn roster() -> Roster {
    Roster {
        owner: OWNER,
        number: 7,
        epoch: 2,
        devices: vec![device(1, Rights::ALL), device(2, Rights::WRITE)],
        retired: vec![Retired {
            peer: key(3).peer_id(),
            last_head: 2,
        }],
    }
}

fn record(n: u8, scheme: Scheme) -> PackRecord {
    PackRecord {
        owner: OWNER,
        device: key(n).peer_id(),
        pack: PackId([0xee; 32]),
        size: u64::MAX,
        epoch: u32::MAX,
        scheme,
        shards: vec![BlobId([0xee; 32]); scheme.shards()],
    }
}

fn head(n: u8, number: u64) -> Head {
    Head {
        owner: OWNER,
        device: key(n).peer_id(),
        number,
        previous: [0xff; 32],
        roster: u64::MAX,
        made_unix_s: u64::MAX,
        epoch: u32::MAX,
        salt: [0xff; 32],
        sealed: vec![0xff; 64],
        packs: PackList {
            id: BlobId([1; 32]),
            size: u64::MAX,
        },
    }
}

fn condemnation(n: u8, packs: usize) -> Condemnation {
    Condemnation {
        owner: OWNER,
        device: key(n).peer_id(),
        number: u64::MAX,
        made_unix_s: u64::MAX,
        packs: vec![PackId([3; 32]); packs],
    }
}

fn cancelation(n: u8, packs: usize) -> Cancelation {
    Cancelation {
        owner: OWNER,
        device: key(n).peer_id(),
        condemned_by: key(1).peer_id(),
        up_to: u64::MAX,
        packs: vec![PackId([3; 32]); packs],
    }
}

fn surplus(n: u8, packs: usize) -> Surplus {
    Surplus {
        owner: OWNER,
        device: key(n).peer_id(),
        number: u64::MAX,
        made_unix_s: u64::MAX,
        holder: PeerId([5; 32]),
        packs: vec![PackId([3; 32]); packs],
    }
}

fn denied(n: u8) -> NotAllowed {
    NotAllowed::Device(key(n).peer_id())
}

#[test]
fn devices_say_what_they_have_the_right_to() {
    let (roster, scheme) = (roster(), Scheme::new(4, 2).unwrap());
    for n in [1, 2] {
        assert!(open(&Signed::new(&record(n, scheme), &key(n)), &roster).is_ok());
        assert!(open(&Signed::new(&head(n, 1), &key(n)), &roster).is_ok());
        assert!(open(&Signed::new(&cancelation(n, 1), &key(n)), &roster).is_ok());
    }
    assert!(open(&Signed::new(&condemnation(1, 1), &key(1)), &roster).is_ok());
    assert_eq!(
        open(&Signed::new(&condemnation(2, 1), &key(2)), &roster),
        Err(denied(2))
    );
    assert!(open(&Signed::new(&surplus(1, 1), &key(1)), &roster).is_ok());
    assert_eq!(
        open(&Signed::new(&surplus(2, 1), &key(2)), &roster),
        Err(denied(2))
    );
    assert_eq!(open(&Signed::new(&head(4, 1), &key(4)), &roster), Err(denied(4)));
}

#[test]
fn a_name_alone_says_nothing() {
    let signed = Signed::new(&head(1, 1), &key(2));
    assert_eq!(
        open(&signed, &roster()),
        Err(NotAllowed::Signed(SignedError::Signature))
    );
    let mut other = roster();
    other.owner = OwnerId([8; 32]);
    assert_eq!(
        open(&Signed::new(&head(1, 1), &key(1)), &other),
        Err(NotAllowed::Owner)
    );
}

#[test]
fn a_retired_device_keeps_its_past_and_has_no_future() {
    let roster = roster();
    let old = Signed::new(&head(3, 2), &key(3));
    assert_eq!(open(&old, &roster), Err(denied(3)));
    assert!(open_kept(&old, &roster).is_ok());
    assert_eq!(
        open_kept(&Signed::new(&head(3, 3), &key(3)), &roster),
        Err(denied(3))
    );
    let pack = Signed::new(&record(3, Scheme::copies(3).unwrap()), &key(3));
    assert!(open_kept(&pack, &roster).is_ok());
    assert_eq!(open(&pack, &roster), Err(denied(3)));
    assert_eq!(
        open_kept(&Signed::new(&condemnation(3, 1), &key(3)), &roster),
        Err(denied(3))
    );
    assert!(open_kept(&Signed::new(&head(1, 9), &key(1)), &roster).is_ok());
}

#[test]
fn a_pack_record_agrees_with_itself() {
    let scheme = Scheme::new(4, 2).unwrap();
    let read = |record: &PackRecord| Signed::new(record, &key(1)).peek();
    let good = record(1, scheme);
    assert_eq!(read(&good).as_ref(), Ok(&good));
    for count in [0, 5, 7, 64] {
        let mut wrong = good.clone();
        wrong.shards = vec![BlobId([0xee; 32]); count];
        assert_eq!(read(&wrong), Err(SignedError::Malformed), "{count}");
    }
    let mut wrong = record(1, Scheme::copies(3).unwrap());
    assert!(read(&wrong).is_ok());
    wrong.shards[2] = BlobId([1; 32]);
    assert_eq!(read(&wrong), Err(SignedError::Malformed));
}

#[test]
fn the_longest_records_keep_to_their_limits_and_longer_ones_are_refused() {
    fn fits<T: Record + PartialEq>(record: &T) -> bool {
        Signed::new(record, &key(1))
            .peek()
            .is_ok_and(|read| read == *record)
    }
    assert!(fits(&record(1, Scheme::copies(32).unwrap())));
    for (over, fine) in [(0, true), (1, false)] {
        assert_eq!(fits(&condemnation(1, MAX_NAMED_PACKS + over)), fine);
        assert_eq!(fits(&cancelation(1, MAX_NAMED_PACKS + over)), fine);
        let mut head = head(1, u64::MAX);
        head.sealed = vec![0xff; MAX_SEALED_BYTES + over];
        assert_eq!(fits(&head), fine);
        let mut full = roster();
        let mut long = device(1, Rights::ALL);
        long.keys = vec![0xff; 16 * 1024];
        full.devices = vec![long; MAX_DEVICES + over];
        full.retired = vec![full.retired[0]; MAX_RETIRED];
        assert_eq!(fits(&full), fine);
    }
}

#[test]
fn a_limit_is_little_above_the_longest_record() {
    fn room<T: Record>(longest: &T) -> usize {
        T::LIMIT - postcard::to_allocvec(longest).unwrap().len()
    }
    let names = MAX_NAMED_PACKS;
    let surplus = Surplus {
        owner: roster().owner,
        device: key(1).peer_id(),
        number: u64::MAX,
        made_unix_s: u64::MAX,
        holder: key(2).peer_id(),
        packs: vec![PackId([0xff; 32]); names],
    };
    let mut head = head(1, u64::MAX);
    head.sealed = vec![0xff; MAX_SEALED_BYTES];
    let rooms = [
        room(&condemnation(1, names)),
        room(&surplus),
        room(&cancelation(1, names)),
        room(&head),
    ];
    assert!(rooms.iter().all(|&room| room < 512), "{rooms:?}");
}

#[test]
fn rights_are_three_bits() {
    for bits in 0..=u8::MAX {
        assert_eq!(postcard::from_bytes::<Rights>(&[bits]).is_ok(), bits < 8);
    }
    let some = Rights::READ.and(Rights::WRITE);
    assert!(some.contain(Rights::READ) && !some.contain(Rights::PRUNE) && !some.contain(Rights::ALL));
}

#[test]
fn pack_lists_ascend() {
    let packs = vec![PackId([3; 32]), PackId([1; 32]), PackId([3; 32])];
    let bytes = encode_pack_list(packs);
    assert_eq!(
        decode_pack_list(&bytes),
        Some(vec![PackId([1; 32]), PackId([3; 32])])
    );
    assert_eq!(decode_pack_list(&[]), Some(vec![]));
    for wrong in [&bytes[1..], &bytes[..63], &bytes.repeat(2)] {
        assert_eq!(decode_pack_list(wrong), None);
    }
}

#[test]
fn heads_are_chained_by_their_signed_bytes() {
    let first = Signed::new(&head(1, 1), &key(1));
    assert_eq!(digest(&first), *blake3::hash(&first.encode()).as_bytes());
    assert_ne!(digest(&first), digest(&Signed::new(&head(1, 2), &key(1))));
}
