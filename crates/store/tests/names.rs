//! The corpus of hostile names, and names that a file system takes for one, through the writers.

#![allow(clippy::unwrap_used)]

mod rig;

use std::{fs, io, os::unix::ffi::OsStrExt, path::PathBuf, sync::Arc};

use rig::{bytes, hashing, home, open, place, rel, tree};
use skep_store::{
    Home, Partial, Place,
    partial::{PartialError, Put},
    scan::{SkipReason, scan_folder},
};
use skep_wire::{
    BlobId, Manifest, RelPath, VerifiedChunk, hostile,
    layout::Extent,
    manifest::{Entry, MAGIC, Node},
    record::{Content, ContentKind},
};
use skep_world::{
    Dir, Disk as _, File,
    disk::{self, Open, Replace, Stat},
    real, simulated,
};

fn id(bytes: &[u8]) -> BlobId {
    BlobId(*blake3::hash(bytes).as_bytes())
}

fn content(manifest: &[u8]) -> Content {
    Content {
        id: id(manifest),
        size: manifest.len() as u64,
        kind: ContentKind::Folder,
    }
}

fn put(partial: &Partial, chunk: u64, bytes: &[u8]) -> Result<Put, PartialError> {
    let verified = VerifiedChunk::verify(partial.expected(chunk)?, bytes).unwrap();
    partial.put(&verified)
}

/// A manifest as only a liar would encode it.
fn forged(path: &str) -> Vec<u8> {
    let node = Node::File {
        size: 1,
        id: id(b"x"),
        executable: false,
    };
    let mut out = MAGIC.to_vec();
    out.extend(postcard::to_allocvec(&vec![(path, node)]).unwrap());
    out
}

/// A folder with a small file of its own bytes at each path.
fn manifest(paths: &[String]) -> (Manifest, impl Fn(u32) -> Vec<u8> + use<>) {
    let mut sorted = paths.to_vec();
    sorted.sort();
    let of = |at: usize| bytes(at as u64, 100 + at);
    let entries = sorted.iter().enumerate().map(|(at, path)| Entry {
        path: rel(path),
        node: Node::File {
            size: of(at).len() as u64,
            id: id(&of(at)),
            executable: false,
        },
    });
    let manifest = Manifest::new(entries.collect()).unwrap();
    (manifest, move |object| of(object as usize - 1))
}

fn download(partial: &Partial, manifest: &Manifest, of: impl Fn(u32) -> Vec<u8>) -> Result<(), PartialError> {
    put(partial, 0, &manifest.encode())?;
    for chunk in 1..partial.layout().chunks() {
        let Some(Extent::Run { objects }) = partial.layout().extent(chunk) else {
            panic!("only small files here");
        };
        let run: Vec<u8> = objects.iter().flat_map(|(object, _)| of(*object)).collect();
        put(partial, chunk, &run)?;
    }
    partial.finish(false, &hashing(1)).map(drop)
}

#[test]
fn no_hostile_name_is_ever_written() {
    let tmp = tempfile::tempdir().unwrap();
    let home = home(&real::Disk, &tmp.path().join("home"));
    let down = tmp.path().join("down");
    for path in hostile::paths() {
        let bytes = forged(&path);
        if bytes.len() > 1 << 20 {
            continue;
        }
        let partial = open(&home, &place(&real::Disk, &down, "d"), content(&bytes)).unwrap();
        let refused = put(&partial, 0, &bytes);
        assert!(
            matches!(refused, Err(PartialError::BadManifest(_))),
            "{path:.80?}: {refused:?}"
        );
        partial.abandon().unwrap();
    }
    assert_eq!(tree(&down), []);
    let beside = fs::read_dir(tmp.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut beside: Vec<_> = beside.collect();
    beside.sort();
    assert_eq!(beside, ["down", "home"]);
}

#[test]
fn awkward_names_arrive_as_they_are() {
    // A tree two thousand folders deep is more than the test's own cleaning up can take.
    let (deep, paths): (Vec<_>, Vec<_>) = hostile::awkward().into_iter().partition(|path| path.len() > 1000);
    let clashes = |path: &String| path == "a/.hidden/b" || path == "a/~b";
    let paths: Vec<_> = paths.into_iter().filter(|path| !clashes(path)).collect();
    let tmp = tempfile::tempdir().unwrap();
    let real_home = home(&real::Disk, &tmp.path().join("home"));
    let (manifest, of) = manifest(&paths);
    let bytes = manifest.encode();
    let place = place(&real::Disk, &tmp.path().join("down"), "d");
    download(&open(&real_home, &place, content(&bytes)).unwrap(), &manifest, of).unwrap();
    let mut names: Vec<_> = tree(&tmp.path().join("down/d"))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    names.retain(|name| !name.ends_with('/'));
    let mut paths = paths;
    paths.sort();
    assert_eq!(names, paths);

    let disk = simulated::Disk::new();
    let (manifest, of) = self::manifest(&deep);
    let bytes = manifest.encode();
    let home = Home::open(disk.make_dir(&PathBuf::from("/home")).unwrap()).unwrap();
    let place = Place::new(disk.make_dir(&PathBuf::from("/down")).unwrap(), rel("d"));
    download(&open(&home, &place, content(&bytes)).unwrap(), &manifest, of).unwrap();
    assert!(disk.files().contains(&PathBuf::from("/down/d").join(&deep[0])));
}

#[test]
fn a_target_may_have_the_longest_name() {
    let tmp = tempfile::tempdir().unwrap();
    let home = home(&real::Disk, &tmp.path().join("home"));
    let (manifest, of) = manifest(&["a".to_owned()]);
    let name = "n".repeat(255);
    let place = place(&real::Disk, &tmp.path().join("down"), &name);
    let partial = open(&home, &place, content(&manifest.encode())).unwrap();
    download(&partial, &manifest, of).unwrap();
    assert!(tmp.path().join("down").join(name).join("a").is_file());
}

#[test]
fn what_cannot_be_shared_is_named_and_the_rest_is_shared() {
    let tmp = tempfile::tempdir().unwrap();
    let home = home(&real::Disk, &tmp.path().join("home"));
    let folder = tmp.path().join("pub/d");
    fs::create_dir_all(folder.join("sub")).unwrap();
    fs::write(folder.join("sub/good"), "x").unwrap();
    for name in [".hidden", ".x.skep-partial", "sub/.git"] {
        fs::write(folder.join(name), "x").unwrap();
    }
    let mut bad: Vec<PathBuf> = hostile::NOT_TEXT
        .iter()
        .map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name)))
        .chain(["C:x", "nul.txt", "x.", "a\nb", "a\\b"].map(PathBuf::from))
        .collect();
    for name in &bad {
        fs::write(folder.join(name), "x").unwrap();
    }
    std::os::unix::fs::symlink("/etc", folder.join("link")).unwrap();
    std::os::unix::net::UnixListener::bind(folder.join("sub/socket")).unwrap();
    bad.extend(["link", "sub/socket"].map(PathBuf::from));
    let scanned = scan_folder(
        &home,
        &place(&real::Disk, &tmp.path().join("pub"), "d"),
        &hashing(2),
    )
    .unwrap();
    let mut skipped: Vec<_> = scanned
        .skipped
        .iter()
        .map(|skipped| skipped.path.clone())
        .collect();
    skipped.sort();
    bad.sort();
    assert_eq!(skipped, bad);
    let link = scanned
        .skipped
        .iter()
        .find(|skipped| skipped.path.ends_with("link"))
        .unwrap();
    assert!(matches!(link.reason, SkipReason::Symlink));
    assert_eq!((scanned.source.files(), scanned.source.bytes()), (1, 1));
}

/// A file system that takes names that differ by case only for one.
struct Folding(Arc<dyn Dir>);

fn fold(path: &RelPath) -> RelPath {
    rel(&path.as_str().to_lowercase())
}

impl Dir for Folding {
    fn open(&self, path: &RelPath, how: Open) -> io::Result<Arc<dyn File>> {
        self.0.open(&fold(path), how)
    }
    fn dir(&self, path: &RelPath) -> io::Result<Arc<dyn Dir>> {
        Ok(Arc::new(Self(self.0.dir(&fold(path))?)))
    }
    fn make_dirs(&self, path: &RelPath) -> io::Result<()> {
        self.0.make_dirs(&fold(path))
    }
    fn rename(&self, from: &RelPath, to: &RelPath, replace: Replace) -> io::Result<()> {
        self.0.rename(&fold(from), &fold(to), replace)
    }
    fn remove_file(&self, path: &RelPath) -> io::Result<()> {
        self.0.remove_file(&fold(path))
    }
    fn remove_dir(&self, path: &RelPath) -> io::Result<()> {
        self.0.remove_dir(&fold(path))
    }
    fn stat(&self, path: &RelPath) -> io::Result<Stat> {
        self.0.stat(&fold(path))
    }
    fn list(&self, path: Option<&RelPath>) -> io::Result<Vec<disk::Entry>> {
        self.0.list(path.map(fold).as_ref())
    }
    fn set_executable(&self, path: &RelPath, executable: bool) -> io::Result<()> {
        self.0.set_executable(&fold(path), executable)
    }
    fn sync(&self, path: Option<&RelPath>) -> io::Result<()> {
        self.0.sync(path.map(fold).as_ref())
    }
    fn lock(&self, path: &RelPath) -> io::Result<Box<dyn Send + Sync>> {
        self.0.lock(&fold(path))
    }
    fn host_path(&self) -> PathBuf {
        self.0.host_path()
    }
}

#[test]
fn names_that_are_one_to_the_file_system_are_never_merged() {
    let disk = simulated::Disk::new();
    let home = Home::open(disk.make_dir(&PathBuf::from("/home")).unwrap()).unwrap();
    let down = Arc::new(Folding(disk.make_dir(&PathBuf::from("/down")).unwrap()));
    for (paths, clash) in [
        (["README", "readme"], Some(("README", "readme"))),
        (["A/x", "a/y"], Some(("A", "a"))),
        (["a", "b"], None),
    ] {
        let place = Place::new(Arc::clone(&down) as Arc<dyn Dir>, rel("d"));
        let (manifest, of) = manifest(&paths.map(str::to_owned));
        let partial = open(&home, &place, content(&manifest.encode())).unwrap();
        match (download(&partial, &manifest, of), clash) {
            (Ok(()), None) => {}
            (Err(PartialError::Collision(a, b)), Some(both)) => {
                assert_eq!((a.as_str(), b.as_str()), both);
                partial.abandon().unwrap();
            }
            (result, _) => panic!("{paths:?}: {result:?}"),
        }
    }
    let left: Vec<_> = disk
        .files()
        .into_iter()
        .filter(|path| path.starts_with("/down"))
        .collect();
    assert_eq!(left, [PathBuf::from("/down/d/a"), PathBuf::from("/down/d/b")]);
}
