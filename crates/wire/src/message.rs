//! Every native message of version 1: its type number, its body, and the most bytes it may have.
//!
//! A body is postcard of the struct. A body never changes; a change is a new type number. A type
//! that is not known is answered with [`Unsupported`]. Bulk data ([`SEGMENT`], [`SEGMENT_LAST`])
//! travels raw in the frame's body. Lengths and counts inside a body are checked while it is read.
//! Who may say what to whom, and when, is not here.

#[macro_use]
mod table;

mod backup;
mod parts;
mod v1;

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::bounded;

pub use self::{backup::*, parts::*, v1::*};
pub use crate::endpoint::Endpoint;

/// ALPN of the major version (RFC 7301).
pub const ALPN: &[u8] = b"skep/1";

/// Raw bytes of a bulk reply, more follow. Body: at most [`SEGMENT_BYTES`].
pub const SEGMENT: u16 = 0x0210;
/// Raw bytes of a bulk reply, the last.
pub const SEGMENT_LAST: u16 = 0x0211;
/// The most bytes in one segment.
pub const SEGMENT_BYTES: u32 = 128 * 1024;
/// The most bytes in the body of a type that is not known: so much is read and dropped.
pub const UNKNOWN_LIMIT: u32 = 64 * 1024;

const KIB: u32 = 1024;

/// A message that is not the body of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a message of type {kind:#06x} cannot be read")]
pub struct MalformedMessage {
    /// The type number.
    pub kind: u16,
}

/// One type of message.
pub trait Message: Serialize + DeserializeOwned {
    /// Its type number.
    const KIND: u16;
    /// The most bytes of its body.
    const LIMIT: u32;
    /// Its name, for logs.
    const NAME: &'static str;

    /// The body. Keeping to the limits is up to who made the message; the other side refuses what is over.
    ///
    /// # Panics
    /// If the type cannot be encoded, which the round trip tests rule out.
    fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("messages encode")
    }

    /// Reads a body; trailing bytes are an error.
    ///
    /// # Errors
    /// [`MalformedMessage`] when these bytes are not such a message.
    fn decode(body: &[u8]) -> Result<Self, MalformedMessage> {
        let malformed = MalformedMessage { kind: Self::KIND };
        if body.len() > Self::LIMIT as usize {
            return Err(malformed);
        }
        bounded::whole(body).ok_or(malformed)
    }
}

/// All types with a struct, in the order of their numbers: number, name, limit.
pub fn all() -> impl Iterator<Item = &'static (u16, &'static str, u32)> {
    v1::TABLE.iter().chain(backup::TABLE)
}

/// The most bytes the body of this type may have; none for a type that is not known.
#[must_use]
pub fn limit(kind: u16) -> Option<u32> {
    match kind {
        SEGMENT | SEGMENT_LAST => Some(SEGMENT_BYTES),
        kind => v1::limit(kind).or_else(|| backup::limit(kind)),
    }
}

/// The name of a type, for logs.
#[must_use]
pub fn name(kind: u16) -> &'static str {
    match kind {
        SEGMENT => "Segment",
        SEGMENT_LAST => "SegmentLast",
        kind => v1::name(kind).or_else(|| backup::name(kind)).unwrap_or("?"),
    }
}

/// Reads a body of any type and shows it, for logs and never-panic tests.
#[must_use]
pub fn describe(kind: u16, body: &[u8]) -> String {
    let known = v1::describe(kind, body).or_else(|| backup::describe(kind, body));
    known.unwrap_or_else(|| format!("{} bytes", body.len()))
}

impl Refused {
    /// A denial whose text keeps to the limits, whatever it was made of: what is over is cut off,
    /// what deceives is replaced.
    #[must_use]
    pub fn new(reason: Reason, text: &str) -> Self {
        const LIMIT: usize = 512;
        let clean = |c| if crate::path::deceives(c) { '?' } else { c };
        let mut text: String = text.chars().map(clean).collect();
        text.truncate(text.floor_char_boundary(LIMIT));
        Self { reason, text }
    }
}

#[cfg(test)]
mod tests;
