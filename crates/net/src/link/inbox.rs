//! The answering side of a link: what comes in, and what goes back.

use std::sync::Arc;

use bytes::Bytes;
use skep_wire::{
    frame::REPLY,
    message::{MalformedMessage, Message, Reason, SEGMENT_BYTES, Unsupported},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    error::Stopped,
    frame::Frame,
    outgoing::{End, NoRoom},
    shared::{Handle, Shared},
};

/// What the other side of a link says unasked. Bounded. Keeps the link open.
pub struct Inbox {
    pub(super) messages: mpsc::Receiver<Incoming>,
    pub(super) _handle: Arc<Handle>,
}

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
pub struct Responder {
    handle: Arc<Handle>,
    /// The request's type.
    kind: u16,
    /// The id for answers; 0 where none is wanted.
    answer_id: u32,
    cancelled: CancellationToken,
    /// Credit taken and not used.
    credit: usize,
    /// Room in the queue, taken and not used.
    room: usize,
    stage: Stage,
}

/// How far an answer is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing was sent.
    Open,
    /// Some segments were.
    Started,
    /// Nothing is left to say.
    Ended,
}

impl Inbox {
    /// The next message; none when the link is closed.
    pub async fn recv(&mut self) -> Option<Incoming> {
        self.messages.recv().await
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
    /// For a request that just came; none if its id is in use.
    pub(super) fn open(handle: Arc<Handle>, kind: u16, request: u32) -> Option<Self> {
        let (answer_id, stage, cancelled) = match request {
            0 => (0, Stage::Ended, CancellationToken::new()),
            id => (id | REPLY, Stage::Open, handle.shared.served.open(id)?),
        };
        Some(Self {
            handle,
            kind,
            answer_id,
            cancelled,
            credit: 0,
            room: 0,
            stage,
        })
    }

    /// Whether an answer is wanted at all: false for what was told.
    pub fn is_wanted(&self) -> bool {
        self.answer_id != 0
    }

    /// Answers. Waits for room in the queue; a link that closes meanwhile is not this side's trouble.
    pub async fn reply<M: Message>(mut self, message: &M) {
        self.end_with(Frame::new(self.answer_id, message)).await;
    }

    /// Answers with a body that is encoded already, under the limit of its type.
    pub async fn reply_encoded(mut self, kind: u16, body: Vec<u8>) {
        let request = self.answer_id;
        self.end_with(Frame { kind, request, body }).await;
    }

    /// Denies. `text` is cut at 512 bytes. Also right after some [`Responder::segments`].
    pub async fn refuse(mut self, reason: Reason, text: &str) {
        self.end_with(Frame::refusal(self.answer_id, reason, text)).await;
    }

    /// Says that this type of request is not known here.
    pub async fn unsupported(mut self) {
        let kind = self.kind;
        self.end_with(Frame::new(self.answer_id, &Unsupported { kind }))
            .await;
    }

    /// Resolves when the asker does not want the answer any more, or the link is closed.
    pub async fn stopped(&self) -> Stopped {
        tokio::select! {
            biased;
            () = self.shared().closing() => Stopped::Closed(self.shared().closed()),
            () = self.cancelled.cancelled() => Stopped::Cancelled,
        }
    }

    /// Takes credit for bulk bytes, before they are read from anywhere: waits until the other side
    /// has room for some of `want` and the queue here too, and returns how many may be sent now (at
    /// least 1 if `want` is, at most a segment).
    ///
    /// # Errors
    /// [`Stopped`] when nobody waits for the answer any more.
    pub async fn credit(&mut self, want: usize) -> Result<usize, Stopped> {
        let want = want.min(SEGMENT_BYTES as usize);
        if self.credit < want {
            // Others may use the room meanwhile: who waits for both must not hold one.
            self.return_room();
            self.credit += self.wait_for_credit(want - self.credit).await?;
        }
        if self.room < want {
            self.room += self.wait_for_room(want - self.room).await?;
        }
        Ok(want.min(self.room))
    }

    fn return_room(&mut self) {
        let room = std::mem::take(&mut self.room);
        self.shared().outgoing.return_bulk_room(room);
    }

    async fn wait_for_room(&self, bytes: usize) -> Result<usize, Stopped> {
        let shared = self.shared();
        tokio::select! {
            biased;
            stopped = self.stopped() => Err(stopped),
            room = shared.outgoing.bulk_room(bytes) => room.map_err(|NoRoom| shared.closed()).map_err(Stopped::from),
        }
    }

    async fn wait_for_credit(&self, bytes: usize) -> Result<usize, Stopped> {
        let shared = self.shared();
        let count = u32::try_from(bytes).expect("no more than a segment");
        tokio::select! {
            biased;
            stopped = self.stopped() => Err(stopped),
            taken = shared.credit.acquire_many(count) => {
                taken.map_err(|_| shared.closed())?.forget();
                Ok(bytes)
            }
        }
    }

    /// Queues bytes that there is credit for; with `last` the answer is complete. Segments of several
    /// answers take turns.
    ///
    /// # Errors
    /// [`Stopped`] when nobody waits for the answer any more.
    ///
    /// # Panics
    /// If there are more bytes than [`Responder::credit`] gave.
    pub fn segments(&mut self, bytes: Bytes, last: bool) -> Result<(), Stopped> {
        if !bytes.is_empty() {
            self.push_bulk(bytes)?;
        }
        if last {
            self.end_bulk(End::Last);
        }
        Ok(())
    }

    /// A whole bulk answer that is in memory already: credit and segments until all is sent.
    ///
    /// # Errors
    /// [`Stopped`] when nobody waits for the answer any more.
    pub async fn bulk(mut self, mut bytes: Bytes) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let count = self.credit(bytes.len()).await?;
            self.segments(bytes.split_to(count), false)?;
        }
        self.segments(bytes, true)
    }

    fn push_bulk(&mut self, part: Bytes) -> Result<(), Stopped> {
        let count = part.len();
        assert!(
            count <= self.credit.min(self.room),
            "bulk bytes need credit first"
        );
        if self.cancelled.is_cancelled() {
            return Err(Stopped::Cancelled);
        }
        let shared = self.shared();
        let pushed = shared.outgoing.push_bulk(self.answer_id, part);
        pushed.map_err(|NoRoom| shared.closed())?;
        self.credit -= count;
        self.room -= count;
        if self.stage == Stage::Open {
            self.stage = Stage::Started;
        }
        Ok(())
    }

    async fn end_with(&mut self, frame: Frame) {
        match self.stage {
            Stage::Open => {
                // A link that closes meanwhile has told the asker in its own way.
                let _ = self.shared().send(&frame).await;
                self.ended();
            }
            Stage::Started => {
                self.shared().log_sent(&frame);
                self.end_bulk(End::With(frame));
            }
            Stage::Ended => {}
        }
    }

    fn end_bulk(&mut self, end: End) {
        if self.stage != Stage::Ended {
            self.shared().outgoing.end_bulk(self.answer_id, end);
            self.ended();
        }
    }

    fn ended(&mut self) {
        self.stage = Stage::Ended;
        self.shared().served.close(self.answer_id & !REPLY);
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.shared().credit.add_permits(self.credit);
        self.return_room();
        let frame = match self.cancelled.is_cancelled() {
            true => Frame::empty_last_segment(self.answer_id),
            false => Frame::refusal(self.answer_id, Reason::Internal, "no answer"),
        };
        match self.stage {
            Stage::Open => {
                self.shared().send_now(&frame);
                self.ended();
            }
            Stage::Started => self.end_bulk(End::With(frame)),
            Stage::Ended => {}
        }
    }
}
