//! supernova: the tracker with sessions that come and go, and a peer as it runs, at its port.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    thread,
};

use skep_gateway::{
    journal::Journal,
    supernova::{
        client,
        codec::{END, Message},
        server, tracker,
    },
};
use skep_net::Tls;
use skep_world::World;

use super::*;

/// Messages on one connection.
const ON_ONE: u64 = 500;

/// Something that may be said on any connection.
fn text(rng: &mut SmallRng, from: Ipv4Addr) -> Vec<u8> {
    let words = [
        "HELLO",
        "IWANT",
        "WHERE",
        "GIVE",
        "TAKE",
        "THANKS",
        "SENDLIST",
        "OK",
        "LIST",
        "LISTENING",
    ];
    let word = words.choose(rng).unwrap();
    let number = rng.random_range(0..8000);
    let text = match *word {
        "HELLO" | "IWANT" | "WHERE" => format!("{word} peer_{number}"),
        "GIVE" => format!("GIVE file {number}"),
        "TAKE" => format!("TAKE {number}"),
        "LISTENING" => format!("LISTENING {from} {}", number + 1),
        "LIST" => {
            let count = number % 40;
            let names: String = (0..count).map(|n| format!("\nfile {n} of {number}")).collect();
            format!("LIST {count}{names}")
        }
        word => word.to_owned(),
    };
    mutate(rng, text.into_bytes())
}

#[test]
fn supernova_tracker() {
    use tracker::{Effect, Session, Tracker};
    let mut tracker = Tracker::new([], false);
    hammer("supernova tracker", |rng, now| {
        let session = Session(rng.random_range(0..200));
        let from = Ipv4Addr::new(10, 0, 0, (session.0 % 20) as u8 + 1);
        match rng.random_range(0..20) {
            0 => tracker.closed(session),
            1 => tracker.connected(session, from.into()),
            _ => {}
        }
        let text = text(rng, from);
        let mut out = Vec::new();
        tracker.handle(session, Message::decode(&text), &mut out);
        tracker.poll(now, &mut out);
        for effect in out {
            match effect {
                Effect::Reply(to, _) => assert_eq!(to, session),
                Effect::Probe(name, at) => {
                    assert!(matches!(at.ip(), IpAddr::V4(ip) if ip.octets()[..3] == [10, 0, 0]));
                    tracker.probed(&name, at, rng.random());
                }
                Effect::Changed => {}
            }
        }
    });
}

/// What is read is written so that it reads the same, and whoever serves files goes on serving them.
#[test]
fn supernova_peer() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (server, client) = runtime.block_on(network(folder.path()));
    let (at, mut batch, mut sent) = (client.local(), Vec::new(), 0);
    hammer("supernova peer", |rng, _| {
        let text = text(rng, Ipv4Addr::LOCALHOST);
        if let Ok(message) = Message::decode(&text) {
            let again = message.encode();
            assert_eq!(Message::decode(again.strip_suffix(END).unwrap()), Ok(message));
        }
        batch.extend(text);
        batch.extend(END);
        sent += 1;
        if sent % ON_ONE == 0 {
            say(at, std::mem::take(&mut batch));
        }
    });
    let answer = say(at, b"GIVE file 7\n\0".to_vec());
    assert_eq!(answer, b"TAKE 3\n\0abc");
    runtime.block_on(async {
        client.stop().await;
        server.stop().await;
    });
}

/// A tracker, and a peer with one file.
async fn network(folder: &Path) -> (server::Server, client::Client) {
    let world = World::real(Arc::new(Tls), 2);
    let journal = Journal::new(world.clock.clone(), None);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let config = server::Config {
        home: folder.join("tracker"),
        listen: any,
        other_addresses: false,
    };
    let server = server::Server::start(world.clone(), journal.clone(), config)
        .await
        .unwrap();
    fs::create_dir(folder.join("files")).unwrap();
    fs::write(folder.join("files/file 7"), "abc").unwrap();
    let config = client::Config {
        home: folder.join("peer"),
        server: server.local().to_string(),
        name: Some("Ann".into()),
        listen: any,
        advertise: None,
        dir: folder.join("files"),
    };
    let client = client::Client::start(world, journal, config).await.unwrap();
    (server, client)
}

/// Says it all on one connection, and reads until that is closed.
fn say(at: SocketAddr, bytes: Vec<u8>) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).unwrap();
    let mut other = stream.try_clone().unwrap();
    let saying = thread::spawn(move || {
        // It may be hung up on: a message without end is not read to its end.
        let _ = other.write_all(&bytes);
        let _ = other.shutdown(Shutdown::Write);
    });
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    saying.join().unwrap();
    answers
}
