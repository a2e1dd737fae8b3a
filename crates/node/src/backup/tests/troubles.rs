//! Lost and damaged packs, occupied targets, traps in the target.

use std::{fs, os::unix::fs::symlink, path::Path};

use skep_vault::{Kind, index::Listed};
use skep_wire::PackId;

use super::rig::{Rig, beneath, noise, read};
use crate::backup::lock;

/// Two folders with a file each, in packs of their own.
fn two_files() -> (tempfile::TempDir, Rig) {
    let from = tempfile::tempdir().unwrap();
    let mut rig = Rig::new();
    for (name, n) in [("first", 1), ("second", 2)] {
        fs::create_dir(from.path().join(name)).unwrap();
        fs::write(from.path().join(name).join("file"), noise(300_000, n)).unwrap();
        rig.back_up(&[from.path()]);
    }
    (from, rig)
}

/// The packs that hold files.
fn data_packs(rig: &Rig) -> impl Iterator<Item = PackId> {
    let is_data = |listed: &&Listed| listed.contents.kind == Kind::Data;
    rig.index.packs().filter(is_data).map(|listed| listed.pack)
}

/// The one that holds the last file.
fn last_data_pack(rig: &Rig) -> PackId {
    data_packs(rig).last().unwrap()
}

#[test]
fn what_is_lost_is_named_and_the_rest_restored() {
    let (from, rig) = two_files();
    let lost = last_data_pack(&rig);
    let bytes = lock(&rig.packs.0).remove(&lost).unwrap();
    let to = tempfile::tempdir().unwrap();
    let restored = rig.restore(Path::new(""), Some(to.path()), false).unwrap();
    let full = fs::canonicalize(from.path()).unwrap().join("second/file");
    assert_eq!(restored.failed.len(), 1);
    assert_eq!(Path::new(&restored.failed[0].path), full);
    assert!(
        restored.failed[0].reason.contains("lost"),
        "{}",
        restored.failed[0].reason
    );
    let copy = beneath(to.path(), from.path());
    assert_eq!(fs::read(copy.join("first/file")).unwrap(), noise(300_000, 1));
    assert_eq!(
        fs::read_dir(copy.join("second")).unwrap().count(),
        0,
        "nothing half done"
    );
    // A drill finds it too, and writes nothing.
    let drill = rig.restore(Path::new(""), None, false).unwrap();
    assert_eq!((drill.files, drill.failed.len()), (1, 1));
    // When the pack turns up again, the same command finishes the work.
    lock(&rig.packs.0).insert(lost, bytes);
    assert_eq!(
        rig.restore(Path::new(""), Some(to.path()), false).unwrap().failed,
        []
    );
    let (copy, original) = (read(&copy), read(from.path()));
    assert_eq!(
        copy.keys().collect::<Vec<_>>(),
        original.keys().collect::<Vec<_>>()
    );
}

#[test]
fn no_damaged_byte_is_restored() {
    let (from, rig) = two_files();
    let pack = last_data_pack(&rig);
    let len = lock(&rig.packs.0)[&pack].len();
    for at in (48..len).step_by(len / 40) {
        lock(&rig.packs.0).get_mut(&pack).unwrap()[at] ^= 1;
        let to = tempfile::tempdir().unwrap();
        let restored = rig.restore(Path::new(""), Some(to.path()), false).unwrap();
        let file = beneath(to.path(), from.path()).join("second/file");
        match fs::read(&file) {
            // The byte belongs to padding or to the list at the end.
            Ok(bytes) => assert_eq!((bytes, restored.failed.len()), (noise(300_000, 2), 0)),
            Err(_) => assert_eq!(restored.failed.len(), 1),
        }
        lock(&rig.packs.0).get_mut(&pack).unwrap()[at] ^= 1;
    }
}

/// Both packs are the owner's own, whole and sealed with the right key.
#[test]
fn a_holder_that_swaps_whole_packs_is_found_out() {
    let (from, rig) = two_files();
    let data: Vec<_> = data_packs(&rig).collect();
    assert_eq!(data.len(), 2);
    swap(&rig, &data[0], &data[1]);
    let to = tempfile::tempdir().unwrap();
    let restored = rig.restore(Path::new(""), Some(to.path()), false).unwrap();
    assert_eq!((restored.files, restored.failed.len()), (0, 2));
    let copy = beneath(to.path(), from.path());
    assert!(!copy.join("first/file").exists() && !copy.join("second/file").exists());
    swap(&rig, &data[0], &data[1]);
    let restored = rig.restore(Path::new(""), Some(to.path()), false).unwrap();
    assert_eq!((restored.files, restored.failed.len()), (2, 0));
}

fn swap(rig: &Rig, a: &PackId, b: &PackId) {
    let mut packs = lock(&rig.packs.0);
    let first = packs[a].clone();
    let second = packs.insert(*b, first).unwrap();
    packs.insert(*a, second);
}

#[test]
fn nothing_is_written_over_unasked() {
    let (from, rig) = two_files();
    let to = tempfile::tempdir().unwrap();
    let copy = beneath(to.path(), from.path());
    fs::create_dir_all(copy.join("first")).unwrap();
    fs::write(copy.join("first/file"), "mine").unwrap();
    let restored = rig.restore(Path::new(""), Some(to.path()), false).unwrap();
    assert_eq!((restored.files, restored.failed.len()), (1, 1));
    assert_eq!(fs::read(copy.join("first/file")).unwrap(), b"mine");
    let restored = rig.restore(Path::new(""), Some(to.path()), true).unwrap();
    assert_eq!((restored.files, restored.failed.len()), (2, 0));
    assert_eq!(fs::read(copy.join("first/file")).unwrap(), noise(300_000, 1));
    assert_eq!(read(&copy), read(from.path()));
}

#[test]
fn a_folder_or_file_that_is_a_trap_leads_nowhere() {
    let (from, rig) = two_files();
    let (to, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let copy = beneath(to.path(), from.path());
    fs::create_dir_all(copy.join("second")).unwrap();
    symlink(outside.path(), copy.join("first")).unwrap();
    fs::write(outside.path().join("victim"), "safe").unwrap();
    symlink(outside.path().join("victim"), copy.join("second/file")).unwrap();
    for overwrite in [false, true] {
        let restored = rig.restore(Path::new(""), Some(to.path()), overwrite).unwrap();
        assert!(!restored.failed.is_empty());
        assert_eq!(fs::read(outside.path().join("victim")).unwrap(), b"safe");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }
    // The link itself was replaced, when that was asked for.
    assert_eq!(fs::read(copy.join("second/file")).unwrap(), noise(300_000, 2));
    assert!(fs::symlink_metadata(copy.join("second/file")).unwrap().is_file());
}

#[test]
fn a_part_is_restored_at_its_full_path() {
    let (from, rig) = two_files();
    let to = tempfile::tempdir().unwrap();
    let full = fs::canonicalize(from.path()).unwrap();
    let restored = rig.restore(&full.join("second"), Some(to.path()), false).unwrap();
    assert_eq!((restored.files, restored.failed.len()), (1, 0));
    let copy = beneath(to.path(), from.path());
    assert!(copy.join("second/file").exists() && !copy.join("first").exists());
    let none = rig.restore(&full.join("third"), Some(to.path()), false).unwrap();
    assert_eq!(none.failed.len(), 1);
    assert!(none.failed[0].reason.contains("not in the snapshot"));
}

#[test]
fn left_over_parts_are_no_obstacle() {
    let (from, rig) = two_files();
    let to = tempfile::tempdir().unwrap();
    let copy = beneath(to.path(), from.path());
    rig.restore(Path::new(""), Some(to.path()), false).unwrap();
    // As if it had been killed in the middle of the first file.
    let hash = blake3::hash(b"file").to_hex();
    fs::rename(
        copy.join("first/file"),
        copy.join(format!("first/.skep-restoring-{}", &hash[..16])),
    )
    .unwrap();
    let restored = rig.restore(Path::new(""), Some(to.path()), true).unwrap();
    assert_eq!(restored.failed, []);
    assert_eq!(read(&copy), read(from.path()));
}

#[test]
fn without_an_index_packs_say_themselves_what_is_in_them() {
    let (from, mut rig) = two_files();
    rig.index = rig.salvaged();
    let to = tempfile::tempdir().unwrap();
    let restored = rig.restore(Path::new(""), Some(to.path()), false).unwrap();
    assert_eq!((restored.files, restored.failed.len()), (2, 0));
    assert_eq!(read(&beneath(to.path(), from.path())), read(from.path()));
    // What does not say it is left out, and the rest is there.
    let pack = last_data_pack(&rig);
    lock(&rig.packs.0).get_mut(&pack).unwrap()[3] ^= 1;
    rig.index = rig.salvaged();
    let drill = rig.restore(Path::new(""), None, false).unwrap();
    assert_eq!((drill.files, drill.failed.len()), (1, 1));
}
