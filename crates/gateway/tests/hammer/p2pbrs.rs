//! p2pbrs: the server with peers that speak as they should and strangers that do not, and the parts of
//! a peer that take in what comes from the network.

use std::collections::BTreeMap;

use skep_gateway::p2pbrs::{
    codec::{Header, Message},
    peer::{
        bringing::{Bringing, Outcome},
        fetching::{Answer, Fetching},
        storage::{Admission, ChunkName, Storage},
    },
    server::{Config, Effects, Output, Server},
};

use super::*;

/// What a storage peer offers.
const CAPACITY_BYTES: u64 = 1 << 20;

/// Something that is said in datagrams, with fields that often fit what was said before.
fn datagram(rng: &mut SmallRng, may_register: bool) -> String {
    let (rq, n) = (rng.random_range(0..1000), rng.random_range(0..40));
    let (file, chunk) = (rng.random_range(0..60), rng.random_range(0..12));
    let (size, port) = (rng.random_range(0..100_000), 5001 + n);
    let role = ["OWNER", "STORAGE", "BOTH"].choose(rng).unwrap();
    let words = [
        "HEARTBEAT",
        "DE-REGISTER",
        "BACKUP_REQ",
        "BACKUP_DONE",
        "STORE_ACK",
        "RESTORE_REQ",
        "RESTORE_OK",
        "STORAGE_TASK",
        "STORE_REQ",
        "REPLICATE_REQ",
        "BACKUP_PLAN",
        "REGISTER",
    ];
    let words = if may_register { &words[..] } else { &words[..11] };
    match *words.choose(rng).unwrap() {
        "REGISTER" => format!("REGISTER {rq} p{n} {role} 10.0.0.1 {port} {} 1GB", port + 1000),
        "DE-REGISTER" if !rng.random_ratio(1, 10) => format!("RESTORE_REQ {rq} f{file}"),
        "DE-REGISTER" => format!("DE-REGISTER {rq} p{n}"),
        "HEARTBEAT" => format!("HEARTBEAT {rq} p{n} {chunk} 1732186200"),
        "BACKUP_REQ" => format!("BACKUP_REQ {rq} f{file} {size} 1a2b3c4d"),
        "STORE_ACK" => format!("STORE_ACK {rq} f{file} {chunk} 4096"),
        "STORAGE_TASK" => format!("STORAGE_TASK {rq} f{file} 4096 p{n} 10.0.0.1:{port}:6001"),
        "STORE_REQ" => format!("STORE_REQ {rq} f{file} {chunk} p{n} 10.0.0.1:{port}:6001"),
        "REPLICATE_REQ" => format!("REPLICATE_REQ {rq} f{file} {chunk} p{n}:10.0.0.1:6001"),
        "BACKUP_PLAN" => format!("BACKUP_PLAN {rq} f{file} [p{n}:10.0.0.1:6001,q:10.0.0.2:6002] 4096"),
        word => format!("{word} {rq} f{file}"),
    }
}

#[test]
fn p2pbrs_server() {
    let config = Config {
        max_peers: 100,
        acks: true,
        replicas: 2,
        ..Config::default()
    };
    let mut server = Server::new(config, Duration::ZERO, 1, Vec::new());
    let (mut heard, mut answers) = (BTreeSet::new(), BTreeMap::<(IpAddr, u64), u32>::new());
    hammer("p2pbrs server", |rng, now| {
        let is_stranger = rng.random_ratio(1, 4);
        let net = if is_stranger { [192, 0, 2] } else { [10, 0, 0] };
        let ip = Ipv4Addr::from([net[0], net[1], net[2], rng.random_range(1..20)]);
        let from = SocketAddrV4::new(ip, 5001 + rng.random_range(0..40));
        heard.insert(IpAddr::from(ip));
        let text = datagram(rng, !is_stranger).into_bytes();
        let bytes = mutate(rng, text);
        let mut effects = Effects::default();
        server.handle(now, from.into(), &bytes, &mut effects);
        server.poll(now, &mut effects);
        for output in effects.outputs {
            let Output::Send { to, text } = output else {
                continue;
            };
            assert!(heard.contains(&to.ip()), "{text} to {to}");
            if to.ip() == ip && is_stranger {
                assert!(text.len() <= bytes.len().max(strangers::FREE_BYTES), "{text}");
                *answers.entry((to.ip(), now.as_secs())).or_default() += 1;
            }
        }
        answers.retain(|(_, second), _| *second == now.as_secs());
        assert!(answers.values().all(|answers| *answers <= strangers::PER_SECOND));
    });
}

#[test]
fn p2pbrs_storage_peer() {
    let mut storage = Storage::new(CAPACITY_BYTES, BTreeMap::new());
    hammer("p2pbrs storage peer", |rng, _| {
        let text = datagram(rng, true).into_bytes();
        let bytes = mutate(rng, text);
        if let Ok(message) = Message::decode(&bytes) {
            assert_eq!(Message::decode(message.encode().as_bytes()), Ok(message.clone()));
            obey(&mut storage, message);
        }
        let line = format!(
            "SEND_CHUNK 7 f{} {} {} 1a2b3c4d",
            rng.random_range(0..60),
            rng.random::<u64>() >> rng.random_range(0..64),
            rng.random_range(0..2000)
        );
        if let Ok(Header::SendChunk {
            file, chunk, size, ..
        }) = Header::decode(&mutate(rng, line.into_bytes()))
            && let Admission::Take(name) = storage.admit(host(rng).into(), &file, chunk, size)
        {
            if rng.random() {
                storage.stored(&name);
            } else {
                storage.dropped(&name);
            }
            assert!(storage.room().0 <= CAPACITY_BYTES);
        }
    });
}

/// What a peer does with an order of its server.
fn obey(storage: &mut Storage, message: Message) {
    match message {
        Message::StorageTask {
            rq,
            file,
            owner,
            bringer,
            ..
        } => storage.handle_task(rq, file, owner, bringer),
        Message::StoreReq {
            file,
            chunk,
            owner,
            bringer,
            ..
        } => {
            let name = ChunkName { owner, file, chunk };
            storage.handle_store_req(name, bringer);
        }
        _ => {}
    }
}

/// The most chunks of a file, for which an owner is hammered.
const CHUNKS: u64 = 1 << 20;

/// An owner with a file of very many chunks, whose server changes the plan all the time.
#[test]
fn p2pbrs_owner() {
    let list = "[p0:10.0.0.1:1,p1:10.0.0.1:2,p2:10.0.0.1:3]";
    let mut bringing = Bringing::new(&list.parse().unwrap(), CHUNKS).unwrap();
    let mut fetching = Fetching::new(&list.parse().unwrap(), CHUNKS).unwrap();
    hammer("p2pbrs owner", |rng, _| {
        let text = plan(rng);
        let bytes = mutate(rng, text.into_bytes());
        match Message::decode(&bytes) {
            Ok(Message::BackupPlan { peers, .. }) => bringing.replan(&peers),
            Ok(Message::RestorePlan { peers, .. }) => {
                fetching = Fetching::new(&peers, CHUNKS).unwrap_or_else(fetching_of_nobody);
            }
            _ => {}
        }
        let outcomes = [
            Outcome::Stored,
            Outcome::Failed,
            Outcome::Unreachable,
            Outcome::Moved,
        ];
        if let Some(errand) = bringing.next(rng.random_range(0..3)) {
            assert!(errand.chunk < CHUNKS);
            bringing.ended(errand, *outcomes.choose(rng).unwrap());
        }
        let answers = [Answer::Got, Answer::Damaged, Answer::Missing, Answer::Unreachable];
        if let Some(quest) = fetching.next_quest() {
            assert!(quest.chunk < CHUNKS);
            fetching.ended(quest, *answers.choose(rng).unwrap());
        }
    });
}

fn fetching_of_nobody() -> Fetching {
    Fetching::new(&"[]".parse().unwrap(), 0).unwrap()
}

/// What a server may say about where chunks are.
fn plan(rng: &mut SmallRng) -> String {
    let peer = |rng: &mut SmallRng, n: u32| format!("p{n}:10.0.0.{}:{}", rng.random_range(1..4), n + 1);
    let at = |rng: &mut SmallRng, n: u32| {
        let chunks: Vec<String> = (0..20)
            .map(|_| rng.random_range(0..CHUNKS + 9).to_string())
            .collect();
        format!(
            "p{n}@10.0.0.{}:{}:{}",
            rng.random_range(1..4),
            n + 1,
            chunks.join(",")
        )
    };
    let peers = |rng: &mut SmallRng| match rng.random() {
        true => [0, 1, 2].map(|n| peer(rng, n)).join(","),
        false => [0, 1, 2].map(|n| at(rng, n)).join(";"),
    };
    match rng.random_ratio(1, 4) {
        true => format!("RESTORE_PLAN 1 f [{}] 4096 {CHUNKS} 0", peers(rng)),
        false => format!("BACKUP_PLAN 1 f [{}] 4096", peers(rng)),
    }
}
