//! How fast files move in napster and content, between peers of ours on this machine.
//!
//! Run with `--release`. Prints figures, and whether they keep what is promised.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::Instant,
};

use skep_gateway::{content, journal::Journal, napster, strangers::Trust};
use skep_net::Tls;
use skep_world::World;
use tokio::net::TcpSocket;

/// DATA messages that are sent.
const SEGMENTS: u64 = 8192;
/// Bytes of such a message.
const MESSAGE_BYTES: usize = 8308;
/// Bytes of the content.
const CONTENT_BYTES: u64 = 256 << 20;
/// How often each is measured, the bare loop right before ours; the median counts.
const ROUNDS: usize = 5;

const MIN_NAPSTER_RATIO: f64 = 0.7;
const MIN_CONTENT_MIB_S: f64 = 40.0;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut ratios, mut speeds) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let stage = folder.path().join(round.to_string());
        let bare = runtime.block_on(async { bare_loop(patient_listener()) });
        let napster = runtime.block_on(napster(&stage.join("napster")));
        speeds.push(runtime.block_on(content(&stage.join("content"))));
        ratios.push(napster / bare);
        println!(
            "bare loop of connect, send, close: {bare:.0} messages/s; napster: {napster:.0} DATA messages/s, {:.0} MiB/s",
            napster * 8192.0 / 1048576.0
        );
        fs::remove_dir_all(stage).unwrap();
    }
    let (ratio, content) = (median(ratios), median(speeds));
    println!(
        "napster to the bare loop, at least {MIN_NAPSTER_RATIO}: {ratio:.2} {}",
        kept(ratio >= MIN_NAPSTER_RATIO)
    );
    println!(
        "content, at least {MIN_CONTENT_MIB_S} MiB/s: {content:.0} {}",
        kept(content >= MIN_CONTENT_MIB_S)
    );
}

fn kept(is_kept: bool) -> &'static str {
    if is_kept { "(kept)" } else { "(MISSED)" }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Messages per second, each on a connection of its own, and read to its end.
fn bare_loop(listener: TcpListener) -> f64 {
    let at = listener.local_addr().unwrap();
    let reader = thread::spawn(move || {
        let mut message = Vec::with_capacity(MESSAGE_BYTES);
        for _ in 0..SEGMENTS {
            message.clear();
            listener.accept().unwrap().0.read_to_end(&mut message).unwrap();
            assert_eq!(message.len(), MESSAGE_BYTES);
        }
    });
    let message = vec![7; MESSAGE_BYTES];
    let start = Instant::now();
    for _ in 0..SEGMENTS {
        TcpStream::connect(at).unwrap().write_all(&message).unwrap();
    }
    reader.join().unwrap();
    SEGMENTS as f64 / start.elapsed().as_secs_f64()
}

/// A listener where so many may wait that nobody has to connect again, which would take a second.
fn patient_listener() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(any()).unwrap();
    let listener = socket.listen(4096).unwrap().into_std().unwrap();
    listener.set_nonblocking(false).unwrap();
    listener
}

/// DATA messages per second of a download: asking the index, and hashing in the end, included.
async fn napster(stage: &Path) -> f64 {
    let world = world();
    let config = napster::server::Config {
        home: stage.join("index"),
        listen: any(),
        advertise: None,
        rules: napster::index::Rules::default(),
        segment_bytes: 8192,
    };
    let index = napster::server::Server::start(world.clone(), journal(&world), config)
        .await
        .unwrap();
    let peer = |name: &str| napster::client::Config {
        server: index.local().to_string(),
        listen: any(),
        advertise: None,
        dir: stage.join(name),
        segment_bytes: 8192,
        other_addresses: false,
    };
    write(&stage.join("seeder/file"), SEGMENTS * 8192);
    fs::create_dir_all(stage.join("leecher")).unwrap();
    let seeder = napster::client::Client::start(world.clone(), journal(&world), peer("seeder"))
        .await
        .unwrap();
    let leecher = napster::client::Client::start(world.clone(), journal(&world), peer("leecher"))
        .await
        .unwrap();
    seeder.register("file").await.unwrap();
    let start = Instant::now();
    leecher.get("file").await.unwrap();
    let seconds = start.elapsed().as_secs_f64();
    leecher.stop().await;
    seeder.stop().await;
    index.stop().await;
    SEGMENTS as f64 / seconds
}

/// MiB per second of a download.
async fn content(stage: &Path) -> f64 {
    let world = world();
    let config = content::server::Config {
        home: stage.join("index"),
        listen: any(),
        trust: Trust::default(),
    };
    let index = content::server::Server::start(world.clone(), journal(&world), config)
        .await
        .unwrap();
    let peer = |name: &str| content::client::Config {
        server: index.local().to_string(),
        name: name.to_owned(),
        dir: stage.join(name),
        content_first: false,
        end_mark: false,
    };
    write(&stage.join("Mai/file"), CONTENT_BYTES);
    fs::create_dir_all(stage.join("Jeff")).unwrap();
    let mut mai = content::client::Client::start(world.clone(), journal(&world), peer("Mai"))
        .await
        .unwrap();
    let jeff = content::client::Client::start(world.clone(), journal(&world), peer("Jeff"))
        .await
        .unwrap();
    let name = content::client::name("file").unwrap();
    mai.register(&name).await.unwrap();
    let start = Instant::now();
    let at = jeff.search(&name).await.unwrap();
    let bytes = jeff.download(&name, at).await.unwrap();
    assert_eq!(bytes, CONTENT_BYTES);
    let seconds = start.elapsed().as_secs_f64();
    jeff.stop().await;
    mai.stop().await;
    index.stop().await;
    bytes as f64 / 1048576.0 / seconds
}

fn world() -> World {
    World::real(Arc::new(Tls), 4)
}

fn journal(world: &World) -> Journal {
    Journal::new(world.clock.clone(), None)
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn write(path: &Path, bytes: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let piece: Vec<u8> = (0..1 << 20)
        .map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut file = fs::File::create(path).unwrap();
    for _ in 0..bytes.div_ceil(1 << 20) {
        file.write_all(&piece).unwrap();
    }
    file.set_len(bytes).unwrap();
}
