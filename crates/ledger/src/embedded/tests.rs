//! The file as it is: conformance, and what is not a whole ledger.

use std::path::Path;

use skep_world::{Disk, real, simulated};

use super::*;
use crate::conformance::{self, dump, set};

const CACHE: usize = 1 << 20;

fn name() -> RelPath {
    RelPath::parse("ledger").unwrap()
}

fn open(path: &Path) -> Result<Redb, OpenError> {
    Redb::open(real::Disk.dir(path).unwrap(), &name(), CACHE)
}

/// A folder with a ledger of two commits, cleanly closed.
fn with_ledger() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).unwrap();
    store.commit(Epoch(1), Revision(0), &[set(b"a", b"1")]).unwrap();
    let batch: Vec<_> = (0..2000_u32).map(|n| set(&n.to_be_bytes(), &[7; 100])).collect();
    store.commit(Epoch(1), Revision(1), &batch).unwrap();
    folder
}

#[test]
fn conforms() {
    conformance::run(|| {
        let folder = tempfile::tempdir().unwrap();
        Box::new(move || Arc::new(open(folder.path()).unwrap()))
    });
}

#[test]
fn a_half_made_ledger_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ledger.new"), b"half").unwrap();
    assert_eq!(dump(&open(folder.path()).unwrap()).0, Head::default());
    assert!(!folder.path().join("ledger.new").exists());
}

#[test]
fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = with_ledger();
    let mode = folder
        .path()
        .join("ledger")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_foreign_file_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ledger"), b"PK\x03\x04 some archive").unwrap();
    assert!(matches!(open(folder.path()), Err(OpenError::Foreign { .. })));
}

#[test]
fn a_database_that_is_no_ledger_is_foreign() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::create(folder.path().join("ledger")).unwrap();
    drop(database);
    assert!(matches!(open(folder.path()), Err(OpenError::Foreign { .. })));
}

#[test]
fn a_newer_format_is_refused() {
    let folder = with_ledger();
    let database = Database::open(folder.path().join("ledger")).unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(HEAD).unwrap().insert("format", 2).unwrap();
    writing.commit().unwrap();
    drop(database);
    let refused = open(folder.path());
    assert!(
        matches!(
            refused,
            Err(OpenError::TooNew {
                found: 2,
                known: 1,
                ..
            })
        ),
        "{refused:?}"
    );
}

/// The same ledger on a disk in memory, where it is quickly opened often.
fn bytes_of_ledger() -> (simulated::Disk, Vec<u8>) {
    let folder = with_ledger();
    let whole = std::fs::read(folder.path().join("ledger")).unwrap();
    (simulated::Disk::new(), whole)
}

fn open_bytes(disk: &simulated::Disk, bytes: &[u8]) -> Result<Redb, OpenError> {
    let home = Path::new("/home");
    disk.write(&home.join("ledger"), bytes).unwrap();
    Redb::open(disk.dir(home).unwrap(), &name(), CACHE)
}

#[test]
fn a_shortened_file_is_damaged_not_a_panic() {
    let (disk, whole) = bytes_of_ledger();
    for part in [
        0,
        1,
        8,
        9,
        100,
        4096,
        5000,
        whole.len() / 2,
        whole.len() - 4096,
        whole.len() - 1,
    ] {
        let refused = open_bytes(&disk, &whole[..part]);
        assert!(
            matches!(refused, Err(OpenError::Damaged { .. })),
            "{part}: {refused:?}"
        );
    }
}

/// Every place of the header, and places all over the pages.
#[test]
fn a_flipped_byte_is_found_or_changes_nothing() {
    let (disk, whole) = bytes_of_ledger();
    let facts = dump(&open_bytes(&disk, &whole).unwrap());
    let mut found = 0;
    for at in (0..320).chain((4096..whole.len()).step_by(1777)) {
        let mut flipped = whole.clone();
        flipped[at] ^= 0xff;
        match open_bytes(&disk, &flipped) {
            Ok(store) => assert_eq!(dump(&store), facts, "byte {at}"),
            Err(OpenError::Damaged { .. } | OpenError::Foreign { .. } | OpenError::TooNew { .. }) => {
                found += 1
            }
            Err(e) => panic!("byte {at}: {e}"),
        }
    }
    assert!(found > 100, "only {found} were found");
}
