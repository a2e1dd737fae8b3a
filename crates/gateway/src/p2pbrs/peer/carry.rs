//! Bringing one chunk to another peer, and hearing whether it was kept: on the connection, or by
//! datagram, as the document has it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout, timeout_at},
};

use super::{
    super::{
        checksum,
        codec::{Checksum, FileName, Header, Rq, Target},
    },
    Inner,
    bringing::{ATTEMPTS, Outcome},
    control::ChunkAnswer,
    stream::{PATIENCE, Stream},
};

/// How long the answer by datagram may come after the end of the connection.
const OTHER_WAY: Duration = Duration::from_millis(500);
/// How long the answer on the connection may come after the one by datagram. Some never send it.
const SAME_AGAIN: Duration = Duration::from_millis(20);
/// A pause after a failed attempt: an announcement may be on its way, or a queue be full.
const PAUSE: Duration = Duration::from_millis(200);

/// A chunk to be brought.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) rq: Rq,
    pub(super) file: FileName,
    pub(super) chunk: u64,
    pub(super) bytes: Arc<[u8]>,
    pub(super) checksum: Checksum,
}

/// Brings chunks to one peer, on one connection if that is kept open.
pub(super) struct Carrier {
    peer: Arc<Inner>,
    to: SocketAddr,
    open: Option<Stream>,
}

/// What is known after an attempt.
enum Told {
    Answer(ChunkAnswer),
    /// The connection ended before any answer.
    Nothing,
}

impl Carrier {
    pub(super) fn new(peer: Arc<Inner>, to: SocketAddr) -> Self {
        Self { peer, to, open: None }
    }

    pub(super) fn to(&self) -> SocketAddr {
        self.to
    }

    /// One attempt to bring a chunk.
    pub(super) async fn bring(&mut self, load: &Load) -> Outcome {
        let was_open = self.open.is_some();
        let mut outcome = self.attempt(load).await;
        // Some take one chunk per connection: that they closed the last one is no failure.
        if was_open && matches!(outcome, Ok(None)) {
            outcome = self.attempt(load).await;
        }
        match outcome {
            Ok(Some(Ok(()))) => return Outcome::Stored,
            Ok(Some(Err(reason))) => self.note(load, &reason),
            Ok(None) => self.note(load, "the connection broke"),
            Err(error) => {
                self.note(load, &error.to_string());
                sleep(PAUSE).await;
                return Outcome::Unreachable;
            }
        }
        sleep(PAUSE).await;
        Outcome::Failed
    }

    fn note(&self, load: &Load, what: &str) {
        let Load { file, chunk, .. } = load;
        self.peer.journal.note(format_args!(
            "chunk {chunk} of {file} was not taken by {}: {what}",
            self.to
        ));
    }

    /// The answer; none if the connection ended before. An error if there is no connection to be had.
    async fn attempt(&mut self, load: &Load) -> std::io::Result<Option<ChunkAnswer>> {
        let mut stream = match self.open.take() {
            Some(stream) => stream,
            None => Stream::connect(self.to, self.peer.journal.clone()).await?,
        };
        let (ip, chunk) = (self.to.ip().to_canonical(), load.chunk);
        let mut datagrams = self.peer.waiting().for_chunk(ip, &load.file, chunk);
        let header = Header::SendChunk {
            rq: load.rq.clone(),
            file: load.file.clone(),
            chunk,
            size: load.bytes.len() as u64,
            checksum: Some(load.checksum.clone()),
        };
        let sent = stream.send(&header, &load.bytes).await;
        let told = match sent {
            Ok(()) => self.hear(stream, load, &mut datagrams).await,
            Err(_) => Told::Nothing,
        };
        self.peer.waiting().not_for_chunk(ip, &load.file, chunk);
        Ok(match told {
            Told::Answer(answer) => Some(answer),
            Told::Nothing => None,
        })
    }

    /// Waits for an answer, whichever way it comes. The connection is kept if it came there.
    async fn hear(
        &mut self,
        mut stream: Stream,
        load: &Load,
        datagrams: &mut mpsc::Receiver<ChunkAnswer>,
    ) -> Told {
        let deadline = Instant::now() + PATIENCE;
        let mut on_stream = Box::pin(async {
            let answer = answer_on(&mut stream, load).await;
            (answer, stream)
        });
        let heard = timeout_at(deadline, async {
            tokio::select! {
                biased;
                (answer, stream) = &mut on_stream => (answer, Some(stream)),
                answer = datagrams.recv() => (answer, None),
            }
        });
        match heard.await {
            Ok((Some(answer), Some(stream))) => {
                self.open = answer.is_ok().then_some(stream);
                Told::Answer(answer)
            }
            // By datagram: the connection says the same soon, or is not used again.
            Ok((Some(answer), None)) => {
                if let Ok((Some(Ok(())), stream)) = timeout(SAME_AGAIN, on_stream).await {
                    self.open = Some(stream);
                }
                Told::Answer(answer)
            }
            // The connection ended: it may have been said by datagram.
            Ok((None, _)) => match timeout(OTHER_WAY, datagrams.recv()).await {
                Ok(Some(answer)) => Told::Answer(answer),
                _ => Told::Nothing,
            },
            Err(_) => Told::Answer(Err("no answer came".to_owned())),
        }
    }
}

/// The answer about this chunk on the connection; none if it ends before.
async fn answer_on(stream: &mut Stream, load: &Load) -> Option<ChunkAnswer> {
    let is_it = |file: &FileName, chunk: u64| *file == load.file && chunk == load.chunk;
    loop {
        match stream.header().await.ok().flatten()? {
            Header::ChunkOk { file, chunk, .. } if is_it(&file, chunk) => return Some(Ok(())),
            Header::ChunkError {
                file, chunk, reason, ..
            } if is_it(&file, chunk) => return Some(Err(reason)),
            _ => {}
        }
    }
}

/// `REPLICATE_REQ`: copies a chunk that this peer holds to another one.
pub(super) async fn replicate(peer: Arc<Inner>, rq: Rq, file: FileName, chunk: u64, target: Target) {
    let Some(to) = target.address else { return };
    let Ok(_permit) = peer.copies.acquire().await else {
        return;
    };
    let held = peer.storage().find(to.ip().to_canonical(), &file, chunk);
    let Some(name) = held else {
        return peer
            .journal
            .note(format_args!("chunk {chunk} of {file} is not here to be copied"));
    };
    let (shelf, kind) = (peer.shelf.clone(), peer.config.checksum);
    let read = peer
        .world
        .work
        .call(move || shelf.get(&name).map(|bytes| (checksum::of(kind, &bytes), bytes)));
    let (checksum, bytes) = match read.await {
        Ok(read) => read,
        Err(error) => {
            return peer
                .journal
                .note(format_args!("chunk {chunk} of {file} cannot be read: {error}"));
        }
    };
    let load = Load {
        rq,
        file,
        chunk,
        bytes: bytes.into(),
        checksum,
    };
    let mut carrier = Carrier::new(peer.clone(), to);
    for _ in 0..ATTEMPTS {
        if carrier.bring(&load).await == Outcome::Stored {
            return;
        }
    }
}
