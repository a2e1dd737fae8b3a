//! Downloads on the real disk, from a publisher's files to the finished copy.

#![allow(clippy::unwrap_used)]

mod rig;

use std::{fs, path::PathBuf, sync::Arc};

use rig::{MIB, bytes, fetch, fetch_all, hashing, home, open, place, rel, share, tree};
use skep_store::{
    Home, Partial, Place, Source,
    partial::{Opened, PartialError, Put},
};
use skep_wire::{
    VerifiedChunk,
    chunk::{Check, Expected},
};
use skep_world::real::Disk;
use tempfile::TempDir;

/// A publisher's and a downloader's folders.
struct Stage {
    tmp: TempDir,
    from: Arc<Home>,
    to: Arc<Home>,
}

impl Stage {
    fn new() -> Self {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir_all(tmp.path().join("pub")).unwrap();
        fs::create_dir_all(tmp.path().join("down")).unwrap();
        let from = home(&Disk, &tmp.path().join("home-a"));
        let to = home(&Disk, &tmp.path().join("home-b"));
        Self { tmp, from, to }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.tmp.path().join("pub").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Shares what is called `name`.
    fn share(&self, name: &str) -> Source {
        let is_folder = self.tmp.path().join("pub").join(name).is_dir();
        share(
            &self.from,
            &place(&Disk, &self.tmp.path().join("pub"), name),
            is_folder,
        )
        .source
    }

    fn down(&self) -> PathBuf {
        self.tmp.path().join("down")
    }

    fn place(&self, name: &str) -> Place {
        place(&Disk, &self.down(), name)
    }

    fn open(&self, name: &str, source: &Source) -> Partial {
        open(&self.to, &self.place(name), source.content()).unwrap()
    }

    fn names(&self) -> Vec<String> {
        tree(&self.down()).into_iter().map(|(name, _)| name).collect()
    }
}

/// A folder with everything in it: runs, large files, empty ones, programs.
fn folder(stage: &Stage) -> Source {
    for n in 0..40 {
        stage.file(&format!("d/small/{n:02}"), &bytes(n, 50_000));
    }
    stage.file("d/large/one", &bytes(100, 3 * MIB + 17));
    stage.file("d/large/two", &bytes(101, MIB + 1));
    stage.file("d/just", &bytes(102, MIB));
    stage.file("d/nothing", b"");
    let program = stage.file("d/run", b"#!/bin/sh\n");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(stage.tmp.path().join("pub/d/empty/deep")).unwrap();
    stage.share("d")
}

fn visible(stage: &Stage, from: &str) -> Vec<(String, Vec<u8>)> {
    tree(&stage.tmp.path().join("pub").join(from))
}

#[test]
fn files_of_all_sizes_arrive_whole_and_leave_nothing_else() {
    let stage = Stage::new();
    for (n, size) in [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB, 5 * MIB + 99]
        .into_iter()
        .enumerate()
    {
        let name = format!("f{n}");
        let content = bytes(n as u64, size);
        stage.file(&name, &content);
        let source = stage.share(&name);
        assert_eq!(source.content().id.0, *blake3::hash(&content).as_bytes());
        let partial = stage.open(&name, &source);
        assert!(!partial.is_whole());
        fetch_all(&source, &partial).unwrap();
        assert!(partial.is_whole());
        assert!(!stage.down().join(&name).exists());
        let copy = partial.finish(false, &hashing(2)).unwrap();
        assert_eq!(fs::read(stage.down().join(&name)).unwrap(), content, "{size}");
        copy.check_bytes(&hashing(2)).unwrap();
        copy.check_stamps().unwrap();
    }
    assert_eq!(stage.names(), ["f0", "f1", "f2", "f3", "f4", "f5", "f6"]);
    assert_eq!(tree(&stage.tmp.path().join("home-b/partials")), []);
}

#[test]
fn a_folder_arrives_whole_with_empty_ones_and_programs() {
    let stage = Stage::new();
    let source = folder(&stage);
    let partial = stage.open("d", &source);
    assert_eq!(
        fetch(&source, &partial, partial.first_chunk()).unwrap(),
        Put::ManifestDone
    );
    assert_eq!(partial.layout().chunks(), source.layout().chunks());
    fetch_all(&source, &partial).unwrap();
    assert!(!stage.down().join("d").exists());
    let copy = partial.finish(false, &hashing(2)).unwrap();
    assert_eq!(tree(&stage.down().join("d")), visible(&stage, "d"));
    use std::os::unix::fs::PermissionsExt;
    let mode = |name: &str| {
        fs::metadata(stage.down().join("d").join(name))
            .unwrap()
            .permissions()
            .mode()
            & 0o111
    };
    assert_eq!((mode("run") != 0, mode("just")), (true, 0));
    copy.check_bytes(&hashing(1)).unwrap();
    // The copy is the same share.
    assert_eq!(
        share(&stage.to, &stage.place("d"), true).source.content(),
        source.content()
    );
}

#[test]
fn nothing_is_made_before_the_size_is_proven() {
    let stage = Stage::new();
    stage.file("f", &bytes(1, 3 * MIB));
    let source = stage.share("f");
    let partial = stage.open("f", &source);
    assert_eq!(partial.first_chunk(), 2);
    assert_eq!(partial.missing_page(0).unwrap(), Some((0, 0)));
    assert!(matches!(
        fetch(&source, &partial, 0),
        Err(PartialError::SizeNotProven { first: 2 })
    ));
    assert_eq!(stage.names(), Vec::<String>::new());
    fetch(&source, &partial, 2).unwrap();
    assert_eq!(stage.names(), [".f.skep-partial"]);
    assert_eq!(fetch(&source, &partial, 0).unwrap(), Put::Stored);
    assert_eq!(fetch(&source, &partial, 0).unwrap(), Put::Already);
    assert!(matches!(
        partial.finish(false, &hashing(1)),
        Err(PartialError::Incomplete { missing: 1 })
    ));
}

#[test]
fn a_chunk_that_was_checked_against_something_else_is_refused() {
    let stage = Stage::new();
    stage.file("f", b"honey");
    let source = stage.share("f");
    let partial = stage.open("f", &source);
    let money = Expected {
        content: source.content().id,
        number: 0,
        check: Check::Whole {
            id: skep_wire::BlobId(*blake3::hash(b"money").as_bytes()),
            len: 5,
        },
    };
    let chunk = VerifiedChunk::verify(money, b"money").unwrap();
    assert!(matches!(partial.put(&chunk), Err(PartialError::OtherContent(_))));
    assert_eq!(stage.names(), Vec::<String>::new());
}

#[test]
fn a_killed_download_fetches_no_stored_chunk_again() {
    let stage = Stage::new();
    stage.file("f", &bytes(1, 9 * MIB));
    let sources = [stage.share("f"), folder(&stage)];
    for (name, source) in ["f", "d"].into_iter().zip(&sources) {
        let partial = stage.open(name, source);
        fetch(source, &partial, partial.first_chunk()).unwrap();
        for chunk in (1..source.layout().chunks()).step_by(2) {
            fetch(source, &partial, chunk).unwrap();
        }
        let stored = partial.stored();
        drop(partial);
        let partial = stage.open(name, source);
        assert_eq!(partial.stored(), stored);
        assert_eq!(
            fetch_all(source, &partial).unwrap(),
            source.layout().chunks() - stored.len()
        );
        partial.finish(false, &hashing(2)).unwrap();
    }
    assert_eq!(tree(&stage.down().join("d")), visible(&stage, "d"));
    assert_eq!(fs::read(stage.down().join("f")).unwrap(), bytes(1, 9 * MIB));
}

#[test]
fn several_threads_may_put_the_same_chunks() {
    let stage = Stage::new();
    let source = folder(&stage);
    let partial = stage.open("d", &source);
    fetch(&source, &partial, partial.first_chunk()).unwrap();
    let stored = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for chunk in 1..source.layout().chunks() {
                    let put = fetch(&source, &partial, chunk).unwrap();
                    stored.fetch_add(
                        u64::from(put == Put::Stored),
                        std::sync::atomic::Ordering::Relaxed,
                    );
                }
            });
        }
    });
    assert_eq!(stored.into_inner(), source.layout().chunks() - 1);
    partial.finish(false, &hashing(2)).unwrap();
    assert_eq!(tree(&stage.down().join("d")), visible(&stage, "d"));
}

#[test]
fn flipped_bytes_and_a_lying_hint_are_found_and_fetched_again() {
    let stage = Stage::new();
    stage.file("f", &bytes(1, 4 * MIB));
    let source = stage.share("f");
    let partial = stage.open("f", &source);
    for chunk in [3, 0, 1] {
        fetch(&source, &partial, chunk).unwrap();
    }
    drop(partial);
    let hidden = stage.down().join(".f.skep-partial");
    let mut content = fs::read(&hidden).unwrap();
    content[MIB + 5] ^= 1;
    fs::write(&hidden, content).unwrap();
    let hints = fs::read_dir(stage.tmp.path().join("home-b/partials")).unwrap();
    let hint = hints.map(|entry| entry.unwrap().path()).next().unwrap();
    let mut raw = fs::read(&hint).unwrap();
    raw.truncate(1024);
    raw.extend_from_slice(&[0xff; 40]);
    fs::write(&hint, raw).unwrap();
    let partial = stage.open("f", &source);
    assert_eq!(partial.stored().iter().collect::<Vec<_>>(), [0, 3]);
    fetch_all(&source, &partial).unwrap();
    partial.finish(false, &hashing(1)).unwrap();
    assert_eq!(fs::read(stage.down().join("f")).unwrap(), bytes(1, 4 * MIB));
}

#[test]
fn a_damaged_file_of_a_folder_is_fetched_again() {
    let stage = Stage::new();
    let source = folder(&stage);
    let partial = stage.open("d", &source);
    fetch_all(&source, &partial).unwrap();
    drop(partial);
    fs::write(stage.down().join(".d.skep-partial/small/07"), "short").unwrap();
    fs::remove_file(stage.down().join(".d.skep-partial/large/one")).unwrap();
    let partial = stage.open("d", &source);
    assert_eq!(fetch_all(&source, &partial).unwrap(), 1 + 4);
    partial.finish(false, &hashing(1)).unwrap();
    assert_eq!(tree(&stage.down().join("d")), visible(&stage, "d"));
}

#[test]
fn what_exists_is_kept_unless_told_otherwise() {
    let stage = Stage::new();
    stage.file("f", b"new");
    let source = stage.share("f");
    fs::write(stage.down().join("f"), "old").unwrap();
    let partial = stage.open("f", &source);
    fetch_all(&source, &partial).unwrap();
    assert!(matches!(
        partial.finish(false, &hashing(1)),
        Err(PartialError::Exists(_))
    ));
    assert_eq!(fs::read(stage.down().join("f")).unwrap(), b"old");
    partial.finish(true, &hashing(1)).unwrap();
    assert_eq!(fs::read(stage.down().join("f")).unwrap(), b"new");
    assert_eq!(stage.names(), ["f"]);
    fs::remove_file(stage.down().join("f")).unwrap();
    fs::create_dir(stage.down().join("f")).unwrap();
    let partial = stage.open("f", &source);
    fetch_all(&source, &partial).unwrap();
    assert!(matches!(
        partial.finish(true, &hashing(1)),
        Err(PartialError::Exists(_))
    ));
    partial.abandon().unwrap();
    assert_eq!(stage.names(), ["f/"]);
}

#[test]
fn a_replaced_folder_keeps_what_only_it_had() {
    let stage = Stage::new();
    stage.file("d/a", b"new a");
    stage.file("d/sub/b", b"new b");
    stage.file("d/thing", b"was a folder");
    let source = stage.share("d");
    for (name, content) in [("a", "old a"), ("mine", "m"), ("sub/mine", "n"), ("thing/x", "x")] {
        let path = stage.down().join("d").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let partial = stage.open("d", &source);
    fetch_all(&source, &partial).unwrap();
    assert!(matches!(
        partial.finish(false, &hashing(1)),
        Err(PartialError::Exists(_))
    ));
    partial.finish(true, &hashing(1)).unwrap();
    let expected = [
        (".d.skep-replaced/", ""),
        (".d.skep-replaced/thing/", ""),
        (".d.skep-replaced/thing/x", "x"),
        ("d/", ""),
        ("d/a", "new a"),
        ("d/mine", "m"),
        ("d/sub/", ""),
        ("d/sub/b", "new b"),
        ("d/sub/mine", "n"),
        ("d/thing", "was a folder"),
    ];
    let expected = expected.map(|(name, content)| (name.to_owned(), content.as_bytes().to_vec()));
    assert_eq!(tree(&stage.down()), expected);
}

#[test]
fn abandoning_removes_only_what_was_made() {
    let stage = Stage::new();
    let source = folder(&stage);
    fs::write(stage.down().join("d"), "a file of the user").unwrap();
    let partial = stage.open("d", &source);
    fetch_all(&source, &partial).unwrap();
    fs::write(stage.down().join(".d.skep-partial/small/mine"), "mine").unwrap();
    partial.abandon().unwrap();
    assert_eq!(
        stage.names(),
        [
            ".d.skep-partial/",
            ".d.skep-partial/small/",
            ".d.skep-partial/small/mine",
            "d"
        ]
    );
    assert_eq!(tree(&stage.tmp.path().join("home-b/partials")), []);
}

#[test]
fn the_partial_of_another_peer_is_left_alone() {
    let stage = Stage::new();
    stage.file("f", &bytes(1, 2 * MIB));
    let source = stage.share("f");
    fs::write(stage.down().join(".f.skep-partial"), "somebody else's").unwrap();
    let partial = stage.open("f", &source);
    fetch_all(&source, &partial).unwrap();
    assert_eq!(stage.names(), [".f.skep-partial", ".f.skep-partial-1"]);
    // Neither is one that took our name meanwhile.
    fs::rename(
        stage.down().join(".f.skep-partial"),
        stage.down().join(".f.skep-partial-1"),
    )
    .unwrap();
    assert!(matches!(
        partial.finish(false, &hashing(1)),
        Err(PartialError::Lost(_))
    ));
    partial.abandon().unwrap();
    assert_eq!(stage.names(), [".f.skep-partial-1"]);
}

#[test]
fn what_somebody_removed_is_lost_and_can_be_given_up() {
    let stage = Stage::new();
    stage.file("f", &bytes(1, 2 * MIB));
    let source = stage.share("f");
    let partial = stage.open("f", &source);
    fetch_all(&source, &partial).unwrap();
    fs::remove_file(stage.down().join(".f.skep-partial")).unwrap();
    assert!(matches!(
        partial.finish(false, &hashing(1)),
        Err(PartialError::Lost(_))
    ));
    partial.abandon().unwrap();
    assert_eq!(stage.names(), [""; 0]);
}

#[test]
fn a_finished_download_is_known_as_such() {
    let stage = Stage::new();
    stage.file("f", &bytes(1, 2 * MIB));
    for (name, source) in [("f", stage.share("f")), ("d", folder(&stage))] {
        let partial = stage.open(name, &source);
        fetch_all(&source, &partial).unwrap();
        partial.finish(false, &hashing(1)).unwrap();
        let opened = Partial::open(&stage.to, &stage.place(name), source.content(), &hashing(1));
        assert!(matches!(opened, Ok(Opened::Finished(copy)) if copy.content() == source.content()));
    }
    // Not any more.
    fs::write(stage.down().join("f"), "changed").unwrap();
    fs::write(stage.down().join("d/run"), "changed").unwrap();
    let content = stage.share("f").content();
    assert!(open(&stage.to, &stage.place("f"), content).is_ok());
    let content = stage.share("d").content();
    assert!(open(&stage.to, &stage.place("d"), content).is_ok());
}

#[test]
fn an_older_version_gives_what_did_not_change() {
    let stage = Stage::new();
    let old = folder(&stage);
    let partial = stage.open("d", &old);
    fetch_all(&old, &partial).unwrap();
    partial.finish(false, &hashing(1)).unwrap();
    // One chunk of a large file changes, a small one comes first, a large one moves.
    let mut content = bytes(100, 3 * MIB + 17);
    content[MIB] ^= 1;
    stage.file("d/large/one", &content);
    stage.file("d/a-new-one", b"new");
    fs::rename(
        stage.tmp.path().join("pub/d/large/two"),
        stage.tmp.path().join("pub/d/moved"),
    )
    .unwrap();
    let new = stage.share("d");
    let partial = stage.open("d", &new);
    fetch(&new, &partial, partial.first_chunk()).unwrap();
    for chunk in 0..new.layout().chunks() {
        if let Some((object, page)) = partial.missing_page(chunk).unwrap() {
            partial
                .put_page(object, page, new.page(object, page).unwrap())
                .unwrap();
        }
    }
    let adopted = partial.adopt(&stage.place("d"), &hashing(2)).unwrap();
    let fetched = fetch_all(&new, &partial).unwrap();
    // The run with the new file and the changed chunk.
    assert_eq!(fetched, 2);
    assert!(adopted > new.bytes() - 3 * MIB as u64);
    partial.finish(true, &hashing(1)).unwrap();
    for (name, content) in visible(&stage, "d") {
        if !name.ends_with('/') {
            assert_eq!(
                fs::read(stage.down().join("d").join(&name)).unwrap(),
                content,
                "{name}"
            );
        }
    }
}

#[test]
fn a_donor_that_is_something_else_gives_nothing() {
    let stage = Stage::new();
    stage.file("f", &bytes(1, 2 * MIB));
    stage.file("other", &bytes(2, 2 * MIB));
    stage.file("d/f", b"x");
    let source = stage.share("f");
    let partial = stage.open("f", &source);
    partial.put_page(0, 0, source.page(0, 0).unwrap()).unwrap();
    for donor in ["other", "d", "missing"] {
        let donor = place(&Disk, &stage.tmp.path().join("pub"), donor);
        assert_eq!(partial.adopt(&donor, &hashing(1)).unwrap(), 0);
    }
    let donor = place(&Disk, &stage.tmp.path().join("pub"), "f");
    assert_eq!(partial.adopt(&donor, &hashing(1)).unwrap(), 2 * MIB as u64);
    assert!(partial.is_whole());
}

#[test]
fn a_download_in_progress_serves_what_it_has() {
    let stage = Stage::new();
    let source = folder(&stage);
    let partial = stage.open("d", &source);
    let mut ours = vec![0; MIB];
    let mut theirs = vec![0; MIB];
    let first = partial.first_chunk();
    assert!(partial.read(first, 0, 64, &mut ours).is_err());
    fetch_all(&source, &partial).unwrap();
    for chunk in 0..source.layout().chunks() {
        let a = partial.read(chunk, 1, 3, &mut ours).ok();
        let b = source.read(chunk, 1, 3, &mut theirs).ok();
        assert_eq!(a.map(|len| &ours[..len]), b.map(|len| &theirs[..len]));
    }
    assert_eq!(partial.page(0, 0).ok(), source.page(0, 0).ok());
}

#[test]
fn another_content_for_the_same_place_begins_anew() {
    let stage = Stage::new();
    stage.file("f", &bytes(1, 3 * MIB));
    let old = stage.share("f");
    let partial = stage.open("f", &old);
    fetch(&old, &partial, 2).unwrap();
    drop(partial);
    stage.file("f", &bytes(2, 2 * MIB));
    let new = stage.share("f");
    let partial = stage.open("f", &new);
    assert_eq!(stage.names(), Vec::<String>::new());
    fetch_all(&new, &partial).unwrap();
    partial.finish(false, &hashing(1)).unwrap();
    assert_eq!(fs::read(stage.down().join("f")).unwrap(), bytes(2, 2 * MIB));
    assert_eq!(stage.names(), ["f"]);
}

#[test]
fn a_planted_link_is_not_followed() {
    let stage = Stage::new();
    let source = folder(&stage);
    let outside = stage.tmp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let partial = stage.open("d", &source);
    fetch(&source, &partial, partial.first_chunk()).unwrap();
    let hidden = stage.down().join(".d.skep-partial");
    std::os::unix::fs::symlink(&outside, hidden.join("small")).unwrap();
    std::os::unix::fs::symlink(outside.join("x"), hidden.join("just")).unwrap();
    for chunk in 1..source.layout().chunks() {
        let _ = fetch(&source, &partial, chunk);
    }
    assert_eq!(tree(&outside), []);
    assert!(!partial.is_whole());
    partial.abandon().unwrap();
    assert_eq!(tree(&outside), []);
    let _ = rel("x");
}
