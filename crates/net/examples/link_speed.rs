//! How fast one bulk link is, from memory to memory over the loopback, and what it costs each side.
//!
//! `cargo run --release -p skep-net --example link_speed -- [GIB]`. The sender and the receiver
//! have one thread each; processor time is that of the thread, from `/proc/thread-self/schedstat`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::{error::Error, net::Ipv4Addr, sync::Arc, thread, time::Instant};

use bytes::{Bytes, BytesMut};
use skep_net::{Inbox, Limits, Link, Tls};
use skep_wire::{
    BlobId, SigningKey,
    message::{Endpoint, Hello, Lane, Read},
};
use skep_world::{Network, Stream};
use tokio::{runtime, task::JoinSet};

const CHUNK: usize = 1 << 20;
/// Chunks that are asked for at a time.
const AHEAD: usize = 6;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let gib: u32 = std::env::args().nth(1).map_or(Ok(4), |n| n.parse())?;
    let (say_port, port) = std::sync::mpsc::channel();
    let sender = thread::spawn(move || on_one_thread(send(say_port)));
    let receiver = thread::spawn(move || {
        let port = port.recv()?;
        on_one_thread(receive(port, gib as usize * 1024))
    });
    let (seconds, received) = receiver.join().expect("the receiver does not panic")?;
    let ((), sent) = sender.join().expect("the sender does not panic")?;
    let gib = f64::from(gib);
    println!("{:7.0} MiB/s", gib * 1024.0 / seconds);
    println!("{:7.3} CPU s per GiB, sender", sent / gib);
    println!("{:7.3} CPU s per GiB, receiver", received / gib);
    Ok(())
}

/// Runs a side to its end. Returns also the processor seconds that it took.
fn on_one_thread<T>(side: impl Future<Output = Outcome<T>>) -> Outcome<(T, f64)> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let output = runtime.block_on(side)?;
    let times = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = times.split(' ').next().unwrap_or("0").parse()?;
    Ok((output, nanoseconds / 1e9))
}

async fn open(stream: Stream) -> Outcome<(Link, Inbox)> {
    let hello = Hello {
        features: 0,
        agent: "link_speed".to_owned(),
        lane: Lane::Bulk,
        grant: None,
        certificate: None,
        revocations: 0,
    };
    Ok(Link::open(stream, hello, Limits::of(Lane::Bulk)).await?)
}

fn key(seed: u8) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed([seed; 32]))
}

/// Answers every request with a chunk from memory.
async fn send(say_port: std::sync::mpsc::Sender<u16>) -> Outcome<()> {
    let listener = Tls.listen(&key(1), (Ipv4Addr::LOCALHOST, 0).into()).await?;
    say_port.send(listener.local().port())?;
    let (_link, mut inbox) = open(listener.accept().await?).await?;
    let chunk: Bytes = (0..=250).cycle().take(CHUNK).collect();
    let mut answers = JoinSet::new();
    while let Some(asked) = inbox.recv().await {
        answers.spawn(asked.responder.bulk(chunk.clone()));
        while answers.try_join_next().is_some() {}
    }
    Ok(())
}

/// Asks for so many chunks, some at a time. Returns the seconds from the first to the last.
async fn receive(port: u16, chunks: usize) -> Outcome<f64> {
    let to = Endpoint {
        host: Ipv4Addr::LOCALHOST.to_string(),
        port,
    };
    let (link, _inbox) = open(Tls.dial(&key(2), &to, Some(key(1).peer_id())).await?).await?;
    let start = Instant::now();
    let mut reads = JoinSet::new();
    let mut buffers: Vec<_> = (0..AHEAD).map(|_| BytesMut::with_capacity(CHUNK)).collect();
    for number in 0..chunks {
        let mut buffer = match buffers.pop() {
            Some(buffer) => buffer,
            None => reads.join_next().await.expect("reads are under way")??,
        };
        buffer.clear();
        let link = link.clone();
        reads.spawn(async move {
            let request = Read {
                content: BlobId([0; 32]),
                chunk: number as u64,
                first_unit: 0,
                units: 64,
                proof: false,
            };
            link.read(&request, CHUNK, buffer, None).await
        });
    }
    while let Some(read) = reads.join_next().await {
        assert_eq!(read??.len(), CHUNK);
    }
    let seconds = start.elapsed().as_secs_f64();
    link.close();
    link.closed().await;
    Ok(seconds)
}
