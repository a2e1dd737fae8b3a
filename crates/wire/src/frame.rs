//! The frame: length u32, type u16, request id u32 (all big-endian), body.
//!
//! The length counts the body alone. A reader looks the type up in
//! [`crate::message::limit`] before it allocates anything; of types that are not known it drops up to
//! [`crate::message::UNKNOWN_LIMIT`]. Reading and writing streams is not done here.

/// Bytes before the body.
pub const HEADER_BYTES: usize = 10;

/// Set in the request id of an answer. Each side counts its own requests from 1 to below this;
/// the bit tells an answer to this side's request from a request of the other side.
pub const REPLY: u32 = 1 << 31;

/// What stands before each body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body.
    pub length: u32,
    /// What the body is; see [`crate::message`].
    pub kind: u16,
    /// The id of a request, with [`REPLY`] that of its answer; 0 where no answer is expected.
    pub request: u32,
}

impl Header {
    /// The ten bytes.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[..4].copy_from_slice(&self.length.to_be_bytes());
        out[4..6].copy_from_slice(&self.kind.to_be_bytes());
        out[6..].copy_from_slice(&self.request.to_be_bytes());
        out
    }

    /// Reads ten bytes; every ten bytes are some header.
    #[must_use]
    pub fn decode(bytes: [u8; HEADER_BYTES]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j] = bytes;
        Self {
            length: u32::from_be_bytes([a, b, c, d]),
            kind: u16::from_be_bytes([e, f]),
            request: u32::from_be_bytes([g, h, i, j]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ten_bytes_are_a_header() {
        for bytes in [[0; 10], [0xff; 10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]] {
            assert_eq!(Header::decode(bytes).encode(), bytes);
        }
        let header = Header {
            length: 0x0102_0304,
            kind: 0x0506,
            request: REPLY | 7,
        };
        assert_eq!(header.encode(), [1, 2, 3, 4, 5, 6, 0x80, 0, 0, 7]);
    }
}
