//! The task that reads: frames to askers, to the inbox, or to the link itself.

use std::{
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::{BufMut, Bytes};
use skep_wire::{
    frame::{HEADER_BYTES, Header, REPLY},
    message::{
        self, Cancel, Credit, Done, Hello, Message, Ping, Reason, Refused, SEGMENT, SEGMENT_LAST, Unsupported,
    },
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::mpsc,
    task::coop::consume_budget,
    time::timeout,
};

use super::{
    asked::{BulkSink, SegmentFor},
    error::CloseReason,
    frame::{self, Direction, Frame},
    grants::{Grants, Overdrawn},
    inbox::{Incoming, Responder},
    shared::{Handle, Shared},
};

/// Credit at hand above which a grant is nonsense.
const CREDIT_LIMIT: usize = 1 << 40;
/// After its last words, a closed link reads on for so long, so that they are not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);
/// And at most so many bytes.
const LINGER_BYTES: u64 = 16 << 20;

/// The state of the reading task.
pub(super) struct Reader<R> {
    stream: R,
    shared: Arc<Shared>,
    /// For responders. Weak: what reads must not keep the link open.
    handle: Weak<Handle>,
    inbox: mpsc::Sender<Incoming>,
    grants: Grants,
}

type Step<T = ()> = Result<T, CloseReason>;

impl<R: AsyncRead + Unpin> Reader<R> {
    pub(super) fn new(stream: R, handle: &Arc<Handle>, inbox: mpsc::Sender<Incoming>) -> Self {
        let shared = Arc::clone(&handle.shared);
        Self {
            stream,
            grants: Grants::new(shared.limits.window_bytes),
            shared,
            handle: Arc::downgrade(handle),
            inbox,
        }
    }

    /// Reads until the link closes.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            biased;
            () = shared.closing() => {}
            reason = self.frames() => shared.close(reason),
        }
        let Self { stream, inbox, .. } = self;
        drop(inbox);
        if matches!(shared.closed(), CloseReason::Ours | CloseReason::Misbehaved(_)) {
            // Only to give the other side time to read; what comes is of no interest.
            let _ = timeout(LINGER, discard(stream, LINGER_BYTES)).await;
        }
    }

    async fn frames(&mut self) -> CloseReason {
        loop {
            // Frames that are here already are read without waiting, however many there are: others have their turns.
            consume_budget().await;
            if let Err(reason) = self.frame().await {
                return reason;
            }
        }
    }

    async fn frame(&mut self) -> Step {
        let header = self.header().await?;
        if header.length > message::limit(header.kind).unwrap_or(message::UNKNOWN_LIMIT) {
            return Err(CloseReason::Misbehaved("a frame over its type's limit"));
        }
        let is_answer = header.request & REPLY != 0;
        if is_answer && matches!(header.kind, SEGMENT | SEGMENT_LAST) {
            return self.segment(header).await;
        }
        let reading = frame::read_body(&mut self.stream, header.length);
        let body = in_time(&self.shared, reading).await?;
        frame::log(
            Direction::Received,
            self.shared.peer,
            header.kind,
            header.request,
            &body,
        );
        if is_answer {
            self.answer(header, body)
        } else {
            self.incoming(header, body).await
        }
    }

    /// Waits for a header; in the middle of a long silence it asks for a sign of life.
    async fn header(&mut self) -> Step<Header> {
        let Some(silence) = self.shared.limits.silence else {
            return read_header(&mut self.stream).await;
        };
        let mut reading = std::pin::pin!(read_header(&mut self.stream));
        if let Ok(read) = timeout(silence / 2, &mut reading).await {
            return read;
        }
        self.shared.ask_for_sign_of_life();
        timeout(silence / 2, reading)
            .await
            .map_err(|_| CloseReason::Silent)?
    }

    /// Reads a segment into its asker's buffer.
    async fn segment(&mut self, header: Header) -> Step {
        let length = header.length as usize;
        self.grants
            .take(header.length)
            .map_err(|Overdrawn| CloseReason::Misbehaved("more bulk bytes than credit"))?;
        let id = header.request & !REPLY;
        let last = header.kind == SEGMENT_LAST;
        if length == 0 && !last {
            return Err(CloseReason::Misbehaved("a segment with nothing in it"));
        }
        match self.shared.asked.segment(id, length) {
            SegmentFor::TooMuch => return Err(CloseReason::Misbehaved("more bulk bytes than asked for")),
            SegmentFor::Unexpected => return Err(CloseReason::Misbehaved("bulk bytes nobody asked for")),
            SegmentFor::Nobody => {
                in_time(&self.shared, discard(&mut self.stream, length as u64)).await?;
                if last {
                    self.shared.asked.finish(id, None);
                }
            }
            SegmentFor::Sink(mut sink) => {
                let reading = read_segment(&mut self.stream, &mut sink, length);
                in_time(&self.shared, reading).await?;
                if last {
                    self.shared.asked.finish(id, Some(sink));
                } else {
                    self.shared.asked.put_back(id, sink);
                }
            }
        }
        if let Some(bytes) = self.grants.again() {
            self.shared.send_now(&Frame::new(0, &Credit { bytes }));
        }
        Ok(())
    }

    fn answer(&self, header: Header, body: Bytes) -> Step {
        if self
            .shared
            .asked
            .answer(header.request & !REPLY, header.kind, body)
        {
            Ok(())
        } else {
            Err(CloseReason::Misbehaved("an answer to no request"))
        }
    }

    /// A message that is not an answer: for the link itself, or for the inbox.
    async fn incoming(&mut self, header: Header, body: Bytes) -> Step {
        match header.kind {
            Ping::KIND => {
                if header.request != 0 {
                    self.shared
                        .send_now(&Frame::new(header.request | REPLY, &Done {}));
                }
            }
            Credit::KIND => self.add_credit(&body)?,
            Cancel::KIND => self.cancel(decode::<Cancel>(&body)?.request),
            Refused::KIND if header.request == 0 => {
                let Refused { reason, text } = decode(&body)?;
                return Err(CloseReason::Refused { reason, text });
            }
            Hello::KIND | Refused::KIND | SEGMENT | SEGMENT_LAST => {
                return Err(CloseReason::Misbehaved("a message out of place"));
            }
            kind if message::limit(kind).is_none() => self.unsupported(header),
            _ => self.deliver(header, body).await?,
        }
        Ok(())
    }

    fn add_credit(&self, body: &[u8]) -> Step {
        let bytes = decode::<Credit>(body)?.bytes as usize;
        if self.shared.credit.available_permits() + bytes > CREDIT_LIMIT {
            return Err(CloseReason::Misbehaved("more credit than makes sense"));
        }
        self.shared.credit.add_permits(bytes);
        Ok(())
    }

    fn cancel(&self, request: u32) {
        self.shared.served.cancel(request);
        let unsent = self.shared.outgoing.cut_bulk(request | REPLY);
        self.shared.credit.add_permits(unsent);
    }

    fn unsupported(&self, header: Header) {
        if header.request != 0 {
            let kind = header.kind;
            self.shared
                .send_now(&Frame::new(header.request | REPLY, &Unsupported { kind }));
        }
    }

    /// Puts a message into the inbox. A request too many is refused as busy.
    async fn deliver(&mut self, header: Header, body: Bytes) -> Step {
        let request = header.request;
        if request != 0 && self.shared.served.count() >= self.shared.limits.outstanding as usize {
            let busy = Frame::refusal(request | REPLY, Reason::Busy, "too many requests at once");
            self.shared.send_now(&busy);
            return Ok(());
        }
        let Some(handle) = self.handle.upgrade() else {
            return Err(CloseReason::Ours);
        };
        let responder = Responder::open(handle, header.kind, request)
            .ok_or(CloseReason::Misbehaved("a request id in use"))?;
        let incoming = Incoming {
            kind: header.kind,
            body,
            responder,
        };
        match timeout(self.shared.limits.frame_timeout, self.inbox.send(incoming)).await {
            Ok(Ok(())) => Ok(()),
            // Nobody listens on this side: the responder has said so.
            Ok(Err(_)) => Ok(()),
            Err(_) => Err(CloseReason::Misbehaved("more messages than can be handled")),
        }
    }
}

fn decode<M: Message>(body: &[u8]) -> Step<M> {
    M::decode(body).map_err(|_| CloseReason::Misbehaved("a message that cannot be read"))
}

async fn in_time<T>(shared: &Shared, work: impl Future<Output = io::Result<T>>) -> Step<T> {
    match timeout(shared.limits.frame_timeout, work).await {
        Ok(result) => result.map_err(|e| CloseReason::Io(Arc::new(e))),
        Err(_) => Err(CloseReason::Misbehaved("a frame that takes too long")),
    }
}

/// Reads a header; the end of the stream before it is the other side's way to close.
async fn read_header<R: AsyncRead + Unpin>(stream: &mut R) -> Step<Header> {
    let mut bytes = [0; HEADER_BYTES];
    let mut filled = 0;
    while filled < HEADER_BYTES {
        match stream.read(&mut bytes[filled..]).await {
            Ok(0) if filled == 0 => return Err(CloseReason::Theirs),
            Ok(0) => return Err(CloseReason::Io(Arc::new(io::ErrorKind::UnexpectedEof.into()))),
            Ok(n) => filled += n,
            Err(e) => return Err(CloseReason::Io(Arc::new(e))),
        }
    }
    Ok(Header::decode(bytes))
}

async fn discard<R: AsyncRead + Unpin>(stream: R, bytes: u64) -> io::Result<()> {
    tokio::io::copy(&mut stream.take(bytes), &mut tokio::io::sink()).await?;
    Ok(())
}

async fn read_segment<R: AsyncRead + Unpin>(
    stream: &mut R,
    sink: &mut BulkSink,
    length: usize,
) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let read = stream.read_buf(&mut (&mut sink.buffer).limit(left)).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= read;
        sink.count(read);
    }
    Ok(())
}
