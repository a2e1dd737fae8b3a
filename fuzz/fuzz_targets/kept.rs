//! Files of a home that somebody changed: each is read as the program would read it, and is an error or left out.
//!
//! Input: a byte that says which file, then what is in it.
#![no_main]

use std::{path::Path, sync::Arc};

use libfuzzer_sys::fuzz_target;
use skep_engine::deletion::Docket;
use skep_store::{
    papers::Papers,
    shards::{Limits, Shards},
};
use skep_wire::RelPath;
use skep_world::{Disk as _, keyfile, simulated::Disk};

const OWNER: &str = "0101010101010101010101010101010101010101010101010101010101010101";

fuzz_target!(|data: &[u8]| {
    let Some((which, bytes)) = data.split_first() else {
        return;
    };
    let name = match which % 6 {
        0 => "key".to_owned(),
        1 => format!("{OWNER}/roster"),
        2 => format!("{OWNER}/{OWNER}.head"),
        3 => format!("{OWNER}/{OWNER}.list"),
        4 => format!("{OWNER}/docket"),
        _ => format!("{OWNER}/{OWNER}.0"),
    };
    let disk = Disk::new();
    disk.write(&Path::new("/home").join(&name), bytes)
        .expect("there is room");
    let dir = disk.dir(Path::new("/home")).expect("it was made");
    let _ = keyfile::read(&*dir, &RelPath::parse("key").expect("a name"));
    for owner in Papers::new(Arc::clone(&dir)).load().expect("it can be read") {
        owner.docket.as_deref().map(Docket::decode);
    }
    let limits = Limits {
        capacity_bytes: 1 << 30,
        quota_bytes: 1 << 30,
        min_free_bytes: 0,
    };
    let shards = Shards::open(dir, Box::new(|| Ok(1 << 40)), limits).expect("it can be read");
    for owner in shards.owners() {
        for name in shards.list(&owner, None, 10) {
            let (size, record) = (shards.size(&owner, &name), shards.record(&owner, &name));
            let mut first = [0; 16];
            let read = shards.read(&owner, &name, 0, &mut first);
            assert!(read.is_err() || (record.is_ok() && size >= Some(16)));
        }
    }
});
