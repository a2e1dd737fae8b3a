//! Connections that others make: chunks that they bring, and chunks that they want back.

use std::{io, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};

use super::{
    super::{
        checksum,
        codec::{Checksum, FileName, Header, Message, Rq},
    },
    CONNECTIONS, Inner,
    storage::{Admission, ChunkName},
    stream::{PATIENCE, Stream},
};

/// The most bytes of a chunk.
const CHUNK_BYTES: u64 = 1 << 20;
/// How long a chunk may be ahead of its announcement: they come from different machines.
const AHEAD: Duration = Duration::from_secs(2);

/// Takes connections, for as long as it is polled.
pub(super) async fn take_connections(peer: Arc<Inner>, listener: TcpListener) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, from)) => {
                let stream = Stream::new(stream, from, peer.journal.clone());
                let serving = peer.clone();
                peer.spawn(async move {
                    // Whoever breaks off or talks nonsense has ended its connection itself.
                    let _ = serve(&serving, stream).await;
                    drop(permit);
                });
            }
            // Out of descriptors, perhaps: others must end first.
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(peer: &Inner, mut stream: Stream) -> io::Result<()> {
    while let Some(header) = stream.header_in(PATIENCE).await? {
        match header {
            Header::SendChunk {
                rq,
                file,
                chunk,
                size,
                checksum,
            } => {
                let coming = Coming {
                    rq,
                    file,
                    chunk,
                    size,
                    checksum,
                };
                take(peer, &mut stream, coming).await?;
            }
            Header::GetChunk { rq, file, chunk } => {
                give(peer, &mut stream, rq, file, chunk).await?;
                break;
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    stream.close().await;
    Ok(())
}

/// A chunk that is announced by its header.
struct Coming {
    rq: Rq,
    file: FileName,
    chunk: u64,
    size: u64,
    checksum: Option<Checksum>,
}

/// `SEND_CHUNK`
async fn take(peer: &Inner, stream: &mut Stream, coming: Coming) -> io::Result<()> {
    let Coming {
        rq,
        file,
        chunk,
        size,
        ..
    } = &coming;
    let from = stream.peer().ip().to_canonical();
    let reason = match admit(peer, stream, &coming).await {
        Admission::Take(name) => {
            let taken = receive(peer, stream, &name, &coming).await;
            if taken.is_err() {
                peer.storage().dropped(&name);
            }
            match taken? {
                Ok(()) => {
                    let to = peer.storage().owner_udp(&name, from);
                    let (rq, file, chunk, size) = (rq.clone(), file.clone(), *chunk, Some(*size));
                    let header = Header::ChunkOk {
                        rq: rq.clone(),
                        file: file.clone(),
                        chunk,
                    };
                    stream.send(&header, &[]).await?;
                    if let Some(to) = to {
                        let (rq, file) = (rq.clone(), file.clone());
                        peer.send_to(to, &Message::ChunkOk { rq, file, chunk }).await;
                    }
                    peer.send(&Message::StoreAck {
                        rq,
                        file,
                        chunk,
                        size,
                    })
                    .await;
                    return Ok(());
                }
                Err(reason) => reason,
            }
        }
        Admission::Refuse(reason) => {
            stream.skip((*size).min(CHUNK_BYTES)).await?;
            reason
        }
    };
    refuse(stream, &coming, reason).await
}

async fn refuse(stream: &mut Stream, coming: &Coming, reason: &str) -> io::Result<()> {
    let (rq, file, chunk) = (coming.rq.clone(), coming.file.clone(), coming.chunk);
    let reason = reason.to_owned();
    stream
        .send(
            &Header::ChunkError {
                rq,
                file,
                chunk,
                reason,
            },
            &[],
        )
        .await?;
    if coming.size > CHUNK_BYTES {
        // What follows cannot be told from the next line.
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(())
}

/// Whether the chunk may come; its announcement may still be on its way.
async fn admit(peer: &Inner, stream: &Stream, coming: &Coming) -> Admission {
    let from = stream.peer().ip().to_canonical();
    if coming.size > CHUNK_BYTES {
        return Admission::Refuse("Too_Large");
    }
    let deadline = Instant::now() + AHEAD;
    loop {
        let announced = peer.announced.notified();
        let admission = peer
            .storage()
            .admit(from, &coming.file, coming.chunk, coming.size);
        if admission != Admission::Refuse("Not_Expected") || timeout_at(deadline, announced).await.is_err() {
            return admission;
        }
    }
}

/// Receives, checks and keeps a chunk; or says why not. An error ends the connection.
async fn receive(
    peer: &Inner,
    stream: &mut Stream,
    name: &ChunkName,
    coming: &Coming,
) -> io::Result<Result<(), &'static str>> {
    let bytes = stream.bytes(coming.size).await?;
    let (shelf, expected, place) = (peer.shelf.clone(), coming.checksum.clone(), name.clone());
    let kept = peer.world.work.call(move || {
        let is_right = expected.is_none_or(|expected| checksum::matches(&expected, &bytes));
        is_right.then(|| shelf.put(&place, &bytes))
    });
    let reason = match kept.await {
        Some(Ok(())) => {
            peer.storage().stored(name);
            return Ok(Ok(()));
        }
        Some(Err(error)) => {
            peer.journal
                .note(format_args!("a chunk of {} cannot be kept: {error}", name.file));
            "Storage_Failed"
        }
        None => "Checksum_Mismatch",
    };
    peer.storage().dropped(name);
    Ok(Err(reason))
}

/// `GET_CHUNK`
async fn give(peer: &Inner, stream: &mut Stream, rq: Rq, file: FileName, chunk: u64) -> io::Result<()> {
    let found = peer
        .storage()
        .find(stream.peer().ip().to_canonical(), &file, chunk);
    let reason = match found {
        None => "No_Such_Chunk",
        Some(name) => {
            let (shelf, kind) = (peer.shelf.clone(), peer.config.checksum);
            let read = peer.world.work.call(move || {
                let bytes = shelf.get(&name)?;
                Ok::<_, io::Error>((checksum::of(kind, &bytes), bytes))
            });
            match read.await {
                Ok((checksum, bytes)) => {
                    let checksum = Some(checksum);
                    return stream
                        .send(
                            &Header::ChunkData {
                                rq,
                                file,
                                chunk,
                                checksum,
                            },
                            &bytes,
                        )
                        .await;
                }
                Err(error) => {
                    peer.journal
                        .note(format_args!("chunk {chunk} of {file} cannot be read: {error}"));
                    "Chunk_Damaged"
                }
            }
        }
    };
    let reason = reason.to_owned();
    stream
        .send(
            &Header::ChunkError {
                rq,
                file,
                chunk,
                reason,
            },
            &[],
        )
        .await
}
