//! Every operation of a download fails once, and is the last once: before a kill, before a power cut.
//! What then lies on the disk is compared with what must.

#![allow(clippy::unwrap_used)]

mod rig;

use std::{path::Path, sync::Arc};

use rig::{MIB, bytes, fetch, hashing, place, share};
use skep_store::{
    Home, Partial, Place, Source,
    partial::{Opened, PartialError},
};
use skep_world::{
    Disk as _,
    simulated::{Crash, Disk, Fault},
};

/// What is downloaded again and again, on a disk of its own.
struct Publisher {
    source: Source,
    /// Where it is downloaded to, in the downloader's folder.
    target: &'static str,
    /// Paths beneath the target (empty: the target itself) and bytes.
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Publisher {
    fn new(folder: bool, target: &'static str, files: Vec<(&'static str, Vec<u8>)>) -> Self {
        let disk = Disk::new();
        for (name, content) in &files {
            disk.write(&Path::new("/pub/x").join(name), content).unwrap();
        }
        let home = Home::open(disk.make_dir(Path::new("/home")).unwrap()).unwrap();
        let source = share(&home, &place(&disk, Path::new("/pub"), "x"), folder).source;
        Self {
            source,
            target,
            files,
        }
    }

    fn file(target: &'static str) -> Self {
        Self::new(false, target, vec![("", bytes(1, 2 * MIB + 5))])
    }

    fn folder(target: &'static str) -> Self {
        let files = [
            ("a", bytes(1, 5000)),
            ("large", bytes(2, MIB + 5000)),
            ("none", Vec::new()),
            ("sub/b", bytes(3, 9000)),
            ("sub/deep/c", bytes(4, MIB)),
        ];
        Self::new(true, target, files.into())
    }
}

/// The downloader's machine.
struct Machine {
    disk: Disk,
    /// From this operation on all fail.
    dead_from: u64,
    /// Chunks that were stored before that.
    stored: u64,
    fetched: u64,
}

impl Machine {
    fn new() -> Self {
        let disk = Disk::new();
        for path in ["/down/inner", "/home"] {
            disk.make_dir(Path::new(path)).unwrap();
        }
        for path in ["/", "/down"] {
            disk.dir(Path::new(path)).unwrap().sync(None).unwrap();
        }
        Self {
            disk,
            dead_from: u64::MAX,
            stored: 0,
            fetched: 0,
        }
    }

    /// As a peer does it that was just started.
    fn attempt(&mut self, publisher: &Publisher) -> Result<(), PartialError> {
        let home = Home::open(self.disk.make_dir(Path::new("/home"))?)?;
        let place = Place::new(self.disk.dir(Path::new("/down"))?, rig::rel(publisher.target));
        let content = publisher.source.content();
        match Partial::open(&home, &place, content, &hashing(1))? {
            Opened::Finished(_) => Ok(()),
            Opened::Partial(partial) => self.fetch(publisher, &partial),
        }
    }

    fn fetch(&mut self, publisher: &Publisher, partial: &Partial) -> Result<(), PartialError> {
        let chunks = publisher.source.layout().chunks();
        for chunk in [partial.first_chunk()].into_iter().chain((0..chunks).rev()) {
            if !partial.is_stored(chunk) {
                self.fetched += 1;
                fetch(&publisher.source, partial, chunk)?;
                self.stored += u64::from(self.disk.operations() <= self.dead_from);
            }
        }
        partial.finish(true, &hashing(1)).map(drop)
    }

    /// The files at the target, of the content.
    fn is_whole(&self, publisher: &Publisher) -> bool {
        let target = Path::new("/down").join(publisher.target);
        let at = |name: &str| match name {
            "" => target.clone(),
            _ => target.join(name),
        };
        publisher
            .files
            .iter()
            .all(|(name, content)| self.disk.read(&at(name)).ok().as_ref() == Some(content))
    }

    fn is_visible(&self) -> bool {
        let hidden = |path: &Path| path.to_string_lossy().contains("skep-");
        self.disk
            .files()
            .iter()
            .any(|path| path.starts_with("/down") && !hidden(path))
    }

    fn leftovers(&self, publisher: &Publisher) -> usize {
        let target = Path::new("/down").join(publisher.target);
        let kept = |path: &Path| path.starts_with(&target) || path.starts_with("/home");
        let files = self.disk.files();
        let hints = files
            .iter()
            .filter(|path| path.starts_with("/home/partials"))
            .count();
        hints + files.iter().filter(|path| !kept(path)).count()
    }
}

fn operations(publisher: &Publisher) -> u64 {
    let mut machine = Machine::new();
    let before = machine.disk.operations();
    machine.attempt(publisher).unwrap();
    assert!(machine.is_whole(publisher));
    machine.disk.operations() - before
}

fn publishers() -> [Publisher; 3] {
    [
        Publisher::file("x"),
        Publisher::file("inner/x"),
        Publisher::folder("inner/x"),
    ]
}

#[test]
fn any_one_operation_may_fail() {
    for publisher in &publishers() {
        for fault in [Fault::Io, Fault::Full] {
            for n in 0..operations(publisher) {
                let mut machine = Machine::new();
                let at = machine.disk.operations() + n;
                machine.disk.fail(at..at + 1, fault);
                let first = machine.attempt(publisher);
                let whole = machine.is_whole(publisher);
                assert!(
                    whole || !machine.is_visible(),
                    "operation {n}: half of it is there"
                );
                assert!(
                    whole || first.is_err(),
                    "operation {n}: not there, and nobody was told"
                );
                machine.disk.heal();
                machine.attempt(publisher).unwrap();
                assert!(machine.is_whole(publisher), "operation {n}");
                machine.disk.crash(Crash::Power);
                assert!(machine.is_whole(publisher), "operation {n}: not durable");
            }
        }
    }
}

#[test]
fn a_kill_at_any_operation_costs_no_stored_chunk() {
    for publisher in &publishers() {
        let chunks = publisher.source.layout().chunks();
        for n in 0..operations(publisher) {
            let mut machine = Machine::new();
            machine.dead_from = machine.disk.operations() + n;
            machine.disk.fail(machine.dead_from..u64::MAX, Fault::Io);
            let _ = machine.attempt(publisher);
            let stored = machine.stored;
            machine.disk.crash(Crash::Kill);
            machine.disk.heal();
            machine.fetched = 0;
            machine.attempt(publisher).unwrap();
            assert!(machine.is_whole(publisher), "operation {n}");
            assert_eq!(
                machine.leftovers(publisher),
                0,
                "operation {n}: {:?}",
                machine.disk.files()
            );
            assert!(
                machine.fetched <= chunks - stored,
                "operation {n}: {} again",
                machine.fetched
            );
        }
    }
}

#[test]
fn a_power_cut_at_any_operation_leaves_all_or_nothing() {
    for publisher in &publishers() {
        for n in 0..operations(publisher) {
            for crash in [Crash::Power, Crash::TornPower(n), Crash::TornPower(n + 1000)] {
                let mut machine = Machine::new();
                let at = machine.disk.operations() + n;
                machine.disk.fail(at..u64::MAX, Fault::Io);
                let first = machine.attempt(publisher);
                machine.disk.crash(crash);
                machine.disk.heal();
                let whole = machine.is_whole(publisher);
                assert!(
                    whole || !machine.is_visible(),
                    "operation {n}, {crash:?}: half of it is there"
                );
                assert!(
                    whole || first.is_err(),
                    "operation {n}, {crash:?}: promised, and not there"
                );
                machine.attempt(publisher).unwrap();
                assert!(machine.is_whole(publisher), "operation {n}, {crash:?}");
            }
        }
    }
}

#[test]
fn a_crash_while_a_folder_is_replaced_loses_nothing() {
    let publisher = Publisher::folder("x");
    let old = |machine: &Machine| {
        machine.disk.write(Path::new("/down/x/a"), b"old").unwrap();
        machine
            .disk
            .write(Path::new("/down/x/sub/mine"), b"mine")
            .unwrap();
    };
    let mut machine = Machine::new();
    old(&machine);
    let before = machine.disk.operations();
    machine.attempt(&publisher).unwrap();
    let operations = machine.disk.operations() - before;
    for n in 0..operations {
        for crash in [Crash::Kill, Crash::Power, Crash::TornPower(n)] {
            let mut machine = Machine::new();
            old(&machine);
            let at = machine.disk.operations() + n;
            machine.disk.fail(at..u64::MAX, Fault::Io);
            let _ = machine.attempt(&publisher);
            machine.disk.crash(crash);
            machine.disk.heal();
            let mine = |machine: &Machine| {
                let files = machine.disk.files();
                files
                    .into_iter()
                    .filter(|path| path.ends_with("mine"))
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                mine(&machine).len(),
                1,
                "operation {n}, {crash:?}: {:?}",
                machine.disk.files()
            );
            let again = machine.attempt(&publisher);
            assert!(
                again.is_ok(),
                "operation {n}, {crash:?}: {again:?}, {:?}",
                machine.disk.files()
            );
            assert!(machine.is_whole(&publisher), "operation {n}, {crash:?}");
            assert_eq!(
                mine(&machine),
                [Path::new("/down/x/sub/mine")],
                "operation {n}, {crash:?}"
            );
        }
    }
}

#[test]
fn a_full_disk_is_said_and_the_download_goes_on_when_there_is_room() {
    for publisher in &publishers() {
        let mut machine = Machine::new();
        let chunks = publisher.source.layout().chunks();
        machine.disk.set_capacity(64 << 10);
        assert!(matches!(machine.attempt(publisher), Err(PartialError::Full)));
        let stored = machine.stored;
        assert!(!machine.is_visible());
        machine.disk.set_capacity(1 << 30);
        machine.fetched = 0;
        machine.attempt(publisher).unwrap();
        assert!(machine.is_whole(publisher));
        assert_eq!(machine.fetched, chunks - stored);
    }
}

#[test]
fn a_scan_that_fails_anywhere_is_right_the_next_time() {
    let machine = || {
        let disk = Disk::new();
        for (name, content) in Publisher::folder("x").files {
            disk.write(&Path::new("/pub/x").join(name), &content).unwrap();
        }
        disk
    };
    let scan = |disk: &Disk| -> Result<Source, Box<dyn std::error::Error>> {
        let home = Home::open(disk.make_dir(Path::new("/home"))?)?;
        let place = Place::new(disk.dir(Path::new("/pub"))?, rig::rel("x"));
        Ok(skep_store::scan::scan_folder(&home, &place, &hashing(1))?.source)
    };
    let disk = machine();
    let before = disk.operations();
    let content = scan(&disk).unwrap().content();
    let operations = disk.operations() - before;
    for n in 0..operations {
        for crash in [Crash::Kill, Crash::Power, Crash::TornPower(n)] {
            let disk = machine();
            let at = disk.operations() + n;
            disk.fail(at..u64::MAX, Fault::Io);
            let _ = scan(&disk);
            disk.crash(crash);
            disk.heal();
            let source = scan(&disk).unwrap();
            assert_eq!(source.content(), content, "operation {n}, {crash:?}");
            source.check_bytes(&hashing(1)).unwrap();
            assert!(source.page(2, 0).is_ok(), "operation {n}, {crash:?}");
        }
    }
}

#[test]
fn what_is_shared_again_can_be_served_after_a_power_cut() {
    let publisher = Publisher::folder("x");
    for seed in 0..64 {
        let disk = Disk::new();
        for (name, content) in &publisher.files {
            disk.write(&Path::new("/pub/x").join(name), content).unwrap();
        }
        let start = || {
            let home = Home::open(disk.make_dir(Path::new("/home")).unwrap()).unwrap();
            (home, place(&disk, Path::new("/pub"), "x"))
        };
        let (home, place) = start();
        share(&home, &place, true);
        share(&home, &place, true);
        disk.crash(Crash::TornPower(seed));
        let (home, place) = start();
        if let Ok(source) = Source::open(&home, &place) {
            let read = source.check_bytes(&hashing(1));
            assert!(read.is_ok(), "seed {seed}: {read:?}");
        }
    }
}

#[test]
fn our_own_files_may_be_damaged_anywhere() {
    let publisher = Publisher::folder("x");
    let mut machine = Machine::new();
    machine.attempt(&publisher).unwrap();
    let home = || Home::open(machine.disk.make_dir(Path::new("/home")).unwrap()).unwrap();
    let place = Place::new(machine.disk.dir(Path::new("/down")).unwrap(), rig::rel("x"));
    let ours: Vec<_> = machine
        .disk
        .files()
        .into_iter()
        .filter(|path| path.starts_with("/home"))
        .collect();
    assert_eq!(ours.len(), 3, "{ours:?}");
    for path in ours {
        let bits = machine.disk.read(&path).unwrap().len() as u64 * 8;
        for bit in (0..bits).step_by(97) {
            machine.disk.flip_bit(&path, bit).unwrap();
            check_damaged(&home(), &place, &publisher);
            machine.disk.flip_bit(&path, bit).unwrap();
        }
    }
}

/// Whatever is damaged: an error or the right bytes, and a scan that repairs it.
fn check_damaged(home: &Arc<Home>, place: &Place, publisher: &Publisher) {
    let mut buffer = vec![0; MIB];
    if let Ok(source) = Source::open(home, place) {
        for chunk in 0..source.layout().chunks().min(100) {
            let _ = source.read(chunk, 0, 64, &mut buffer);
            let _ = source.check_chunk(chunk, &mut buffer);
        }
        let _ = source.page(2, 0);
        let _ = source.check_stamps();
    }
    let opened = Partial::open(home, place, publisher.source.content(), &hashing(1));
    drop(opened.unwrap());
}
