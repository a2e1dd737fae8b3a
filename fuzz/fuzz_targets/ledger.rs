//! A ledger file in which bytes were changed: it is refused, or it opens and takes another fact.
//!
//! Input: changes of four bytes each (where in three, and what is flipped there). If one or two bytes are left over, the
//! first says how much of the file there is; if there are three, something is written, which takes long.
#![no_main]

use std::{
    path::Path,
    sync::{LazyLock, Once},
};

use libfuzzer_sys::fuzz_target;
use skep_ledger::{Change, Epoch, FactStore as _, Redb, Revision};
use skep_wire::RelPath;
use skep_world::{Disk as _, simulated::Disk};

static FILE: LazyLock<Vec<u8>> = LazyLock::new(file);
static QUIET: Once = Once::new();
const CACHE: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    // A panic within redb is caught by the ledger and means damage; libfuzzer would take it for its own.
    QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let mut file = FILE.clone();
    let (changes, rest) = data.as_chunks::<4>();
    for [high, middle, low, byte] in changes {
        let at = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        let len = file.len();
        file[at % len] ^= byte;
    }
    if let [cut] | [cut, _] = rest {
        file.truncate(file.len() / 256 * usize::from(*cut));
    }
    let disk = Disk::new();
    disk.write(Path::new("/home/ledger"), &file)
        .expect("there is room");
    let dir = disk.dir(Path::new("/home")).expect("a folder");
    let Ok(ledger) = Redb::open(dir, &RelPath::parse("ledger").expect("a name"), CACHE) else {
        return;
    };
    let Ok(head) = ledger.load(&mut |_, _| {}) else {
        return;
    };
    if rest.len() == 3 {
        let _ = ledger.commit(head.epoch, head.revision, &[fact(9)]);
    }
});

fn file() -> Vec<u8> {
    let disk = Disk::new();
    let dir = disk.make_dir(Path::new("/home")).expect("a folder");
    let ledger = Redb::open(dir, &RelPath::parse("ledger").expect("a name"), CACHE).expect("a ledger");
    let facts: Vec<_> = (0..100).map(fact).collect();
    ledger
        .commit(Epoch(0), Revision(0), &facts)
        .expect("there is room");
    drop(ledger);
    disk.read(Path::new("/home/ledger")).expect("it was made")
}

fn fact(number: u8) -> Change {
    Change {
        key: vec![number],
        value: Some(vec![number; 100]),
    }
}
