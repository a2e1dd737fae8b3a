//! The simulated network: the contract, and what it is for: delays, cuts, resets, crashes, one trace per seed.

#![allow(clippy::unwrap_used)]

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use skep_wire::{SigningKey, message::Endpoint};
use skep_world::{
    Listener, Network, Stream, conformance,
    simulated::{Crash, Net, Route, Trace, Universe},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const PORT: u16 = 7;

fn ground() -> conformance::network::Ground {
    let net = Net::new(1, Trace::default());
    let route = Route {
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(30),
        bytes_per_s: 10 << 20,
    };
    net.set_default_route(route);
    conformance::network::Ground {
        listening: Arc::new(net.host(A)),
        address: A,
        dialling: Arc::new(net.host(B)),
    }
}

skep_world::network_conformance!(
    #[tokio::test(start_paused = true)]
    ground
);

fn key(n: u8) -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed([n; 32]))
}

fn to(ip: IpAddr) -> Endpoint {
    Endpoint {
        host: ip.to_string(),
        port: PORT,
    }
}

async fn listen(net: &Net) -> Box<dyn Listener> {
    net.host(A)
        .listen(&key(1), SocketAddr::new(A, PORT))
        .await
        .unwrap()
}

/// A net with a stream from B to A.
async fn pair() -> (Net, Stream, Stream, Box<dyn Listener>) {
    let net = Net::new(1, Trace::default());
    let listener = listen(&net).await;
    let dialled = net.host(B).dial(&key(2), &to(A), None).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    (net, dialled, accepted, listener)
}

async fn write(stream: &mut Stream, bytes: &[u8]) -> std::io::Result<()> {
    stream.writer.write_all(bytes).await?;
    stream.writer.flush().await
}

async fn read(stream: &mut Stream, len: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    stream.reader.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Whether nothing comes for a minute.
async fn is_silent(stream: &mut Stream) -> bool {
    timeout(Duration::from_secs(60), stream.reader.read(&mut [0; 1]))
        .await
        .is_err()
}

#[tokio::test(start_paused = true)]
async fn latency_and_bandwidth_take_their_time() {
    let (net, mut dialled, mut accepted, _listener) = pair().await;
    net.set_route(
        B,
        A,
        Route {
            latency: Duration::from_millis(200),
            jitter: Duration::ZERO,
            bytes_per_s: 100_000,
        },
    );
    let start = Instant::now();
    let bytes = vec![1; 100_000];
    let (written, arrived) = tokio::join!(write(&mut dialled, &bytes), read(&mut accepted, bytes.len()));
    written.unwrap();
    arrived.unwrap();
    let took = start.elapsed().as_millis();
    assert!((1_200..1_210).contains(&took), "{took} ms");
    let start = Instant::now();
    write(&mut accepted, b"x").await.unwrap();
    read(&mut dialled, 1).await.unwrap();
    assert!(start.elapsed().as_millis() < 5);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_flushed_does_not_arrive() {
    let (_net, mut dialled, mut accepted, _listener) = pair().await;
    dialled.writer.write_all(b"x").await.unwrap();
    assert!(is_silent(&mut accepted).await);
    dialled.writer.flush().await.unwrap();
    assert_eq!(read(&mut accepted, 1).await.unwrap(), b"x");
}

#[tokio::test(start_paused = true)]
async fn a_cut_stalls_one_direction_until_it_is_joined() {
    let (net, mut dialled, mut accepted, _listener) = pair().await;
    net.cut(B, A);
    write(&mut dialled, b"late").await.unwrap();
    write(&mut accepted, b"now").await.unwrap();
    assert_eq!(read(&mut dialled, 3).await.unwrap(), b"now");
    assert!(is_silent(&mut accepted).await);
    let start = Instant::now();
    let failed = net.host(B).dial(&key(2), &to(A), None).await;
    assert_eq!(failed.err().unwrap().kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() <= Duration::from_millis(10_001));
    assert!(net.is_cut(B, A) && !net.is_cut(A, B));
    net.join(B, A);
    assert_eq!(read(&mut accepted, 4).await.unwrap(), b"late");
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_meets_a_short_cut_gets_through() {
    let net = Net::new(1, Trace::default());
    let _listener = listen(&net).await;
    net.cut(A, B);
    let healer = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        net.join(A, B);
    };
    let host = net.host(B);
    let (key, to) = (key(2), to(A));
    let (dialled, ()) = tokio::join!(host.dial(&key, &to, None), healer);
    dialled.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reset_breaks_both_ends() {
    let (net, mut dialled, mut accepted, _listener) = pair().await;
    write(&mut dialled, b"lost").await.unwrap();
    net.reset(A, B);
    for stream in [&mut dialled, &mut accepted] {
        assert_eq!(
            read(stream, 1).await.unwrap_err().kind(),
            ErrorKind::ConnectionReset
        );
        assert_eq!(
            write(stream, b"x").await.unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_breaks_streams_listeners_and_old_hosts() {
    let (net, mut dialled, mut accepted, listener) = pair().await;
    let old = net.host(A);
    net.crash(A);
    assert_eq!(
        read(&mut dialled, 1).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert!(read(&mut accepted, 1).await.is_err());
    assert!(write(&mut accepted, b"x").await.is_err());
    assert!(listener.accept().await.is_err());
    assert!(old.dial(&key(1), &to(B), None).await.is_err());
    let host = net.host(B);
    assert_eq!(
        host.dial(&key(2), &to(A), None).await.err().unwrap().kind(),
        ErrorKind::ConnectionRefused
    );
    let again = listen(&net).await;
    drop(listener);
    host.dial(&key(2), &to(A), None).await.unwrap();
    again.accept().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn nobody_learns_of_the_crash_of_an_unplugged_host_until_it_is_back() {
    let (net, mut dialled, _accepted, _listener) = pair().await;
    net.unplug(A, true);
    net.crash(A);
    assert!(is_silent(&mut dialled).await);
    net.unplug(A, false);
    assert_eq!(
        read(&mut dialled, 1).await.unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[tokio::test(start_paused = true)]
async fn a_hidden_host_dials_and_is_not_dialled() {
    let net = Net::new(1, Trace::default());
    let (a, b) = (net.host(A), net.host(B));
    let at_a = a.listen(&key(1), SocketAddr::new(A, PORT)).await.unwrap();
    let _at_b = b.listen(&key(2), SocketAddr::new(B, PORT)).await.unwrap();
    net.hide(B, true);
    assert_eq!(
        a.dial(&key(1), &to(B), None).await.err().unwrap().kind(),
        ErrorKind::TimedOut
    );
    b.dial(&key(2), &to(A), None).await.unwrap();
    assert_eq!(at_a.accept().await.unwrap().peer, key(2).peer_id());
    net.name("b.example", B);
    net.hide(B, false);
    a.dial(
        &key(1),
        &Endpoint {
            host: "b.example".to_owned(),
            port: PORT,
        },
        None,
    )
    .await
    .unwrap();
}

/// Many streams over a bad network, with a crash in the middle.
async fn bustle(seed: u64) -> (u64, [u8; 32]) {
    let universe = Universe::new(seed);
    let route = Route {
        latency: Duration::from_millis(10),
        jitter: Duration::from_millis(50),
        bytes_per_s: 1 << 20,
    };
    universe.net().set_default_route(route);
    let mut server = universe.machine(A);
    let listener = server
        .boot()
        .network
        .listen(&key(1), SocketAddr::new(A, PORT))
        .await
        .unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 10..20 {
        let world = universe.machine(IpAddr::V4(Ipv4Addr::new(10, 0, 0, n))).boot();
        tasks.spawn(async move {
            let mut bytes = vec![0; 5_000];
            world.entropy.fill(&mut bytes);
            let mut stream = world.network.dial(&key(n), &to(A), None).await.unwrap();
            while write(&mut stream, &bytes).await.is_ok() {}
        });
    }
    tasks.spawn(async move {
        let mut readers = tokio::task::JoinSet::new();
        while let Ok(mut stream) = listener.accept().await {
            readers.spawn(async move { while read(&mut stream, 3_000).await.is_ok() {} });
        }
    });
    tokio::time::sleep(Duration::from_secs(5)).await;
    server.crash(Crash::Power);
    tasks.join_all().await;
    (universe.trace().events(), universe.trace().hash())
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_trace() {
    let first = bustle(1).await;
    assert!(first.0 > 100);
    assert_eq!(bustle(1).await, first);
    assert_ne!(bustle(2).await.1, first.1);
}
