//! The peer's home: its key, and the lock that keeps a second process out.
//!
//! What the peer knows lies in the [`crate::catalog`], in the same folder.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_wire::{RelPath, SigningKey};
use skep_world::{Dir, World, keyfile};
use thiserror::Error;

const KEY_FILE: &str = "key";
const LOCK_FILE: &str = "lock";

/// A home that is open, and locked until it is dropped.
pub struct Home {
    /// The folder.
    pub dir: Arc<dyn Dir>,
    /// Where it lies, for messages.
    pub path: PathBuf,
    /// The peer's own key.
    pub key: Arc<SigningKey>,
    _lock: Box<dyn Send + Sync>,
}

/// Why a home cannot be used.
#[derive(Debug, Error)]
pub enum HomeError {
    /// Another process has it.
    #[error("the home {0} is in use by another process")]
    InUse(PathBuf),
    /// The key file holds something else.
    #[error("the key file {0} is damaged")]
    DamagedKey(PathBuf),
    /// The file system says no.
    #[error("the home {path} cannot be used: {source}")]
    Io {
        /// Which home.
        path: PathBuf,
        /// What the file system says.
        source: io::Error,
    },
}

impl Home {
    /// Opens the home at `path`, and makes it, with a new key, if it is not there. Blocking.
    ///
    /// # Errors
    /// [`HomeError`] when it is in use, damaged, or out of reach.
    pub fn open(world: &World, path: &Path) -> Result<Self, HomeError> {
        let failed = |source| HomeError::Io {
            path: path.to_owned(),
            source,
        };
        let dir = world.disk.make_dir(path).map_err(failed)?;
        let lock = dir.lock(&name(LOCK_FILE)).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => HomeError::InUse(path.to_owned()),
            _ => failed(e),
        })?;
        let key = match keyfile::read(&*dir, &name(KEY_FILE)) {
            Ok(Some(key)) => key,
            Ok(None) => keyfile::create(&*dir, &name(KEY_FILE), &*world.entropy).map_err(failed)?,
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(HomeError::DamagedKey(path.join(KEY_FILE)));
            }
            Err(e) => return Err(failed(e)),
        };
        Ok(Self {
            dir,
            path: path.to_owned(),
            key: Arc::new(key),
            _lock: lock,
        })
    }
}

/// A name that is known to be one.
pub(crate) fn name(text: &str) -> RelPath {
    RelPath::parse(text).expect("a name of our own is a path")
}
