//! Where a content lies, or is to lie.

use std::{io, path::PathBuf, sync::Arc};

use skep_wire::RelPath;
use skep_world::{
    Dir, File,
    disk::{Entry, Open, Stat},
};

/// A name in a folder; or a whole folder, whatever it is called.
#[derive(Clone)]
pub struct Place {
    dir: Arc<dyn Dir>,
    name: Option<RelPath>,
}

impl Place {
    /// What is called `name` in `dir`: a file or a folder.
    #[must_use]
    pub fn new(dir: Arc<dyn Dir>, name: RelPath) -> Self {
        Self {
            dir,
            name: Some(name),
        }
    }

    /// All of `dir`. Nothing can be downloaded to such a place.
    #[must_use]
    pub fn whole(dir: Arc<dyn Dir>) -> Self {
        Self { dir, name: None }
    }

    /// For messages; never for opening.
    #[must_use]
    pub fn host_path(&self) -> PathBuf {
        let folder = self.dir.host_path();
        match &self.name {
            Some(name) => folder.join(name.as_str()),
            None => folder,
        }
    }

    pub(crate) fn dir(&self) -> &Arc<dyn Dir> {
        &self.dir
    }

    /// The name, which a place to download to has.
    pub(crate) fn name(&self) -> io::Result<&RelPath> {
        let missing = || io::Error::new(io::ErrorKind::InvalidInput, "a download needs a name");
        self.name.as_ref().ok_or_else(missing)
    }

    /// `path` beneath the place (none: the place itself) as a path of its folder.
    pub(crate) fn beneath(&self, path: Option<&RelPath>) -> io::Result<Option<RelPath>> {
        let too_long = |e| io::Error::new(io::ErrorKind::InvalidFilename, e);
        Ok(match (&self.name, path) {
            (Some(name), Some(path)) => Some(name.join(path).map_err(too_long)?),
            (name, path) => name.as_ref().or(path).cloned(),
        })
    }

    pub(crate) fn open(&self, path: Option<&RelPath>) -> io::Result<Arc<dyn File>> {
        match self.beneath(path)? {
            Some(path) => self.dir.open(&path, Open::Read),
            None => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(crate) fn stat(&self, path: Option<&RelPath>) -> io::Result<Stat> {
        match self.beneath(path)? {
            Some(path) => self.dir.stat(&path),
            None => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(crate) fn list(&self, path: Option<&RelPath>) -> io::Result<Vec<Entry>> {
        self.dir.list(self.beneath(path)?.as_ref())
    }
}
