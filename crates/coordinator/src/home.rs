//! The folder of a coordinator: lock, keys, ledger. Blocking.
//!
//! | name | what |
//! |---|---|
//! | `lock` | held while a coordinator runs here |
//! | `key` | the coordinator's own key |
//! | `network-key` | the key of the network: whoever has it decides who belongs to the network |
//! | `ledger` | the facts |
//! | `api.sock` | the local API |

use std::{io, sync::Arc};

use skep_ledger::Redb;
use skep_wire::{RelPath, SigningKey};
use skep_world::{Dir, World, keyfile};

use crate::config::{Config, StartError};

/// An opened home, locked for as long as this lives.
pub(crate) struct Home {
    /// The coordinator's own key.
    pub(crate) key: Arc<SigningKey>,
    /// Signs grants, certificates and revocations.
    pub(crate) network_key: Arc<SigningKey>,
    /// The facts.
    pub(crate) ledger: Arc<Redb>,
    _lock: Box<dyn Send + Sync>,
}

impl Home {
    /// Opens the home, and makes what is missing if there was never a ledger in it.
    pub(crate) fn open(world: &World, config: &Config) -> Result<Self, StartError> {
        let unusable = |source| StartError::Home {
            home: config.home.clone(),
            source,
        };
        let dir = world.disk.make_dir(&config.home).map_err(unusable)?;
        let lock = dir.lock(&name("lock")).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => StartError::InUse {
                home: config.home.clone(),
            },
            _ => unusable(e),
        })?;
        let keys = Keys {
            world,
            dir: &*dir,
            fresh: !exists(&*dir, "ledger").map_err(unusable)?,
        };
        Ok(Self {
            key: keys.open("key")?,
            network_key: keys.open("network-key")?,
            ledger: Arc::new(Redb::open(dir, &name("ledger"), config.ledger_cache_bytes)?),
            _lock: lock,
        })
    }
}

/// Opens the key files of a home.
struct Keys<'a> {
    world: &'a World,
    dir: &'a dyn Dir,
    /// Whether keys may be made: a ledger without its keys must not get others.
    fresh: bool,
}

impl Keys<'_> {
    fn open(&self, file: &str) -> Result<Arc<SigningKey>, StartError> {
        let path = self.dir.host_path().join(file);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::InvalidData => StartError::BadKey { path: path.clone() },
            _ => StartError::Home {
                home: self.dir.host_path(),
                source,
            },
        };
        match keyfile::read(self.dir, &name(file)).map_err(failed)? {
            Some(key) => Ok(Arc::new(key)),
            None if self.fresh => keyfile::create(self.dir, &name(file), &*self.world.entropy)
                .map(Arc::new)
                .map_err(failed),
            None => Err(StartError::NoKey { path }),
        }
    }
}

fn exists(dir: &dyn Dir, file: &str) -> io::Result<bool> {
    match dir.stat(&name(file)) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn name(file: &str) -> RelPath {
    RelPath::parse(file).expect("the names in this module are paths")
}
