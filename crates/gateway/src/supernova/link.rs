//! A connection that carries messages, each up to its newline and NUL, and the bytes of files.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::codec::{BadMessage, Message};
use crate::journal::{Journal, Over, Way};

/// How long a connection may take to open, or a message to be taken.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// How long the rest of a message may take once it has begun.
const REST_WITHIN: Duration = Duration::from_secs(30);

/// A connection.
pub(super) struct Link {
    stream: BufReader<TcpStream>,
    there: SocketAddr,
    journal: Journal,
}

impl Link {
    /// Around an open connection.
    pub(super) fn new(stream: TcpStream, there: SocketAddr, journal: Journal) -> Self {
        let stream = BufReader::new(stream);
        Self {
            stream,
            there,
            journal,
        }
    }

    /// Connects.
    pub(super) async fn open(there: SocketAddr, journal: Journal) -> io::Result<Self> {
        let stream = within(SEND_WITHIN, TcpStream::connect(there)).await?;
        Ok(Self::new(stream, there, journal))
    }

    /// The next message, of at most `limit` bytes; none at the end. What is no message is told with
    /// its reason. Waits for ever for one to begin.
    pub(super) async fn read(&mut self, limit: usize) -> io::Result<Option<Result<Message, BadMessage>>> {
        if self.stream.fill_buf().await?.is_empty() {
            return Ok(None);
        }
        let bytes = within(REST_WITHIN, self.read_to_nul(limit)).await?;
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let message = Message::decode(text);
        match &message {
            Ok(message) => self
                .journal
                .message(Way::Received, Over::Tcp, self.there, message),
            Err(bad) => self.journal.note(format_args!("from {}: {bad}", self.there)),
        }
        Ok(Some(message))
    }

    /// The next message, which has to come within `limit` of time; anything but one is an error.
    pub(super) async fn expect(&mut self, time: Duration, limit: usize) -> io::Result<Message> {
        match within(time, self.read(limit)).await? {
            Some(Ok(message)) => Ok(message),
            Some(Err(bad)) => Err(io::Error::new(io::ErrorKind::InvalidData, bad)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: &Message) -> io::Result<()> {
        self.send_bytes(&message.encode()).await?;
        self.journal.message(Way::Sent, Over::Tcp, self.there, message);
        Ok(())
    }

    /// Sends bytes of a file.
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        within(SEND_WITHIN, self.stream.get_mut().write_all(bytes)).await
    }

    /// Reads bytes of a file; at the end of the connection there are none.
    pub(super) async fn read_bytes(&mut self, out: &mut [u8]) -> io::Result<usize> {
        within(SEND_WITHIN, self.stream.read(out)).await
    }

    /// Whether the other side has closed, or has said something that nobody expects.
    pub(super) fn has_ended(&self) -> bool {
        let would_block = |e: io::Error| e.kind() == io::ErrorKind::WouldBlock;
        let read = self.stream.get_ref().try_read(&mut [0; 1]);
        !self.stream.buffer().is_empty() || !read.is_err_and(would_block)
    }

    async fn read_to_nul(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let limit_bytes = u64::try_from(limit).unwrap_or(u64::MAX);
        (&mut self.stream)
            .take(limit_bytes)
            .read_until(0, &mut bytes)
            .await?;
        match bytes.pop() {
            Some(0) => Ok(bytes),
            _ if bytes.len() + 1 >= limit => Err(io::ErrorKind::FileTooLarge.into()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

async fn within<T>(time: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(time, work)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
