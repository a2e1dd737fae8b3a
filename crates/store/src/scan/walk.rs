//! Walking a folder: what is in it by name and stamp. No file is opened.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
};

use skep_wire::{RelPath, manifest::MAX_ENTRIES};
use skep_world::disk::{Kind, Stat};

use super::{ScanError, SkipReason, Skipped, hash::Blob};
use crate::{hashing::Hashing, place::Place, stamp::Stamp};

/// A file.
pub(super) struct Found {
    /// Beneath the place; none: the place itself.
    pub(super) path: Option<RelPath>,
    pub(super) stamp: Stamp,
    pub(super) executable: bool,
    /// What is in it, once that is known.
    pub(super) blob: Option<Blob>,
}

impl Found {
    /// Only ordinary files are shared.
    pub(super) fn new(path: Option<RelPath>, stat: &Stat) -> Result<Self, SkipReason> {
        check_kind(stat.kind)?;
        Ok(Self {
            path,
            stamp: Stamp::from(stat),
            executable: stat.executable,
            blob: None,
        })
    }
}

/// A folder's contents, each list ordered by path.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) files: Vec<Found>,
    /// Folders with nothing in them that could be listed.
    pub(super) empty: Vec<RelPath>,
    pub(super) skipped: Vec<Skipped>,
}

pub(super) fn walk(place: &Place, hashing: &Hashing<'_>) -> Result<Walked, ScanError> {
    let mut walked = Walked::default();
    let mut folders = vec![None];
    while let Some(folder) = folders.pop() {
        hashing.check()?;
        let before = folders.len() + walked.files.len();
        match list(place, folder.as_ref(), &mut folders, &mut walked) {
            Err(error) if folder.is_none() => {
                let path = place.host_path();
                return Err(ScanError::Place { path, error });
            }
            Err(error) => walked.skip(host_path(folder.as_ref()), error.into()),
            Ok(()) if folders.len() + walked.files.len() == before => walked.empty.extend(folder),
            Ok(()) => {}
        }
        if walked.files.len() + folders.len() + walked.empty.len() > MAX_ENTRIES {
            return Err(ScanError::TooLarge);
        }
    }
    walked.files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(walked)
}

/// Notes what is in one folder.
fn list(
    place: &Place,
    folder: Option<&RelPath>,
    folders: &mut Vec<Option<RelPath>>,
    walked: &mut Walked,
) -> io::Result<()> {
    for entry in place.list(folder)? {
        if entry.name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let found = match entry.kind {
            Kind::Dir => path_of(folder, &entry.name).map(|path| folders.push(Some(path))),
            kind => check_kind(kind)
                .and_then(|()| path_of(folder, &entry.name))
                .and_then(|path| find(place, path))
                .map(|found| walked.files.push(found)),
        };
        if let Err(reason) = found {
            walked.skip(host_path(folder).join(&entry.name), reason);
        }
    }
    Ok(())
}

fn check_kind(kind: Kind) -> Result<(), SkipReason> {
    match kind {
        Kind::File => Ok(()),
        Kind::Symlink => Err(SkipReason::Symlink),
        Kind::Dir | Kind::Other => Err(SkipReason::Special),
    }
}

fn find(place: &Place, path: RelPath) -> Result<Found, SkipReason> {
    let stat = place.stat(Some(&path))?;
    Found::new(Some(path), &stat)
}

fn path_of(folder: Option<&RelPath>, name: &OsStr) -> Result<RelPath, SkipReason> {
    let name = RelPath::parse(name.to_str().ok_or(SkipReason::NotUtf8)?)?;
    Ok(match folder {
        Some(folder) => folder.join(&name)?,
        None => name,
    })
}

fn host_path(folder: Option<&RelPath>) -> PathBuf {
    folder
        .map_or(Path::new(""), |folder| Path::new(folder.as_str()))
        .to_owned()
}

impl Walked {
    fn skip(&mut self, path: PathBuf, reason: SkipReason) {
        self.skipped.push(Skipped { path, reason });
    }
}
