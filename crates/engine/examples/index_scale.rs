//! Fills an index as a large network would, and measures its memory and its lookups.
//!
//! 100,000 contents with 10 holders each and one with 10,000; at most 50 holders per lookup. All of
//! it through the events that peers cause. Prints a table and fails if a promise is not kept.
//!
//! `cargo run --release -p skep-engine --example index_scale`

#![expect(
    clippy::disallowed_methods,
    reason = "the engine has no clock and no files; this measures it"
)]
#![expect(clippy::print_stdout, reason = "a program")]

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use skep_engine::depot;
use skep_engine::index::{
    CallId, Command, Config, Effects, Event, Index, Order, OrderReply, Output, Reply, Request, SessionId,
};
use skep_wire::{
    BlobId, Moment, NetworkId, ShareName, Signed, SigningKey,
    message::{Answer, Answers, Attend, Deposit, Hello, Hold, Holding, Join, Lane, Lookup, Publish, Triple},
    record::{Audience, Content, ContentKind, Role, ShareRecord},
    ticket::Secret,
};

const PEERS: usize = 10_000;
const CONTENTS: usize = 100_000;
const HOLDERS: usize = 10;
const LOOKUPS: usize = 1_000_000;
/// At most.
const MEMORY_MIB: u64 = 250;
/// At least.
const LOOKUPS_PER_S: u32 = 300_000;
/// The number of the content that everybody has.
const POPULAR: usize = CONTENTS;

const NETWORK_SEED: [u8; 32] = [1; 32];

const NOW: Moment = Moment {
    mono: Duration::from_secs(1),
    unix_s: 1_800_000_000,
};

struct Network {
    index: Index,
    /// Of the peers.
    keys: Vec<SigningKey>,
    /// Of the contents.
    ids: Vec<BlobId>,
    effects: Effects,
}

fn main() -> ExitCode {
    let keys = (0..PEERS).map(key).collect();
    let ids = (0..=CONTENTS).map(id).collect();
    let before_kib = resident_kib();
    let mut network = Network::of(keys, ids);
    network.share_everything();
    network.hold_everything();
    let used_mib = (resident_kib() - before_kib) / 1024;
    let summary = network.index.summary();
    assert_eq!(summary.contents, CONTENTS + 1);
    assert_eq!(summary.holdings, CONTENTS * HOLDERS + PEERS);

    // The best of three: what else the machine does is not the index's affair.
    let mut best = |content: fn(usize) -> usize| {
        let rates = [(); 3].map(|()| network.lookups_per_second(content));
        rates.into_iter().fold(0.0, f64::max)
    };
    let spread = best(|n| n * 7919 % CONTENTS);
    let popular = best(|_| POPULAR);
    println!("                            measured  promised");
    println!("memory, MiB              {used_mib:>11} {MEMORY_MIB:>9}");
    println!("lookups/s, 10 holders    {spread:>11.0} {LOOKUPS_PER_S:>9}");
    println!("lookups/s, 50 of 10,000  {popular:>11.0} {LOOKUPS_PER_S:>9}");
    let kept = used_mib <= MEMORY_MIB && spread.min(popular) >= f64::from(LOOKUPS_PER_S);
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Network {
    /// Everybody joins and attends.
    fn of(keys: Vec<SigningKey>, ids: Vec<BlobId>) -> Self {
        let config = Config {
            network_key: Arc::new(SigningKey::from_seed(NETWORK_SEED)),
            max_peers: u32::MAX,
            heartbeat: Duration::from_secs(10),
            failed_after: Duration::from_secs(86_400),
            coordinator_key: Arc::new(SigningKey::from_seed(NETWORK_SEED)),
            backups: depot::Settings::new(Duration::from_secs(10), Duration::from_secs(86_400)),
        };
        let mut network = Self {
            index: Index::new(config, [2; 32], NOW),
            keys,
            ids,
            effects: Effects::default(),
        };
        network.event(Event::Administered {
            call: CallId(0),
            command: Command::Invite {
                secret: Secret([3; 16]),
                role: Role::Both,
                uses: u32::MAX,
                lifetime_s: 600,
            },
        });
        (0..PEERS).for_each(|at| network.join(at));
        network
    }

    fn join(&mut self, at: usize) {
        let (session, peer) = (session(at), self.keys[at].peer_id());
        let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let hello = hello();
        self.event(Event::Opened {
            session,
            peer,
            source,
            hello,
        });
        let join = Join {
            secret: Secret([3; 16]),
            name: None,
            role: None,
        };
        self.ask(at, Request::Join(join));
        let attend = Attend {
            listen_port: 7700,
            advertise: None,
            capacity_bytes: 1 << 30,
            used_bytes: 0,
            site: None,
            holdings: *blake3::hash(&[]).as_bytes(),
        };
        self.ask(at, Request::Attend(attend));
        self.event(Event::DialedBack {
            session,
            reached: true,
        });
    }

    /// Every content has one publisher.
    fn share_everything(&mut self) {
        for content in 0..=CONTENTS {
            let at = holder(content, 0);
            let record = record(&self.keys[at], content, self.ids[content]);
            let triples = triples();
            self.ask(at, Request::Publish(Publish { record, triples }));
        }
    }

    /// The other holders claim and prove what they have.
    fn hold_everything(&mut self) {
        let mut held = vec![vec![POPULAR]; PEERS];
        for content in 0..CONTENTS {
            for nth in 1..HOLDERS {
                held[holder(content, nth)].push(content);
            }
        }
        for (at, contents) in held.into_iter().enumerate() {
            let holding = |content: &usize| Holding {
                content: self.ids[*content],
                complete: true,
            };
            let holdings = contents.iter().map(holding).collect();
            if let Some(Reply::Questions(asked)) = self.ask(at, Request::Hold(Hold { holdings })) {
                let answers = asked.questions.into_iter().map(|question| Answer {
                    content: question.content,
                    answer: Some(question.nonce),
                    triples: triples(),
                });
                let answers = answers.collect();
                self.ask(at, Request::Answers(Answers { answers }));
            }
        }
    }

    fn lookups_per_second(&mut self, content: impl Fn(usize) -> usize) -> f64 {
        let started = Instant::now();
        for n in 0..LOOKUPS {
            let lookup = Lookup {
                content: self.ids[content(n)],
            };
            let reply = self.ask(n % PEERS, Request::Lookup(lookup));
            assert!(matches!(reply, Some(Reply::HandedOut(_))), "{reply:?}");
        }
        LOOKUPS as f64 / started.elapsed().as_secs_f64()
    }

    /// Asks, answers orders for triples, and returns the reply.
    fn ask(&mut self, at: usize, body: Request) -> Option<Reply> {
        let (session, request) = (session(at), 1);
        self.event(Event::Asked {
            session,
            request,
            body,
        });
        let mut answered = None;
        while let Some(output) = self.effects.outputs.pop() {
            match output {
                Output::Reply { body, .. } => answered = Some(body),
                Output::Order {
                    session,
                    order,
                    body: Order::WantTriples(_),
                } => {
                    let triples = triples();
                    let reply = OrderReply::Deposit(Deposit { triples });
                    self.event(Event::Answered {
                        session,
                        order,
                        reply,
                    });
                }
                _ => {}
            }
        }
        answered
    }

    fn event(&mut self, event: Event) {
        self.index.handle(NOW, event, &mut self.effects);
        self.effects.changes.clear();
    }
}

fn key(at: usize) -> SigningKey {
    SigningKey::from_seed(id(at).0)
}

fn session(at: usize) -> SessionId {
    SessionId(at as u64)
}

/// The nth holder of a content: each on another peer.
fn holder(content: usize, nth: usize) -> usize {
    (content + nth * (PEERS / HOLDERS)) % PEERS
}

fn id(n: usize) -> BlobId {
    BlobId(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn hello() -> Hello {
    Hello {
        features: 0,
        agent: String::new(),
        lane: Lane::Control,
        grant: None,
        certificate: None,
        revocations: 0,
    }
}

fn record(key: &SigningKey, n: usize, id: BlobId) -> Signed<ShareRecord> {
    let record = ShareRecord {
        network: NetworkId(SigningKey::from_seed(NETWORK_SEED).public()),
        publisher: key.peer_id(),
        name: ShareName::parse(&format!("share {n}")).expect("a word and a number are a name"),
        sequence: 1,
        content: Content {
            id,
            size: 1,
            kind: ContentKind::File,
        },
        bytes: 1,
        audience: Audience::Everyone,
        withdrawn: false,
    };
    Signed::new(&record, key)
}

/// Whoever answers with the nonce is right: the index cannot know better.
fn triples() -> Vec<Triple> {
    let triple = |n| Triple {
        nonce: [n; 32],
        leaf: 0,
        answer: [n; 32],
    };
    (0..4).map(triple).collect()
}

/// Resident memory of this process.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("a running process");
    let kib = line.split_whitespace().nth(1).expect("a number");
    kib.parse().expect("a number")
}
