//! The two halves of a simulated stream.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use skep_wire::PeerId;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    lock,
    state::{End, Received, Room, Side, State},
};
use crate::Stream;

/// What is written is sent when it is flushed, or when it is so much: who forgets to flush, waits.
const UNFLUSHED: usize = 16 << 10;

/// One side of a connection; closed when both halves are dropped.
struct Socket {
    state: Arc<Mutex<State>>,
    id: u64,
    side: Side,
}

impl Drop for Socket {
    fn drop(&mut self) {
        lock(&self.state).close(self.id, self.side);
    }
}

/// The stream of one side of the connection `id`.
pub(super) fn stream(
    state: &Arc<Mutex<State>>,
    id: u64,
    side: Side,
    peer: PeerId,
    remote: SocketAddr,
) -> Stream {
    let socket = Arc::new(Socket {
        state: Arc::clone(state),
        id,
        side,
    });
    Stream {
        peer,
        remote,
        reader: Box::new(Reader {
            socket: Arc::clone(&socket),
            alarm: Alarm::default(),
        }),
        writer: Box::new(Writer {
            socket,
            alarm: Alarm::default(),
            unsent: Vec::new(),
        }),
    }
}

/// Wakes its half when something is to happen.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when that time has come.
    fn poll(&mut self, at: Instant, context: &mut Context<'_>) -> Poll<()> {
        let alarm = self.0.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if alarm.deadline() != at {
            alarm.as_mut().reset(at);
        }
        alarm.as_mut().poll(context)
    }
}

struct Reader {
    socket: Arc<Socket>,
    alarm: Alarm,
}

impl AsyncRead for Reader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            let Socket { state, id, side } = &*self.socket;
            let received = lock(state).receive(*id, *side, out.initialize_unfilled(), context.waker());
            match received {
                Received::Bytes(n) => {
                    out.advance(n);
                    return Poll::Ready(Ok(()));
                }
                Received::End(End::Shutdown) => return Poll::Ready(Ok(())),
                Received::End(End::Reset) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Received::Nothing => return Poll::Pending,
                Received::Later(at) => ready!(self.alarm.poll(at, context)),
            }
        }
    }
}

struct Writer {
    socket: Arc<Socket>,
    alarm: Alarm,
    unsent: Vec<u8>,
}

impl Writer {
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let Socket { state, id, side } = &*self.socket;
            let room = lock(state).room(*id, *side, context.waker());
            match room {
                Room::Bytes(room) => return Poll::Ready(Ok(room)),
                Room::Full => return Poll::Pending,
                Room::BrokenThen(at) => ready!(self.alarm.poll(at, context)),
                Room::Broken => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
    }

    fn send(&mut self) {
        let Socket { state, id, side } = &*self.socket;
        lock(state).send(*id, *side, std::mem::take(&mut self.unsent));
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(context))?;
        // Something always fits: what is not sent yet is less than what a full window leaves.
        let taken = bytes.len().min(room).min(UNFLUSHED);
        self.unsent.extend_from_slice(&bytes[..taken]);
        if self.unsent.len() >= UNFLUSHED {
            self.send();
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send();
        let Socket { state, id, side } = &*self.socket;
        lock(state).finish(*id, *side, End::Shutdown);
        Poll::Ready(Ok(()))
    }
}
