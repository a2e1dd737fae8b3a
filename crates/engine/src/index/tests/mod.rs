//! Tests of the index as a whole: an index, a ledger in memory, and peers that talk to it.

mod backups;
mod denials;
mod holding;
mod life;
mod model;
mod restart;
mod simulation;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use skep_wire::{
    BlobId, Moment, NetworkId, PeerId, PeerName, ShareName, Signed, SigningKey,
    message::{
        Answer, Answers, Attend, Deposit, Find, Hello, Hold, Holder, Holders, Holding, Join, Lane, Listed,
        Lookup, Message, Publish, Query, Question, Reason, Refused, Triple, Welcome,
    },
    record::{Audience, Content, ContentKind, Grant, Role, ShareRecord},
    ticket::Secret,
};

use super::*;

const HEARTBEAT: Duration = Duration::from_secs(10);

fn network_key() -> Arc<SigningKey> {
    Arc::new(SigningKey::from_seed([0xff; 32]))
}

fn config(max_peers: u32) -> Config {
    Config {
        network_key: network_key(),
        max_peers,
        heartbeat: HEARTBEAT,
        failed_after: Duration::from_secs(3600),
        coordinator_key: Arc::new(SigningKey::from_seed([0xc0; 32])),
        backups: depot::Settings::new(HEARTBEAT, Duration::from_secs(3600)),
    }
}

fn blob(n: u16) -> BlobId {
    let mut id = [0; 32];
    id[..2].copy_from_slice(&n.to_be_bytes());
    BlobId(id)
}

fn name(text: &str) -> PeerName {
    PeerName::parse(text).unwrap()
}

fn share_name(text: &str) -> ShareName {
    ShareName::parse(text).unwrap()
}

/// What only those who have the content can compute.
fn true_answer(content: &BlobId, nonce: &[u8; 32], leaf: u64) -> [u8; 32] {
    *blake3::keyed_hash(nonce, &[content.as_bytes(), &leaf.to_be_bytes()[..]].concat()).as_bytes()
}

fn triples(content: &BlobId, count: u8) -> Vec<Triple> {
    let triple = |n| Triple {
        nonce: [n; 32],
        leaf: n.into(),
        answer: true_answer(content, &[n; 32], n.into()),
    };
    (0..count).map(triple).collect()
}

/// One device.
struct Peer {
    key: SigningKey,
    grant: Option<Signed<Grant>>,
    session: SessionId,
    sequence: u64,
    /// What it has all of.
    has: BTreeSet<BlobId>,
}

impl Peer {
    fn new(n: u16) -> Self {
        let mut seed = [1; 32];
        seed[..2].copy_from_slice(&n.to_be_bytes());
        Self {
            key: SigningKey::from_seed(seed),
            grant: None,
            session: SessionId(0),
            sequence: 0,
            has: BTreeSet::new(),
        }
    }

    fn id(&self) -> PeerId {
        self.key.peer_id()
    }

    fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for id in &self.has {
            hasher.update(id.as_bytes());
        }
        *hasher.finalize().as_bytes()
    }

    fn answer(&self, question: &Question) -> Answer {
        let answer = true_answer(&question.content, &question.nonce, question.leaf);
        Answer {
            content: question.content,
            answer: self.has.contains(&question.content).then_some(answer),
            triples: triples(&question.content, 4),
        }
    }

    fn record(&mut self, name: &str, content: BlobId) -> ShareRecord {
        self.sequence += 1;
        ShareRecord {
            network: NetworkId(network_key().public()),
            publisher: self.id(),
            name: share_name(name),
            sequence: self.sequence,
            content: Content {
                id: content,
                size: 5,
                kind: ContentKind::File,
            },
            bytes: 5,
            audience: Audience::Everyone,
            withdrawn: false,
        }
    }
}

/// An index with its ledger.
struct Net {
    index: Index,
    now: Moment,
    facts: BTreeMap<Vec<u8>, Vec<u8>>,
    last_session: u64,
    last_request: u32,
    /// What went out and was not asked for.
    out: Vec<Output>,
}

impl Net {
    fn new() -> Self {
        Self::with(config(1000))
    }

    fn with(config: Config) -> Self {
        let now = Moment {
            mono: Duration::from_secs(50),
            unix_s: 1_000_000,
        };
        Self {
            index: Index::new(config, [5; 32], now),
            now,
            facts: BTreeMap::new(),
            last_session: 0,
            last_request: 0,
            out: Vec::new(),
        }
    }

    /// The coordinator stops at once and starts again from its ledger.
    fn restart(&mut self) {
        let facts = self.facts.clone();
        self.index = Index::restore(self.index.config.clone(), [6; 32], self.now, facts).unwrap();
        self.out.clear();
    }

    fn event(&mut self, event: Event) {
        let mut effects = Effects::default();
        self.index.handle(self.now, event, &mut effects);
        self.commit(effects);
    }

    fn poll(&mut self) {
        let mut effects = Effects::default();
        self.index.poll(self.now, &mut effects);
        self.commit(effects);
    }

    fn commit(&mut self, effects: Effects) {
        for Change { key, value } in effects.changes {
            match value {
                Some(value) => self.facts.insert(key, value),
                None => self.facts.remove(&key),
            };
        }
        self.out.extend(effects.outputs);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.later(time);
        self.poll();
    }

    fn invite(&mut self, secret: u8, role: Role, uses: u32) {
        let command = Command::Invite {
            secret: Secret([secret; 16]),
            role,
            uses,
            lifetime_s: 600,
        };
        self.administer(command).unwrap();
    }

    fn administer(&mut self, command: Command) -> Result<CommandReply, Denial> {
        let call = CallId(1);
        self.event(Event::Administered { call, command });
        match self.out.pop() {
            Some(Output::Administered { outcome, .. }) => outcome,
            other => panic!("{other:?}"),
        }
    }

    /// Connects with whatever grant the peer has.
    fn connect(&mut self, peer: &mut Peer) {
        self.last_session += 1;
        peer.session = SessionId(self.last_session);
        let hello = Hello {
            features: 0,
            agent: "test".into(),
            lane: Lane::Control,
            grant: peer.grant.clone(),
            certificate: None,
            revocations: 0,
        };
        self.event(Event::Opened {
            session: peer.session,
            peer: peer.id(),
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            hello,
        });
    }

    fn disconnect(&mut self, peer: &Peer) {
        let session = peer.session;
        self.event(Event::Closed { session });
    }

    /// Asks without waiting; the reply may come later.
    fn send(&mut self, peer: &Peer, body: Request) -> u32 {
        self.last_request += 1;
        let (session, request) = (peer.session, self.last_request);
        self.event(Event::Asked {
            session,
            request,
            body,
        });
        request
    }

    /// The reply to a request, if it came.
    fn reply(&mut self, peer: &Peer, wanted: u32) -> Option<Reply> {
        let is_it = |output: &Output| matches!(output, Output::Reply { session, request, .. } if (*session, *request) == (peer.session, wanted));
        let at = self.out.iter().position(is_it)?;
        match self.out.remove(at) {
            Output::Reply { body, .. } => Some(body),
            _ => None,
        }
    }

    fn ask(&mut self, peer: &Peer, body: Request) -> Reply {
        let request = self.send(peer, body);
        self.reply(peer, request).expect("a reply at once")
    }

    fn denied(&mut self, peer: &Peer, body: Request) -> Reason {
        match self.ask(peer, body) {
            Reply::Refused(Refused { reason, text }) => {
                assert!(!text.is_empty());
                reason
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    fn done(&mut self, peer: &Peer, body: Request) {
        assert_eq!(self.ask(peer, body), Reply::Done(Done {}));
    }

    /// Joins with a ticket of its own and attends.
    fn join(&mut self, n: u16, wanted: &str) -> Peer {
        let mut peer = Peer::new(n);
        self.invite(200, Role::Both, 1);
        self.connect(&mut peer);
        let joined = self.ask(&peer, join(200, Some(wanted), None));
        let Reply::Joined(joined) = joined else {
            panic!("{joined:?}");
        };
        peer.grant = Some(joined.grant);
        self.attend(&peer);
        peer
    }

    fn attend(&mut self, peer: &Peer) -> Welcome {
        match self.ask(peer, Request::Attend(attend(peer))) {
            Reply::Welcome(welcome) => welcome,
            other => panic!("{other:?}"),
        }
    }

    /// Publishes a content under a name, with triples.
    fn publish(&mut self, peer: &mut Peer, name: &str, content: BlobId) {
        let record = peer.record(name, content);
        peer.has.insert(content);
        self.done(peer, publish(peer, &record, 4));
    }

    /// Says that it has these and answers what it is asked. Returns what was refused.
    fn hold(&mut self, peer: &Peer, contents: &[BlobId]) -> Vec<BlobId> {
        let reply = self.ask(peer, hold(contents));
        self.prove(peer, reply)
    }

    fn prove(&mut self, peer: &Peer, reply: Reply) -> Vec<BlobId> {
        let Reply::Questions(questions) = reply else {
            panic!("{reply:?}");
        };
        let answers = questions
            .questions
            .iter()
            .map(|question| peer.answer(question))
            .collect();
        match self.ask(peer, Request::Answers(Answers { answers })) {
            Reply::Verdicts(verdicts) => verdicts.refused,
            other => panic!("{other:?}"),
        }
    }

    fn lookup(&mut self, peer: &Peer, content: BlobId) -> Vec<Holder> {
        match self.ask(peer, Request::Lookup(Lookup { content })) {
            Reply::HandedOut(holders) => Holders::decode(&holders.encode()).unwrap().holders,
            other => panic!("{other:?}"),
        }
    }

    fn lookup_ids(&mut self, peer: &Peer, content: BlobId) -> Vec<PeerId> {
        self.lookup(peer, content)
            .into_iter()
            .map(|holder| holder.peer)
            .collect()
    }

    fn find(&mut self, peer: &Peer, query: Query) -> Vec<Listed> {
        let find = Find { query, after: None };
        match self.ask(peer, Request::Find(find)) {
            Reply::Shares(shares) => shares.shares,
            other => panic!("{other:?}"),
        }
    }

    /// The orders that went out and were not taken yet.
    fn take_orders(&mut self) -> Vec<(SessionId, OrderId, Order)> {
        let mut orders = Vec::new();
        self.out.retain(|output| match output {
            Output::Order { session, order, body } => {
                orders.push((*session, *order, body.clone()));
                false
            }
            _ => true,
        });
        orders
    }

    /// Answers all orders for triples honestly.
    fn deposit(&mut self) {
        for (session, order, body) in self.take_orders() {
            if let Order::WantTriples(want) = body {
                let triples = triples(&want.content, 4);
                let reply = OrderReply::Deposit(Deposit { triples });
                self.event(Event::Answered {
                    session,
                    order,
                    reply,
                });
            }
        }
    }

    /// Why a connection was closed, if it was.
    fn closed(&mut self, peer: &Peer) -> Option<Reason> {
        self.out.iter().find_map(|output| match output {
            Output::Close { session, refusal } if *session == peer.session => Some(refusal.reason),
            _ => None,
        })
    }
}

fn join(secret: u8, name: Option<&str>, role: Option<Role>) -> Request {
    Request::Join(Join {
        secret: Secret([secret; 16]),
        name: name.map(self::name),
        role,
    })
}

fn attend(peer: &Peer) -> Attend {
    Attend {
        listen_port: 7000,
        advertise: None,
        capacity_bytes: 100,
        used_bytes: 10,
        site: None,
        holdings: peer.digest(),
    }
}

fn publish(peer: &Peer, record: &ShareRecord, deposit: u8) -> Request {
    Request::Publish(Publish {
        record: Signed::new(record, &peer.key),
        triples: triples(&record.content.id, deposit),
    })
}

fn hold(contents: &[BlobId]) -> Request {
    let holding = |content: &BlobId| Holding {
        content: *content,
        complete: true,
    };
    Request::Hold(Hold {
        holdings: contents.iter().map(holding).collect(),
    })
}
