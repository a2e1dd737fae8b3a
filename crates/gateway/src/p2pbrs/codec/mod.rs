//! The messages of document 000, as values: bytes to values and back. Pure; it never panics.
//!
//! [`Message`] is what goes in datagrams, [`Header`] the lines before chunks on connections. Fields
//! marked * in docs/dialects/p2pbrs.md may be missing; readers take all known spellings, writers one.

mod field;
mod header;
mod list;
mod message;
mod tokens;

pub use field::{BadField, Capacity, Checksum, FILE_BYTES, FileName, Name, Role, Rq};
pub use header::{BadHeader, HEADER_BYTES, Header};
pub use list::{Bringer, Listed, PeerList, Style, Target};
pub use message::{DATAGRAM_BYTES, Malformed, Message, Shape};

#[cfg(test)]
mod tests;
