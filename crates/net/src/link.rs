//! A framed connection over any authenticated stream.
//!
//! Both sides ask, answer and tell at the same time. Requests carry an id, and answers the id with
//! its highest bit set ([`skep_wire::frame::REPLY`]), so that neither side needs to know who dialled.
//! Bulk answers are read from the stream straight into the asker's buffer; the asker's side grants
//! credit for them, at first a window ([`Limits::window_bytes`]) and then as much as has arrived.
//! A link is closed when it is told to, or when every [`Link`], [`Inbox`] and [`Responder`] of it is dropped.
//! There is no policy here: who may ask what is for the callers.

mod error;
mod inbox;
mod limits;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use bytes::BytesMut;
use skep_wire::{
    PeerId,
    message::{Hello, Message, Reason},
};
use skep_world::Stream;

pub use self::{
    error::{AskError, CloseReason, OpenError, Stopped},
    inbox::{Inbox, Incoming, Responder},
    limits::Limits,
};

/// The asking side of a link. Cheap to clone.
#[derive(Clone)]
pub struct Link {}

impl Link {
    /// Exchanges hellos, within 5 seconds, and starts the link.
    ///
    /// # Errors
    /// [`OpenError`] when the other side denies it, says nothing or something else.
    pub async fn open(_stream: Stream, _hello: Hello, _limits: Limits) -> Result<(Self, Inbox), OpenError> {
        todo!()
    }

    /// The other side's key.
    pub fn peer(&self) -> PeerId {
        todo!()
    }

    /// The other side's address.
    pub fn remote(&self) -> SocketAddr {
        todo!()
    }

    /// The other side's hello. Nothing in it is verified yet.
    pub fn hello(&self) -> &Hello {
        todo!()
    }

    /// Asks and waits for the answer. Dropping the future cancels the request.
    ///
    /// # Errors
    /// [`AskError`] when there is no answer of that type.
    pub async fn ask<Req: Message, Rep: Message>(&self, _request: &Req) -> Result<Rep, AskError> {
        todo!()
    }

    /// Asks for a bulk answer of at most `at_most` bytes, appended to `buffer`, which grows to hold
    /// that many. Dropping the future cancels the request.
    /// `arrived`, if given, is raised by each byte that arrives, while it does.
    ///
    /// # Errors
    /// [`AskError`] when the answer is not complete. An answer of more bytes closes the link.
    pub async fn read<Req: Message>(
        &self,
        _request: &Req,
        _at_most: usize,
        _buffer: BytesMut,
        _arrived: Option<Arc<AtomicU64>>,
    ) -> Result<BytesMut, AskError> {
        todo!()
    }

    /// Says something that has no answer. Waits for room in the queue.
    ///
    /// # Errors
    /// [`CloseReason`] when the link is closed.
    pub async fn tell<M: Message>(&self, _message: &M) -> Result<(), CloseReason> {
        todo!()
    }

    /// Measures the time to the other side and back.
    ///
    /// # Errors
    /// [`AskError`] when there is no answer.
    pub async fn ping(&self) -> Result<Duration, AskError> {
        todo!()
    }

    /// Closes the link: what is queued is still sent (within [`Limits::frame_timeout`]), nothing more is taken.
    /// Returns at once; [`Link::closed`] tells when it is done.
    pub fn close(&self) {
        todo!()
    }

    /// Closes the link and tells the other side why.
    pub fn refuse(&self, _reason: Reason, _text: &str) {
        todo!()
    }

    /// Whether it is closed or closing.
    pub fn is_closed(&self) -> bool {
        todo!()
    }

    /// Resolves when the link is closed and both of its tasks have ended.
    pub async fn closed(&self) -> CloseReason {
        todo!()
    }
}
