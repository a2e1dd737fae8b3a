//! What is secret: keys, cutting, sealing, packs, trees, erasure coding. The only room that sees the
//! plaintext of backups.
//!
//! Everything here is pure. There is no clock, no I/O, no thread and no randomness of its own: bytes,
//! salts and seeds come in as arguments, values go out. Nothing that is read is believed: what comes
//! from a disk or a network is opened with the right key, for the right place, or not at all.
//! docs/backup-format.md describes every byte.

pub mod content;
pub mod cut;
pub mod head;
pub mod index;
pub mod keys;
pub mod owner;
pub mod pack;
pub mod padding;
pub mod phrase;
pub mod piece;
pub mod sealed_box;
pub mod sealer;
pub mod shard;
pub mod snapshot;
pub mod tree;

mod cipher;

pub use content::Content;
pub use cut::Cutter;
pub use index::Index;
pub use keys::KeyRing;
pub use owner::Owner;
pub use phrase::Phrase;
pub use piece::{Kind, PieceId};
pub use sealer::Sealer;
pub use snapshot::{Catalog, Snapshot, SnapshotId};
