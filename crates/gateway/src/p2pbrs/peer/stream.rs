//! A connection between peers: lines with a limit, and bytes that follow them.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::super::codec::{HEADER_BYTES, Header};
use crate::journal::{Journal, Over, Way};

/// How long anything on a connection may take: a line, or a chunk.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection, with its messages in the journal.
pub(super) struct Stream {
    inner: BufReader<TcpStream>,
    peer: SocketAddr,
    journal: Journal,
}

impl Stream {
    pub(super) fn new(stream: TcpStream, peer: SocketAddr, journal: Journal) -> Self {
        // Without it small messages wait for nothing; that it fails harms nobody.
        let _ = stream.set_nodelay(true);
        let inner = BufReader::with_capacity(64 << 10, stream);
        Self { inner, peer, journal }
    }

    pub(super) async fn connect(to: SocketAddr, journal: Journal) -> io::Result<Self> {
        let stream = timeout(CONNECT, TcpStream::connect(to)).await??;
        Ok(Self::new(stream, to, journal))
    }

    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The next line; none when the connection ends. A line that makes no sense is an error.
    pub(super) async fn header(&mut self) -> io::Result<Option<Header>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.inner).take(HEADER_BYTES as u64);
        limited.read_until(b'\n', &mut line).await?;
        if line.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line);
        self.journal
            .message(Way::Received, Over::Tcp, self.peer, text.trim_end());
        let is_whole = line.ends_with(b"\n");
        let header = Header::decode(&line).ok().filter(|_| is_whole);
        header.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The next line, if it comes in time.
    pub(super) async fn header_in(&mut self, patience: Duration) -> io::Result<Option<Header>> {
        timeout(patience, self.header()).await?
    }

    /// Exactly so many bytes. Memory grows with what arrives, not with what was announced.
    pub(super) async fn bytes(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let bytes = self.up_to(size).await?;
        if bytes.len() as u64 == size {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// What comes until the end, at most so many bytes.
    pub(super) async fn up_to(&mut self, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.inner).take(most);
        timeout(PATIENCE, limited.read_to_end(&mut bytes)).await??;
        Ok(bytes)
    }

    /// Reads and drops so many bytes, so that what is answered is not lost with the connection.
    pub(super) async fn skip(&mut self, size: u64) -> io::Result<()> {
        let mut limited = (&mut self.inner).take(size);
        timeout(PATIENCE, tokio::io::copy(&mut limited, &mut tokio::io::sink())).await??;
        Ok(())
    }

    /// Sends a line and what follows it.
    pub(super) async fn send(&mut self, header: &Header, bytes: &[u8]) -> io::Result<()> {
        self.journal.message(Way::Sent, Over::Tcp, self.peer, header);
        let line = header.encode();
        let stream = self.inner.get_mut();
        let send = async {
            stream.write_all(&line).await?;
            stream.write_all(bytes).await
        };
        timeout(PATIENCE, send).await?
    }

    /// Says that nothing more comes.
    pub(super) async fn close(mut self) {
        // Whoever has gone already need not be told.
        let _ = self.inner.get_mut().shutdown().await;
    }
}
