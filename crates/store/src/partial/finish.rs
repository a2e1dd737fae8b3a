//! The end of a download: durable first, then the target's name; or nothing left of it.

use std::{io, sync::atomic::Ordering};

use skep_wire::{
    RelPath,
    manifest::{FileEntry, Node},
    record::ContentKind,
};
use skep_world::{
    Dir,
    disk::{Kind, Open, Replace},
};

use super::{
    Partial, PartialError, replace,
    resume::{remove, restamp},
};
use crate::{
    hashing::Hashing,
    home,
    inventory::{self, Item},
    place::Spot,
    source::Source,
    stamp::Stamp,
};

/// Up to so many files are synced one by one, which makes their bytes durable, but not that they are
/// executable; more, all at once with whatever else is not yet on that disk.
const SYNC_SINGLY: usize = 64;

impl Partial {
    /// Makes it durable and gives it the target's name. With `overwrite` a file there is replaced, and
    /// a folder too: of its files those that the new one has as well are replaced, all others are
    /// carried over. A folder is never replaced by a file, nor a file by a folder.
    ///
    /// # Errors
    /// [`PartialError::Exists`], [`PartialError::Incomplete`], or the disk's; it can be called again.
    pub fn finish(&self, overwrite: bool, hashing: &Hashing<'_>) -> Result<Source, PartialError> {
        self.check_whole()?;
        let hidden = self.check_hidden()?;
        self.check_target(overwrite)?;
        self.complete(&hidden)?;
        self.scope.forget_all();
        self.sync(&hidden, hashing).or_else(|e| self.spoil(&hidden, e))?;
        self.note_items(&hidden)?;
        self.give_name(&hidden, overwrite)?;
        self.home.remove(&home::hint(&self.place))?;
        let source = Source::open(&self.home, &self.place)?;
        match restamp(&self.home, &source)? {
            true => Ok(Source::open(&self.home, &self.place)?),
            false => Ok(source),
        }
    }

    /// Removes all that was written, and nothing else. Nothing can be put after that.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn abandon(&self) -> Result<(), PartialError> {
        self.scope.forget_all();
        let dir = self.place.dir();
        replace::put_back(&**dir, &self.target, self.place.name()?, &self.label())?;
        match self.check_hidden() {
            Ok(path) => remove(&self.home, dir, &path, self.content())?,
            Err(PartialError::Lost(_)) => {}
            Err(e) => return Err(e),
        }
        Ok(self.home.remove(&home::hint(&self.place))?)
    }

    fn check_whole(&self) -> Result<(), PartialError> {
        let all = self.layout().chunks();
        let missing = all - self.chunks().stored.len().min(all);
        if missing > 0 || !self.is_whole() || self.failed.load(Ordering::Acquire) {
            return Err(PartialError::Incomplete { missing });
        }
        Ok(())
    }

    fn check_target(&self, overwrite: bool) -> Result<(), PartialError> {
        let kind = match self.place.stat(None) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            stat => stat?.kind,
        };
        let alike = match self.content().kind {
            ContentKind::File => kind != Kind::Dir,
            ContentKind::Folder => kind == Kind::Dir,
        };
        if overwrite && alike {
            Ok(())
        } else {
            Err(self.exists())
        }
    }

    fn exists(&self) -> PartialError {
        PartialError::Exists(self.place.host_path().display().to_string())
    }

    /// Why a rename failed.
    fn or_exists(&self, error: io::Error) -> PartialError {
        match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => self.exists(),
            _ => error.into(),
        }
    }

    /// Makes the files and folders that have no chunks, and sets what is executable.
    fn complete(&self, hidden: &RelPath) -> Result<(), PartialError> {
        let manifest = self.manifest();
        for entry in manifest.iter().flat_map(|manifest| manifest.entries()) {
            let Spot { dir, path } = Spot::below(self.place.dir(), hidden, &entry.path)?;
            match entry.node {
                Node::Folder => dir.make_dirs(&path)?,
                Node::File { size: 0, .. } => make_empty(&*dir, &path)?,
                Node::File { .. } => {}
            }
            if matches!(entry.node, Node::File { executable: true, .. }) {
                dir.set_executable(&path, true)?;
            }
        }
        Ok(())
    }

    fn sync(&self, hidden: &RelPath, hashing: &Hashing<'_>) -> Result<(), PartialError> {
        let dir = self.place.dir();
        let Some(manifest) = self.manifest() else {
            return Ok(dir.open(hidden, Open::Write)?.sync()?);
        };
        if manifest.entries().len() > SYNC_SINGLY || manifest.files().any(|file| file.executable) {
            return Ok(dir.sync_tree(Some(hidden))?);
        }
        hashing.each(manifest.files(), |file, _| {
            let Spot { dir, path } = Spot::below(dir, hidden, file.path)?;
            Ok::<_, PartialError>(dir.open(&path, Open::Write)?.sync()?)
        })?;
        for folder in replace::folders(&manifest) {
            let Spot { dir, path } = Spot::below(dir, hidden, &folder)?;
            dir.sync(Some(&path))?;
        }
        Ok(dir.sync(Some(hidden))?)
    }

    /// After a failed sync the system may take bytes for written that are not, and would say so at the
    /// next: all has to be written again.
    pub(super) fn spoil(&self, hidden: &RelPath, error: PartialError) -> Result<(), PartialError> {
        if matches!(error, PartialError::Stopped(_)) {
            return Err(error);
        }
        let head = self.layout().head_chunks();
        let keep = if self.manifest().is_some() { head } else { 0 };
        remove(&self.home, self.place.dir(), hidden, self.content())?;
        self.chunks().stored.remove_range(keep..);
        self.made().clear();
        let mut label = self.label();
        label.hidden = None;
        self.hint.write(&label, &self.chunks().stored)?;
        Err(error)
    }

    /// Writes the inventory before the name is given: a crash between the two leaves what can be told
    /// from an unfinished download.
    fn note_items(&self, hidden: &RelPath) -> Result<(), PartialError> {
        let dir = self.place.dir();
        let items = match self.manifest() {
            None => vec![Item {
                path: None,
                id: self.content().id,
                stamp: Stamp::from(&dir.stat(hidden)?),
            }],
            Some(manifest) => {
                let item = |file: FileEntry<'_>| {
                    let Spot { dir, path } = Spot::below(dir, hidden, file.path)?;
                    Ok(Item {
                        path: Some(file.path.clone()),
                        id: file.id,
                        stamp: Stamp::from(&dir.stat(&path)?),
                    })
                };
                manifest.files().map(item).collect::<io::Result<_>>()?
            }
        };
        let content = self.content();
        Ok(self.home.note(&self.place, content.id, |file| {
            inventory::write(file, content, &items)
        })?)
    }

    fn give_name(&self, hidden: &RelPath, overwrite: bool) -> Result<(), PartialError> {
        let (dir, name) = (self.place.dir(), self.place.name()?);
        let replace = match self.content().kind {
            ContentKind::File if overwrite => Replace::Allow,
            ContentKind::File => Replace::Never,
            ContentKind::Folder => return self.swap(hidden, overwrite),
        };
        dir.rename(hidden, name, replace).map_err(|e| self.or_exists(e))?;
        Ok(dir.sync(self.target.parent())?)
    }

    /// Gives a folder its name; one that is there moves aside first, and comes back if that fails.
    fn swap(&self, hidden: &RelPath, overwrite: bool) -> Result<(), PartialError> {
        let (dir, name) = (&**self.place.dir(), self.place.name()?);
        if overwrite && dir.stat(name).is_ok() {
            self.set_replacing(true)?;
            let aside = dir.rename(name, &self.target.replaced()?, Replace::Never);
            if let Err(e) = aside {
                self.set_replacing(false)?;
                return Err(self.or_exists(e));
            }
        }
        if let Err(e) = dir.rename(hidden, name, Replace::Never) {
            replace::put_back(dir, &self.target, name, &self.label())?;
            return Err(self.or_exists(e));
        }
        dir.sync(self.target.parent())?;
        if self.label().replacing {
            replace::carry_over(&self.home, &self.place, &self.target, self.content())?;
        }
        Ok(())
    }

    /// Remembers, durably, that the old folder is moving aside: who comes after a power cut must know.
    fn set_replacing(&self, replacing: bool) -> Result<(), PartialError> {
        let mut label = self.label();
        label.replacing = replacing;
        self.hint.label(&label)?;
        let files = [home::hint(&self.place), home::manifest(label.content.id)];
        Ok(self.home.sync(&files)?)
    }
}

/// It may be there from an attempt before this one.
fn make_empty(dir: &dyn Dir, path: &RelPath) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        dir.make_dirs(&parent)?;
    }
    match dir.open(path, Open::CreateNew) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => dir.open(path, Open::Write)?.set_len(0),
        made => made.map(drop),
    }
}
