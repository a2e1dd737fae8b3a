//! The real disk: the contract, the modes of new files, and links swapped in while it writes.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use skep_wire::RelPath;
use skep_world::{
    Disk as _, conformance,
    disk::{Open, Replace},
    real::Disk,
};
use tempfile::TempDir;

struct Ground {
    _folder: TempDir,
    root: PathBuf,
}

fn ground() -> Ground {
    let folder = TempDir::new().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    Ground {
        _folder: folder,
        root,
    }
}

impl conformance::disk::Ground for Ground {
    fn disk(&self) -> &dyn skep_world::Disk {
        &Disk
    }

    fn root(&self) -> &Path {
        &self.root
    }

    fn symlink(&self, at: &Path, target: &Path) {
        symlink(target, at).unwrap();
    }

    fn pipe(&self, at: &Path) {
        assert!(Command::new("mkfifo").arg(at).status().unwrap().success());
    }
}

skep_world::disk_conformance!(ground);

fn path(text: &str) -> RelPath {
    RelPath::parse(text).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn new_files_and_folders_have_the_modes_they_should() {
    let ground = ground();
    let at = |name: &str| ground.root.join(name);
    fs::write(at("plain"), "").unwrap();
    fs::create_dir(at("plain-folder")).unwrap();
    let dir = Disk.make_dir(&at("home/deep")).unwrap();
    for (name, how) in [
        ("public", Open::CreateNew),
        ("key", Open::CreateNewPrivate),
        ("state", Open::OpenOrCreatePrivate),
    ] {
        dir.open(&path(name), how).unwrap();
    }
    dir.make_dirs(&path("folder")).unwrap();
    assert_eq!((mode(&at("home")), mode(&at("home/deep"))), (0o700, 0o700));
    assert_eq!(
        (mode(&at("home/deep/key")), mode(&at("home/deep/state"))),
        (0o600, 0o600)
    );
    assert_eq!(mode(&at("home/deep/public")), mode(&at("plain")) & 0o644);
    assert_eq!(mode(&at("home/deep/folder")), mode(&at("plain-folder")) & 0o755);
    dir.set_executable(&path("key"), true).unwrap();
    assert_eq!(mode(&at("home/deep/key")), 0o700);
}

/// How many rounds at least: `SKEP_SWAPS`, or a few.
fn least_rounds() -> u32 {
    std::env::var("SKEP_SWAPS").map_or(3_000, |rounds| rounds.parse().unwrap())
}

/// While one thread swaps the folder for a link to another, and back, nothing is written there.
#[test]
fn a_folder_swapped_for_a_link_leads_nowhere() {
    let ground = ground();
    let at = |name: &str| ground.root.join(name);
    for folder in ["mine/folder/deep", "outside/deep"] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    fs::write(at("outside/deep/kept"), "kept").unwrap();
    let done = AtomicBool::new(false);
    let (swaps, written, refused) = std::thread::scope(|scope| {
        let swapper = scope.spawn(|| swap_until(&ground.root, &done));
        let (mut written, mut refused) = (0, 0);
        let dir = Disk.dir(&at("mine")).unwrap();
        let least = least_rounds();
        // Enough of both, however the threads are scheduled; a bound so that it ends in any case.
        for round in 0..2_000_000_u32 {
            if round >= least && written >= 300 && refused >= 300 {
                break;
            }
            for outcome in attempts(&*dir, round) {
                if outcome { written += 1 } else { refused += 1 }
            }
        }
        done.store(true, Ordering::Relaxed);
        (swapper.join().unwrap(), written, refused)
    });
    assert!(
        swaps > 100 && written >= 300 && refused >= 300,
        "{swaps} {written} {refused}"
    );
    let left: Vec<_> = fs::read_dir(at("outside/deep"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(
        (left, fs::read_dir(at("outside")).unwrap().count()),
        (vec!["kept".into()], 1)
    );
    assert_eq!(fs::read_to_string(at("outside/deep/kept")).unwrap(), "kept");
}

/// Exchanges `mine/folder` with a link to `outside`, and back, leaving no gap.
fn swap_until(root: &Path, done: &AtomicBool) -> u32 {
    let (folder, link) = (root.join("mine/folder"), root.join("mine/link"));
    symlink(root.join("outside"), &link).unwrap();
    let mut swaps = 0;
    while !done.load(Ordering::Relaxed) {
        renameat_with(CWD, &folder, CWD, &link, RenameFlags::EXCHANGE).unwrap();
        swaps += 1;
    }
    swaps
}

/// Every way to change something beneath the folder, and whether it worked.
fn attempts(dir: &dyn skep_world::Dir, round: u32) -> [bool; 5] {
    let new = path(&format!("folder/deep/{}", round % 50));
    let moved = path(&format!("folder/deep/moved-{}", round % 50));
    let created = dir
        .open(&new, Open::OpenOrCreatePrivate)
        .and_then(|file| file.write_at(0, b"x"));
    [
        created.is_ok(),
        dir.make_dirs(&path("folder/deep/folder")).is_ok(),
        dir.rename(&new, &moved, Replace::Allow).is_ok(),
        dir.remove_file(&moved).is_ok(),
        dir.remove_file(&path("folder/deep/kept")).is_ok(),
    ]
}
