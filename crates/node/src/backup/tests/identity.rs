//! What is backed up comes back as it was, whatever it is.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::{collection::vec, prelude::*};
use skep_world::{
    Disk as _,
    raw::{Attributes, Folder, Time},
    real,
};

use super::rig::{Rig, beneath, noise, read};

/// Something in a folder.
#[derive(Debug, Clone)]
enum Item {
    File {
        parts: Vec<Part>,
        mode: u16,
        time: i64,
    },
    Folder {
        items: BTreeMap<Vec<u8>, Item>,
        mode: u16,
        time: i64,
    },
    Symlink(Vec<u8>),
    /// A further name of the first file in the folder.
    Link,
}

/// A part of a file.
#[derive(Debug, Clone)]
enum Part {
    Bytes(Vec<u8>),
    Noise(usize, u8),
    Hole(usize),
}

fn make(folder: &dyn Folder, items: &BTreeMap<Vec<u8>, Item>) {
    let mut first = None;
    for (name, item) in items {
        match item {
            Item::File { parts, mode, time } => {
                make_file(folder, name, parts, *mode, *time);
                first = first.or(Some(name));
            }
            Item::Folder { items, mode, time } => {
                let inner = folder.make_folder(name, 0o700).unwrap();
                make(&*inner, items);
                let xattrs = vec![(b"user.note".to_vec(), mode.to_le_bytes().to_vec())];
                inner.set(&attributes(folder, *mode, *time), &xattrs).unwrap();
            }
            Item::Symlink(target) => folder.make_symlink(name, target).unwrap(),
            Item::Link => {
                if let Some(first) = first {
                    folder.make_link(name, folder, first).unwrap();
                }
            }
        }
    }
}

fn make_file(folder: &dyn Folder, name: &[u8], parts: &[Part], mode: u16, time: i64) {
    let file = folder.make_file(name).unwrap();
    let mut at = 0;
    for part in parts {
        let bytes = match part {
            Part::Bytes(bytes) => bytes.clone(),
            Part::Noise(len, n) => noise(*len, *n),
            Part::Hole(len) => {
                at += *len as u64;
                continue;
            }
        };
        file.write_at(at, &bytes).unwrap();
        at += bytes.len() as u64;
    }
    file.set_len(at).unwrap();
    let xattrs = vec![(b"user.a".to_vec(), vec![1; 100])];
    file.set(&attributes(folder, mode, time), &xattrs).unwrap();
}

fn attributes(folder: &dyn Folder, mode: u16, time: i64) -> Attributes {
    let stat = folder.stat_self().unwrap();
    Attributes {
        mode,
        uid: stat.uid,
        gid: stat.gid,
        modified: Time {
            unix_s: time,
            nanos: 123_456_789,
        },
    }
}

fn item() -> impl Strategy<Value = Item> {
    let part = prop_oneof![
        vec(any::<u8>(), 0..500).prop_map(Part::Bytes),
        (0usize..400_000, any::<u8>()).prop_map(|(len, n)| Part::Noise(len, n)),
        (0usize..100_000).prop_map(Part::Hole),
    ];
    let time = -1_000_000_000i64..4_000_000_000;
    let mode = prop_oneof![Just(0o644), Just(0o755), Just(0o600), Just(0o4755), Just(0o640)];
    let file = (vec(part, 0..4), mode, time.clone());
    let leaf = prop_oneof![
        6 => file.prop_map(|(parts, mode, time)| Item::File { parts, mode, time }),
        1 => vec(1u8.., 1..40).prop_map(Item::Symlink),
        1 => Just(Item::Link),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        let mode = prop_oneof![Just(0o755), Just(0o700), Just(0o1777)];
        (names(inner), mode, time.clone()).prop_map(|(items, mode, time)| Item::Folder { items, mode, time })
    })
}

fn names(item: impl Strategy<Value = Item>) -> impl Strategy<Value = BTreeMap<Vec<u8>, Item>> {
    let name = vec(
        any::<u8>().prop_filter("a byte of a name", |b| !matches!(b, 0 | b'/')),
        1..12,
    );
    let name = name.prop_filter("a name", |name| name != b"." && name != b"..");
    prop::collection::btree_map(name, item, 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn any_tree_comes_back(items in names(item())) {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        make(&*real::Disk.raw(from.path()).unwrap(), &items);
        let mut rig = Rig::new();
        let taken = rig.back_up(&[from.path()]);
        prop_assert_eq!(&taken.scanned.skipped, &[]);
        let restored = rig.restore(Path::new(""), Some(to.path()), false).unwrap();
        prop_assert_eq!(&restored.failed, &[]);
        prop_assert_eq!((restored.files, restored.bytes), (taken.scanned.files, taken.scanned.bytes));
        let copy = beneath(to.path(), from.path());
        prop_assert_eq!(read(&copy), read(from.path()));

        // Again: nothing has changed but the folder of all temporary files, so nothing else is stored, and
        // nothing is written.
        let again = rig.back_up(&[from.path()]);
        prop_assert_eq!(again.new_bytes, 0);
        prop_assert!(again.packs <= 1);
        let repeated = rig.restore(Path::new(""), Some(to.path()), false).unwrap();
        prop_assert_eq!(repeated, restored);
        prop_assert_eq!(read(&copy), read(from.path()));
    }
}

#[test]
fn a_change_costs_what_it_changes() {
    let from = tempfile::tempdir().unwrap();
    let big = noise(6 << 20, 1);
    fs::write(from.path().join("big"), &big).unwrap();
    fs::write(from.path().join("small"), "small").unwrap();
    let mut rig = Rig::new();
    assert_eq!(rig.back_up(&[from.path()]).new_bytes, (6 << 20) + 5);
    let mut edited = big.clone();
    edited.splice(3_000_000..3_000_000, *b"inserted");
    fs::write(from.path().join("big"), &edited).unwrap();
    let second = rig.back_up(&[from.path()]);
    assert!(second.new_bytes < 3 << 20, "{}", second.new_bytes);
    let to = tempfile::tempdir().unwrap();
    rig.restore(Path::new(""), Some(to.path()), false).unwrap();
    assert_eq!(
        fs::read(beneath(to.path(), from.path()).join("big")).unwrap(),
        edited
    );
}

#[test]
fn several_paths_a_file_among_them_and_what_is_excluded() {
    let from = tempfile::tempdir().unwrap();
    let path = |name: &str| from.path().join(name);
    for name in ["a/keep", "a/x.tmp", "a/target/out", "b/not-asked", "c"] {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), name).unwrap();
    }
    fs::write(path("a/.skepignore"), "target\n").unwrap();
    let mut rig = Rig::new();
    rig.exclude = vec!["*.tmp".to_owned()];
    let taken = rig.back_up(&[&path("a"), &path("c")]);
    assert_eq!(taken.scanned.files, 3);
    let to = tempfile::tempdir().unwrap();
    rig.restore(Path::new(""), Some(to.path()), false).unwrap();
    let copy = beneath(to.path(), from.path());
    let mut names: Vec<String> = read(&copy)
        .keys()
        .map(|path| path.display().to_string())
        .collect();
    names.retain(|name| !name.is_empty());
    assert_eq!(names, ["a", "a/.skepignore", "a/keep", "c"]);
}
