//! The contract of [`Network`], [`Listener`] and [`Stream`], case by case.

use std::{
    collections::BTreeSet,
    future::Future,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use skep_wire::{PeerId, SigningKey, message::Endpoint};
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::{Listener, Network, Stream};

/// A case takes no longer, or it has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// Two hosts to try: one that listens and one that dials. They may be the same.
pub struct Ground {
    /// The network as the listening host sees it.
    pub listening: Arc<dyn Network>,
    /// The address of that host.
    pub address: IpAddr,
    /// The network as the dialling host sees it.
    pub dialling: Arc<dyn Network>,
}

/// Makes a test of every case, with the attribute that makes async tests, each on a fresh
/// [`Ground`] that the given function makes.
#[macro_export]
macro_rules! network_conformance {
    (#[$test:meta] $ground:path) => {
        $crate::network_conformance! { @ #[$test] $ground:
            both_prove_their_keys another_key_than_expected nobody_there addresses
            bytes_arrive_in_order_both_ways the_end_comes_after_all_bytes
            dropping_ends_the_other_side writers_wait_for_readers many_at_once
            listeners_stop_when_dropped unaccepted_streams_end_with_their_listener
        }
    };
    (@ #[$test:meta] $ground:path: $($case:ident)*) => {
        $(#[$test] async fn $case() {
            $crate::conformance::network::within_limit($crate::conformance::network::$case($ground())).await;
        })*
    };
}

/// Runs a case.
pub async fn within_limit(case: impl Future<Output = ()>) {
    timeout(LIMIT, case).await.expect("the case hangs");
}

fn key(n: u8) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed([n; 32]))
}

fn endpoint(at: SocketAddr) -> Endpoint {
    Endpoint {
        host: at.ip().to_string(),
        port: at.port(),
    }
}

impl Ground {
    async fn listen(&self, me: u8) -> Box<dyn Listener> {
        self.listening
            .listen(&key(me), SocketAddr::new(self.address, 0))
            .await
            .unwrap()
    }

    async fn dial(&self, me: u8, at: SocketAddr, expect: Option<PeerId>) -> io::Result<Stream> {
        self.dialling.dial(&key(me), &endpoint(at), expect).await
    }

    /// A stream, both of its ends, and its listener.
    async fn pair(&self) -> (Stream, Stream, Box<dyn Listener>) {
        let listener = self.listen(1).await;
        let (dialled, accepted) =
            tokio::join!(biased; self.dial(2, listener.local(), Some(key(1).peer_id())), listener.accept());
        (dialled.unwrap(), accepted.unwrap(), listener)
    }
}

/// Each end knows the key of the other.
pub async fn both_prove_their_keys(ground: Ground) {
    let (dialled, accepted, listener) = ground.pair().await;
    assert_eq!(dialled.peer, key(1).peer_id());
    assert_eq!(accepted.peer, key(2).peer_id());
    let (unsure, accepted) = tokio::join!(biased; ground.dial(3, listener.local(), None), listener.accept());
    assert_eq!(unsure.unwrap().peer, key(1).peer_id());
    assert_eq!(accepted.unwrap().peer, key(3).peer_id());
}

/// Who has another key than expected gets no stream, and neither does the dialler.
pub async fn another_key_than_expected(ground: Ground) {
    let listener = ground.listen(1).await;
    let at = listener.local();
    let (accepted, ()) = tokio::join!(
        biased;
        listener.accept(),
        async {
            let wrong = ground.dial(2, at, Some(key(9).peer_id())).await;
            assert_eq!(wrong.err().unwrap().kind(), ErrorKind::PermissionDenied);
            let mut right = ground.dial(3, at, Some(key(1).peer_id())).await.unwrap();
            right.writer.write_all(b"hello").await.unwrap();
            right.writer.flush().await.unwrap();
        }
    );
    assert_eq!(accepted.unwrap().peer, key(3).peer_id());
}

/// Where nobody listens, a dial fails.
pub async fn nobody_there(ground: Ground) {
    let listener = ground.listen(1).await;
    let at = listener.local();
    drop(listener);
    assert_eq!(
        ground.dial(2, at, None).await.err().unwrap().kind(),
        ErrorKind::ConnectionRefused
    );
    let nowhere = Endpoint {
        host: "no such host.invalid".to_owned(),
        port: 1,
    };
    assert!(ground.dialling.dial(&key(2), &nowhere, None).await.is_err());
}

/// Listeners have real ports of their own; streams name the other end's address.
pub async fn addresses(ground: Ground) {
    let (dialled, accepted, listener) = ground.pair().await;
    assert_ne!(listener.local().port(), 0);
    assert_eq!(dialled.remote, listener.local());
    assert_ne!(accepted.remote.port(), 0);
    assert_ne!(ground.listen(1).await.local(), listener.local());
    let taken = ground.listening.listen(&key(1), listener.local()).await;
    assert_eq!(taken.err().unwrap().kind(), ErrorKind::AddrInUse);
}

/// What was written and flushed is read, whole and in order, in both directions at once.
pub async fn bytes_arrive_in_order_both_ways(ground: Ground) {
    let (dialled, accepted, _listener) = ground.pair().await;
    let (there, back) = (pattern(3 << 20, 7), pattern(2 << 20, 11));
    let (mut from, mut to) = (dialled, accepted);
    tokio::join!(
        send(&mut from.writer, &there),
        send(&mut to.writer, &back),
        expect(&mut from.reader, &back),
        expect(&mut to.reader, &there),
    );
}

async fn send(writer: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    for piece in bytes.chunks(100_003) {
        writer.write_all(piece).await.unwrap();
        writer.flush().await.unwrap();
    }
}

async fn expect(reader: &mut (impl tokio::io::AsyncRead + Unpin), bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    reader.read_exact(&mut read).await.unwrap();
    assert!(read == bytes);
}

/// Bytes in which a shift shows.
fn pattern(len: usize, step: u8) -> Vec<u8> {
    let byte = |last: &mut u8, n: u8| {
        *last = last.wrapping_mul(step).wrapping_add(n);
        Some(*last)
    };
    (0..251).cycle().scan(0, byte).take(len).collect()
}

/// A stream that is shut down reads as ended, after all that was written.
pub async fn the_end_comes_after_all_bytes(ground: Ground) {
    let (mut dialled, mut accepted, _listener) = ground.pair().await;
    let bytes = pattern(300_000, 5);
    let mut read = Vec::new();
    let (written, all) = tokio::join!(
        async {
            dialled.writer.write_all(&bytes).await?;
            dialled.writer.shutdown().await
        },
        accepted.reader.read_to_end(&mut read),
    );
    written.unwrap();
    assert_eq!(all.unwrap(), bytes.len());
    assert!(read == bytes);
    assert!(dialled.writer.write_all(b"more").await.is_err());
}

/// Dropping a stream ends the other side's reading, and sooner or later its writing.
pub async fn dropping_ends_the_other_side(ground: Ground) {
    let (dialled, mut accepted, _listener) = ground.pair().await;
    drop(dialled);
    let mut rest = Vec::new();
    let _ = accepted.reader.read_to_end(&mut rest).await;
    assert_eq!(rest, b"");
    while accepted.writer.write_all(&[0; 1024]).await.is_ok() && accepted.writer.flush().await.is_ok() {
        tokio::task::yield_now().await;
    }
}

/// A writer whose reader does not read has to wait before it has written 64 MiB.
pub async fn writers_wait_for_readers(ground: Ground) {
    let (mut dialled, mut accepted, _listener) = ground.pair().await;
    let piece = pattern(64 << 10, 3);
    let mut written = 0_usize;
    std::future::poll_fn(|context| {
        while let Poll::Ready(taken) =
            Pin::new(&mut dialled.writer).poll_write(context, &piece[written % piece.len()..])
        {
            written += taken.unwrap();
            assert!(written < 64 << 20);
        }
        Poll::Ready(())
    })
    .await;
    let mut read = vec![0; written];
    let (flushed, all) = tokio::join!(dialled.writer.flush(), accepted.reader.read_exact(&mut read));
    flushed.unwrap();
    assert_eq!(all.unwrap(), written);
    assert!(
        read.chunks(piece.len())
            .all(|chunk| chunk == &piece[..chunk.len()])
    );
}

/// Many dials at once give as many streams, each accepted once.
pub async fn many_at_once(ground: Ground) {
    let listener = ground.listen(1).await;
    let at = listener.local();
    let dials = async {
        let mut streams = Vec::new();
        for n in 10..50 {
            streams.push(ground.dial(n, at, None));
        }
        all(streams).await
    };
    let accepts = async {
        let mut accepted = Vec::new();
        while accepted.len() < 40 {
            accepted.push(listener.accept().await.unwrap());
        }
        accepted
    };
    let (dialled, accepted) = tokio::join!(biased; dials, accepts);
    assert!(dialled.iter().all(io::Result::is_ok));
    let peers: BTreeSet<_> = accepted.iter().map(|stream| stream.peer).collect();
    assert_eq!(peers, (10..50).map(|n| key(n).peer_id()).collect());
}

/// Waits for all of them, side by side.
async fn all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|context| {
        for (future, done) in waiting.iter_mut().filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(result) = future.as_mut().poll(context) {
                *done = Some(result);
            }
        }
        let missing = waiting.iter().any(|(_, done)| done.is_none());
        if missing { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    waiting.into_iter().filter_map(|(_, done)| done).collect()
}

/// A dropped listener takes no more dials, its streams go on, and its port is free.
pub async fn listeners_stop_when_dropped(ground: Ground) {
    let (mut dialled, mut accepted, listener) = ground.pair().await;
    let at = listener.local();
    drop(listener);
    assert!(ground.dial(2, at, None).await.is_err());
    dialled.writer.write_all(b"still here").await.unwrap();
    dialled.writer.flush().await.unwrap();
    expect(&mut accepted.reader, b"still here").await;
    let again = ground.listening.listen(&key(4), at).await.unwrap();
    let (dialled, accepted) = tokio::join!(biased; ground.dial(2, at, None), again.accept());
    assert_eq!(dialled.unwrap().peer, key(4).peer_id());
    assert_eq!(accepted.unwrap().peer, key(2).peer_id());
}

/// A stream that nobody accepted ends when its listener does, or was never made.
pub async fn unaccepted_streams_end_with_their_listener(ground: Ground) {
    let listener = ground.listen(1).await;
    let at = listener.local();
    let dial = async { ground.dial(2, at, None).await };
    let gone = async {
        tokio::task::yield_now().await;
        drop(listener);
    };
    let (dialled, ()) = tokio::join!(biased; dial, gone);
    if let Ok(mut stream) = dialled {
        assert!(matches!(stream.reader.read(&mut [0; 1]).await, Ok(0) | Err(_)));
    }
}
