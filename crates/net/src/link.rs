//! A framed connection over any authenticated stream.
//!
//! Both sides ask, answer and tell at the same time. Requests carry an id, and answers the id with
//! its highest bit set ([`skep_wire::frame::REPLY`]), so that neither side needs to know who dialled.
//! Bulk answers are read from the stream straight into the asker's buffer; the asker's side grants
//! credit for them, at first a window ([`Limits::window_bytes`]) and then as much as has arrived.
//! A link is closed when it is told to, or when every [`Link`], [`Inbox`] and [`Responder`] of it is dropped.
//! There is no policy here: who may ask what is for the callers.

mod asked;
mod error;
mod frame;
mod grants;
mod hello;
mod inbox;
mod limits;
mod outgoing;
mod reader;
mod shared;
mod writer;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use skep_wire::{
    PeerId,
    message::{Done, Hello, Message, Ping, Reason, Refused, SEGMENT_BYTES, Unsupported},
};
use skep_world::Stream;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use self::{
    asked::{Answer, BulkSink, Waiter},
    frame::Frame,
    outgoing::NoRoom,
    reader::Reader,
    shared::{Handle, Shared},
};
pub use self::{
    error::{AskError, CloseReason, OpenError, Stopped},
    inbox::{Inbox, Incoming, Responder},
    limits::Limits,
};

/// Messages that the inbox holds before the reading waits.
const INBOX_MESSAGES: usize = 64;

/// The asking side of a link. Cheap to clone.
#[derive(Clone)]
pub struct Link {
    handle: Arc<Handle>,
}

impl Link {
    /// Exchanges hellos, within 5 seconds, and starts the link.
    ///
    /// # Errors
    /// [`OpenError`] when the other side denies it, says nothing or something else.
    pub async fn open(mut stream: Stream, hello: Hello, limits: Limits) -> Result<(Self, Inbox), OpenError> {
        let limits = Limits {
            window_bytes: limits.window_bytes.max(SEGMENT_BYTES * 2),
            ..limits
        };
        match hello::exchange(&mut stream, &hello, limits.window_bytes).await {
            Ok(theirs) => Ok(Self::start(stream, theirs, limits)),
            Err(error) => {
                if matches!(error, OpenError::NoHello) {
                    hello::turn_away(&mut stream).await;
                }
                Err(error)
            }
        }
    }

    fn start(stream: Stream, hello: Hello, limits: Limits) -> (Self, Inbox) {
        let Stream {
            peer,
            remote,
            reader,
            writer,
        } = stream;
        let shared = Arc::new(Shared::new(peer, remote, hello, limits));
        let handle = Arc::new(Handle {
            shared: Arc::clone(&shared),
        });
        let (sender, messages) = mpsc::channel(INBOX_MESSAGES);
        shared.tasks.spawn(Reader::new(reader, &handle, sender).run());
        shared.tasks.spawn(writer::run(Arc::clone(&shared), writer));
        shared.tasks.close();
        let inbox = Inbox {
            messages,
            _handle: Arc::clone(&handle),
        };
        (Self { handle }, inbox)
    }

    /// The other side's key.
    pub fn peer(&self) -> PeerId {
        self.shared().peer
    }

    /// The other side's address.
    pub fn remote(&self) -> SocketAddr {
        self.shared().remote
    }

    /// The other side's hello. Nothing in it is verified yet.
    pub fn hello(&self) -> &Hello {
        &self.shared().hello
    }

    /// Asks and waits for the answer. Dropping the future cancels the request.
    ///
    /// # Errors
    /// [`AskError`] when there is no answer of that type.
    pub async fn ask<Req: Message, Rep: Message>(&self, request: &Req) -> Result<Rep, AskError> {
        let deadline = Instant::now() + self.shared().limits.reply_timeout;
        let (done, answer) = oneshot::channel();
        let asking = async {
            let _unless_answered = self.send_request(request, Waiter::Message(done)).await?;
            answer.await.map_err(|_| self.closed_error())
        };
        let answer = timeout_at(deadline, asking)
            .await
            .map_err(|_| AskError::TimedOut)??;
        expected(answer)
    }

    /// Asks and waits for the answer, as long as `progress` rises meanwhile: for what takes the other side as long as
    /// it takes to move bytes. Dropping the future cancels the request.
    ///
    /// # Errors
    /// [`AskError`] when there is no answer of that type.
    pub async fn ask_while<Req: Message, Rep: Message>(
        &self,
        request: &Req,
        progress: &AtomicU64,
    ) -> Result<Rep, AskError> {
        let (done, answer) = oneshot::channel();
        let sending = self.send_request(request, Waiter::Message(done));
        let reply_timeout = self.shared().limits.reply_timeout;
        let _unless_answered = timeout(reply_timeout, sending)
            .await
            .map_err(|_| AskError::TimedOut)??;
        expected(self.patient_answer(answer, progress).await?)
    }

    /// Asks for a bulk answer of at most `at_most` bytes, appended to `buffer`, which grows to hold
    /// that many. Dropping the future cancels the request.
    /// `arrived`, if given, is raised by each byte that arrives, while it does; give one to each call.
    ///
    /// # Errors
    /// [`AskError`] when the answer is not complete. An answer of more bytes closes the link.
    pub async fn read<Req: Message>(
        &self,
        request: &Req,
        at_most: usize,
        mut buffer: BytesMut,
        arrived: Option<Arc<AtomicU64>>,
    ) -> Result<BytesMut, AskError> {
        buffer.reserve(at_most);
        let arrived = arrived.unwrap_or_default();
        let (done, answer) = oneshot::channel();
        let sink = BulkSink {
            buffer,
            left: at_most,
            arrived: Arc::clone(&arrived),
            done,
        };
        let sending = self.send_request(request, Waiter::Bulk(sink));
        let reply_timeout = self.shared().limits.reply_timeout;
        let _unless_answered = timeout(reply_timeout, sending)
            .await
            .map_err(|_| AskError::TimedOut)??;
        match self.patient_answer(answer, &arrived).await? {
            Answer::Bulk(buffer) => Ok(buffer),
            message @ Answer::Message { .. } => Err(not_an_answer(&message)),
        }
    }

    /// Waits as long as `progress` rises.
    async fn patient_answer(
        &self,
        mut answer: oneshot::Receiver<Answer>,
        progress: &AtomicU64,
    ) -> Result<Answer, AskError> {
        let mut before = progress.load(Ordering::Relaxed);
        loop {
            if let Ok(answer) = timeout(self.shared().limits.reply_timeout, &mut answer).await {
                return answer.map_err(|_| self.closed_error());
            }
            let now = progress.load(Ordering::Relaxed);
            if now == before {
                return Err(AskError::TimedOut);
            }
            before = now;
        }
    }

    /// Sends a request. What is returned cancels it when dropped, unless it has been answered.
    async fn send_request<Req: Message>(
        &self,
        request: &Req,
        waiter: Waiter,
    ) -> Result<Pending<'_>, AskError> {
        let shared = self.shared();
        let mut frame = Frame::new(0, request);
        let place = shared.asked.place().await.ok_or_else(|| self.closed_error())?;
        let room = shared
            .outgoing
            .room(&frame)
            .await
            .map_err(|NoRoom| self.closed_error())?;
        frame.request = shared
            .asked
            .open(place, waiter)
            .ok_or_else(|| self.closed_error())?;
        shared.log_sent(&frame);
        shared.outgoing.push(&frame, room);
        Ok(Pending {
            shared,
            request: frame.request,
        })
    }

    /// Says something that has no answer. Waits for room in the queue.
    ///
    /// # Errors
    /// [`CloseReason`] when the link is closed.
    pub async fn tell<M: Message>(&self, message: &M) -> Result<(), CloseReason> {
        self.shared().send(&Frame::new(0, message)).await
    }

    /// Measures the time to the other side and back.
    ///
    /// # Errors
    /// [`AskError`] when there is no answer.
    pub async fn ping(&self) -> Result<Duration, AskError> {
        let start = Instant::now();
        let Done {} = self.ask(&Ping {}).await?;
        Ok(start.elapsed())
    }

    /// Closes the link: messages that are queued are still sent, within 5 seconds; unfinished bulk
    /// answers are not, and nothing more is taken. Returns at once; [`Link::closed`] tells when it is done.
    pub fn close(&self) {
        self.shared().close(CloseReason::Ours);
    }

    /// Closes the link and tells the other side why.
    pub fn refuse(&self, reason: Reason, text: &str) {
        self.shared().refuse(reason, text);
    }

    /// Whether it is closed or closing.
    pub fn is_closed(&self) -> bool {
        self.shared().reason().is_some()
    }

    /// How many of our requests are not answered yet: of several links to a peer, the one with the fewest is
    /// the one that moves fastest now.
    pub fn waiting(&self) -> usize {
        self.shared().asked.count()
    }

    /// Resolves when the link is closed and both of its tasks have ended.
    pub async fn closed(&self) -> CloseReason {
        self.shared().tasks.wait().await;
        self.shared().closed()
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    fn closed_error(&self) -> AskError {
        AskError::Closed(self.shared().closed())
    }
}

/// A request under way.
struct Pending<'a> {
    shared: &'a Shared,
    request: u32,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.shared.abandon(self.request);
    }
}

/// The answer, if it is of the type that was asked for.
fn expected<Rep: Message>(answer: Answer) -> Result<Rep, AskError> {
    match answer {
        Answer::Message { kind, body } if kind == Rep::KIND => {
            Rep::decode(&body).map_err(|_| AskError::Malformed)
        }
        other => Err(not_an_answer(&other)),
    }
}

/// What an answer that is not the expected one means.
fn not_an_answer(answer: &Answer) -> AskError {
    let Answer::Message { kind, body } = answer else {
        return AskError::Malformed;
    };
    match *kind {
        Unsupported::KIND => AskError::Unsupported,
        Refused::KIND => match Refused::decode(body) {
            Ok(Refused { reason, text }) => AskError::Refused { reason, text },
            Err(_) => AskError::Malformed,
        },
        _ => AskError::Malformed,
    }
}

#[cfg(test)]
mod tests;
