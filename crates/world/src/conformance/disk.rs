//! The contract of [`Disk`], [`Dir`] and [`File`](crate::File), case by case.

use std::{
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
};

use skep_wire::RelPath;

use crate::{
    Dir, Disk,
    disk::{Kind, Open, Replace},
};

/// A disk to try, and what a stranger can do to it behind the program's back.
pub trait Ground {
    /// The disk.
    fn disk(&self) -> &dyn Disk;
    /// An empty folder on it: absolute, without symbolic links.
    fn root(&self) -> &Path;
    /// Puts a symbolic link at `at`, an absolute path.
    fn symlink(&self, at: &Path, target: &Path);
    /// Puts a named pipe at `at`, an absolute path.
    fn pipe(&self, at: &Path);
}

/// Makes a test of every case, each on a fresh [`Ground`] that the given function makes.
#[macro_export]
macro_rules! disk_conformance {
    ($ground:path) => {
        $crate::disk_conformance! { @ $ground:
            creating reading writing not_waiting holes reserving links_as_files links_as_folders links_themselves
            no_way_up moving moving_onto_itself moving_nonsense folders listing locking
            executable_and_stamps pipes open_files_outlive_their_names folders_named_by_the_user
        }
    };
    (@ $ground:path: $($case:ident)*) => {
        $(#[test] fn $case() { $crate::conformance::disk::$case(&$ground()); })*
    };
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn root(ground: &impl Ground) -> Arc<dyn Dir> {
    ground.disk().dir(ground.root()).unwrap()
}

fn put(dir: &dyn Dir, name: &str, bytes: &[u8]) {
    if let Some(parent) = path(name).parent() {
        dir.make_dirs(&parent).unwrap();
    }
    dir.open(&path(name), Open::CreateNew)
        .unwrap()
        .write_at(0, bytes)
        .unwrap();
}

fn read(dir: &dyn Dir, name: &str) -> Vec<u8> {
    let file = dir.open(&path(name), Open::Read).unwrap();
    let mut bytes = vec![0; usize::try_from(file.stat().unwrap().size).unwrap()];
    file.read_exact_at(0, &mut bytes).unwrap();
    bytes
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().expect("this must fail").kind()
}

fn names(dir: &dyn Dir, of: Option<&str>) -> Vec<(String, Kind)> {
    let entries = dir.list(of.map(path).as_ref()).unwrap();
    entries
        .into_iter()
        .map(|entry| (entry.name.into_string().unwrap(), entry.kind))
        .collect()
}

/// Which ways of opening want the file to be there, not to be there, or do not care.
pub fn creating(ground: &impl Ground) {
    let dir = root(ground);
    for how in [Open::Read, Open::Write] {
        assert_eq!(kind(dir.open(&path("a"), how)), ErrorKind::NotFound);
        assert_eq!(kind(dir.open(&path("none/a"), how)), ErrorKind::NotFound);
    }
    put(&*dir, "a", b"old");
    ground.symlink(&ground.root().join("dangling"), Path::new("nowhere"));
    ground.symlink(&ground.root().join("link"), Path::new("a"));
    dir.make_dirs(&path("folder")).unwrap();
    for how in [Open::CreateNew, Open::CreateNewPrivate] {
        for taken in ["a", "dangling", "link", "folder"] {
            assert_eq!(
                kind(dir.open(&path(taken), how)),
                ErrorKind::AlreadyExists,
                "{taken}"
            );
        }
        assert_eq!(kind(dir.open(&path("a/b"), how)), ErrorKind::NotADirectory);
    }
    dir.open(&path("a"), Open::OpenOrCreatePrivate).unwrap();
    assert_eq!(read(&*dir, "a"), b"old");
    dir.open(&path("b"), Open::OpenOrCreatePrivate).unwrap();
    dir.open(&path("c"), Open::CreateNewPrivate).unwrap();
    assert_eq!((read(&*dir, "b"), read(&*dir, "c")), (vec![], vec![]));
}

/// Reading at, across and beyond the end.
pub fn reading(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "a", b"0123456789");
    let file = dir.open(&path("a"), Open::Read).unwrap();
    let mut out = [0; 8];
    assert_eq!(file.read_at(0, &mut out).unwrap(), 8);
    assert_eq!(&out, b"01234567");
    assert_eq!(file.read_at(8, &mut out).unwrap(), 2);
    assert_eq!(&out[..2], b"89");
    assert_eq!(file.read_at(10, &mut out).unwrap(), 0);
    assert_eq!(file.read_at(1 << 40, &mut out).unwrap(), 0);
    assert_eq!(file.read_at(0, &mut []).unwrap(), 0);
    file.read_exact_at(2, &mut out).unwrap();
    assert_eq!(kind(file.read_exact_at(3, &mut out)), ErrorKind::UnexpectedEof);
}

/// Writing within, across and beyond the end; cutting and extending.
pub fn writing(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "a", b"0123456789");
    let file = dir.open(&path("a"), Open::Write).unwrap();
    file.write_at(8, b"abc").unwrap();
    assert_eq!(read(&*dir, "a"), b"01234567abc");
    file.write_at(5000, b"x").unwrap();
    assert_eq!(read(&*dir, "a"), [&b"01234567abc"[..], &[0; 4989], b"x"].concat());
    file.write_at(9000, b"").unwrap();
    assert_eq!(file.stat().unwrap().size, 5001);
    file.set_len(3).unwrap();
    file.set_len(6).unwrap();
    assert_eq!(read(&*dir, "a"), b"012\0\0\0");
    file.sync().unwrap();
    dir.sync(None).unwrap();
    let read_only = dir.open(&path("a"), Open::Read).unwrap();
    assert!(read_only.write_at(0, b"x").is_err());
    assert!(read_only.set_len(0).is_err());
    assert_eq!(read(&*dir, "a"), b"012\0\0\0");
}

/// What is written through, and read without waiting, are the same bytes.
pub fn not_waiting(ground: &impl Ground) {
    let dir = root(ground);
    let file = dir.open(&path("f"), Open::CreateNew).unwrap();
    let bytes: Vec<u8> = (0..300_000u32).map(|n| n.to_le_bytes()[1]).collect();
    file.write_through_at(0, &bytes[..200_000]).unwrap();
    file.write_at(200_000, &bytes[200_000..]).unwrap();
    file.write_through_at(100_000, &bytes[100_000..150_000]).unwrap();
    assert_eq!(read(&*dir, "f"), bytes);
    let mut out = [0; 1000];
    match file.read_exact_now_at(150_000, &mut out) {
        Ok(()) => assert_eq!(out, bytes[150_000..151_000]),
        Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
    }
    file.sync().unwrap();
    assert_eq!(read(&*dir, "f"), bytes);
    let read_only = dir.open(&path("f"), Open::Read).unwrap();
    assert!(read_only.write_through_at(0, b"x").is_err());
    assert!(read_only.read_exact_now_at(299_999, &mut out).is_err());
}

/// What is called a hole is zeros; what was written never is one.
pub fn holes(ground: &impl Ground) {
    const PIECE: usize = 1 << 16;
    let dir = root(ground);
    let file = dir.open(&path("f"), Open::CreateNew).unwrap();
    file.set_len(16 * PIECE as u64).unwrap();
    file.write_at(5 * PIECE as u64 + 7, b"x").unwrap();
    file.reserve(16 * PIECE as u64).unwrap();
    file.write_at(9 * PIECE as u64, &[0; 9]).unwrap();
    for at in 0..16 {
        let mut bytes = [1; PIECE];
        file.read_exact_at((at * PIECE) as u64, &mut bytes).unwrap();
        let is_hole = file.is_hole((at * PIECE) as u64, PIECE as u64);
        assert!(!is_hole || bytes == [0; PIECE], "piece {at}");
        assert!(!(is_hole && at == 5));
    }
}

/// Reserving changes no length and no byte.
pub fn reserving(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "a", b"0123456789");
    let file = dir.open(&path("a"), Open::Write).unwrap();
    for size in [0, 5, 1 << 20] {
        file.reserve(size).unwrap();
        assert_eq!(read(&*dir, "a"), b"0123456789");
    }
}

/// A symbolic link in place of a file is an error, and where it points nothing changes.
pub fn links_as_files(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "inside/secret", b"secret");
    put(&*dir, "outside/secret", b"secret");
    let inside = dir.dir(&path("inside")).unwrap();
    let at = |name| ground.root().join("inside").join(name);
    ground.symlink(&at("sibling"), Path::new("secret"));
    ground.symlink(&at("up"), Path::new("../outside/secret"));
    ground.symlink(&at("absolute"), &ground.root().join("outside/secret"));
    ground.symlink(&at("chained"), Path::new("up"));
    ground.symlink(&at("itself"), Path::new("itself"));
    ground.symlink(&at("dangling"), Path::new("../outside/new"));
    for link in ["sibling", "up", "absolute", "chained", "itself", "dangling"] {
        for how in [Open::Read, Open::Write, Open::OpenOrCreatePrivate] {
            assert!(inside.open(&path(link), how).is_err(), "{link} {how:?}");
        }
        assert!(inside.lock(&path(link)).is_err(), "{link}");
        assert!(inside.set_executable(&path(link), true).is_err(), "{link}");
        assert!(inside.list(Some(&path(link))).is_err(), "{link}");
        assert_eq!(inside.stat(&path(link)).unwrap().kind, Kind::Symlink);
    }
    assert_eq!(read(&*dir, "outside/secret"), b"secret");
    assert_eq!(names(&*dir, Some("outside")), [("secret".into(), Kind::File)]);
    assert!(!dir.stat(&path("outside/secret")).unwrap().executable);
}

/// A symbolic link in place of a folder is an error for every operation beneath it.
pub fn links_as_folders(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "inside/real/file", b"mine");
    put(&*dir, "outside/secret", b"secret");
    dir.make_dirs(&path("outside/empty")).unwrap();
    let inside = dir.dir(&path("inside")).unwrap();
    let at = |name| ground.root().join("inside").join(name);
    ground.symlink(&at("up"), Path::new("../outside"));
    ground.symlink(&at("absolute"), &ground.root().join("outside"));
    ground.symlink(&at("chained"), Path::new("up"));
    ground.symlink(&at("real/deep"), Path::new("../../outside"));
    for link in ["up", "absolute", "chained", "real/deep"] {
        let below = |name: &str| path(&format!("{link}/{name}"));
        for how in [
            Open::Read,
            Open::Write,
            Open::CreateNew,
            Open::CreateNewPrivate,
            Open::OpenOrCreatePrivate,
        ] {
            assert!(inside.open(&below("secret"), how).is_err(), "{link} {how:?}");
            assert!(inside.open(&below("new"), how).is_err(), "{link} {how:?}");
        }
        assert!(inside.dir(&path(link)).is_err(), "{link}");
        assert!(inside.dir(&below("empty")).is_err(), "{link}");
        assert!(inside.make_dirs(&path(link)).is_err(), "{link}");
        assert!(inside.make_dirs(&below("new/newer")).is_err(), "{link}");
        assert!(
            inside
                .rename(&path("real/file"), &below("new"), Replace::Allow)
                .is_err(),
            "{link}"
        );
        assert!(
            inside
                .rename(&below("secret"), &path("stolen"), Replace::Never)
                .is_err(),
            "{link}"
        );
        assert!(inside.remove_file(&below("secret")).is_err(), "{link}");
        assert!(inside.remove_dir(&below("empty")).is_err(), "{link}");
        assert!(inside.stat(&below("secret")).is_err(), "{link}");
        assert!(inside.list(Some(&path(link))).is_err(), "{link}");
        assert!(inside.sync(Some(&path(link))).is_err(), "{link}");
        assert!(inside.lock(&below("lock")).is_err(), "{link}");
        assert!(inside.set_executable(&below("secret"), true).is_err(), "{link}");
    }
    assert_eq!(
        names(&*dir, Some("outside")),
        [("empty".into(), Kind::Dir), ("secret".into(), Kind::File)]
    );
    assert_eq!(read(&*dir, "outside/secret"), b"secret");
    assert_eq!(read(&*inside, "real/file"), b"mine");
}

/// Removing, moving and replacing a symbolic link does so to the link.
pub fn links_themselves(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "target", b"target");
    put(&*dir, "new", b"new");
    for link in ["a", "b", "c"] {
        ground.symlink(&ground.root().join(link), Path::new("target"));
    }
    dir.remove_file(&path("a")).unwrap();
    dir.rename(&path("b"), &path("moved"), Replace::Never).unwrap();
    assert_eq!(dir.stat(&path("moved")).unwrap().kind, Kind::Symlink);
    assert_eq!(
        kind(dir.rename(&path("new"), &path("c"), Replace::Never)),
        ErrorKind::AlreadyExists
    );
    dir.rename(&path("new"), &path("c"), Replace::Allow).unwrap();
    assert_eq!(read(&*dir, "c"), b"new");
    assert_eq!(read(&*dir, "target"), b"target");
}

/// There is no path that leads up: [`RelPath`] does not hold one.
pub fn no_way_up(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "a", b"x");
    for text in [
        "..",
        "../a",
        "a/..",
        "a/../../a",
        "/a",
        "/",
        "",
        ".",
        "a//b",
        "./a",
        "a/",
        "a\0",
    ] {
        assert!(RelPath::parse(text).is_err(), "{text:?}");
    }
}

/// Moving to a free name, over a file, and not over a file.
pub fn moving(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "a", b"a");
    put(&*dir, "folder/b", b"b");
    let inode = dir.stat(&path("a")).unwrap().inode;
    assert_eq!(
        kind(dir.rename(&path("a"), &path("folder/b"), Replace::Never)),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        kind(dir.rename(&path("a"), &path("folder"), Replace::Never)),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        (read(&*dir, "a"), read(&*dir, "folder/b")),
        (b"a".to_vec(), b"b".to_vec())
    );
    dir.rename(&path("a"), &path("folder/c"), Replace::Never).unwrap();
    assert_eq!(dir.stat(&path("folder/c")).unwrap().inode, inode);
    assert_eq!(kind(dir.stat(&path("a"))), ErrorKind::NotFound);
    dir.rename(&path("folder/c"), &path("folder/b"), Replace::Allow)
        .unwrap();
    assert_eq!(read(&*dir, "folder/b"), b"a");
    dir.rename(&path("folder"), &path("moved"), Replace::Never)
        .unwrap();
    assert_eq!(read(&*dir, "moved/b"), b"a");
    assert_eq!(names(&*dir, None), [("moved".into(), Kind::Dir)]);
    dir.sync(Some(&path("moved"))).unwrap();
}

/// Moving something onto itself changes nothing, whether or not it may replace.
pub fn moving_onto_itself(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "folder/a", b"a");
    for replace in [Replace::Never, Replace::Allow] {
        dir.rename(&path("folder/a"), &path("folder/a"), replace).unwrap();
        dir.rename(&path("folder"), &path("folder"), replace).unwrap();
        assert_eq!(read(&*dir, "folder/a"), b"a");
        assert_eq!(
            kind(dir.rename(&path("none"), &path("none"), replace)),
            ErrorKind::NotFound
        );
    }
}

/// Moves that make no sense fail and change nothing.
pub fn moving_nonsense(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "folder/a", b"a");
    put(&*dir, "file", b"f");
    for replace in [Replace::Never, Replace::Allow] {
        assert_eq!(
            kind(dir.rename(&path("none"), &path("b"), replace)),
            ErrorKind::NotFound
        );
        assert_eq!(
            kind(dir.rename(&path("file"), &path("none/b"), replace)),
            ErrorKind::NotFound
        );
        for (from, to) in [
            ("folder", "folder/b"),
            ("file", "folder"),
            ("folder", "file"),
            ("file", "file/b"),
        ] {
            assert!(
                dir.rename(&path(from), &path(to), replace).is_err(),
                "{from} {to}"
            );
        }
    }
    assert_eq!(
        (read(&*dir, "folder/a"), read(&*dir, "file")),
        (b"a".to_vec(), b"f".to_vec())
    );
}

/// Making and removing folders.
pub fn folders(ground: &impl Ground) {
    let dir = root(ground);
    dir.make_dirs(&path("a/b/c")).unwrap();
    dir.make_dirs(&path("a/b/c")).unwrap();
    put(&*dir, "a/file", b"x");
    assert_eq!(kind(dir.make_dirs(&path("a/file"))), ErrorKind::NotADirectory);
    assert_eq!(kind(dir.make_dirs(&path("a/file/b"))), ErrorKind::NotADirectory);
    assert_eq!(kind(dir.dir(&path("a/file"))), ErrorKind::NotADirectory);
    assert_eq!(kind(dir.dir(&path("none"))), ErrorKind::NotFound);
    assert_eq!(kind(dir.remove_dir(&path("a"))), ErrorKind::DirectoryNotEmpty);
    assert!(dir.remove_dir(&path("a/file")).is_err());
    assert!(dir.remove_file(&path("a/b")).is_err());
    assert!(dir.open(&path("a"), Open::Read).is_err());
    let below = dir.dir(&path("a/b")).unwrap();
    assert_eq!(below.host_path(), ground.root().join("a/b"));
    below.remove_dir(&path("c")).unwrap();
    dir.rename(&path("a/b"), &path("moved"), Replace::Never).unwrap();
    put(&*below, "new", b"new");
    assert_eq!(read(&*dir, "moved/new"), b"new");
    below.remove_file(&path("new")).unwrap();
    dir.remove_dir(&path("moved")).unwrap();
    assert!(below.open(&path("late"), Open::CreateNew).is_err());
    dir.remove_file(&path("a/file")).unwrap();
    assert_eq!(kind(dir.remove_file(&path("a/file"))), ErrorKind::NotFound);
    assert_eq!(names(&*dir, None), [("a".into(), Kind::Dir)]);
}

/// Names are listed by their bytes, with their kinds, again and again.
pub fn listing(ground: &impl Ground) {
    let dir = root(ground);
    for name in ["b", "a-", "a", "B", "ä", "zz"] {
        put(&*dir, name, b"");
    }
    dir.make_dirs(&path("a!/inner")).unwrap();
    ground.symlink(&ground.root().join("a~"), Path::new("a"));
    dir.sync_tree(None).unwrap();
    dir.sync_tree(Some(&path("a!"))).unwrap();
    assert!(dir.sync_tree(Some(&path("a~"))).is_err());
    let file = |name: &str| (name.to_owned(), Kind::File);
    let expected = [
        file("B"),
        file("a"),
        ("a!".to_owned(), Kind::Dir),
        file("a-"),
        ("a~".to_owned(), Kind::Symlink),
        file("b"),
        file("zz"),
        file("ä"),
    ];
    assert_eq!(names(&*dir, None), expected);
    assert_eq!(names(&*dir, None), expected);
    assert_eq!(names(&*dir, Some("a!")), [("inner".into(), Kind::Dir)]);
    assert_eq!(kind(dir.list(Some(&path("none")))), ErrorKind::NotFound);
    assert_eq!(kind(dir.list(Some(&path("a")))), ErrorKind::NotADirectory);
}

/// A lock has one holder at a time.
pub fn locking(ground: &impl Ground) {
    let (dir, other) = (root(ground), root(ground));
    let held = dir.lock(&path("lock")).unwrap();
    for somebody in [&dir, &other] {
        assert_eq!(kind(somebody.lock(&path("lock"))), ErrorKind::WouldBlock);
        somebody.lock(&path("another")).unwrap();
    }
    drop(held);
    let held = other.lock(&path("lock")).unwrap();
    assert_eq!(kind(dir.lock(&path("lock"))), ErrorKind::WouldBlock);
    drop(held);
    dir.lock(&path("lock")).unwrap();
}

/// Who may execute, and what a stamp is good for.
pub fn executable_and_stamps(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "a", b"12345");
    let before = dir.stat(&path("a")).unwrap();
    assert_eq!(
        (before.kind, before.size, before.executable),
        (Kind::File, 5, false)
    );
    assert_eq!(dir.stat(&path("a")).unwrap(), before);
    dir.set_executable(&path("a"), true).unwrap();
    assert!(dir.stat(&path("a")).unwrap().executable);
    dir.set_executable(&path("a"), false).unwrap();
    assert!(!dir.stat(&path("a")).unwrap().executable);
    let file = dir.open(&path("a"), Open::Write).unwrap();
    file.write_at(0, b"1234567").unwrap();
    let after = file.stat().unwrap();
    assert_eq!(after, dir.stat(&path("a")).unwrap());
    assert_eq!((after.size, after.inode), (7, before.inode));
    assert!(after.mtime_ns >= before.mtime_ns && after.ctime_ns >= before.ctime_ns);
    put(&*dir, "b", b"");
    assert_ne!(dir.stat(&path("b")).unwrap().inode, before.inode);
    assert!(dir.set_executable(&path("none"), true).is_err());
}

/// A pipe is not opened, which could take for ever.
pub fn pipes(ground: &impl Ground) {
    let dir = root(ground);
    ground.pipe(&ground.root().join("pipe"));
    for how in [Open::Read, Open::Write, Open::OpenOrCreatePrivate] {
        assert!(dir.open(&path("pipe"), how).is_err(), "{how:?}");
    }
    assert_eq!(
        kind(dir.open(&path("pipe"), Open::CreateNew)),
        ErrorKind::AlreadyExists
    );
    assert_eq!(dir.stat(&path("pipe")).unwrap().kind, Kind::Other);
    assert_eq!(names(&*dir, None), [("pipe".into(), Kind::Other)]);
    dir.remove_file(&path("pipe")).unwrap();
}

/// An open file goes on after it was moved, replaced or removed.
pub fn open_files_outlive_their_names(ground: &impl Ground) {
    let dir = root(ground);
    put(&*dir, "a", b"old");
    put(&*dir, "b", b"new");
    let file = dir.open(&path("a"), Open::Write).unwrap();
    dir.rename(&path("b"), &path("a"), Replace::Allow).unwrap();
    file.write_at(3, b"er").unwrap();
    file.sync().unwrap();
    let mut out = [0; 5];
    file.read_exact_at(0, &mut out).unwrap();
    assert_eq!((&out, read(&*dir, "a")), (b"older", b"new".to_vec()));
    let file = dir.open(&path("a"), Open::Write).unwrap();
    dir.remove_file(&path("a")).unwrap();
    file.write_at(0, b"gone").unwrap();
    assert_eq!(file.stat().unwrap().size, 4);
    assert_eq!(names(&*dir, None), []);
}

/// A folder that the user names may be reached through links; what lies beneath it may not.
pub fn folders_named_by_the_user(ground: &impl Ground) {
    let at = |name: &str| ground.root().join(name);
    let disk = ground.disk();
    assert_eq!(kind(disk.dir(&at("a/b"))), ErrorKind::NotFound);
    let made = disk.make_dir(&at("a/b")).unwrap();
    put(&*made, "file", b"x");
    disk.make_dir(&at("a/b")).unwrap();
    ground.symlink(&at("link"), Path::new("a"));
    ground.symlink(&at("again"), &at("link"));
    ground.symlink(&at("circle"), Path::new("circle"));
    for named in ["link/b", "again/b", "a/../link/./b"] {
        let dir = disk.dir(&at(named)).unwrap();
        assert_eq!(dir.host_path(), at("a/b"));
        assert_eq!(disk.canonical(&at(named)).unwrap(), at("a/b"));
        assert_eq!(read(&*dir, "file"), b"x");
    }
    assert!(disk.dir(&at("circle")).is_err());
    assert_eq!(kind(disk.dir(&at("a/b/file"))), ErrorKind::NotADirectory);
    assert!(disk.make_dir(&at("a/b/file/c")).is_err());
    assert_eq!(disk.canonical(&at("link/b/file")).unwrap(), at("a/b/file"));
    assert_eq!(kind(disk.canonical(&at("none"))), ErrorKind::NotFound);
    assert!(disk.free_bytes(&at("a")).unwrap() > 0);
    assert!(disk.free_bytes(&at("none/yet")).unwrap() > 0);
}
