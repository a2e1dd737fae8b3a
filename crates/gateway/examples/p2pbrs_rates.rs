//! How fast is p2pbrs? Registrations and heartbeats at the server's socket, 500 peers that run, and a
//! backup over five storage peers. Run it with `--release`; it needs some free space in the temporary folder.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{
    net::{SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rand::{RngCore, SeedableRng, rngs::SmallRng};
use skep_gateway::{
    journal::Journal,
    p2pbrs::{
        codec::{Capacity, Role},
        peer::{self, Peer},
        server,
        service::Service,
    },
};
use skep_net::Tls;
use skep_world::World;
use tokio_util::sync::CancellationToken;

const PEERS: usize = 20_000;
const HEARTBEATS: usize = 200_000;
/// Requests under way: fewer than a socket's queue takes when its reader has to wait for a processor.
const WINDOW: usize = 100;
const FILE_MIB: u64 = 200;
const STORAGE_PEERS: usize = 5;
/// Peers of ours that run at the same time.
const CROWD: usize = 500;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let (server, listen) = serve(folder.path(), &stop);
    let port = |n: usize| 10_000 + n;
    let register = |n: usize| format!("REGISTER {n} peer{n} STORAGE 127.0.0.1 {} 6000 1MB", port(n));
    // One socket speaks for all peers: the server knows where each registration came from.
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(listen).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let rate = ask(&socket, PEERS, register);
    judge("registrations per second, each durable", rate, 5_000.0);
    let heartbeat = |n: usize| format!("HEARTBEAT {n} peer{} 0 1732186200", n % PEERS);
    let rate = ask(&socket, HEARTBEATS, heartbeat);
    judge("heartbeats per second, one thread", rate, 20_000.0);
    stop.cancel();
    server.join().unwrap();
    let seconds = crowd(folder.path());
    println!("{seconds:10.1} seconds until {CROWD} peers run and one of them has a file of theirs back");
    let rate = back_up(folder.path());
    judge("MiB/s backed up over five storage peers", rate, 100.0);
}

fn judge(what: &str, measured: f64, least: f64) {
    let verdict = if measured >= least { "kept" } else { "MISSED" };
    println!("{measured:10.0} {what} (at least {least}: {verdict})");
}

fn world() -> World {
    World::real(Arc::new(Tls), 4)
}

/// A server on a thread of its own.
fn serve(folder: &Path, stop: &CancellationToken) -> (thread::JoinHandle<()>, SocketAddr) {
    let (home, stop) = (folder.join("server"), stop.clone());
    let (tell, told) = std::sync::mpsc::channel();
    let serving = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let service = start(&home, 2 * PEERS).await;
            tell.send(service.listen()).unwrap();
            service.run(&stop).await.unwrap();
        });
    });
    (serving, told.recv().unwrap())
}

async fn start(home: &Path, max_peers: usize) -> Service {
    let config = server::Config {
        acks: true,
        max_peers,
        ..server::Config::default()
    };
    let world = world();
    let journal = Journal::new(world.clock.clone(), None);
    Service::start(world, home, ([127, 0, 0, 1], 0).into(), config, journal)
        .await
        .unwrap()
}

/// Asks so many times, with some requests under way; returns answers per second.
fn ask(socket: &UdpSocket, times: usize, request: impl Fn(usize) -> String) -> f64 {
    let mut answer = [0; 1500];
    let start = Instant::now();
    for n in 0..times + WINDOW {
        if n >= WINDOW {
            socket.recv(&mut answer).unwrap();
        }
        if n < times {
            socket.send(request(n).as_bytes()).unwrap();
        }
    }
    times as f64 / start.elapsed().as_secs_f64()
}

/// Starts many peers, backs up a small file among them, and restores it; returns the seconds.
fn crowd(folder: &Path) -> f64 {
    write(folder, 1 << 20);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let service = start(&folder.join("crowded"), CROWD).await;
        let server = service.listen();
        let stopping = stop.clone();
        let serving = tokio::spawn(async move { service.run(&stopping).await });
        let start = Instant::now();
        let mut peers = Vec::new();
        for n in 0..CROWD {
            peers.push(join(folder, server, &format!("one{n}"), Role::Both).await);
        }
        let owner = peers.first().unwrap();
        owner.backup("file", Some(64 << 10)).await.unwrap();
        owner.restore("file").await.unwrap();
        let seconds = start.elapsed().as_secs_f64();
        for peer in &peers {
            peer.stop().await;
        }
        stop.cancel();
        serving.await.unwrap().unwrap();
        seconds
    })
}

/// The file that is backed up.
fn write(folder: &Path, bytes: usize) {
    let dir = folder.join("files");
    std::fs::create_dir_all(&dir).unwrap();
    let mut content = vec![0; bytes];
    SmallRng::seed_from_u64(1).fill_bytes(&mut content);
    std::fs::write(dir.join("file"), content).unwrap();
}

/// Backs up one file; returns MiB per second.
fn back_up(folder: &Path) -> f64 {
    write(folder, usize::try_from(FILE_MIB << 20).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let service = start(&folder.join("second"), 100).await;
        let server = service.listen();
        let stopping = stop.clone();
        let serving = tokio::spawn(async move { service.run(&stopping).await });
        let mut peers = Vec::new();
        for n in 0..STORAGE_PEERS {
            peers.push(join(folder, server, &format!("storage{n}"), Role::Storage).await);
        }
        let owner = join(folder, server, "owner", Role::Owner).await;
        let start = Instant::now();
        owner.backup("file", Some(1 << 20)).await.unwrap();
        let rate = FILE_MIB as f64 / start.elapsed().as_secs_f64();
        for peer in peers.iter().chain([&owner]) {
            peer.stop().await;
        }
        stop.cancel();
        serving.await.unwrap().unwrap();
        rate
    })
}

async fn join(folder: &Path, server: SocketAddr, name: &str, role: Role) -> Peer {
    let world = world();
    let journal = Journal::new(world.clock.clone(), None);
    let config = peer::Config {
        home: folder.join(name),
        dir: folder.join("files"),
        server,
        name: name.parse().unwrap(),
        role,
        udp: 0,
        tcp: 0,
        advertise: None,
        capacity: Capacity { bytes: 1 << 30 },
        checksum: Default::default(),
        heartbeat: Duration::from_secs(10),
        known: Vec::new(),
    };
    Peer::start(world, config, journal).await.unwrap()
}
