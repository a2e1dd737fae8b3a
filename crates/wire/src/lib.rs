//! What is said: ids, signed records, frames, messages, tickets, and the arithmetic of chunks.
//!
//! Everything here is pure. There is no clock, no I/O and no async in this crate: bytes come in,
//! values go out, and back. A value that needs checking can only be made by the function that
//! checks it ([`VerifiedChunk::verify`], [`RelPath::parse`], [`Signed::open`]).

#![deny(clippy::indexing_slicing)]

pub mod backup;
pub mod bounded;
pub mod chunk;
pub mod endpoint;
pub mod frame;
pub mod id;
pub mod key;
pub mod layout;
pub mod manifest;
pub mod message;
pub mod name;
pub mod outline;
pub mod path;
pub mod proof;
pub mod record;
pub mod signed;
pub mod ticket;
pub mod time;

mod tree;

#[cfg(any(test, feature = "corpus"))]
pub mod hostile;

pub use chunk::{CHUNK_BYTES, UNIT_BYTES, VerifiedChunk};
pub use endpoint::Endpoint;
pub use id::{BlobId, NetworkId, OwnerId, PackId, PeerId};
pub use key::SigningKey;
pub use layout::Layout;
pub use manifest::Manifest;
pub use name::{PeerName, ShareName};
pub use path::RelPath;
pub use proof::leaf_answer;
pub use signed::Signed;
pub use ticket::{Link, Ticket};
pub use time::Moment;
