//! What the store keeps in a home: outlines, manifests, inventories and hints, one of them with other bytes.
//!
//! Input: a byte that says which file; a byte how (odd: its checksums are made right; with 64 in it: the download is
//! opened, otherwise the share; from 128 on: what follows is not the file but changes of it, of three bytes each: where
//! in two, and what is flipped there); then its bytes.
#![no_main]

use std::{
    path::{Path, PathBuf},
    sync::{Arc, LazyLock, atomic::AtomicBool},
};

use libfuzzer_sys::fuzz_target;
use skep_store::{Hashing, Home, Partial, Place, Source, scan::scan_folder};
use skep_wire::{RelPath, record::Content};
use skep_world::{Disk as _, simulated::Disk};

static NEVER: AtomicBool = AtomicBool::new(false);
static WORLD: LazyLock<World> = LazyLock::new(World::new);

const LABEL: usize = 512;
const RECORD: usize = 80;
/// Bytes of a file that has an outline.
const LARGE: usize = (1 << 20) + 1;

/// A folder that is shared, and what a home keeps of it and of a download of it.
struct World {
    disk: Disk,
    content: Content,
    home: Vec<(PathBuf, Vec<u8>)>,
}

fuzz_target!(|data: &[u8]| {
    let Some(([which, how], bytes)) = data.split_first_chunk() else {
        return;
    };
    let (path, whole) = &WORLD.home[usize::from(*which) % WORLD.home.len()];
    let mut bytes = match how {
        128.. => changed(whole, bytes),
        _ => bytes.to_vec(),
    };
    if how % 2 == 1 {
        reseal(&mut bytes);
    }
    if how & 64 == 0 {
        // Nothing is written to it but this.
        WORLD.disk.write(path, &bytes).expect("there is room");
        open_share(&WORLD.disk);
        WORLD.disk.write(path, whole).expect("there is room");
        return;
    }
    let disk = Disk::new();
    for (path, bytes) in &WORLD.home {
        disk.write(path, bytes).expect("there is room");
    }
    disk.write(path, &bytes).expect("there is room");
    open_download(&disk);
});

fn changed(whole: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for [high, low, flipped] in changes.as_chunks().0 {
        let at = usize::from(u16::from_be_bytes([*high, *low]));
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= flipped;
        }
    }
    bytes
}

/// Whatever is damaged: an error, or what was meant.
fn open_share(disk: &Disk) {
    let (mut buffer, mut unit) = (Vec::new(), [0; 64]);
    if let Ok(source) = Source::open(&home(disk), &place(disk, "/pub")) {
        for chunk in 0..source.layout().chunks().min(4) {
            let _ = source.read(chunk, 0, 1, &mut unit);
        }
        // The manifest, and the last byte of the large file: the rest of it takes long to hash.
        for chunk in [0, 3] {
            let _ = source.check_chunk(chunk, &mut buffer);
        }
        for object in 0..4 {
            let _ = source.page(object, 0);
        }
        let _ = source.check_stamps();
    }
}

/// The same.
fn open_download(disk: &Disk) {
    let (home, place) = (home(disk), place(disk, "/down"));
    let _ = Partial::is_finished(&home, &place, WORLD.content);
    let _ = Partial::open(&home, &place, WORLD.content, &hashing());
}

impl World {
    fn new() -> Self {
        let disk = Disk::new();
        for (name, len) in [("a", 9), ("sub/b", 0), ("sub/c", LARGE)] {
            let path = Path::new("/pub/x").join(name);
            disk.write(&path, &vec![7; len]).expect("there is room");
        }
        let home = home(&disk);
        let scanned = scan_folder(&home, &place(&disk, "/pub"), &hashing()).expect("it can be read");
        let content = scanned.source.content();
        drop(Partial::open(&home, &place(&disk, "/down"), content, &hashing()).expect("there is room"));
        let of_home = disk.files().into_iter().filter(|path| path.starts_with("/home"));
        let read = |path: PathBuf| (path.clone(), disk.read(&path).expect("a file"));
        let home = of_home.map(read).collect();
        Self { disk, content, home }
    }
}

fn home(disk: &Disk) -> Arc<Home> {
    Home::open(disk.make_dir(Path::new("/home")).expect("a folder")).expect("a home")
}

fn place(disk: &Disk, folder: &str) -> Place {
    let dir = disk.make_dir(Path::new(folder)).expect("a folder");
    Place::new(dir, RelPath::parse("x").expect("a name"))
}

fn hashing() -> Hashing<'static> {
    Hashing {
        workers: 1,
        progress: &|_| {},
        stop: &NEVER,
    }
}

/// Makes the sums right of labels of a hint, or of an inventory whose paths lie behind its records.
fn reseal(bytes: &mut [u8]) {
    if bytes.starts_with(b"skep-partial") {
        for label in bytes.chunks_exact_mut(LABEL).take(2) {
            let (said, sum) = label.split_at_mut(LABEL - 32);
            sum.copy_from_slice(blake3::hash(said).as_bytes());
        }
        return;
    }
    let (mut at, all) = (0, bytes.to_vec());
    for record in bytes.chunks_exact_mut(RECORD) {
        let (said, sum) = record.split_at_mut(RECORD - 8);
        let mut hasher = blake3::Hasher::new();
        hasher.update(said);
        if at > 0 {
            hasher.update(path_of(said, &all));
        }
        hasher.finalize_xof().fill(sum);
        at += RECORD;
    }
}

/// The bytes that a record names as its path; none if there are none such.
fn path_of<'a>(record: &[u8], all: &'a [u8]) -> &'a [u8] {
    let word = record.last_chunk().map_or(0, |word| u64::from_le_bytes(*word));
    let (from, len) = (
        usize::try_from(word >> 16).unwrap_or(usize::MAX),
        (word & 0xffff) as usize,
    );
    from.checked_add(len)
        .and_then(|to| all.get(from..to))
        .unwrap_or_default()
}
