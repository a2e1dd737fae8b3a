//! Manifests: what a collection (a shared folder) consists of.

use crate::{id::BlobId, path::RelPath};

/// A folder: its entries, ordered by path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    entries: Vec<Entry>,
}

/// One path of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies in the folder.
    pub path: RelPath,
    /// What it is.
    pub node: Node,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A folder with nothing in it.
    Folder,
    /// A file.
    File {
        /// Its bytes.
        size: u64,
        /// Their hash.
        id: BlobId,
        /// Whether its owner may execute it.
        executable: bool,
    },
}
