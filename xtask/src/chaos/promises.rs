//! What was acknowledged, told as simply as possible, and whether it is still so.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    program::within,
    town::{HOLDERS, OWNER, Town},
};
use crate::Outcome;

/// The bytes of all files in a folder. Hidden ones are not finished, and nobody's business.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<PathBuf, Vec<u8>>);

/// All that somebody was told is done.
#[derive(Default)]
pub(super) struct Promises {
    /// Snapshots by their ids, and the folder as it was then.
    pub(super) snapshots: Vec<(String, Tree)>,
    /// Shares by name, and the files that they show.
    pub(super) shares: Vec<(String, PathBuf)>,
    /// Copies that were got or restored, and what they are copies of.
    pub(super) copies: Vec<(PathBuf, Tree)>,
    /// Peers that were let in.
    pub(super) members: Vec<String>,
}

impl Tree {
    /// Reads a folder, or a single file; nothing where there is nothing.
    pub(crate) fn read(root: &Path) -> Outcome<Self> {
        let mut files = BTreeMap::new();
        if root.is_file() {
            files.insert(PathBuf::new(), fs::read(root)?);
        } else if root.is_dir() {
            read_into(root, root, &mut files)?;
        }
        Ok(Self(files))
    }

    /// An error that names the first file of `copy` which is not as it is here; files may be missing there.
    pub(crate) fn expect_no_other(&self, copy: &Self) -> Outcome {
        match copy
            .0
            .iter()
            .find(|(path, bytes)| self.0.get(*path) != Some(bytes))
        {
            Some((path, _)) => Err(format!("{} has other bytes than its source", path.display()).into()),
            None => Ok(()),
        }
    }

    /// An error that names the first difference.
    pub(crate) fn expect_same(&self, copy: &Self) -> Outcome {
        self.expect_no_other(copy)?;
        match self.0.keys().find(|path| !copy.0.contains_key(*path)) {
            Some(path) => Err(format!("{} is missing", path.display()).into()),
            None => Ok(()),
        }
    }
}

fn read_into(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'))
        {
            continue;
        }
        if path.is_dir() {
            read_into(root, &path, files)?;
        } else {
            files.insert(path.strip_prefix(root)?.to_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}

impl Promises {
    /// Everything is listed, copies are as they were, and the newest of each kind can be had.
    pub(super) fn check(&self, town: &Town) -> Outcome {
        self.check_lists(town)?;
        for (copy, original) in &self.copies {
            let same = original.expect_same(&Tree::read(copy)?);
            same.map_err(|e| format!("a verified copy changed: {e}"))?;
        }
        if let Some(snapshot) = self.snapshots.last() {
            restore(town, snapshot)?;
        }
        self.shares.last().map_or(Ok(()), |share| fetch(town, share))
    }

    /// Everything can be had, and the owner's own check finds nothing.
    pub(super) fn check_all(&self, town: &Town) -> Outcome {
        self.check(town)?;
        self.snapshots
            .iter()
            .try_for_each(|snapshot| restore(town, snapshot))?;
        self.shares.iter().try_for_each(|share| fetch(town, share))?;
        if self.snapshots.is_empty() {
            return Ok(());
        }
        let checked = town.ask(OWNER, &["check", "--read-data"])?;
        match checked["failed"].as_array().is_some_and(Vec::is_empty) {
            true => Ok(()),
            false => Err(format!("check finds {}", checked["failed"]).into()),
        }
    }

    fn check_lists(&self, town: &Town) -> Outcome {
        if !self.snapshots.is_empty() {
            let rows = town.list(OWNER, &["snapshots"])?;
            let ids = self.snapshots.iter().map(|(id, _)| id);
            expect_listed("snapshot", "id", ids, &rows)?;
        }
        let rows = town.list(HOLDERS[1], &["ls"])?;
        expect_listed("share", "name", self.shares.iter().map(|(name, _)| name), &rows)?;
        let rows = town.list(HOLDERS[1], &["peers"])?;
        expect_listed("peer", "name", self.members.iter(), &rows)
    }
}

fn expect_listed<'a>(
    what: &str,
    field: &str,
    mut promised: impl Iterator<Item = &'a String>,
    rows: &[Value],
) -> Outcome {
    match promised.find(|promised| !rows.iter().any(|row| row[field] == **promised)) {
        Some(lost) => Err(format!("LOST: the {what} {lost} is not listed any more").into()),
        None => Ok(()),
    }
}

/// A snapshot comes back as it was.
fn restore(town: &Town, (id, original): &(String, Tree)) -> Outcome {
    let target = town.path("restored");
    let restored = town.ask(OWNER, &["restore", id, "--to", &target.display().to_string()]);
    restored.map_err(|e| format!("LOST: the snapshot {id} cannot be restored: {e}"))?;
    let same = original.expect_same(&Tree::read(&beneath(&target, &work(town)))?);
    same.map_err(|e| format!("LOST: restored from snapshot {id}: {e}"))?;
    Ok(fs::remove_dir_all(&target)?)
}

/// A share arrives as it is; its publisher may need a moment to be known as its holder again.
fn fetch(town: &Town, (name, original): &(String, PathBuf)) -> Outcome {
    let getter = HOLDERS[2];
    within(&format!("a holder of {name}"), || {
        let rows = town.list(getter, &["ls"])?;
        let mut held = rows.iter().filter(|row| row["name"] == **name);
        Ok(held.any(|row| row["holders"].as_u64() > Some(0)).then_some(()))
    })?;
    let target = town.path("fetched");
    let got = town.ask(getter, &["get", name, "-o", &target.display().to_string()]);
    got.map_err(|e| format!("LOST: the share {name} cannot be fetched: {e}"))?;
    let same = Tree::read(original)?.expect_same(&Tree::read(&target)?);
    same.map_err(|e| format!("LOST: fetched {name}: {e}"))?;
    Ok(fs::remove_file(&target)?)
}

/// The folder that is backed up.
pub(super) fn work(town: &Town) -> PathBuf {
    town.path("work")
}

/// Where a folder lies beneath the target of a restore: there with its full path.
pub(crate) fn beneath(target: &Path, folder: &Path) -> PathBuf {
    target.join(folder.strip_prefix("/").unwrap_or(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_tells_what_differs() {
        let folder = tempfile::TempDir::new().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("a", "1");
        write(".partial", "x");
        let before = Tree::read(folder.path()).unwrap();
        write("b", "2");
        let after = Tree::read(folder.path()).unwrap();
        assert!(after.expect_no_other(&before).is_ok(), "one is not there yet");
        assert!(after.expect_same(&before).is_err());
        assert!(before.expect_no_other(&after).is_err(), "one is too many");
        write("a", "2");
        assert!(
            after
                .expect_no_other(&Tree::read(folder.path()).unwrap())
                .is_err()
        );
    }
}
