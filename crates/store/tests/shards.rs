//! Every operation of keeping shards fails once, and is the last once before the power goes: what was
//! acknowledged is there, what is there is right, and the next run succeeds.

#![allow(clippy::unwrap_used)]

use std::{path::Path, sync::Arc};

use skep_store::{
    papers::Papers,
    shards::{KeepError, Limits, Shards},
};
use skep_wire::{
    BlobId, OwnerId, PackId, PeerId, Signed, SigningKey,
    backup::{Head, PackList, PackRecord, Scheme, encode_pack_list},
    message::ShardName,
};
use skep_world::{
    Disk as _,
    simulated::{Crash, Disk, Fault},
};

const OWNER: OwnerId = OwnerId([7; 32]);
const BYTES: usize = 10_000;

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn device() -> PeerId {
    PeerId(key().public())
}

fn pack(n: u8) -> (Vec<u8>, PackRecord, Signed<PackRecord>) {
    let bytes = vec![n; BYTES];
    let id = *blake3::hash(&bytes).as_bytes();
    let record = PackRecord {
        owner: OWNER,
        device: device(),
        pack: PackId(id),
        size: BYTES as u64,
        epoch: 1,
        scheme: Scheme::copies(2).unwrap(),
        shards: vec![BlobId(id); 2],
    };
    let signed = Signed::new(&record, &key());
    (bytes, record, signed)
}

fn name(n: u8) -> ShardName {
    ShardName {
        pack: pack(n).1.pack,
        shard: 0,
    }
}

fn list() -> Vec<u8> {
    encode_pack_list(vec![name(1).pack])
}

fn head(number: u64) -> Signed<Head> {
    let head = Head {
        owner: OWNER,
        device: device(),
        number,
        previous: [0; 32],
        roster: 1,
        made_unix_s: 0,
        epoch: 1,
        salt: [0; 32],
        sealed: vec![],
        packs: PackList {
            id: BlobId(*blake3::hash(&list()).as_bytes()),
            size: 32,
        },
    };
    Signed::new(&head, &key())
}

fn open(disk: &Disk) -> std::io::Result<(Arc<Shards>, Papers)> {
    let dir = disk.make_dir(Path::new("/shards"))?;
    let limits = Limits {
        capacity_bytes: 1 << 30,
        quota_bytes: 1 << 30,
        min_free_bytes: 0,
    };
    let measured = disk.clone();
    let free = move || measured.free_bytes(Path::new("/shards"));
    let shards = Shards::open(dir.clone(), Box::new(free), limits)?;
    Ok((shards, Papers::new(dir)))
}

fn keep(shards: &Arc<Shards>, n: u8) -> Result<(), KeepError> {
    let (bytes, record, signed) = pack(n);
    let mut arriving = shards.room(OWNER, name(n), BYTES as u64)?.begin()?;
    for part in bytes.chunks(3000) {
        arriving.append(part)?;
    }
    arriving.finish(&signed, &record)
}

/// What a peer was told that it is done.
#[derive(Default)]
struct Acknowledged {
    kept: [bool; 2],
    removal_begun: bool,
    head: u64,
}

fn work(disk: &Disk, done: &mut Acknowledged) -> Result<(), KeepError> {
    let (shards, papers) = open(disk)?;
    keep(&shards, 1)?;
    done.kept[0] = true;
    keep(&shards, 2)?;
    done.kept[1] = true;
    for number in [1, 2] {
        let id = BlobId(*blake3::hash(&list()).as_bytes());
        papers.keep_head(&OWNER, &device(), &head(number), Some((id, &list())))?;
        done.head = number;
    }
    done.removal_begun = true;
    shards.remove(&OWNER, &name(2))?;
    Ok(())
}

fn judge(disk: &Disk, done: &Acknowledged, at: u64) {
    let (shards, papers) = open(disk).unwrap();
    let mut used = 0;
    for (n, kept) in (1..).zip(done.kept) {
        let must = kept && !(n == 2 && done.removal_begun);
        assert!(!must || shards.has(&OWNER, &name(n)), "{at}: {n}");
        if shards.has(&OWNER, &name(n)) {
            let mut read = vec![0; BYTES];
            shards.read(&OWNER, &name(n), 0, &mut read).unwrap();
            assert_eq!(read, pack(n).0, "{at}: {n}");
            used += BYTES as u64 + pack(n).2.encode().len() as u64 + 4;
        }
    }
    assert_eq!(shards.used_bytes(), used, "{at}");
    let loaded = papers.load().unwrap().into_iter().next();
    let known = loaded.and_then(|papers| papers.heads.first()?.peek().ok());
    assert!(known.map_or(0, |head| head.number) >= done.head, "{at}");
    if done.head > 0 {
        let id = BlobId(*blake3::hash(&list()).as_bytes());
        assert_eq!(papers.list(&OWNER, &id).unwrap(), Some(list()), "{at}");
    }
    work(disk, &mut Acknowledged::default()).unwrap();
}

fn operations() -> u64 {
    let disk = Disk::new();
    work(&disk, &mut Acknowledged::default()).unwrap();
    disk.operations()
}

#[test]
fn the_power_goes_at_every_operation() {
    for at in 0..operations() {
        for crash in [Crash::Power, Crash::Kill, Crash::TornPower(at)] {
            let disk = Disk::new();
            disk.fail(at..u64::MAX, Fault::Io);
            let mut done = Acknowledged::default();
            let _ = work(&disk, &mut done);
            disk.heal();
            disk.crash(crash);
            judge(&disk, &done, at);
        }
    }
}

#[test]
fn every_operation_fails_once() {
    for at in 0..operations() {
        for fault in [Fault::Io, Fault::Full] {
            let disk = Disk::new();
            disk.fail(at..at + 1, fault);
            let mut done = Acknowledged::default();
            let _ = work(&disk, &mut done);
            disk.heal();
            judge(&disk, &done, at);
        }
    }
}
