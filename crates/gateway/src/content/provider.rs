//! Serving one content at its own port: a `D` comes, `C` PDUs go until the connection closes.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use skep_world::{File, Work};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    codec::{Answer, DATA_BYTES, Name, PDU_BYTES, Request},
    stream,
};
use crate::{
    folder::Folder,
    guests::{self, Guests},
    journal::{Journal, Over, Way},
    tasks::Tasks,
};

/// The most connections to one content.
const MAX_GUESTS: usize = 64;
/// How long a request may take to come, and a piece to be taken.
const WITHIN: Duration = Duration::from_secs(10);
/// Bytes of a content that are read at once: whole PDUs.
const PIECE_BYTES: usize = 2048 * DATA_BYTES;

/// What one content is served with.
pub(super) struct Provider {
    pub(super) journal: Journal,
    pub(super) folder: Folder,
    pub(super) work: Arc<dyn Work>,
    pub(super) content: Name,
    pub(super) end_mark: bool,
}

/// Serves from now on.
pub(super) fn serve(provider: Arc<Provider>, listener: TcpListener, tasks: &Tasks) {
    let guests = Guests::new(MAX_GUESTS);
    guests::receive(listener, tasks, move |stream, from| {
        let (provider, guest) = (provider.clone(), guests.enter());
        async move {
            if let Some(Err(error)) = guest.during(provider.answer(stream, from)).await {
                provider.journal.note(format_args!("{from}: {error}"));
            }
        }
    });
}

impl Provider {
    /// Answers one request. A connection that says nothing is the index, which looks whether we are there.
    async fn answer(&self, mut stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        let mut pdu = [0; PDU_BYTES];
        match timeout(WITHIN, stream.read_exact(&mut pdu)).await {
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(read) => read?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        let request = Request::decode(&pdu).map_err(|bad| io::Error::new(io::ErrorKind::InvalidData, bad))?;
        self.journal.message(Way::Received, Over::Tcp, from, &request);
        if request.wants(&self.content) {
            return self.send(stream, from).await;
        }
        let refusal = Answer::Error(format!("{} is here, and nothing else", self.content));
        self.journal.message(Way::Sent, Over::Tcp, from, &refusal);
        finish(stream, &refusal.encode()).await
    }

    async fn send(&self, mut stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        let Ok((file, size)) = self.folder.file(self.content.as_str()) else {
            let refusal = Answer::Error(format!("{} is gone", self.content));
            return finish(stream, &refusal.encode()).await;
        };
        let mut offset = 0;
        while offset < size || offset == 0 {
            let (pdus, read) = self.piece(&file, offset).await?;
            take_within(stream.write_all(&pdus)).await?;
            offset += read as u64;
            // A piece that is not full was the last; the file may have become shorter.
            if read < PIECE_BYTES {
                break;
            }
        }
        let text = format!("C {}: {offset} bytes", self.content);
        self.journal.message(Way::Sent, Over::Tcp, from, text);
        let mark = self.end_mark.then(|| Answer::Done(String::new()).encode());
        finish(stream, mark.as_ref().map_or(&[], |mark| &mark[..])).await
    }

    /// The PDUs of a piece, and how many bytes it has. An empty file is one PDU without data.
    async fn piece(&self, file: &Arc<dyn File>, offset: u64) -> io::Result<(Vec<u8>, usize)> {
        let file = file.clone();
        let job = move || {
            let mut content = vec![0; PIECE_BYTES];
            let read = fill(&*file, offset, &mut content)?;
            let mut pdus = Vec::with_capacity(PIECE_BYTES + PIECE_BYTES / DATA_BYTES);
            stream::write(content.get(..read).unwrap_or_default(), &mut pdus);
            if read == 0 && offset == 0 {
                pdus.push(b'C');
            }
            Ok((pdus, read))
        };
        self.work.call(job).await
    }
}

/// Reads until `out` is full or the file ends.
fn fill(file: &dyn File, offset: u64, out: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = out.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(offset + filled as u64, rest)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// Sends the last bytes, and closes only when the other side has: what it has not read would be lost.
async fn finish(mut stream: TcpStream, bytes: &[u8]) -> io::Result<()> {
    take_within(stream.write_all(bytes)).await?;
    stream.shutdown().await?;
    let _ = timeout(WITHIN, stream.read(&mut [0; 1])).await;
    Ok(())
}

async fn take_within(write: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout(WITHIN, write)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
