//! Snapshots, and the catalog of a device's snapshots, which its head seals.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use skep_wire::{PackId, bounded};

use crate::content::Content;

/// The most snapshots of a device.
pub const MAX_SNAPSHOTS: usize = 2048;
/// The most index packs of a device: 8,192 of them list about 3 billion pieces.
pub const MAX_INDEXES: usize = 8192;
/// The most snapshots of other devices that a device has forgotten.
pub const MAX_FORGOTTEN: usize = 4096;
/// The most paths that a snapshot names.
const MAX_PATHS: usize = 64;
const MAX_PATH_BYTES: usize = 4096;

/// The name of a snapshot: the BLAKE3 hash of its encoding, which only devices of the owner ever see.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotId(pub [u8; 32]);

/// One backup of a set of paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it began, in seconds since 1970.
    pub made_unix_s: u64,
    /// The name of the machine, for people. At most 255 bytes.
    #[serde(deserialize_with = "bounded::list::<255, _, _>")]
    pub host: Vec<u8>,
    /// What was backed up, as it was named. At most 64 of 4,096 bytes.
    #[serde(deserialize_with = "paths")]
    pub paths: Vec<Vec<u8>>,
    /// The tree of the root folder, in which the paths begin.
    pub root: Content,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What could not be read, and is missing: if not 0, the snapshot is not complete.
    pub missing: u64,
}

/// All snapshots of a device, and where to find their pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// Ascending by time. At most [`MAX_SNAPSHOTS`].
    #[serde(deserialize_with = "bounded::list::<MAX_SNAPSHOTS, _, _>")]
    pub snapshots: Vec<Snapshot>,
    /// The packs of kind Index that list the packs of these snapshots. At most [`MAX_INDEXES`].
    #[serde(deserialize_with = "bounded::list::<MAX_INDEXES, _, _>")]
    pub indexes: Vec<PackId>,
    /// Snapshots of other devices of the owner that shall be forgotten: each device takes its own out of its
    /// catalog when it reads this; those of retired devices are forgotten at once. At most [`MAX_FORGOTTEN`].
    #[serde(deserialize_with = "bounded::list::<MAX_FORGOTTEN, _, _>")]
    pub forgotten: Vec<SnapshotId>,
}

impl Snapshot {
    /// Its name.
    ///
    /// # Panics
    /// Never: snapshots encode.
    #[must_use]
    pub fn id(&self) -> SnapshotId {
        let bytes = postcard::to_allocvec(self).expect("snapshots encode");
        SnapshotId(*blake3::hash(&bytes).as_bytes())
    }
}

impl Catalog {
    /// Its bytes.
    ///
    /// # Panics
    /// Never: catalogs encode.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("catalogs encode")
    }

    /// Reads what [`Catalog::encode`] made; none if it is not that.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        bounded::whole(bytes)
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotId({:.8})", self.to_string())
    }
}

fn paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<u8>>, D::Error> {
    let paths = bounded::list::<MAX_PATHS, Vec<u8>, D>(deserializer)?;
    if paths.iter().any(|path| path.len() > MAX_PATH_BYTES) {
        return Err(D::Error::custom("too long a path"));
    }
    Ok(paths)
}
