//! What the tasks and the handles of one link share, and how it ends.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use skep_wire::{
    PeerId,
    message::{Cancel, Hello, Ping, Reason},
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    asked::Asked,
    error::CloseReason,
    frame::{self, Direction, Frame},
    limits::Limits,
    outgoing::{NoRoom, Outgoing},
};

/// One link's common state.
pub(super) struct Shared {
    pub(super) peer: PeerId,
    pub(super) remote: SocketAddr,
    pub(super) hello: Hello,
    pub(super) limits: Limits,
    pub(super) outgoing: Outgoing,
    pub(super) asked: Asked,
    pub(super) served: Served,
    /// Bytes of bulk answers that the other side has room for.
    pub(super) credit: Semaphore,
    pub(super) tasks: TaskTracker,
    closing: CancellationToken,
    reason: OnceLock<CloseReason>,
}

/// Held by every public part of a link: the last one to go closes it.
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(CloseReason::Ours);
    }
}

impl Shared {
    pub(super) fn new(peer: PeerId, remote: SocketAddr, hello: Hello, limits: Limits) -> Self {
        Self {
            peer,
            remote,
            hello,
            limits,
            outgoing: Outgoing::new(limits.queued_bytes, limits.queued_bulk_bytes),
            asked: Asked::new(limits.outstanding),
            served: Served::default(),
            credit: Semaphore::new(0),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            reason: OnceLock::new(),
        }
    }

    /// Closes the link, for the first reason that is given.
    pub(super) fn close(&self, reason: CloseReason) {
        let last = match reason {
            CloseReason::Misbehaved(text) => Some(Frame::refusal(0, Reason::BadRequest, text)),
            _ => None,
        };
        self.close_with(reason, last.as_ref());
    }

    /// Closes the link and tells the other side why.
    pub(super) fn refuse(&self, reason: Reason, text: &str) {
        self.close_with(CloseReason::Ours, Some(&Frame::refusal(0, reason, text)));
    }

    fn close_with(&self, reason: CloseReason, last: Option<&Frame>) {
        let ours = matches!(reason, CloseReason::Ours);
        if self.reason.set(reason).is_err() {
            return;
        }
        if let Some(frame) = last {
            self.log_sent(frame);
        }
        self.outgoing.finish(!ours, last);
        self.asked.close();
        self.credit.close();
        self.closing.cancel();
    }

    /// Why the link is closed or closing, if it is.
    pub(super) fn reason(&self) -> Option<CloseReason> {
        self.reason.get().cloned()
    }

    /// Why the link is closing, for one who has seen that it is.
    pub(super) fn closed(&self) -> CloseReason {
        self.reason().unwrap_or(CloseReason::Ours)
    }

    /// Resolves when the link begins to close.
    pub(super) async fn closing(&self) {
        self.closing.cancelled().await;
    }

    /// Sends a message as soon as there is room.
    pub(super) async fn send(&self, frame: &Frame) -> Result<(), CloseReason> {
        let room = self.outgoing.room(frame).await.map_err(|NoRoom| self.closed())?;
        self.log_sent(frame);
        self.outgoing.push(frame, room);
        Ok(())
    }

    /// Sends a small message at once. A link whose other side does not take them is closed.
    pub(super) fn send_now(&self, frame: &Frame) {
        self.log_sent(frame);
        if self.outgoing.push_now(frame).is_err() {
            self.close(CloseReason::Misbehaved("asks without taking the answers"));
        }
    }

    /// Asks for anything at all, and does not wait for it.
    pub(super) fn ask_for_sign_of_life(&self) {
        // Without a free place the other side owes answers already.
        if let Some(request) = self.asked.open_unwaited() {
            self.send_now(&Frame::new(request, &Ping {}));
        }
    }

    /// Nobody on this side waits for this answer any more.
    pub(super) fn abandon(&self, request: u32) {
        if self.asked.abandon(request) {
            self.send_now(&Frame::new(0, &Cancel { request }));
        }
    }

    /// Logs a message when it is queued.
    pub(super) fn log_sent(&self, frame: &Frame) {
        frame::log(Direction::Sent, self.peer, frame.kind, frame.request, &frame.body);
    }
}

/// The requests of the other side that have no last answer yet.
#[derive(Default)]
pub(super) struct Served {
    open: Mutex<BTreeMap<u32, CancellationToken>>,
}

impl Served {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Opens a request; none if its id is open already.
    pub(super) fn open(&self, request: u32) -> Option<CancellationToken> {
        let token = CancellationToken::new();
        let before = self.lock().insert(request, token.clone());
        before.is_none().then_some(token)
    }

    /// The asker does not want this answer any more.
    pub(super) fn cancel(&self, request: u32) {
        if let Some(token) = self.lock().get(&request) {
            token.cancel();
        }
    }

    /// The request's last answer is on its way.
    pub(super) fn close(&self, request: u32) {
        self.lock().remove(&request);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, CancellationToken>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
