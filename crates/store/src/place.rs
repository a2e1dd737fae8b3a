//! Where a content lies, or is to lie.

use std::{path::PathBuf, sync::Arc};

use skep_wire::RelPath;
use skep_world::Dir;

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
}
