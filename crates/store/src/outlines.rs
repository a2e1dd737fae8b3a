//! Outlines on disk: per content one file, a slot per page, each page verified whenever it is read.
//!
//! A file of 1 TiB costs no more memory than a page. Pages may be missing (a download in progress);
//! a damaged one is told from a missing one, and both can be written again at any time.

use std::io;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum OutlineError {
    /// The content has no such page; blobs up to one chunk have none.
    #[error("object {object} has no outline page {page}")]
    NoSuchPage {
        /// Object number.
        object: u32,
        /// Page number.
        page: u32,
    },
    /// It was not written yet.
    #[error("outline page {page} of object {object} is not here")]
    Missing {
        /// Object number.
        object: u32,
        /// Page number.
        page: u32,
    },
    /// What is on disk does not verify. Write it again.
    #[error("outline page {page} of object {object} is damaged on disk")]
    Damaged {
        /// Object number.
        object: u32,
        /// Page number.
        page: u32,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}
