//! Messages on connections: one on each that is opened, all that come on each that is taken.

use std::{
    io,
    net::{self, IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    thread,
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{RecvFlags, Shutdown},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::codec::{BadMessage, DATA_HEAD_BYTES, KIND_BYTES, Message, message_bytes};
use crate::{
    guests::{self, Guests},
    journal::{Journal, Over, Way},
    tasks::Tasks,
};

/// How long a connection may take to open, and a message to leave.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How long a message may take to be read on the other side.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// How long the next bytes of a message may take.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// How often it is looked whether a message has come with its connection. On the same machine it
/// comes microseconds later, and to be woken by it takes longer than to look so often.
const LOOKS: usize = 64;

/// How messages travel here.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) journal: Journal,
    pub(super) segment_bytes: u32,
}

/// While this is there, connections can be taken; then whoever waits for one is told that none comes.
struct Open(Arc<net::TcpListener>);

impl Drop for Open {
    fn drop(&mut self) {
        // It fails only when that is so already.
        let _ = rustix::net::shutdown(&*self.0, Shutdown::Both);
    }
}

impl Link {
    /// Sends one message on a connection of its own, and waits until that is closed: who reads a
    /// message closes the connection then.
    pub(super) async fn send_until_closed(&self, to: SocketAddrV4, message: &Message<'_>) -> io::Result<()> {
        let mut stream = self.send(to, message).await?;
        // Some leave it open; the message is theirs all the same.
        let _ = timeout(CLOSE_WITHIN, stream.read(&mut [0; 1])).await;
        Ok(())
    }

    /// Sends one message on a connection of its own.
    pub(super) async fn send(&self, to: SocketAddrV4, message: &Message<'_>) -> io::Result<TcpStream> {
        let sent = timeout(SEND_WITHIN, deliver(to, message)).await;
        let sent = sent.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        match &sent {
            Ok(_) => self.journal.message(Way::Sent, Over::Tcp, to.into(), message),
            Err(error) => self
                .journal
                .note(format_args!("{to} does not take {message}: {error}")),
        }
        sent
    }

    /// Takes connections from now on, and hands over the messages that come on them. Of those that
    /// have not ended yet, `most` are read at once.
    ///
    /// Blocking, on a thread of its own: thousands of connections may come in a second, and most of
    /// them have brought all that they will.
    pub(super) fn listen(
        &self,
        listener: TcpListener,
        most: usize,
        tasks: &Tasks,
        take: impl FnMut(Ipv4Addr, Message<'_>) + Clone + Send + 'static,
    ) -> io::Result<()> {
        let listener = Arc::new(listener.into_std()?);
        listener.set_nonblocking(false)?;
        let open = Open(listener.clone());
        tasks.spawn(async move {
            let _open = open;
            std::future::pending().await
        });
        let (link, guests, slow) = (self.clone(), Guests::new(most), tasks.clone());
        tasks.spawn_blocking(move || link.accept(&listener, &guests, &slow, &take));
        Ok(())
    }

    fn accept<T>(&self, listener: &net::TcpListener, guests: &Guests, slow: &Tasks, take: &T)
    where
        T: FnMut(Ipv4Addr, Message<'_>) + Clone + Send + 'static,
    {
        let mut buffer = Vec::new();
        loop {
            let (stream, from) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
                // Either it was that connection's fault, or a descriptor is free again soon.
                Err(_) => {
                    thread::sleep(guests::BREATH);
                    continue;
                }
            };
            if self.take_at_once(&stream, from, &mut buffer, take.clone()) {
                continue;
            }
            let (link, guest, read) = (self.clone(), guests.enter(), std::mem::take(&mut buffer));
            let take = take.clone();
            slow.spawn(async move {
                guest.during(link.take_slowly(stream, from, read, take)).await;
            });
        }
    }

    /// Most connections bring one message and end: when all of that is here already, it needs no
    /// task and no waiting. Returns whether it was; what was read of it otherwise is in `buffer`.
    fn take_at_once(
        &self,
        stream: &net::TcpStream,
        from: SocketAddr,
        buffer: &mut Vec<u8>,
        mut take: impl FnMut(Ipv4Addr, Message<'_>),
    ) -> bool {
        buffer.clear();
        buffer.reserve(self.longest() + 1);
        for _ in 0..LOOKS {
            match rustix::net::recv(stream, spare_capacity(buffer), RecvFlags::DONTWAIT) {
                Ok((_, 0)) => {
                    self.note_failure(from, self.take_last(from, buffer, &mut take));
                    return true;
                }
                Ok(_) if buffer.len() > self.longest() => return false,
                Ok(_) => {}
                Err(Errno::AGAIN) => std::hint::spin_loop(),
                Err(_) => return false,
            }
        }
        false
    }

    /// Hands over each message that comes, until the connection ends, says something that is no
    /// message, or is silent for too long.
    async fn take_slowly(
        &self,
        stream: net::TcpStream,
        from: SocketAddr,
        mut buffer: Vec<u8>,
        mut take: impl FnMut(Ipv4Addr, Message<'_>),
    ) {
        let taken = async {
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream)?;
            loop {
                self.take_whole(from, &mut buffer, &mut take)?;
                buffer.reserve(self.longest());
                let read = timeout(READ_WITHIN, stream.read_buf(&mut buffer)).await;
                if read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))? == 0 {
                    return self.take_last(from, &mut buffer, &mut take);
                }
            }
        };
        self.note_failure(from, taken.await);
    }

    /// Takes what is left when the connection has ended.
    fn take_last(
        &self,
        from: SocketAddr,
        buffer: &mut Vec<u8>,
        take: &mut impl FnMut(Ipv4Addr, Message<'_>),
    ) -> io::Result<()> {
        self.take_whole(from, buffer, take)?;
        if buffer.is_empty() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// Takes the whole messages in front of `buffer`.
    fn take_whole(
        &self,
        from: SocketAddr,
        buffer: &mut Vec<u8>,
        take: &mut impl FnMut(Ipv4Addr, Message<'_>),
    ) -> io::Result<()> {
        let IpAddr::V4(ip) = from.ip().to_canonical() else {
            return Err(io::Error::other("it is no IPv4 address"));
        };
        while let Some(kind) = buffer.first_chunk::<KIND_BYTES>() {
            let kind = u16::from_be_bytes(*kind);
            let bytes = message_bytes(kind, self.segment_bytes).map_err(invalid)?;
            let Some(message) = buffer.get(..bytes) else {
                break;
            };
            let message = Message::decode(message).map_err(invalid)?;
            self.received(from, &message);
            take(ip, message);
            buffer.drain(..bytes);
        }
        Ok(())
    }

    /// Segments would hide all other messages from a person.
    fn received(&self, from: SocketAddr, message: &Message<'_>) {
        match message {
            Message::Data(_) => self.journal.bulk(Way::Received, Over::Tcp, from, message),
            _ => self.journal.message(Way::Received, Over::Tcp, from, message),
        }
    }

    fn note_failure(&self, from: SocketAddr, taken: io::Result<()>) {
        if let Err(error) = taken {
            self.journal.note(format_args!("from {from}: {error}"));
        }
    }

    /// Bytes of the longest message.
    fn longest(&self) -> usize {
        DATA_HEAD_BYTES + self.segment_bytes as usize
    }
}

async fn deliver(to: SocketAddrV4, message: &Message<'_>) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(to).await?;
    stream.write_all(&message.encode()).await?;
    stream.shutdown().await?;
    Ok(stream)
}

fn invalid(bad: BadMessage) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, bad)
}
