//! A TCP connection and its TLS session as a stream with two halves.
//!
//! The session is behind a lock that is held for work in memory only, and for reads of the socket,
//! which never wait. Bulk data flows one way at a time, so the halves seldom meet at it.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use skep_world::Stream;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{buffer::Buffer, session::Session};

/// Shakes hands and makes the stream. Bounding the time is for the caller.
pub(super) async fn open(tcp: TcpStream, mut session: Session) -> io::Result<Stream> {
    let remote = tcp.peer_addr()?;
    tcp.set_nodelay(true)?;
    let (mut reader, mut writer) = tcp.into_split();
    loop {
        let done = session.handshake();
        let sent = send_all(&mut writer, &mut session.outgoing).await;
        if done? {
            break;
        }
        sent?;
        let room = session.incoming_room()?;
        let most = room.len();
        let count = reader.read(room).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        session.arrived(count, count == most);
    }
    into_stream(remote, session, reader, writer)
}

async fn send_all(writer: &mut OwnedWriteHalf, outgoing: &mut Buffer) -> io::Result<()> {
    writer.write_all(outgoing.filled()).await?;
    outgoing.consume(outgoing.len());
    Ok(())
}

fn into_stream(
    remote: SocketAddr,
    session: Session,
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
) -> io::Result<Stream> {
    let peer = session.peer()?;
    let session = Arc::new(Mutex::new(session));
    let reader = ReadHalf {
        session: Arc::clone(&session),
        socket: reader,
    };
    let writer = WriteHalf {
        session,
        socket: writer,
        sending: Buffer::default(),
        closing: false,
    };
    Ok(Stream {
        peer,
        remote,
        reader: Box::new(reader),
        writer: Box::new(writer),
    })
}

/// From there to here.
struct ReadHalf {
    session: Arc<Mutex<Session>>,
    socket: OwnedReadHalf,
}

impl AsyncRead for ReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut session = lock(&this.session);
        loop {
            if session.read(target)? {
                return Poll::Ready(Ok(()));
            }
            let mut room = ReadBuf::new(session.incoming_room()?);
            let Poll::Ready(read) = Pin::new(&mut this.socket).poll_read(cx, &mut room) else {
                session.is_quiet();
                return Poll::Pending;
            };
            read?;
            let (count, all) = (room.filled().len(), room.remaining() == 0);
            if count == 0 {
                // Without a farewell, somebody else may have cut the connection.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            session.arrived(count, all);
        }
    }
}

/// From here to there.
struct WriteHalf {
    session: Arc<Mutex<Session>>,
    socket: OwnedWriteHalf,
    /// Taken from the session, on its way to the socket.
    sending: Buffer,
    closing: bool,
}

impl WriteHalf {
    /// Moves all that is encrypted to the socket.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.sending.is_empty() {
                let count = ready!(Pin::new(&mut self.socket).poll_write(cx, self.sending.filled()))?;
                if count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.sending.consume(count);
            }
            let mut session = lock(&self.session);
            if session.outgoing.is_empty() {
                return Poll::Ready(Ok(()));
            }
            std::mem::swap(&mut session.outgoing, &mut self.sending);
        }
    }
}

impl AsyncWrite for WriteHalf {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        loop {
            let count = lock(&this.session).write(data)?;
            if count > 0 || data.is_empty() {
                return Poll::Ready(Ok(count));
            }
            ready!(this.poll_send(cx))?;
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        this.sending.settle();
        lock(&this.session).outgoing.settle();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing {
            this.closing = true;
            lock(&this.session).close()?;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}
