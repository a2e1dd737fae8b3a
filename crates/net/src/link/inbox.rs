//! The answering side of a link: what comes in, and what goes back.

use bytes::Bytes;
use skep_wire::message::{MalformedMessage, Message, Reason};

use super::error::Stopped;

/// What the other side of a link says unasked. Bounded. Keeps the link open.
pub struct Inbox {}

/// A message that is not an answer.
pub struct Incoming {
    /// Its type, one that `wire` knows.
    pub kind: u16,
    /// Its body, not read yet.
    pub body: Bytes,
    /// Where the answer goes.
    pub responder: Responder,
}

/// Answers one request. Dropped without an answer, it refuses as internal error.
///
/// Where no answer is wanted (the message was told, not asked), answers go nowhere.
pub struct Responder {}

impl Inbox {
    /// The next message; none when the link is closed.
    pub async fn recv(&mut self) -> Option<Incoming> {
        todo!()
    }
}

impl Incoming {
    /// Reads the body as an `M`.
    ///
    /// # Errors
    /// [`MalformedMessage`] when it is not one.
    pub fn decode<M: Message>(&self) -> Result<M, MalformedMessage> {
        if self.kind == M::KIND {
            M::decode(&self.body)
        } else {
            Err(MalformedMessage { kind: self.kind })
        }
    }
}

impl Responder {
    /// Whether an answer is wanted at all: false for what was told.
    pub fn is_wanted(&self) -> bool {
        todo!()
    }

    /// Answers. Waits for room in the queue; a link that closes meanwhile is not this side's trouble.
    pub async fn reply<M: Message>(self, _message: &M) {
        todo!()
    }

    /// Denies. `text` is cut at 512 bytes. Also right after some [`Responder::segments`].
    pub async fn refuse(self, _reason: Reason, _text: &str) {
        todo!()
    }

    /// Says that this type of request is not known here.
    pub async fn unsupported(self) {
        todo!()
    }

    /// Resolves when the asker does not want the answer any more, or the link is closed.
    pub async fn stopped(&self) -> Stopped {
        todo!()
    }

    /// Takes credit for bulk bytes, before they are read from anywhere: waits until there is credit
    /// for `want` bytes or for a whole segment, whichever is less, and returns how many of `want`
    /// may be sent (at least 1 if `want` is).
    ///
    /// # Errors
    /// [`Stopped`] when nobody waits for the answer any more.
    pub async fn credit(&mut self, _want: usize) -> Result<usize, Stopped> {
        todo!()
    }

    /// Sends bytes that there is credit for, as segments; with `last` the answer is complete.
    /// Returns when they are queued, which waits for room. Segments of several answers take turns.
    ///
    /// # Errors
    /// [`Stopped`] when nobody waits for the answer any more.
    ///
    /// # Panics
    /// If there are more bytes than [`Responder::credit`] gave.
    pub async fn segments(&mut self, _bytes: Bytes, _last: bool) -> Result<(), Stopped> {
        todo!()
    }

    /// A whole bulk answer that is in memory already: credit and segments until all is sent.
    ///
    /// # Errors
    /// [`Stopped`] when nobody waits for the answer any more.
    pub async fn bulk(self, _bytes: Bytes) -> Result<(), Stopped> {
        todo!()
    }
}
