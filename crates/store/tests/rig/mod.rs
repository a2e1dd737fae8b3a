//! What the tests of the store share: made-up files, a publisher, and a download without a network.

#![allow(dead_code)]

use std::{path::Path, sync::Arc, sync::atomic::AtomicBool};

use skep_store::{
    Hashing, Home, Partial, Place, Source,
    partial::{Opened, PartialError, Put},
    scan::{Scanned, scan_file, scan_folder},
};
use skep_wire::{RelPath, VerifiedChunk, record::Content};
use skep_world::Disk;

pub(crate) const MIB: usize = 1 << 20;

static NEVER: AtomicBool = AtomicBool::new(false);

/// `workers` threads, nobody told.
pub(crate) fn hashing(workers: usize) -> Hashing<'static> {
    Hashing {
        workers,
        progress: &|_| {},
        stop: &NEVER,
    }
}

/// Bytes that differ from place to place and from seed to seed.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    let mut hasher = std::hint::black_box(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for word in out.chunks_mut(8) {
        hasher ^= hasher << 13;
        hasher ^= hasher >> 7;
        hasher ^= hasher << 17;
        word.copy_from_slice(&hasher.to_le_bytes()[..word.len()]);
    }
    out
}

pub(crate) fn rel(path: &str) -> RelPath {
    RelPath::parse(path).unwrap()
}

pub(crate) fn home(disk: &dyn Disk, path: &Path) -> Arc<Home> {
    Home::open(disk.make_dir(path).unwrap()).unwrap()
}

pub(crate) fn place(disk: &dyn Disk, folder: &Path, name: &str) -> Place {
    Place::new(disk.make_dir(folder).unwrap(), rel(name))
}

pub(crate) fn share(home: &Arc<Home>, place: &Place, folder: bool) -> Scanned {
    let scan = if folder { scan_folder } else { scan_file };
    scan(home, place, &hashing(1)).unwrap()
}

/// Opens a download that is not finished.
pub(crate) fn open(home: &Arc<Home>, place: &Place, content: Content) -> Result<Partial, PartialError> {
    match Partial::open(home, place, content, &hashing(1))? {
        Opened::Partial(partial) => Ok(*partial),
        Opened::Finished(_) => panic!("finished already"),
    }
}

/// Fetches one chunk, and the outline page it needs, out of `source`.
pub(crate) fn fetch(source: &Source, partial: &Partial, chunk: u64) -> Result<Put, PartialError> {
    if let Some((object, page)) = partial.missing_page(chunk)? {
        partial.put_page(object, page, source.page(object, page).unwrap())?;
    }
    let expected = partial.expected(chunk)?;
    let mut buffer = vec![0; MIB];
    let len = source.read(chunk, 0, 64, &mut buffer).unwrap();
    let verified = VerifiedChunk::verify(expected, &buffer[..len]).unwrap();
    partial.put(&verified)
}

/// Fetches all that is missing, and returns how many chunks that were.
pub(crate) fn fetch_all(source: &Source, partial: &Partial) -> Result<u64, PartialError> {
    let mut fetched = 0;
    for chunk in [partial.first_chunk()]
        .into_iter()
        .chain(0..source.layout().chunks())
    {
        if !partial.is_stored(chunk) {
            fetch(source, partial, chunk)?;
            fetched += 1;
        }
    }
    Ok(fetched)
}

/// All files beneath a real folder, hidden ones too, with their bytes.
pub(crate) fn tree(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    walk(folder, folder, &mut out);
    out.sort();
    out
}

fn walk(root: &Path, folder: &Path, out: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = std::fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if kind.is_dir() {
            out.push((format!("{name}/"), Vec::new()));
            walk(root, &path, out);
        } else if kind.is_file() {
            out.push((name, std::fs::read(&path).unwrap()));
        } else {
            out.push((format!("{name}@"), Vec::new()));
        }
    }
}
