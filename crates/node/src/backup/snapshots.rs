//! The snapshots of an owner: found by id, listed, looked into.

use std::path::{Path, PathBuf};

use skep_vault::{Snapshot, SnapshotId, tree::Name};

use super::{error::BackupError, restoring, state::Owned};
use crate::api::types::SnapshotLine;

/// How much of an id people are shown, and may type.
const SHORTEST_ID: usize = 4;

/// All snapshots of all devices, oldest first. What a device wants forgotten is left out.
pub(super) fn all(owned: &Owned) -> Vec<(SnapshotId, Snapshot)> {
    let catalogs = || owned.heads.values().map(|known| &known.catalog);
    let is_forgotten = |id: &SnapshotId| catalogs().any(|catalog| catalog.forgotten.contains(id));
    let mut all: Vec<(SnapshotId, Snapshot)> = catalogs()
        .flat_map(|catalog| catalog.snapshots.iter())
        .map(|snapshot| (snapshot.id(), snapshot.clone()))
        .filter(|(id, _)| !is_forgotten(id))
        .collect();
    all.sort_by_key(|(id, snapshot)| (snapshot.made_unix_s, *id));
    all.dedup_by_key(|(id, _)| *id);
    all
}

/// As people see them.
pub(super) fn lines(owned: &Owned) -> Vec<SnapshotLine> {
    let line = |(id, snapshot): (SnapshotId, Snapshot)| SnapshotLine {
        id: id.to_string(),
        made: snapshot.made_unix_s,
        host: text(&snapshot.host),
        paths: snapshot.paths.iter().map(|path| text(path)).collect(),
        files: snapshot.files,
        bytes: snapshot.bytes,
        missing: snapshot.missing,
    };
    all(owned).into_iter().map(line).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The snapshot of this id, of the only id that begins so, or the `latest`.
pub(super) fn find(owned: &Owned, wanted: &str) -> Result<(SnapshotId, Snapshot), BackupError> {
    let mut all = all(owned);
    let none = || BackupError::NoSnapshot(wanted.to_owned());
    if wanted == "latest" {
        return all.pop().ok_or_else(none);
    }
    if wanted.len() < SHORTEST_ID {
        return Err(none());
    }
    let wanted_id = wanted.to_ascii_lowercase();
    all.retain(|(id, _)| id.to_string().starts_with(&wanted_id));
    match all.len() {
        0 => Err(none()),
        1 => all.pop().ok_or_else(none),
        _ => Err(BackupError::Ambiguous(wanted.to_owned())),
    }
}

/// Where a part of a snapshot lies.
pub(super) fn parse(path: Option<&PathBuf>) -> Result<Vec<Name>, BackupError> {
    let path = path.map_or(Path::new(""), PathBuf::as_path);
    restoring::parse_path(path).map_err(|_| BackupError::NotInSnapshot(path.to_owned()))
}
