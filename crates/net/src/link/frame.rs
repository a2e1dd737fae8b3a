//! Frames to be sent and frames that came, and the log of both.

use std::io;

use bytes::{Bytes, BytesMut};
use skep_wire::{
    PeerId,
    frame::{HEADER_BYTES, Header},
    message::{self, Message, Reason, Refused},
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Memory taken for a body before its first byte has come.
const FIRST_BYTES: usize = 16 << 10;

/// A message with its header's fields, ready to be sent.
pub(super) struct Frame {
    pub(super) kind: u16,
    pub(super) request: u32,
    pub(super) body: Vec<u8>,
}

impl Frame {
    pub(super) fn new<M: Message>(request: u32, message: &M) -> Self {
        Self {
            kind: M::KIND,
            request,
            body: message.encode(),
        }
    }

    pub(super) fn refusal(request: u32, reason: Reason, text: &str) -> Self {
        Self::new(request, &Refused::new(reason, text))
    }

    /// The last segment of a bulk answer, with nothing in it.
    pub(super) fn empty_last_segment(request: u32) -> Self {
        Self {
            kind: message::SEGMENT_LAST,
            request,
            body: Vec::new(),
        }
    }

    pub(super) fn wire_bytes(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&header(self.kind, self.request, self.body.len()));
        out.extend_from_slice(&self.body);
    }
}

/// The header of a body of `length` bytes, which is under its type's limit and so below 4 GiB.
pub(super) fn header(kind: u16, request: u32, length: usize) -> [u8; HEADER_BYTES] {
    let length = u32::try_from(length).expect("bodies are under their types' limits");
    Header {
        length,
        kind,
        request,
    }
    .encode()
}

/// Reads a body whose length has been checked. Memory grows with what arrives, not with what is announced.
pub(super) async fn read_body(stream: &mut (impl AsyncRead + Unpin), length: u32) -> io::Result<Bytes> {
    let length = length as usize;
    let mut body = BytesMut::with_capacity(length.min(FIRST_BYTES));
    while body.len() < length {
        body.reserve((length - body.len()).min(body.len().max(FIRST_BYTES)));
        let left = (length - body.len()) as u64;
        if stream.take(left).read_buf(&mut body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(body.freeze())
}

/// Which way a message went.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Sent,
    Received,
}

/// Shows a message in the log, when somebody looks.
pub(super) fn log(direction: Direction, peer: PeerId, kind: u16, request: u32, body: &[u8]) {
    if !tracing::enabled!(target: "skep::messages", tracing::Level::DEBUG) {
        return;
    }
    let direction = match direction {
        Direction::Sent => "sent",
        Direction::Received => "received",
    };
    let text = message::describe(kind, body);
    tracing::debug!(target: "skep::messages", direction, peer = %peer.short(), kind, request, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_refusals_are_cut_between_characters() {
        let frame = Frame::refusal(7, Reason::Busy, &"é".repeat(600));
        let refused = Refused::decode(&frame.body).unwrap();
        assert_eq!(refused.text.len(), 512);
        let odd = Frame::refusal(7, Reason::Busy, &format!("a{}", "é".repeat(600)));
        assert_eq!(Refused::decode(&odd.body).unwrap().text.len(), 511);
    }

    #[tokio::test]
    async fn an_announced_length_reserves_little() {
        let (mut near, far) = tokio::io::duplex(64);
        let reading = tokio::spawn(async move { read_body(&mut near, u32::MAX).await });
        drop(far);
        assert_eq!(
            reading.await.unwrap().unwrap_err().kind(),
            io::ErrorKind::UnexpectedEof
        );
    }
}
