//! One fixed example of everything that travels or is kept: for the golden bytes and for the sweeps.

#![allow(clippy::unwrap_used, reason = "the examples are right, or no test is")]

mod backup;

use skep_wire::{
    BlobId, Link, Manifest, NetworkId, PeerId, PeerName, Signed, SigningKey, Ticket,
    frame::{Header, REPLY},
    manifest::{Entry, Node},
    message::*,
    record::*,
    signed::Record,
    ticket::Secret,
};

/// Something with its bytes, and the parser of such bytes.
pub(crate) struct Example {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// What the parser makes of bytes, if anything, encoded again.
    pub(crate) recode: fn(&[u8]) -> Option<Vec<u8>>,
}

/// All of them, in the order of the golden file.
pub(crate) fn all() -> Vec<Example> {
    let mut out = vec![header(), manifest(), ticket(), link()];
    out.extend(records());
    out.extend(joining());
    out.extend(presence());
    out.extend(holding());
    out.extend(finding());
    out.extend(orders());
    out.extend(transfer());
    out.extend(backup::records());
    out.extend(backup::placing());
    out.extend(backup::looking());
    out.extend(backup::keeping());
    out.extend(backup::moving());
    out
}

const NETWORK_SEED: [u8; 32] = [1; 32];
const PEER_SEED: [u8; 32] = [2; 32];

fn network() -> NetworkId {
    NetworkId(SigningKey::from_seed(NETWORK_SEED).public())
}

fn peer() -> PeerId {
    SigningKey::from_seed(PEER_SEED).peer_id()
}

fn blob(n: u8) -> BlobId {
    BlobId([n; 32])
}

fn endpoint() -> Endpoint {
    "192.0.2.7:7701".parse().unwrap()
}

fn message<M: Message>(message: M) -> Example {
    Example {
        name: M::NAME,
        bytes: message.encode(),
        recode: |bytes| M::decode(bytes).ok().map(|message| message.encode()),
    }
}

fn header() -> Example {
    let header = Header {
        length: 49,
        kind: Read::KIND,
        request: REPLY | 258,
    };
    Example {
        name: "frame-header",
        bytes: header.encode().to_vec(),
        recode: |bytes| Some(Header::decode(bytes.try_into().ok()?).encode().to_vec()),
    }
}

fn manifest() -> Example {
    let file = |path: &str, size, executable| Entry {
        path: path.parse().unwrap(),
        node: Node::File {
            size,
            id: blob(0x11),
            executable,
        },
    };
    let empty = Entry {
        path: "empty".parse().unwrap(),
        node: Node::Folder,
    };
    let entries = vec![
        file("run.sh", 300, true),
        file("a/żółw.txt", 3_000_000_000, false),
        empty,
    ];
    Example {
        name: "manifest",
        bytes: Manifest::new(entries).unwrap().encode(),
        recode: |bytes| Manifest::decode(bytes).ok().map(|manifest| manifest.encode()),
    }
}

fn ticket() -> Example {
    let ticket = Ticket {
        network: network(),
        coordinators: vec![endpoint(), "[2001:db8::1]:7700".parse().unwrap()],
        secret: Secret([0x5e; 16]),
        role: Role::Both,
        expires_unix_s: 1_800_000_000,
    };
    Example {
        name: "ticket",
        bytes: ticket.to_string().into_bytes(),
        recode: |bytes| {
            Some(
                std::str::from_utf8(bytes)
                    .ok()?
                    .parse::<Ticket>()
                    .ok()?
                    .to_string()
                    .into_bytes(),
            )
        },
    }
}

fn link() -> Example {
    let link = Link {
        network: network(),
        publisher: peer(),
        name: "holiday pictures".parse().unwrap(),
        content: share().content,
    };
    Example {
        name: "link",
        bytes: link.to_string().into_bytes(),
        recode: |bytes| {
            Some(
                std::str::from_utf8(bytes)
                    .ok()?
                    .parse::<Link>()
                    .ok()?
                    .to_string()
                    .into_bytes(),
            )
        },
    }
}

fn grant() -> Grant {
    Grant {
        network: network(),
        peer: peer(),
        name: "peer_1".parse().unwrap(),
        role: Role::Storage,
        serial: 300,
        expires_unix_s: 0,
    }
}

fn certificate() -> CoordinatorCertificate {
    CoordinatorCertificate {
        network: network(),
        coordinator: PeerId([3; 32]),
        expires_unix_s: 1_900_000_000,
    }
}

fn revocations() -> Revocations {
    Revocations {
        network: network(),
        number: 2,
        serials: vec![7, 300],
    }
}

fn share() -> ShareRecord {
    ShareRecord {
        network: network(),
        publisher: peer(),
        name: "holiday pictures".parse().unwrap(),
        sequence: 5,
        content: Content {
            id: blob(0x22),
            size: 1_048_577,
            kind: ContentKind::Folder,
        },
        bytes: 3_000_000_300,
        audience: Audience::Peers(vec![PeerId([4; 32])]),
        withdrawn: false,
    }
}

fn by_network<T: Record>(record: &T) -> Signed<T> {
    Signed::new(record, &SigningKey::from_seed(NETWORK_SEED))
}

fn by_peer<T: Record>(record: &T) -> Signed<T> {
    Signed::new(record, &SigningKey::from_seed(PEER_SEED))
}

/// A record as it travels: its bytes and the signature.
fn record<T: Record>(name: &'static str, signed: &Signed<T>) -> Example {
    Example {
        name,
        bytes: signed.encode(),
        recode: |bytes| {
            let signed = Signed::<T>::decode(bytes).ok()?;
            signed.peek().ok()?;
            Some(signed.encode())
        },
    }
}

fn records() -> Vec<Example> {
    vec![
        record("signed-grant", &by_network(&grant())),
        record("signed-coordinator-certificate", &by_network(&certificate())),
        record("signed-revocations", &by_network(&revocations())),
        record("signed-share-record", &by_peer(&share())),
    ]
}

fn joining() -> Vec<Example> {
    vec![
        message(Hello {
            features: 0,
            agent: "skep 0.1.0".into(),
            lane: Lane::Bulk,
            grant: Some(by_network(&grant())),
            certificate: None,
            revocations: 2,
        }),
        message(Refused::new(
            Reason::NameInUse,
            "the name peer_1 belongs to another key",
        )),
        message(Unsupported { kind: 0x7fff }),
        message(Done {}),
        message(Ping {}),
        message(NewRevocations {
            list: by_network(&revocations()),
        }),
        message(Join {
            secret: Secret([0x5e; 16]),
            name: Some("peer_1".parse().unwrap()),
            role: Some(Role::Owner),
        }),
        message(Joined {
            grant: by_network(&grant()),
            returning: true,
        }),
    ]
}

fn presence() -> Vec<Example> {
    vec![
        message(Attend {
            listen_port: 7701,
            advertise: Some("peer.example".into()),
            capacity_bytes: 10 << 30,
            used_bytes: 127,
            site: Some("cellar".into()),
            holdings: [0x33; 32],
        }),
        message(Welcome {
            name: "peer_1".parse().unwrap(),
            returning: false,
            heartbeat_ms: 10_000,
            holdings_known: true,
        }),
        message(Heartbeat { used_bytes: 128 }),
        message(HeartbeatSeen {
            reachable: Some(true),
            address: Some(endpoint()),
        }),
        message(Leave {}),
        message(Revoke {
            name: "peer_1".parse().unwrap(),
        }),
        message(Introduce { peer: peer() }),
    ]
}

fn triple() -> Triple {
    Triple {
        nonce: [0x44; 32],
        leaf: 197,
        answer: [0x55; 32],
    }
}

fn holding() -> Vec<Example> {
    let (content, complete) = (blob(0x22), false);
    vec![
        message(Publish {
            record: by_peer(&share()),
            triples: vec![triple()],
        }),
        message(Hold {
            holdings: vec![Holding { content, complete }],
        }),
        message(Questions {
            questions: vec![Question {
                content,
                nonce: [0x44; 32],
                leaf: 197,
            }],
        }),
        message(Answers {
            answers: vec![Answer {
                content,
                answer: Some([0x55; 32]),
                triples: vec![triple()],
            }],
        }),
        message(Verdicts {
            refused: vec![content],
        }),
        message(Drop {
            contents: vec![content],
        }),
        message(WantTriples { content }),
        message(Deposit {
            triples: vec![triple(), triple()],
        }),
    ]
}

fn finding() -> Vec<Example> {
    let name: PeerName = "peer_1".parse().unwrap();
    vec![
        message(Lookup { content: blob(0x22) }),
        message(Holders {
            holders: vec![Holder {
                peer: peer(),
                name: name.clone(),
                address: None,
                complete: true,
            }],
        }),
        message(Find {
            query: Query::Name {
                publisher: Some(name.clone()),
                name: "holiday pictures".parse().unwrap(),
            },
            after: Some((name.clone(), "a".parse().unwrap())),
        }),
        message(Shares {
            shares: vec![Listed {
                record: by_peer(&share()),
                publisher: name.clone(),
                grant: by_network(&grant()),
                holders: 12,
            }],
            more: true,
        }),
        message(ListPeers { after: None }),
        message(Peers {
            peers: vec![PeerRow {
                peer: peer(),
                name,
                role: Role::Both,
                presence: Presence::Failed,
                reachable: true,
                capacity_bytes: 1 << 40,
                used_bytes: 0,
                last_seen_unix_s: 1_790_000_000,
            }],
            more: false,
        }),
    ]
}

fn orders() -> Vec<Example> {
    vec![message(Dial {
        peer: peer(),
        address: endpoint(),
    })]
}

fn transfer() -> Vec<Example> {
    let content = blob(0x22);
    vec![
        message(WantOutline {
            content,
            object: 3,
            page: 255,
        }),
        message(OutlinePage {
            leaves: vec![[0x66; 32], [0x77; 32]],
            path: vec![[0x88; 32]],
        }),
        message(Read {
            content,
            chunk: 1 << 20,
            first_unit: 16,
            units: 48,
            proof: true,
        }),
        message(Credit { bytes: 1 << 20 }),
        message(Cancel { request: 258 }),
        message(WantHave { content }),
        message(Have {
            complete: false,
            chunks: vec![0x3a, 0x30],
        }),
        message(HaveMore {
            content,
            chunks: vec![0, 127, 128, u64::MAX],
        }),
    ]
}
