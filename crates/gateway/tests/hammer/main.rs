//! Random and mutated messages for every role of every dialect: no panic, no growth, and nothing
//! sent to an address that has said nothing.
//!
//! `SKEP_HAMMER=1000000` sets how many there are; `cargo xtask bench dialects` runs a million.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod p2pbrs;
mod supernova;

use std::{
    collections::BTreeSet,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use rand::{Rng, RngCore, SeedableRng, rngs::SmallRng, seq::IndexedRandom};
use skep_gateway::{content, napster, strangers};

/// The most that a role may grow.
const MAX_GROWTH_KIB: u64 = 16 << 10;

fn messages() -> u64 {
    let count = std::env::var("SKEP_HAMMER").ok();
    count.map_or(20_000, |count| count.parse().unwrap())
}

/// Pages of this process that are in memory.
fn resident_kib() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
}

/// Lets `strike` come down so often, and looks what it has cost.
fn hammer(role: &str, mut strike: impl FnMut(&mut SmallRng, Duration)) {
    let mut rng = SmallRng::seed_from_u64(1);
    let before = resident_kib();
    let count = messages();
    for n in 0..count {
        strike(&mut rng, Duration::from_millis(n));
    }
    let growth = resident_kib().saturating_sub(before);
    println!("{role}: {count} messages, {growth} KiB more in memory");
    assert!(growth <= MAX_GROWTH_KIB, "{role} has grown by {growth} KiB");
}

/// Flips, cuts and lengthens now and then.
fn mutate(rng: &mut SmallRng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..[0, 0, 0, 1, 2, 8][rng.random_range(0..6)] {
        match (rng.random_range(0..8), bytes.len()) {
            (0, len) => bytes.truncate(rng.random_range(0..=len)),
            (1, _) => bytes.push(rng.random::<u8>()),
            (_, 1..) => {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random::<u8>();
            }
            _ => {}
        }
    }
    if rng.random_ratio(1, 20) {
        rng.fill_bytes(&mut bytes);
    }
    bytes
}

fn host(rng: &mut SmallRng) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, rng.random_range(1..20))
}

fn address(rng: &mut SmallRng) -> SocketAddrV4 {
    SocketAddrV4::new(host(rng), rng.random_range(1..5000))
}

mod napster_messages {
    use napster::codec::{FileHash, FileName, Listing, Message, Segment};

    use super::*;

    fn name(rng: &mut SmallRng) -> FileName {
        FileName::parse(&format!("file{}", rng.random_range(0..500))).unwrap()
    }

    fn listing(rng: &mut SmallRng, seeder: SocketAddrV4) -> Listing {
        Listing {
            file_size: rng.random_range(0..5) * 8192,
            name: name(rng),
            seeder,
            hash: FileHash([rng.random_range(0..3); 32]),
        }
    }

    /// Somebody says something, mostly about itself.
    pub(super) fn any(rng: &mut SmallRng, from: Ipv4Addr, data: &[u8]) -> Vec<u8> {
        let other = address(rng);
        let own = SocketAddrV4::new(from, other.port());
        let at = if rng.random_ratio(1, 10) { other } else { own };
        let listing = listing(rng, at);
        let Listing {
            file_size,
            name,
            hash,
            ..
        } = listing.clone();
        match rng.random_range(0..7) {
            0 => Message::Register(listing),
            1 => Message::Confirm {
                file_size,
                name,
                index: at,
            },
            2 => Message::Acknowledge(listing),
            3 => Message::Found {
                name,
                seeder: at,
                hash,
            },
            4 => Message::NotFound,
            5 => Message::Request { name, leecher: at },
            _ => Message::Data(Segment {
                of: listing,
                number: rng.random_range(0..6),
                segment_size: 8192,
                data,
            }),
        }
        .encode()
    }
}

#[test]
fn napster_index() {
    use napster::{
        codec::Message,
        index::{Effect, Index, Rules},
    };
    let mut index = Index::new("10.0.0.99:9000".parse().unwrap(), Rules::default());
    let mut heard = BTreeSet::new();
    hammer("napster index", |rng, now| {
        let from = host(rng);
        let bytes = napster_messages::any(rng, from, &[]);
        let bytes = mutate(rng, bytes);
        let mut out = Vec::new();
        if let Ok(message) = Message::decode(&bytes) {
            heard.insert(from);
            index.handle(now, from, message, rng, &mut out);
        }
        // As often as its driver does.
        if now.as_millis().is_multiple_of(250) {
            index.poll(now, rng, &mut out);
        }
        for effect in &out {
            if let Effect::Send { to, message } = effect {
                assert!(heard.contains(to.ip()), "{message} to {to}");
            }
        }
    });
}

#[test]
fn napster_peer() {
    use napster::{
        codec::{FileName, Message},
        peer::{Effect, Known, Peer, Taken},
    };
    let (index, me) = (
        "10.0.0.1:9000".parse().unwrap(),
        "10.0.0.99:9000".parse().unwrap(),
    );
    let mut peer = Peer::new(index, me, 8192, false);
    let data = [0; 8192];
    hammer("napster peer", |rng, now| {
        let from = host(rng);
        let bytes = napster_messages::any(rng, from, &data);
        let bytes = mutate(rng, bytes);
        let mut out = Vec::new();
        let wanted = FileName::parse(&format!("file{}", rng.random_range(0..500))).unwrap();
        if rng.random_ratio(1, 10) {
            peer.get(now, &wanted, &mut out);
        }
        match Message::decode(&bytes) {
            Ok(Message::Data(segment)) => {
                if let Taken::Write(offset, data) = peer.data(now, from, &segment, &mut out) {
                    assert!(offset + data.len() as u64 <= u64::from(segment.of.file_size));
                    peer.wrote(&segment.of.name, &mut out);
                }
            }
            Ok(message) => peer.handle(now, from, message, &mut out),
            Err(_) => {}
        }
        peer.poll(now, &mut out);
        for effect in std::mem::take(&mut out) {
            match effect {
                Effect::Check(name, hash) => {
                    let _: (FileName, napster::codec::FileHash) = (name.clone(), hash);
                    peer.checked(now, &name, rng.random(), &mut out);
                }
                Effect::Hash(name) => {
                    let known = Known {
                        file_size: 8192,
                        hash: napster::codec::FileHash([1; 32]),
                    };
                    peer.hashed(&name, rng.random::<bool>().then_some(known), &mut out);
                }
                Effect::Serve { listing, to } => peer.served(&listing, to, rng.random(), &mut out),
                _ => {}
            }
        }
    });
}

#[test]
fn content_index() {
    use content::{
        codec::{Name, PDU_BYTES, Request},
        index::{Effect, Index},
    };
    let mut index = Index::default();
    let mut strangers = strangers::Strangers::default();
    hammer("content index", |rng, now| {
        let from = address(rng);
        let word = |text: String| Name::parse(&text).unwrap();
        let peer = word(format!("p{}", rng.random_range(0..300)));
        let content = word(format!("c{}", rng.random_range(0..300)));
        let request = match rng.random_range(0..5) {
            0 => Request::Register {
                peer,
                content,
                port: from.port(),
            },
            1 => Request::Search { peer, content },
            2 => Request::List,
            3 => Request::Deregister { peer, content },
            _ => Request::Download {
                peer: Some(peer),
                content,
            },
        };
        let datagram = mutate(rng, request.encode().to_vec());
        let mut out = Vec::new();
        let stranger = !index.knows(*from.ip());
        index.handle(from, &datagram, false, &mut out);
        index.poll(now, 64, &mut out);
        for effect in std::mem::take(&mut out) {
            match effect {
                Effect::Answer { to, answers } => {
                    let bytes = answers.len() * PDU_BYTES;
                    let ip = IpAddr::from(*to.ip());
                    if stranger && strangers.may_answer(now, ip, datagram.len(), bytes) {
                        assert!(bytes <= datagram.len().max(strangers::FREE_BYTES));
                    }
                }
                Effect::Probe(listing) => index.probed(&listing, rng.random(), &mut out),
                Effect::Listed(_) | Effect::Dropped(_) => {}
            }
        }
    });
}

#[test]
fn content_peer() {
    use content::{
        codec::{Answer, Request, pdu},
        stream::{self, Download},
    };
    hammer("content peer", |rng, _| {
        let mut stream = Vec::new();
        stream::write(&vec![b'A'; rng.random_range(0..600)], &mut stream);
        if rng.random() {
            stream.extend(Answer::Done(String::new()).encode());
        }
        let stream = mutate(rng, stream);
        let _ = (Request::decode(&pdu(&stream)), Answer::decode(&pdu(&stream)));
        let (mut download, mut out) = (Download::default(), Vec::new());
        let pieces = stream.chunks(rng.random_range(1..300));
        let pushed = pieces
            .into_iter()
            .try_for_each(|bytes| download.push(bytes, &mut out));
        if pushed.and_then(|()| download.end(&mut out)).is_ok() {
            assert!(out.len() <= stream.len());
        }
    });
}
