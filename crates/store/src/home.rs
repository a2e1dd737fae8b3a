//! The store's files in a peer's home.
//!
//! All can be made again from the contents themselves: losing one costs reading, not data.
//!
//! | path | what |
//! |---|---|
//! | `outlines/ID` | the outline pages of a content's objects |
//! | `manifests/ID` | the manifest of a collection, whole or growing |
//! | `places/KEY` | the inventory of what was found at a place |
//! | `partials/KEY` | which chunks of the download to a place are stored: a hint |

use std::{io, sync::Arc};

use skep_wire::BlobId;
use skep_world::Dir;

use crate::place::Place;

/// The folder that the store keeps its own files in.
pub struct Home {
    dir: Arc<dyn Dir>,
}

impl Home {
    /// In `dir`, which nobody else writes to.
    ///
    /// # Errors
    /// When the folders in it cannot be made.
    pub fn open(dir: Arc<dyn Dir>) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self { dir }))
    }

    /// Forgets outline and manifest of a content that is at no place any more.
    ///
    /// # Errors
    /// When they cannot be removed; one that is not there is no error.
    pub fn forget_content(&self, id: BlobId) -> io::Result<()> {
        let _ = (id, &self.dir);
        todo!()
    }

    /// Forgets what was found at `place`. The files there stay.
    ///
    /// # Errors
    /// When it cannot be removed; one that is not there is no error.
    pub fn forget_place(&self, place: &Place) -> io::Result<()> {
        let _ = place;
        todo!()
    }
}
