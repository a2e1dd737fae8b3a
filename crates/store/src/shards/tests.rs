//! Shards come, are read, rot and go; what is used is counted right.

use std::fs;

use skep_wire::{SigningKey, backup::Scheme};
use skep_world::{Disk as _, real};

use super::*;

const LIMITS: Limits = Limits {
    capacity_bytes: 10_000_000,
    quota_bytes: 7_000_000,
    min_free_bytes: 1000,
};
const OWNER: OwnerId = OwnerId([7; 32]);

fn open(at: &tempfile::TempDir, limits: Limits, free: u64) -> Arc<Shards> {
    let dir = real::Disk.dir(at.path()).unwrap();
    Shards::open(dir, Box::new(move || Ok(free)), limits).unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn pack(n: u8, size: usize) -> (Vec<u8>, PackRecord, Signed<PackRecord>) {
    let bytes: Vec<u8> = (0..=250)
        .cycle()
        .map(|byte: u8| n.wrapping_add(byte))
        .take(size)
        .collect();
    let id = *blake3::hash(&bytes).as_bytes();
    let record = PackRecord {
        owner: OWNER,
        device: key().peer_id(),
        pack: PackId(id),
        size: size as u64,
        epoch: 1,
        scheme: Scheme::copies(2).unwrap(),
        shards: vec![BlobId(id); 2],
    };
    let signed = Signed::new(&record, &key());
    (bytes, record, signed)
}

fn keep(shards: &Arc<Shards>, n: u8, size: usize) -> Result<ShardName, KeepError> {
    let (bytes, record, signed) = pack(n, size);
    let name = ShardName {
        pack: record.pack,
        shard: 1,
    };
    let mut arriving = shards.room(OWNER, name, record.shard_bytes())?.begin()?;
    for part in bytes.chunks(1000) {
        arriving.append(part)?;
    }
    arriving.finish(&signed, &record)?;
    Ok(name)
}

fn read(shards: &Shards, name: &ShardName) -> io::Result<Vec<u8>> {
    let mut out = vec![0; usize::try_from(shards.size(&OWNER, name).unwrap()).unwrap()];
    shards.read(&OWNER, name, 0, &mut out)?;
    Ok(out)
}

#[test]
fn a_shard_is_there_after_a_restart_and_counted_alike() {
    let at = tempfile::tempdir().unwrap();
    let shards = open(&at, LIMITS, u64::MAX);
    let name = keep(&shards, 1, 3_000_000).unwrap();
    let used = shards.used_bytes();
    assert!(used > 3_000_000 && used < 3_002_000, "{used}");
    let again = open(&at, LIMITS, u64::MAX);
    assert_eq!(again.used_bytes(), used);
    assert_eq!(again.list(&OWNER, None, 9), [name]);
    assert_eq!(read(&again, &name).unwrap(), pack(1, 3_000_000).0);
    assert_eq!(again.record(&OWNER, &name).unwrap(), pack(1, 3_000_000).2);
    again.remove(&OWNER, &name).unwrap();
    assert_eq!((again.used_bytes(), again.has(&OWNER, &name)), (0, false));
    assert_eq!(open(&at, LIMITS, u64::MAX).used_bytes(), 0);
}

#[test]
fn what_is_wrong_or_unfinished_leaves_nothing() {
    let at = tempfile::tempdir().unwrap();
    let shards = open(&at, LIMITS, u64::MAX);
    let (mut bytes, record, signed) = pack(1, 5000);
    let name = ShardName {
        pack: record.pack,
        shard: 0,
    };
    bytes[77] ^= 1;
    let begin = || shards.room(OWNER, name, 5000).unwrap().begin().unwrap();
    let mut arriving = begin();
    arriving.append(&bytes).unwrap();
    assert!(matches!(shards.room(OWNER, name, 5000), Err(KeepError::Arriving)));
    assert!(matches!(arriving.finish(&signed, &record), Err(KeepError::Wrong)));
    let mut cut = begin();
    cut.append(&bytes[..4000]).unwrap();
    drop(cut);
    let folder = at.path().join(OWNER.to_string());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
    assert_eq!(shards.used_bytes(), 0);
    fs::write(folder.join(format!("{}.0.new", record.pack)), b"left by a crash").unwrap();
    fs::write(folder.join(format!("{}.0", record.pack)), b"cut").unwrap();
    let again = open(&at, LIMITS, u64::MAX);
    assert_eq!(
        (fs::read_dir(&folder).unwrap().count(), again.used_bytes()),
        (0, 0)
    );
}

#[test]
fn capacity_quota_and_the_free_disk_are_limits() {
    let at = tempfile::tempdir().unwrap();
    let shards = open(&at, LIMITS, u64::MAX);
    keep(&shards, 1, 4_000_000).unwrap();
    assert!(matches!(
        keep(&shards, 2, 4_000_000),
        Err(KeepError::Quota { .. })
    ));
    keep(&shards, 3, 2_000_000).unwrap();
    let other = OwnerId([8; 32]);
    let name = ShardName {
        pack: PackId([1; 32]),
        shard: 0,
    };
    let room = shards.room(other, name, 3_000_000).unwrap();
    let next = ShardName { shard: 1, ..name };
    assert!(matches!(
        shards.room(other, next, 3_000_000),
        Err(KeepError::NoRoom(_))
    ));
    drop(room);
    assert!(shards.room(other, next, 3_000_000).is_ok());
    let full = open(&at, LIMITS, 1500);
    assert!(matches!(full.room(other, next, 600), Err(KeepError::NoRoom(_))));
}

#[test]
fn what_is_kept_is_listed_by_owner_and_pack_and_a_page_at_a_time() {
    let at = tempfile::tempdir().unwrap();
    let shards = open(&at, LIMITS, u64::MAX);
    assert_eq!((shards.owners(), shards.used_by(&OWNER)), (vec![], 0));
    let mut names = [1, 2, 3].map(|n| keep(&shards, n, 1000).unwrap());
    names.sort();
    // Who left no shard has left nothing that is kept.
    std::fs::create_dir(at.path().join(OwnerId([9; 32]).to_string())).unwrap();
    let shards = open(&at, LIMITS, u64::MAX);
    assert_eq!(shards.owners(), [OWNER]);
    assert_eq!(shards.used_by(&OWNER), shards.used_bytes());
    assert_eq!(shards.list(&OWNER, None, 2), names[..2]);
    assert_eq!(shards.list(&OWNER, Some(names[1]), 2), names[2..]);
    let (kept, absent) = (names[0].pack, PackId([0; 32]));
    assert_eq!(shards.of_pack(&OWNER, &kept), [names[0]]);
    assert!(shards.has_pack(&OWNER, &kept) && !shards.has_pack(&OWNER, &absent));
    assert!(!shards.has_pack(&OwnerId([9; 32]), &kept));
    assert_eq!(shards.size(&OWNER, &names[0]), Some(1000));
}

#[test]
fn nothing_is_read_beyond_the_end_or_of_what_is_not_there() {
    let at = tempfile::tempdir().unwrap();
    let shards = open(&at, LIMITS, u64::MAX);
    let name = keep(&shards, 1, 1000).unwrap();
    let kind = |name: &ShardName, first| {
        let read = shards.read(&OWNER, name, first, &mut [0; 10]);
        read.err().map(|e| e.kind())
    };
    assert_eq!(kind(&name, 990), None);
    assert_eq!(kind(&name, 991), Some(io::ErrorKind::UnexpectedEof));
    assert_eq!(kind(&name, u64::MAX), Some(io::ErrorKind::UnexpectedEof));
    let other = ShardName { shard: 0, ..name };
    assert_eq!(kind(&other, 0), Some(io::ErrorKind::NotFound));
    assert_eq!(
        shards.verify(&OWNER, &other).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}

#[test]
fn a_shard_of_another_name_is_not_believed() {
    let at = tempfile::tempdir().unwrap();
    let name = keep(&open(&at, LIMITS, u64::MAX), 1, 1000).unwrap();
    let folder = at.path().join(OWNER.to_string());
    let stranger = ShardName {
        pack: PackId([5; 32]),
        shard: 1,
    };
    let beyond = ShardName { shard: 2, ..name };
    for wrong in [stranger, beyond] {
        let file = |name: ShardName| folder.join(format!("{}.{}", name.pack, name.shard));
        fs::copy(file(name), file(wrong)).unwrap();
        let verified = open(&at, LIMITS, u64::MAX).verify(&OWNER, &wrong);
        assert_eq!(verified.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}

#[test]
fn the_last_byte_of_room_is_given_and_not_one_more() {
    let name = ShardName {
        pack: PackId([1; 32]),
        shard: 0,
    };
    let bytes = 1000 + arriving::RECORD_BYTES;
    let room = |limits: Limits, free| {
        let at = tempfile::tempdir().unwrap();
        open(&at, limits, free).room(OWNER, name, 1000).map(drop)
    };
    let limits = |capacity_bytes, quota_bytes| Limits {
        capacity_bytes,
        quota_bytes,
        min_free_bytes: 10,
    };
    assert!(room(limits(bytes, bytes), bytes + 10).is_ok());
    let full: Result<(), _> = Err(KeepError::NoRoom(bytes));
    for refused in [
        room(limits(bytes - 1, bytes), bytes + 10),
        room(limits(bytes, bytes), bytes + 9),
    ] {
        assert_eq!(format!("{refused:?}"), format!("{full:?}"));
    }
    let over = room(limits(bytes, bytes - 1), bytes + 10);
    assert!(matches!(over, Err(KeepError::Quota { used: 0, .. })));
}

/// Bytes that are flipped, one at a time.
const FLIPS: usize = 2000;

#[test]
fn every_flipped_byte_is_found_before_anything_is_given_out() {
    let at = tempfile::tempdir().unwrap();
    let name = keep(&open(&at, LIMITS, u64::MAX), 1, 1500).unwrap();
    let file = at.path().join(OWNER.to_string()).join(format!("{}.1", name.pack));
    let good = fs::read(&file).unwrap();
    for flip in 0..FLIPS {
        let mut bad = good.clone();
        bad[flip % good.len()] ^= 1 << (flip / good.len() + flip % 7);
        fs::write(&file, &bad).unwrap();
        let shards = open(&at, LIMITS, u64::MAX);
        // A file that does not even look like a shard is removed at once: it is not counted as one.
        if shards.has(&OWNER, &name) {
            let found = shards.verify(&OWNER, &name).unwrap_err();
            assert_eq!(found.kind(), io::ErrorKind::InvalidData, "{flip}");
            assert!(read(&shards, &name).is_err(), "{flip}");
            shards.remove(&OWNER, &name).unwrap();
        }
        assert_eq!((file.exists(), shards.used_bytes()), (false, 0), "{flip}");
        assert_eq!(keep(&shards, 1, 1500).unwrap(), name, "it is brought anew");
    }
}
