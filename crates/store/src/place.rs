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

    pub(crate) fn open(&self, path: Option<&RelPath>) -> io::Result<Arc<dyn File>> {
        match self.spot(path)? {
            Some(Spot { dir, path }) => dir.open(&path, Open::Read),
            None => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(crate) fn stat(&self, path: Option<&RelPath>) -> io::Result<Stat> {
        match self.spot(path)? {
            Some(Spot { dir, path }) => dir.stat(&path),
            None => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(crate) fn list(&self, path: Option<&RelPath>) -> io::Result<Vec<Entry>> {
        match self.spot(path)? {
            Some(Spot { dir, path }) => dir.list(Some(&path)),
            None => self.dir.list(None),
        }
    }

    /// Where `path` beneath the place (none: the place itself) lies; none for a whole folder itself.
    fn spot(&self, path: Option<&RelPath>) -> io::Result<Option<Spot>> {
        let path = match (&self.name, path) {
            (Some(name), Some(path)) => return Spot::below(&self.dir, name, path).map(Some),
            (name, path) => name.as_ref().or(path),
        };
        Ok(path.map(|path| Spot {
            dir: Arc::clone(&self.dir),
            path: path.clone(),
        }))
    }
}

/// A path of a folder.
pub(crate) struct Spot {
    pub(crate) dir: Arc<dyn Dir>,
    pub(crate) path: RelPath,
}

impl Spot {
    /// `path` beneath `base` in `dir`, however long both are together.
    pub(crate) fn below(dir: &Arc<dyn Dir>, base: &RelPath, path: &RelPath) -> io::Result<Self> {
        Ok(match base.join(path) {
            Ok(path) => Self {
                dir: Arc::clone(dir),
                path,
            },
            Err(_) => Self {
                dir: dir.dir(base)?,
                path: path.clone(),
            },
        })
    }
}
