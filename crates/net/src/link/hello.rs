//! The first words of both sides.

use std::{io, time::Duration};

use skep_wire::{
    PeerId,
    frame::{HEADER_BYTES, Header},
    message::{Credit, Hello, Message, Refused},
};
use skep_world::Stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    error::OpenError,
    frame::{self, Direction, Frame},
};

/// How long the exchange may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Says hello, grants the first credit, and returns the other side's hello.
pub(super) async fn exchange(
    stream: &mut Stream,
    hello: &Hello,
    window_bytes: u32,
) -> Result<Hello, OpenError> {
    let Stream {
        peer, reader, writer, ..
    } = stream;
    let both =
        async { tokio::try_join!(biased; say(*peer, writer, hello, window_bytes), hear(*peer, reader)) };
    match timeout(TIMEOUT, both).await {
        Ok(said) => said.map(|((), theirs)| theirs),
        Err(_) => Err(OpenError::TimedOut),
    }
}

async fn say(
    peer: PeerId,
    writer: &mut (impl AsyncWriteExt + Unpin),
    hello: &Hello,
    window_bytes: u32,
) -> Result<(), OpenError> {
    let mut bytes = Vec::new();
    let window = Credit { bytes: window_bytes };
    for frame in [Frame::new(0, hello), Frame::new(0, &window)] {
        frame::log(Direction::Sent, peer, frame.kind, frame.request, &frame.body);
        frame.append_to(&mut bytes);
    }
    writer.write_all(&bytes).await?;
    writer.flush().await?;
    Ok(())
}

async fn hear(peer: PeerId, reader: &mut (impl AsyncReadExt + Unpin)) -> Result<Hello, OpenError> {
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header).await?;
    let header = Header::decode(header);
    let limit = match (header.kind, header.request) {
        (Hello::KIND, 0) => Hello::LIMIT,
        (Refused::KIND, 0) => Refused::LIMIT,
        _ => return Err(OpenError::NoHello),
    };
    if header.length > limit {
        return Err(OpenError::NoHello);
    }
    let body = frame::read_body(reader, header.length).await?;
    frame::log(Direction::Received, peer, header.kind, header.request, &body);
    understand(header.kind, &body)
}

fn understand(kind: u16, body: &[u8]) -> Result<Hello, OpenError> {
    if kind == Hello::KIND {
        return Hello::decode(body).map_err(|_| OpenError::NoHello);
    }
    let Refused { reason, text } = Refused::decode(body).map_err(|_| OpenError::NoHello)?;
    Err(OpenError::Refused { reason, text })
}

/// Tells a side that did not say hello what is wrong, as far as it listens.
pub(super) async fn turn_away(stream: &mut Stream) {
    let frame = Frame::refusal(
        0,
        skep_wire::message::Reason::BadRequest,
        "the first message is a hello",
    );
    frame::log(
        Direction::Sent,
        stream.peer,
        frame.kind,
        frame.request,
        &frame.body,
    );
    let mut bytes = Vec::new();
    frame.append_to(&mut bytes);
    let saying = async {
        stream.writer.write_all(&bytes).await?;
        stream.writer.shutdown().await
    };
    // It may have gone or not listen: there is nothing more to do for it.
    let _: Result<io::Result<()>, _> = timeout(TIMEOUT, saying).await;
}
