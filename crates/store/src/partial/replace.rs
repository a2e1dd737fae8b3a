//! Replacing a folder: the old one moves aside, the new one takes its name at once, and what only the
//! old one had is carried over. Nothing is removed that the new folder does not have in its place.

use std::{collections::BTreeSet, io, sync::Arc};

use skep_wire::{Manifest, RelPath, manifest::Node, record::Content};
use skep_world::{
    Dir,
    disk::{Kind, Replace},
};

use super::{PartialError, body::load_manifest, hidden::Target, hint::Label};
use crate::{
    home::Home,
    place::{Place, Spot},
};

/// A folder that moved aside, but whose place was not taken, goes back.
pub(super) fn put_back(
    dir: &dyn Dir,
    target: &Target,
    name: &RelPath,
    label: &Label,
) -> Result<(), PartialError> {
    let aside = target.replaced()?;
    if label.replacing && dir.stat(name).is_err() && dir.stat(&aside).is_ok() {
        dir.rename(&aside, name, Replace::Never)?;
        dir.sync(target.parent())?;
    }
    Ok(())
}

/// Moves what only the old folder has into the new one, and removes the rest of the old one. What
/// cannot be moved stays in the old one, which then stays too.
pub(super) fn carry_over(
    home: &Home,
    place: &Place,
    target: &Target,
    content: Content,
) -> Result<(), PartialError> {
    let dir = &**place.dir();
    let (old, new) = (target.replaced()?, place.name()?);
    let Some(manifest) = load_manifest(home, content)? else {
        return Ok(());
    };
    if dir.stat(&old).is_err() {
        return Ok(());
    }
    let move_over = MoveOver {
        dir,
        old: &old,
        new,
        manifest: &manifest,
    };
    if !move_over.folder(None)? {
        tracing::warn!(
            "some files of the old folder are kept in {}",
            dir.host_path().join(old.as_str()).display()
        );
    }
    Ok(dir.sync(target.parent())?)
}

struct MoveOver<'a> {
    dir: &'a dyn Dir,
    old: &'a RelPath,
    new: &'a RelPath,
    manifest: &'a Manifest,
}

impl MoveOver<'_> {
    /// Empties the folder `path` of the old folder (none: itself) and removes it. False if something stays.
    fn folder(&self, path: Option<&RelPath>) -> Result<bool, PartialError> {
        let Ok(folder) = path.map_or_else(|| Ok(self.old.clone()), |path| self.old.join(path)) else {
            return Ok(false);
        };
        let mut empty = true;
        for entry in self.dir.list(Some(&folder))? {
            let path = entry.name.to_str().and_then(|name| join(path, name));
            empty &= match path {
                None => false,
                Some(path) if entry.kind == Kind::Dir => self.folder(Some(&path))?,
                Some(path) => self.file(&path)?,
            };
        }
        if empty {
            self.dir.remove_dir(&folder)?;
        }
        Ok(empty)
    }

    fn file(&self, path: &RelPath) -> Result<bool, PartialError> {
        let (Ok(old), Ok(new)) = (self.old.join(path), self.new.join(path)) else {
            return Ok(false);
        };
        if self.is_replaced(path) {
            self.dir.remove_file(&old)?;
            return Ok(true);
        }
        let moved = match new.parent() {
            Some(parent) => self.dir.make_dirs(&parent),
            None => Ok(()),
        };
        Ok(moved
            .and_then(|()| self.dir.rename(&old, &new, Replace::Never))
            .is_ok())
    }

    fn is_replaced(&self, path: &RelPath) -> bool {
        let entry = self
            .manifest
            .find(path)
            .and_then(|at| self.manifest.entries().get(at));
        entry.is_some_and(|entry| entry.node != Node::Folder)
    }
}

fn join(folder: Option<&RelPath>, name: &str) -> Option<RelPath> {
    let name = RelPath::parse(name).ok()?;
    match folder {
        Some(folder) => folder.join(&name).ok(),
        None => Some(name),
    }
}

/// All folders of a manifest, inner ones first.
pub(super) fn folders(manifest: &Manifest) -> Vec<RelPath> {
    let mut folders = BTreeSet::new();
    for entry in manifest.entries() {
        let first = match entry.node {
            Node::Folder => Some(entry.path.clone()),
            Node::File { .. } => entry.path.parent(),
        };
        let mut folder = first;
        while let Some(path) = folder.take().filter(|path| !folders.contains(path)) {
            folder = path.parent();
            folders.insert(path);
        }
    }
    folders.into_iter().rev().collect()
}

/// Removes a hidden folder with the files of `manifest`. What else is in it, or cannot be removed, stays.
pub(super) fn remove_folder(
    dir: &Arc<dyn Dir>,
    hidden: &RelPath,
    manifest: Option<&Manifest>,
) -> io::Result<()> {
    for file in manifest.iter().flat_map(|manifest| manifest.files()) {
        let _ = Spot::below(dir, hidden, file.path).and_then(|spot| spot.dir.remove_file(&spot.path));
    }
    for folder in manifest.map(folders).unwrap_or_default() {
        let _ = Spot::below(dir, hidden, &folder).and_then(|spot| spot.dir.remove_dir(&spot.path));
    }
    match dir.remove_dir(hidden) {
        Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {
            let path = dir.host_path().join(hidden.as_str());
            tracing::warn!("{} stays: there is something else in it", path.display());
            Ok(())
        }
        removed => removed,
    }
}
