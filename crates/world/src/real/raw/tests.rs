//! Files and folders of this machine, as tests find them.

use std::{fs, os::unix::fs::symlink};

use super::*;
use crate::raw::Folder as _;

fn folder() -> (tempfile::TempDir, Folder) {
    let tmp = tempfile::tempdir().unwrap();
    let folder = Folder::open(tmp.path()).unwrap();
    (tmp, folder)
}

const ATTRIBUTES: Attributes = Attributes {
    mode: 0o640,
    uid: 0,
    gid: 0,
    modified: Time {
        unix_s: 1_000_000_000,
        nanos: 5,
    },
};

fn mine(folder: &Folder) -> Attributes {
    let stat = folder.stat_self().unwrap();
    Attributes {
        uid: stat.uid,
        gid: stat.gid,
        ..ATTRIBUTES
    }
}

#[test]
fn a_file_is_made_with_all_that_belongs_to_it() {
    let (_tmp, folder) = folder();
    let name = b"\xff odd \n name";
    let file = folder.make_file(name).unwrap();
    file.write_at(0, b"hello").unwrap();
    let xattrs = vec![(b"user.a".to_vec(), b"1".to_vec()), (b"user.b".to_vec(), vec![])];
    file.set(&mine(&folder), &xattrs).unwrap();
    assert_eq!(folder.names().unwrap(), [name.to_vec()]);
    let stat = folder.stat(name).unwrap();
    assert_eq!((stat.kind, stat.mode, stat.size), (Kind::File, 0o640, 5));
    assert_eq!(stat.modified, ATTRIBUTES.modified);
    let file = folder.file(name).unwrap();
    let mut bytes = [0; 9];
    assert_eq!(file.read_at(1, &mut bytes).unwrap(), 4);
    let kept = file.xattrs().unwrap();
    assert!(kept == xattrs || kept.is_empty(), "{kept:?}");
    assert!(stat.is_same(&file.stat().unwrap()));
}

#[test]
fn holes_are_told() {
    let (_tmp, folder) = folder();
    let file = folder.make_file(b"sparse").unwrap();
    file.set_len(4 << 20).unwrap();
    file.write_at(1 << 20, &[1; 4096]).unwrap();
    let data = file.data(4 << 20);
    let bytes: u64 = data.iter().map(|part| part.end - part.start).sum();
    assert!(data.iter().any(|part| part.contains(&(1 << 20))));
    assert!((4096..=4 << 20).contains(&bytes));
    assert_eq!(folder.make_file(b"empty").unwrap().data(0), []);
}

#[test]
fn no_link_is_followed_and_nothing_is_replaced_unasked() {
    let (tmp, folder) = folder();
    fs::create_dir(tmp.path().join("there")).unwrap();
    fs::write(tmp.path().join("there/file"), "x").unwrap();
    symlink("there", tmp.path().join("link")).unwrap();
    symlink("there/file", tmp.path().join("file-link")).unwrap();
    assert!(folder.folder(b"link").is_err());
    assert!(folder.file(b"file-link").is_err());
    assert!(folder.file(b"there").is_err());
    assert_eq!(folder.target(b"link").unwrap(), b"there");
    assert!(folder.make_file(b"file-link").is_err());
    assert!(folder.make_symlink(b"there", b"x").is_err());
    folder.make_file(b"new").unwrap();
    assert!(folder.rename(b"new", b"link", false).is_err());
    folder.rename(b"new", b"link", true).unwrap();
    assert_eq!(folder.stat(b"link").unwrap().kind, Kind::File);
    folder.make_link(b"second", &folder, b"link").unwrap();
    assert_eq!(folder.stat(b"second").unwrap().links, 2);
    assert!(folder.find(b"none").unwrap().is_none());
}

#[test]
fn a_symbolic_link_has_a_time_of_its_own() {
    let (_tmp, folder) = folder();
    folder.make_symlink(b"link", b"nowhere").unwrap();
    folder.set_symlink(b"link", &mine(&folder)).unwrap();
    let stat = folder.stat(b"link").unwrap();
    assert_eq!((stat.kind, stat.modified), (Kind::Symlink, ATTRIBUTES.modified));
}
