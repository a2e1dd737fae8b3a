//! The simulated disk: the contract, and what it is for: power cuts, faults, full disks.

#![allow(clippy::unwrap_used)]

use std::{io::ErrorKind, path::Path, sync::Arc};

use skep_wire::RelPath;
use skep_world::{
    Dir, Disk as _, conformance,
    disk::{Open, Replace},
    simulated::{Crash, Disk, Fault},
};

struct Ground(Disk);

fn ground() -> Ground {
    let disk = Disk::new();
    disk.make_dir(Path::new("/home/user")).unwrap();
    Ground(disk)
}

impl conformance::disk::Ground for Ground {
    fn disk(&self) -> &dyn skep_world::Disk {
        &self.0
    }

    fn root(&self) -> &Path {
        Path::new("/home/user")
    }

    fn symlink(&self, at: &Path, target: &Path) {
        self.0.symlink(at, target).unwrap();
    }

    fn pipe(&self, at: &Path) {
        self.0.pipe(at).unwrap();
    }
}

skep_world::disk_conformance!(ground);

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn disk_and_dir() -> (Disk, Arc<dyn Dir>) {
    let disk = Disk::new();
    let dir = disk.make_dir(Path::new("/home")).unwrap();
    (disk, dir)
}

/// Writes a file as one must: contents first, then the name.
fn save(dir: &dyn Dir, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path(&format!("{name}.new"));
    let file = dir.open(&temporary, Open::OpenOrCreatePrivate)?;
    file.set_len(0)?;
    file.write_at(0, bytes)?;
    file.sync()?;
    dir.rename(&temporary, &path(name), Replace::Allow)?;
    dir.sync(None)
}

#[test]
fn power_cuts_keep_what_was_synced_and_kills_keep_everything() {
    for (how, left) in [(Crash::Kill, "synced, not"), (Crash::Power, "synced")] {
        let (disk, dir) = disk_and_dir();
        save(&*dir, "a", b"synced").unwrap();
        let file = dir.open(&path("a"), Open::Write).unwrap();
        file.write_at(6, b", not").unwrap();
        dir.open(&path("b"), Open::CreateNew).unwrap();
        disk.crash(how);
        assert_eq!(disk.read(Path::new("/home/a")).unwrap(), left.as_bytes());
        assert_eq!(disk.read(Path::new("/home/b")).is_ok(), how == Crash::Kill);
    }
}

#[test]
fn a_synced_tree_outlives_the_power() {
    let (disk, dir) = disk_and_dir();
    dir.make_dirs(&path("tree/deep/empty")).unwrap();
    for name in ["tree/a", "tree/deep/b", "beside"] {
        dir.open(&path(name), Open::CreateNew)
            .unwrap()
            .write_at(0, b"x")
            .unwrap();
    }
    dir.sync_tree(Some(&path("tree"))).unwrap();
    dir.sync(None).unwrap();
    disk.crash(Crash::Power);
    let read = |name: &str| disk.read(&Path::new("/home").join(name)).unwrap();
    assert_eq!(
        [read("tree/a"), read("tree/deep/b"), read("beside")],
        [&b"x"[..], b"x", b""]
    );
    assert!(disk.dir(Path::new("/home/tree/deep/empty")).is_ok());
}

#[test]
fn handles_and_locks_end_with_a_crash() {
    let (disk, dir) = disk_and_dir();
    let of_a_program = disk.until_crash();
    of_a_program.dir(Path::new("/home")).unwrap();
    let file = dir.open(&path("a"), Open::CreateNew).unwrap();
    let held = dir.lock(&path("lock")).unwrap();
    dir.sync(None).unwrap();
    disk.crash(Crash::Kill);
    assert!(file.write_at(0, b"late").is_err());
    assert!(of_a_program.dir(Path::new("/home")).is_err());
    assert!(dir.open(&path("b"), Open::CreateNew).is_err());
    let dir = disk.dir(Path::new("/home")).unwrap();
    let again = dir.lock(&path("lock")).unwrap();
    drop(held);
    assert_eq!(
        dir.lock(&path("lock")).err().unwrap().kind(),
        ErrorKind::WouldBlock
    );
    drop((again, file));
    assert_eq!(disk.read(Path::new("/home/a")).unwrap(), b"");
}

/// Whatever fails, and however the power goes then, the file is old or new, never in between.
#[test]
fn a_careful_writer_survives_every_fault() {
    let operations = {
        let (disk, dir) = disk_and_dir();
        save(&*dir, "a", b"old").unwrap();
        let before = disk.operations();
        save(&*dir, "a", &[b'n'; 10_000]).unwrap();
        before..disk.operations()
    };
    assert!(operations.end - operations.start >= 6);
    for failing in operations {
        for seed in 0..20 {
            let (disk, dir) = disk_and_dir();
            save(&*dir, "a", b"old").unwrap();
            disk.fail(
                failing..u64::MAX,
                if seed % 2 == 0 { Fault::Io } else { Fault::Full },
            );
            assert!(save(&*dir, "a", &[b'n'; 10_000]).is_err());
            disk.crash(Crash::TornPower(seed));
            disk.heal();
            let left = disk.read(Path::new("/home/a")).unwrap();
            assert!(left == b"old" || left == [b'n'; 10_000], "{failing} {seed}");
        }
    }
}

/// A writer that renames before it syncs is found out.
#[test]
fn a_careless_writer_is_caught() {
    let loses = |seed| {
        let (disk, dir) = disk_and_dir();
        save(&*dir, "a", b"old").unwrap();
        let file = dir.open(&path("b"), Open::CreateNew).unwrap();
        file.write_at(0, b"new").unwrap();
        dir.rename(&path("b"), &path("a"), Replace::Allow).unwrap();
        disk.crash(Crash::TornPower(seed));
        let left = disk.read(Path::new("/home/a")).unwrap();
        left != b"old" && left != b"new"
    };
    assert!((0..50).any(loses));
}

#[test]
fn a_failed_sync_loses_what_it_was_to_write() {
    let (disk, dir) = disk_and_dir();
    save(&*dir, "a", b"old").unwrap();
    let file = dir.open(&path("a"), Open::Write).unwrap();
    file.write_at(0, b"new").unwrap();
    let now = disk.operations();
    disk.fail(now..now + 1, Fault::Io);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(disk.read(Path::new("/home/a")).unwrap(), b"new");
    disk.crash(Crash::Power);
    assert_eq!(disk.read(Path::new("/home/a")).unwrap(), b"old");
}

#[test]
fn a_full_disk_refuses_and_goes_on_after_deleting() {
    let (disk, dir) = disk_and_dir();
    disk.set_capacity(16 * 4096);
    let a = dir.open(&path("a"), Open::CreateNew).unwrap();
    a.write_at(0, &[1; 10 * 4096]).unwrap();
    let b = dir.open(&path("b"), Open::CreateNew).unwrap();
    b.reserve(5 * 4096).unwrap();
    let full = |result: std::io::Result<()>| result.is_err_and(|e| e.kind() == ErrorKind::StorageFull);
    assert!(full(b.reserve(7 * 4096)));
    assert!(full(a.write_at(10 * 4096, &[1; 2 * 4096])));
    a.write_at(10 * 4096, &[1; 4096]).unwrap();
    assert_eq!(disk.free_bytes(Path::new("/home")).unwrap(), 0);
    b.write_at(0, &[2; 5 * 4096]).unwrap();
    assert!(full(b.write_at(5 * 4096, &[2])));
    a.write_at(0, &[3; 4096]).unwrap();
    dir.remove_file(&path("a")).unwrap();
    assert!(full(b.write_at(5 * 4096, &[2])), "still open");
    drop(a);
    b.write_at(5 * 4096, &[2; 11 * 4096]).unwrap();
    b.set_len(1).unwrap();
    assert_eq!(disk.free_bytes(Path::new("/home")).unwrap(), 15 * 4096);
}

#[test]
fn decay_changes_a_bit_and_no_stamp() {
    let (disk, dir) = disk_and_dir();
    save(&*dir, "a", b"abc").unwrap();
    let stamp = dir.stat(&path("a")).unwrap();
    disk.flip_bit(Path::new("/home/a"), 8).unwrap();
    assert_eq!(disk.read(Path::new("/home/a")).unwrap(), b"acc");
    assert_eq!(dir.stat(&path("a")).unwrap(), stamp);
    disk.crash(Crash::Power);
    assert_eq!(disk.read(Path::new("/home/a")).unwrap(), b"acc");
}

#[test]
fn files_are_put_and_listed_behind_the_programs_back() {
    let disk = Disk::new();
    disk.write(Path::new("/home/docs/a"), b"one").unwrap();
    disk.write(Path::new("/home/docs/a"), b"2").unwrap();
    disk.write(Path::new("/etc"), b"").unwrap();
    disk.crash(Crash::Power);
    assert_eq!(disk.files(), [Path::new("/etc"), Path::new("/home/docs/a")]);
    assert_eq!(disk.read(Path::new("/home/docs/a")).unwrap(), b"2");
}
