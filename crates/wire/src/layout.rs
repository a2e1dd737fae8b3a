//! The numbering of a content's chunks.

use crate::manifest::Manifest;

/// Numbers the chunks of a content through; see the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {}

/// What a chunk number stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// Chunk `index` of `object`.
    Piece {
        /// 0: the blob or the manifest; n: the manifest's n-th file.
        object: u32,
        /// Which chunk of it.
        index: u64,
        /// Bytes of it.
        len: u32,
    },
    /// Whole small files, one after the other.
    Run {
        /// Object numbers and bytes of each, ascending.
        objects: Vec<(u32, u32)>,
    },
}

impl Layout {
    /// Of a single blob, or of a manifest that is not read yet.
    #[must_use]
    pub fn blob(size: u64) -> Self {
        let _ = size;
        todo!()
    }

    /// Of a collection.
    #[must_use]
    pub fn collection(manifest_size: u64, manifest: &Manifest) -> Self {
        let _ = (manifest_size, manifest);
        todo!()
    }

    /// How many chunks there are.
    pub fn chunks(&self) -> u64 {
        todo!()
    }

    /// How many of them, the first ones, belong to object 0.
    pub fn head_chunks(&self) -> u64 {
        todo!()
    }

    /// What `chunk` is; none beyond the end.
    pub fn extent(&self, chunk: u64) -> Option<Extent> {
        let _ = chunk;
        todo!()
    }
}
