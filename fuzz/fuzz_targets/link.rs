//! What a connection brings: a greeting, requests, answers that were asked for or not, bulk and credit, in any order.
//!
//! Input: a byte (odd: the greeting is the input's affair, too), then what the other side sends.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use skep_net::{Inbox, Limits, Link};
use skep_wire::{
    BlobId, PeerId,
    frame::HEADER_BYTES,
    message::{Hello, Holders, Lane, Lookup, Message as _, Read},
};
use skep_world::Stream;
use tokio::{
    io::{AsyncWriteExt as _, DuplexStream, copy, duplex, sink, split},
    runtime::Builder,
};

const AT_MOST: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(converse(data));
});

async fn converse(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    let (near, far) = duplex(64 << 10);
    let (mut from_near, mut to_near) = split(far);
    let talk = async {
        if kind % 2 == 0 {
            let _ = to_near.write_all(&greeting()).await;
        }
        let _ = to_near.write_all(bytes).await;
        let _ = to_near.shutdown().await;
    };
    let mut nowhere = sink();
    let heard = copy(&mut from_near, &mut nowhere);
    let (_, _, ()) = tokio::join!(talk, heard, ours(near));
}

/// Asks for a message and for bulk, and answers nothing.
async fn ours(pipe: DuplexStream) {
    let (reader, writer) = split(pipe);
    let stream = Stream {
        peer: PeerId([2; 32]),
        remote: ([127, 0, 0, 1], 1).into(),
        reader: Box::new(reader),
        writer: Box::new(writer),
    };
    let Ok((link, inbox)) = Link::open(stream, hello(), Limits::of(Lane::Bulk)).await else {
        return;
    };
    let content = BlobId([7; 32]);
    let read = Read {
        content,
        chunk: 0,
        first_unit: 0,
        units: 64,
        proof: false,
    };
    let asking = async {
        let _ = link.ask::<_, Holders>(&Lookup { content }).await;
        let _ = link.ping().await;
    };
    let reading = async {
        let bulk = link.read(&read, AT_MOST, BytesMut::new(), None).await;
        assert!(bulk.map_or(0, |bulk| bulk.len()) <= AT_MOST);
    };
    tokio::join!(asking, reading, refuse(inbox));
}

async fn refuse(mut inbox: Inbox) {
    while let Some(incoming) = inbox.recv().await {
        drop(incoming);
    }
}

fn hello() -> Hello {
    Hello {
        features: 0,
        agent: "fuzz".to_owned(),
        lane: Lane::Bulk,
        grant: None,
        certificate: None,
        revocations: 0,
    }
}

/// A frame with a hello: length, type, request.
fn greeting() -> Vec<u8> {
    let body = hello().encode();
    let header = skep_wire::frame::Header {
        length: u32::try_from(body.len()).expect("a hello is short"),
        kind: Hello::KIND,
        request: 0,
    };
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend(header.encode());
    bytes.extend(body);
    bytes
}
