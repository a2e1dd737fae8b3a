//! More connections than there is room for, slow ones, and nonsense: members notice little of it.

use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skep_net::Tls;
use skep_wire::{SigningKey, message::Endpoint};
use skep_world::Network as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    task::JoinSet,
    time,
};

use super::{Cost, host, say};
use crate::{
    strangers::Stranger,
    support::{self, Network, Peer, Process, eventually, write_random},
};

/// Connections that send a byte now and then.
const SLOW: u16 = 5000;
/// How often such a byte comes.
const BYTE_EVERY: Duration = Duration::from_secs(10);
/// The longest that a member waits for an answer while there are those. Machines that run tests are busy.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lookups of a member, each with a process of its own.
const LOOKUPS: usize = 20;

/// How long each of some lookups takes, the shortest first.
fn lookups(peer: &Peer) -> Vec<Duration> {
    let timed = |_| {
        let start = Instant::now();
        assert!(peer.listed("lorem").is_some());
        start.elapsed()
    };
    let mut all: Vec<Duration> = (0..LOOKUPS).map(timed).collect();
    all.sort();
    all
}

/// A network with a peer that shares something.
pub(super) fn town() -> (Network, Peer) {
    let network = Network::start();
    let ada = network.peer("ada");
    let path = ada.files.join("lorem");
    write_random(&path, 1000, 1);
    ada.share(&path, "lorem");
    (network, ada)
}

#[test]
fn without_descriptors_nothing_spins_and_the_next_one_comes_in_at_once() {
    let (mut network, ada) = town();
    let at = network.listen.clone();
    network.coordinator().limit_descriptors(64);
    let mut recovered = Vec::new();
    for _ in 0..3 {
        let held: Vec<TcpStream> = (0..300).map(|_| TcpStream::connect(&at).unwrap()).collect();
        let (start, before) = (Instant::now(), network.coordinator().cpu());
        lookups(&ada);
        let share = (network.coordinator().cpu() - before).as_secs_f64() / start.elapsed().as_secs_f64();
        assert!(share < 0.5, "{share} of a core while there are no descriptors");
        drop(held);
        let start = Instant::now();
        eventually("a stranger is answered", || {
            (!say(&at, &hello()).is_empty()).then_some(())
        });
        recovered.push(start.elapsed());
    }
    let best = recovered.into_iter().min().unwrap();
    assert!(best < Duration::from_secs(1), "after {best:?}");
}

/// The beginning of a TLS handshake that is refused with an alert: who is answered is not left waiting.
fn hello() -> Vec<u8> {
    [&[0x16, 3, 1, 0, 4, 1, 0, 0, 0][..], &[0; 64]].concat()
}

#[test]
fn five_thousand_slow_connections_keep_no_member_waiting() {
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, limit).unwrap();
    let (mut network, ada) = town();
    let quiet = lookups(&ada);
    let at: SocketAddr = network.listen.parse().unwrap();
    let cost = Cost::of(network.coordinator());
    let flood = Flood::start(at);
    eventually("they are there", || {
        (flood.opened() >= usize::from(SLOW)).then_some(())
    });
    let busy = lookups(&ada);
    assert!(
        busy[LOOKUPS - 1] < quiet[LOOKUPS - 1] + PATIENCE,
        "{quiet:?} {busy:?}"
    );
    // Who is new is let in between them.
    let bob = network.peer("bob");
    assert!(bob.listed("lorem").is_some());
    let (_, resident) = cost.told(network.coordinator(), "5,000 slow connections to a coordinator");
    assert!(resident < 128, "{resident} MiB");
    flood.stop();
    let after = lookups(&ada);
    assert!(
        after[LOOKUPS - 1] < quiet[LOOKUPS - 1] + PATIENCE,
        "{quiet:?} {after:?}"
    );
}

/// Connections from many addresses, each opened again when it is closed.
struct Flood {
    runtime: tokio::runtime::Runtime,
    opened: Arc<std::sync::atomic::AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Flood {
    fn start(at: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let (opened, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        for n in 0..SLOW {
            runtime.spawn(slow(at, n, Arc::clone(&opened), Arc::clone(&stop)));
        }
        Self {
            runtime,
            opened,
            stop,
        }
    }

    /// How many connections were opened so far.
    fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.runtime.shutdown_background();
    }
}

async fn slow(at: SocketAddr, n: u16, opened: Arc<std::sync::atomic::AtomicUsize>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(host(n % 50)).unwrap();
        let Ok(mut stream) = socket.connect(at).await else {
            time::sleep(BYTE_EVERY).await;
            continue;
        };
        opened.fetch_add(1, Ordering::Relaxed);
        while stream.write_all(&[0x16]).await.is_ok() {
            time::sleep(BYTE_EVERY).await;
        }
    }
}

#[test]
fn garbage_costs_little_and_leaves_no_thread_running() {
    let (mut network, mut ada) = town();
    let (coordinator, peer) = (
        network.listen.clone(),
        ada.ready["listen"].as_str().unwrap().to_owned(),
    );
    garbage_before_tls(network.coordinator(), "a coordinator", &coordinator);
    garbage_before_tls(ada.process(), "a peer", &peer);
    garbage_inside_tls(network.coordinator(), "a coordinator", &coordinator);
    garbage_inside_tls(ada.process(), "a peer", &peer);
    let (start, before) = (Instant::now(), network.coordinator().cpu());
    lookups(&ada);
    let share = (network.coordinator().cpu() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(share < 0.5, "{share} of a core when all of it is over");
}

fn garbage_before_tls(process: &Process, who: &str, at: &str) {
    let garbage: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0; 4096],
        &[0xff; 4096],
        &hello(),
        // An end, before anything began.
        &[0x15, 3, 3, 0, 2, 1, 0],
        // Records without content.
        &[0x16, 3, 3, 0, 0].repeat(1000),
    ];
    let cost = Cost::of(process);
    for _ in 0..100 {
        for bytes in garbage {
            let mut stream = TcpStream::connect(at).unwrap();
            let _ = stream.write_all(bytes);
        }
    }
    assert!(say(at, &hello()).len() < 64);
    let what = format!("600 connections with garbage before TLS to {who}");
    let (spent, resident) = cost.told(process, &what);
    assert!(spent < Duration::from_secs(6) && resident < 128, "{what}");
}

/// After a handshake, everything but frames.
fn garbage_inside_tls(process: &Process, who: &str, at: &str) {
    let (key, to): (_, Endpoint) = (Stranger::new(3).key, at.parse().unwrap());
    let cost = Cost::of(process);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut talks = JoinSet::new();
        for garbage in [0, 0x55, 0xff].repeat(60) {
            talks.spawn(say_inside(key.clone(), to.clone(), garbage));
        }
        talks.join_all().await;
    });
    let what = format!("180 connections with garbage inside TLS to {who}");
    let (spent, resident) = cost.told(process, &what);
    assert!(spent < Duration::from_secs(6) && resident < 128, "{what}");
}

/// Says this byte over and over, until it is hung up on.
async fn say_inside(key: Arc<SigningKey>, to: Endpoint, garbage: u8) {
    let mut stream = Tls.dial(&key, &to, None).await.unwrap();
    let _ = stream.writer.write_all(&[garbage; 64 << 10]).await;
    let mut answer = Vec::new();
    let end = stream.reader.read_to_end(&mut answer);
    let _ = time::timeout(support::PATIENCE, end).await.expect("it hangs up");
}

/// Connections that are open, and of which nothing is known, do not outlive the one who holds them.
#[test]
fn a_peers_port_stands_a_flood_too() {
    let (network, mut ada) = town();
    let at = ada.ready["listen"].as_str().unwrap().to_owned();
    let cost = Cost::of(ada.process());
    let mut set = JoinSet::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let address: SocketAddr = at.parse().unwrap();
    runtime.block_on(async {
        for n in 0..600 {
            set.spawn(async move {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind(host(n % 7)).unwrap();
                let mut stream = socket.connect(address).await.unwrap();
                let _ = stream.write_all(&[0x16, 3]).await;
                stream
            });
        }
        let held = set.join_all().await;
        let bob = network.peer("bob");
        let target = bob.files.join("lorem");
        bob.get("lorem", &target);
        drop(held);
    });
    cost.told(ada.process(), "600 silent connections to a peer");
}
