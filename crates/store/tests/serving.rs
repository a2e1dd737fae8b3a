//! Scanning and serving in place, on the real disk.

#![allow(clippy::unwrap_used)]

mod rig;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rig::{MIB, bytes, hashing, home, place, share, tree};
use skep_store::{
    Hashing, Home, Place, Source, SourceError,
    scan::{ScanError, SkipReason, scan_file, scan_folder},
};
use skep_wire::{BlobId, Manifest, outline::verify_page};
use skep_world::real::Disk;
use tempfile::TempDir;

/// A leaf, as the wire has it.
const UNIT: usize = 16 << 10;

struct Stage {
    tmp: TempDir,
    home: Arc<Home>,
}

impl Stage {
    fn new() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let home = home(&Disk, &tmp.path().join("home"));
        Self { tmp, home }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tmp.path().join("pub").join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn place(&self, name: &str) -> Place {
        place(&Disk, &self.tmp.path().join("pub"), name)
    }

    fn folder(&self) -> Source {
        share(&self.home, &self.place("d"), true).source
    }
}

fn read(source: &Source, chunk: u64) -> Result<Vec<u8>, SourceError> {
    let mut out = vec![0; MIB];
    let len = source.read(chunk, 0, 64, &mut out)?;
    out.truncate(len);
    Ok(out)
}

fn sample(stage: &Stage) -> Source {
    for n in 0..30 {
        stage.write(&format!("d/s/{n:02}"), &bytes(n, 70_000));
    }
    stage.write("d/large", &bytes(50, 2 * MIB + 40_000));
    stage.write("d/empty", b"");
    stage.folder()
}

#[test]
fn ids_do_not_depend_on_workers_and_every_byte_is_told() {
    let stage = Stage::new();
    let content = bytes(9, 70 * MIB + 3);
    stage.write("f", &content);
    stage.write("d/a", &bytes(1, 3000));
    stage.write("d/b", &content);
    let id = BlobId(*blake3::hash(&content).as_bytes());
    let mut folders = Vec::new();
    for workers in [1, 3] {
        let told = AtomicU64::new(0);
        let never = AtomicBool::new(false);
        let hashing = Hashing {
            workers,
            progress: &|bytes| {
                told.fetch_add(bytes, Ordering::Relaxed);
            },
            stop: &never,
        };
        for name in ["f", "d"] {
            stage.home.forget_place(&stage.place(name)).unwrap();
        }
        let file = scan_file(&stage.home, &stage.place("f"), &hashing).unwrap();
        assert_eq!(
            (file.source.content().id, file.read_bytes),
            (id, content.len() as u64)
        );
        assert_eq!(told.swap(0, Ordering::Relaxed), content.len() as u64);
        let folder = scan_folder(&stage.home, &stage.place("d"), &hashing).unwrap();
        assert_eq!(told.into_inner(), folder.read_bytes);
        folders.push(folder.source.content());
    }
    assert_eq!(folders[0], folders[1]);
}

#[test]
fn every_unit_of_a_folder_is_served() {
    let stage = Stage::new();
    let source = sample(&stage);
    let manifest = Manifest::decode(&read(&source, 0).unwrap()).unwrap();
    assert_eq!(manifest.file_count(), 32);
    let mut all = 0;
    for chunk in 0..source.layout().chunks() {
        let whole = read(&source, chunk).unwrap();
        all += whole.len() as u64;
        assert!(source.expected(chunk).unwrap().check.holds(&whole));
        let mut units = Vec::new();
        for (unit, _) in (0u16..).zip(whole.chunks(UNIT)) {
            let mut out = [0; UNIT];
            let len = source.read(chunk, unit, 1, &mut out).unwrap();
            let mut leaf = [0; UNIT];
            assert_eq!(source.leaf(chunk * 64 + u64::from(unit), &mut leaf).unwrap(), len);
            assert_eq!(leaf, out);
            units.extend_from_slice(&out[..len]);
        }
        assert_eq!(units, whole);
    }
    assert_eq!(all, source.layout().total_bytes());
    let end = source.layout().chunks();
    assert!(matches!(read(&source, end), Err(SourceError::NoSuchChunk(n)) if n == end));
    assert!(matches!(
        source.read(0, 64, 1, &mut [0; 10]),
        Err(SourceError::NoSuchChunk(0))
    ));
    source.check_bytes(&hashing(2)).unwrap();
}

#[test]
fn outline_pages_prove_themselves_and_are_made_again() {
    let stage = Stage::new();
    let source = sample(&stage);
    let large = Manifest::decode(&read(&source, 0).unwrap()).unwrap();
    let large = large.files().find(|file| file.size > MIB as u64).unwrap();
    let page = source.page(large.object, 0).unwrap();
    assert!(verify_page(large.id, large.size, 0, page.clone()).is_ok());
    assert!(matches!(
        source.page(large.object, 1),
        Err(SourceError::Outline(_))
    ));
    assert!(matches!(source.page(1, 0), Err(SourceError::Outline(_))));
    assert!(matches!(source.page(1000, 0), Err(SourceError::Outline(_))));
    let file = stage
        .tmp
        .path()
        .join(format!("home/outlines/{}", source.content().id));
    let mut raw = fs::read(&file).unwrap();
    *raw.last_mut().unwrap() ^= 1;
    fs::write(&file, raw).unwrap();
    let source = Source::open(&stage.home, &stage.place("d")).unwrap();
    let error = source.page(large.object, 0).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("outline page 0 of object {} is damaged on disk", large.object)
    );
    source.repair_outline(large.object, &hashing(1)).unwrap();
    assert_eq!(source.page(large.object, 0).unwrap(), page);
}

#[test]
fn a_changed_file_is_not_served_and_the_others_are() {
    let stage = Stage::new();
    let source = sample(&stage);
    source.check_stamps().unwrap();
    let chunks = source.layout().chunks();
    let large = chunks - 1;
    let before = read(&source, 1).unwrap();
    fs::write(stage.path("d/large"), bytes(51, 2 * MIB + 40_000)).unwrap();
    assert!(matches!(read(&source, large), Err(SourceError::Changed(_))));
    assert!(matches!(source.check_stamps(), Err(SourceError::Changed(_))));
    assert_eq!(read(&source, 1).unwrap(), before);
    fs::remove_file(stage.path("d/large")).unwrap();
    assert!(matches!(read(&source, large), Err(SourceError::Gone(_))));
    let kept = stage.tmp.path().join("kept");
    fs::rename(stage.path("d/s/00"), &kept).unwrap();
    std::os::unix::fs::symlink(&kept, stage.path("d/s/00")).unwrap();
    assert!(matches!(read(&source, 1), Err(SourceError::Changed(_))));
    fs::remove_dir_all(stage.path("d")).unwrap();
    assert!(matches!(read(&source, 1), Err(SourceError::Gone(_))));
    // The manifest is ours.
    assert!(read(&source, 0).is_ok());
}

#[test]
fn bytes_that_changed_under_the_same_stamp_are_found_when_asked() {
    let stage = Stage::new();
    let source = sample(&stage);
    // As close as a test comes to a disk that rots: the home's manifest has no stamp.
    let file = stage
        .tmp
        .path()
        .join(format!("home/manifests/{}", source.content().id));
    let mut raw = fs::read(&file).unwrap();
    raw[40] ^= 1;
    fs::write(&file, raw).unwrap();
    let mut buffer = Vec::new();
    assert!(matches!(
        source.check_chunk(0, &mut buffer),
        Err(SourceError::Changed(_))
    ));
    source.check_chunk(1, &mut buffer).unwrap();
    assert!(source.check_bytes(&hashing(2)).is_err());
    // The next scan makes it again.
    stage.folder().check_bytes(&hashing(1)).unwrap();
}

#[test]
fn a_second_scan_reads_only_what_changed() {
    let stage = Stage::new();
    let first = sample(&stage).content();
    let again = share(&stage.home, &stage.place("d"), true);
    assert_eq!((again.read_bytes, again.source.content()), (0, first));
    stage.write("d/s/05", b"changed");
    fs::remove_file(stage.path("d/s/06")).unwrap();
    stage.write("d/s/05a", b"new");
    fs::rename(stage.path("d/large"), stage.path("d/larger")).unwrap();
    let third = share(&stage.home, &stage.place("d"), true);
    assert_eq!(third.read_bytes, 7 + 3 + 2 * MIB as u64 + 40_000);
    assert_ne!(third.source.content(), first);
    third.source.check_bytes(&hashing(1)).unwrap();
    // Exactly what a scan without a memory finds.
    stage.home.forget_place(&stage.place("d")).unwrap();
    let fresh = share(&stage.home, &stage.place("d"), true).source;
    assert_eq!(fresh.content(), third.source.content());
    assert_eq!(tree(&stage.tmp.path().join("home/places")).len(), 1);
}

#[test]
fn an_old_source_never_serves_the_new_content() {
    let stage = Stage::new();
    let old = sample(&stage);
    stage.write("d/a", b"comes first");
    let new = stage.folder();
    let mut buffer = vec![0; MIB];
    for chunk in 1..old.layout().chunks() {
        let read = old.read(chunk, 0, 64, &mut buffer);
        assert!(
            read.is_err()
                || old
                    .expected(chunk)
                    .is_ok_and(|e| e.check.holds(&buffer[..read.unwrap()]))
        );
    }
    new.check_bytes(&hashing(1)).unwrap();
}

#[test]
fn a_restart_reads_no_file() {
    let stage = Stage::new();
    let content = sample(&stage).content();
    let home = home(&Disk, &stage.tmp.path().join("home"));
    let source = Source::open(&home, &stage.place("d")).unwrap();
    assert_eq!(source.content(), content);
    source.check_bytes(&hashing(1)).unwrap();
    let nothing = Source::open(&home, &stage.place("other"));
    assert!(matches!(nothing, Err(SourceError::Io(e)) if e.kind() == std::io::ErrorKind::NotFound));
    home.forget_content(content.id).unwrap();
    home.forget_content(content.id).unwrap();
}

#[test]
fn a_scan_of_what_is_no_file_says_so() {
    let stage = Stage::new();
    stage.write("d/a", b"x");
    std::os::unix::fs::symlink("a", stage.path("link")).unwrap();
    let failed = |name: &str| match scan_file(&stage.home, &stage.place(name), &hashing(1)) {
        Err(ScanError::Skipped(skipped)) => skipped.reason,
        _ => panic!("{name}"),
    };
    assert!(matches!(failed("link"), SkipReason::Symlink));
    assert!(matches!(failed("d"), SkipReason::Special));
    assert!(matches!(failed("none"), SkipReason::Io(_)));
    let no_folder = scan_folder(&stage.home, &stage.place("none"), &hashing(1));
    assert!(matches!(no_folder, Err(ScanError::Place { .. })));
    let stop = AtomicBool::new(true);
    let stopped = Hashing {
        workers: 2,
        progress: &|_| {},
        stop: &stop,
    };
    let result = scan_folder(&stage.home, &stage.place("d"), &stopped);
    assert!(matches!(result, Err(ScanError::Stopped(_))));
}

#[test]
fn a_whole_folder_without_a_name_of_ours_can_be_shared() {
    let stage = Stage::new();
    stage.write("C:odd/a", b"x");
    let dir = skep_world::Disk::dir(&Disk, &stage.path("C:odd")).unwrap();
    let place = Place::whole(dir);
    let source = scan_folder(&stage.home, &place, &hashing(1)).unwrap().source;
    source.check_bytes(&hashing(1)).unwrap();
    source.check_stamps().unwrap();
    assert_eq!(source.files(), 1);
}

#[test]
fn more_files_than_may_be_open_are_served() {
    let stage = Stage::new();
    for n in 0..400 {
        stage.write(&format!("d/{n}"), &bytes(n, 10));
    }
    let source = stage.folder();
    let many: Vec<_> = (0..20)
        .map(|_| Source::open(&stage.home, &stage.place("d")).unwrap())
        .collect();
    for source in many.iter().chain([&source]) {
        source.check_bytes(&hashing(2)).unwrap();
    }
    let open = fs::read_dir("/proc/self/fd").unwrap().count();
    assert!(open < 200, "{open} files are open");
}
