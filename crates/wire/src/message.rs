//! Every native message of version 1: its type number, its body, and the most bytes it may have.
//!
//! A body is postcard of the struct. A body never changes; a change is a new type number. A type
//! that is not known is answered with [`Unsupported`]. Bulk data ([`SEGMENT`], [`SEGMENT_LAST`])
//! travels raw in the frame's body. Lengths and counts inside a body are checked while it is read.
//! Who may say what to whom, and when, is not here.

mod parts;
mod v1;

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::bounded;

pub use self::{parts::*, v1::*};
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
mod tests {
    use super::*;
    use crate::{
        id::{BlobId, PeerId},
        name::{PeerName, ShareName},
        record::Role,
    };

    fn fits<M: Message + PartialEq>(message: &M) {
        let body = message.encode();
        assert!(
            body.len() <= M::LIMIT as usize,
            "{}: {} bytes",
            M::NAME,
            body.len()
        );
        assert!(M::decode(&body).is_ok_and(|read| read == *message), "{}", M::NAME);
    }

    fn refused<M: Message>(message: &M) {
        assert_eq!(
            M::decode(&message.encode()).err(),
            Some(MalformedMessage { kind: M::KIND })
        );
    }

    fn peer_name() -> PeerName {
        PeerName::parse(&"x".repeat(64)).unwrap()
    }

    fn endpoint() -> Endpoint {
        Endpoint {
            host: "x".repeat(255),
            port: u16::MAX,
        }
    }

    fn triples(count: usize) -> Vec<Triple> {
        let (nonce, leaf, answer) = ([0xff; 32], u64::MAX, [0xff; 32]);
        vec![Triple { nonce, leaf, answer }; count]
    }

    fn answers(count: usize, triple_count: usize) -> Answers {
        let answer = Answer {
            content: BlobId([0xff; 32]),
            answer: Some([0xff; 32]),
            triples: triples(triple_count),
        };
        Answers {
            answers: vec![answer; count],
        }
    }

    fn holders(count: usize) -> Holders {
        let holder = Holder {
            peer: PeerId([0xff; 32]),
            name: peer_name(),
            address: Some(endpoint()),
            complete: true,
        };
        Holders {
            holders: vec![holder; count],
        }
    }

    fn peers(count: usize) -> Peers {
        let row = PeerRow {
            peer: PeerId([0xff; 32]),
            name: peer_name(),
            role: Role::Both,
            presence: Presence::Failed,
            reachable: true,
            capacity_bytes: u64::MAX,
            used_bytes: u64::MAX,
            last_seen_unix_s: u64::MAX,
        };
        Peers {
            peers: vec![row; count],
            more: true,
        }
    }

    fn page(leaves: usize, path: usize) -> OutlinePage {
        OutlinePage {
            leaves: vec![[0xff; 32]; leaves],
            path: vec![[0xff; 32]; path],
        }
    }

    fn questions(count: usize) -> Questions {
        let (content, nonce, leaf) = (BlobId([0xff; 32]), [0xff; 32], u64::MAX);
        Questions {
            questions: vec![Question { content, nonce, leaf }; count],
        }
    }

    fn have_more(count: usize) -> HaveMore {
        HaveMore {
            content: BlobId([0xff; 32]),
            chunks: vec![u64::MAX; count],
        }
    }

    fn find(words: usize) -> Find {
        Find {
            query: Query::Words(vec!["x".repeat(255); words]),
            after: Some((peer_name(), ShareName::parse(&"x".repeat(255)).unwrap())),
        }
    }

    #[test]
    fn full_lists_fit_their_messages() {
        fits(&answers(1024, 8));
        fits(&holders(50));
        fits(&peers(500));
        fits(&page(4096, 64));
        fits(&questions(1024));
        fits(&have_more(4096));
        fits(&find(16));
        fits(&Deposit { triples: triples(8) });
        fits(&Drop {
            contents: vec![BlobId([0xff; 32]); 1024],
        });
        fits(&Dial {
            peer: PeerId([0xff; 32]),
            address: endpoint(),
        });
    }

    #[test]
    fn longer_lists_are_refused() {
        refused(&answers(1025, 0));
        refused(&answers(1, 9));
        refused(&holders(51));
        refused(&peers(501));
        refused(&page(4097, 0));
        refused(&page(0, 65));
        refused(&questions(1025));
        refused(&have_more(4097));
        refused(&find(17));
        refused(&Deposit { triples: triples(9) });
    }

    #[test]
    fn texts_for_people_are_bounded_and_do_not_deceive() {
        let reason = Reason::Busy;
        for text in [
            "x".repeat(513),
            "\u{1b}[2J".into(),
            "a\nb".into(),
            "\u{202e}".into(),
        ] {
            refused(&Refused {
                reason,
                text: text.clone(),
            });
            fits(&Refused::new(reason, &text));
        }
        assert_eq!(Refused::new(reason, "no\tway").text, "no?way");
        assert_eq!(Refused::new(reason, &"é".repeat(300)).text, "é".repeat(256));
    }
}
