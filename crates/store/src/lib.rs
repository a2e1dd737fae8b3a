//! What is kept: contents served in place, downloads in progress, outlines, shards of the backups of others.
//!
//! Blocking code over [`skep_world::Dir`]; a content is bytes in files, nothing more. Which shares
//! there are, who may read them and what is wanted is the node's knowledge. There is no network, no
//! clock and no database in this crate.
//!
//! Nothing here trusts the disk: what a hint claims is hashed again, a page of an outline is
//! verified whenever it is read, a file that is served is compared with the stamps of its scan.

mod extent;
pub mod hashing;
pub mod home;
mod inventory;
mod open_files;
pub mod outlines;
pub mod papers;
pub mod partial;
pub mod place;
pub mod scan;
pub mod shards;
pub mod source;
mod stamp;

pub use hashing::Hashing;
pub use home::Home;
pub use outlines::OutlineError;
pub use partial::Partial;
pub use place::Place;
pub use scan::{Scanned, Skipped};
pub use source::{Source, SourceError};
