//! Messages on connections: one on each that is opened, all that come on each that is taken.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::codec::{BadMessage, KIND_BYTES, Message, message_bytes};
use crate::journal::{Journal, Over, Way};

/// How long a connection may take to open, and a message to leave.
const SEND_WITHIN: Duration = Duration::from_secs(5);
/// How long a message may take to be read on the other side.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// How long the next bytes of a message may take.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// How messages travel here.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) journal: Journal,
    pub(super) segment_bytes: u32,
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

    /// Hands over each message that comes, until the connection ends, says something that is no
    /// message, or is silent for too long.
    pub(super) async fn receive(
        &self,
        mut stream: TcpStream,
        from: SocketAddr,
        mut take: impl FnMut(Ipv4Addr, Message<'_>),
    ) {
        let IpAddr::V4(ip) = from.ip().to_canonical() else {
            return self.journal.note(format_args!("{from} is no IPv4 address"));
        };
        let mut buffer = Vec::new();
        loop {
            match self.next(&mut stream, &mut buffer).await {
                Ok(0) => return,
                Ok(bytes) => {
                    let message = buffer.get(..bytes).unwrap_or_default();
                    match Message::decode(message) {
                        Ok(message) => {
                            self.received(from, &message);
                            take(ip, message);
                        }
                        Err(bad) => return self.journal.note(format_args!("from {from}: {bad}")),
                    }
                    buffer.drain(..bytes);
                }
                Err(error) => return self.journal.note(format_args!("from {from}: {error}")),
            }
        }
    }

    /// Segments would hide all other messages from a person.
    fn received(&self, from: SocketAddr, message: &Message<'_>) {
        match message {
            Message::Data(_) => self.journal.bulk(Way::Received, Over::Tcp, from, message),
            _ => self.journal.message(Way::Received, Over::Tcp, from, message),
        }
    }

    /// Reads until a whole message is in front of `buffer`, and returns its length; 0 at the end.
    async fn next(&self, stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let longest = message_bytes(6, self.segment_bytes).map_err(invalid)?;
        loop {
            if let Some(kind) = buffer.first_chunk::<KIND_BYTES>() {
                let kind = u16::from_be_bytes(*kind);
                let bytes = message_bytes(kind, self.segment_bytes).map_err(invalid)?;
                if buffer.len() >= bytes {
                    return Ok(bytes);
                }
            }
            buffer.reserve(longest - buffer.len().min(longest));
            match timeout(READ_WITHIN, stream.read_buf(buffer)).await {
                Ok(Ok(0)) if buffer.is_empty() => return Ok(0),
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
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
