//! Any sequence of events against a model that is too simple to be wrong: sets of who joined, who is
//! there, who proved what, and what names mean.

use proptest::{collection::vec, prelude::*};
use skep_wire::message::{Drop, Heartbeat, Leave};

use super::*;

const PEERS: usize = 4;
const CONTENTS: u16 = 3;
const NAMES: usize = 2;

#[derive(Debug, Clone)]
enum Step {
    Connect(usize),
    Disconnect(usize),
    Beat(usize),
    /// Seconds.
    Pass(u8),
    Publish(usize, usize, u16),
    Withdraw(usize, usize),
    /// The peer gets the bytes and says so.
    Fetch(usize, u16),
    /// The peer says that it has it and does not.
    Lie(usize, u16),
    /// The bytes are gone, and the peer says so.
    Drop(usize, u16),
    /// The bytes are gone, and the peer has yet to notice.
    Lose(usize, u16),
    Lookup(usize, u16),
    Leave(usize),
    Revoke(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, content, name) = (0..PEERS, 0..CONTENTS, 0..NAMES);
    prop_oneof![
        8 => peer.clone().prop_map(Step::Connect),
        2 => peer.clone().prop_map(Step::Disconnect),
        2 => peer.clone().prop_map(Step::Beat),
        2 => (1..20u8).prop_map(Step::Pass),
        5 => (peer.clone(), name.clone(), content.clone()).prop_map(|(p, n, c)| Step::Publish(p, n, c)),
        1 => (peer.clone(), name).prop_map(|(p, n)| Step::Withdraw(p, n)),
        6 => (peer.clone(), content.clone()).prop_map(|(p, c)| Step::Fetch(p, c)),
        2 => (peer.clone(), content.clone()).prop_map(|(p, c)| Step::Lie(p, c)),
        1 => (peer.clone(), content.clone()).prop_map(|(p, c)| Step::Drop(p, c)),
        2 => (peer.clone(), content.clone()).prop_map(|(p, c)| Step::Lose(p, c)),
        6 => (peer.clone(), content).prop_map(|(p, c)| Step::Lookup(p, c)),
        1 => peer.clone().prop_map(Step::Leave),
        1 => peer.prop_map(Step::Revoke),
        1 => Just(Step::Restart),
    ]
}

/// One peer as the model sees it.
struct Actor {
    peer: Peer,
    connected: bool,
    revoked: bool,
    heard: Duration,
    names: BTreeMap<usize, BlobId>,
    /// What it has proven, or was believed, to have; it may have lost it since.
    proven: BTreeSet<BlobId>,
    /// What it had proven before it came with another digest, and has not said again.
    doubted: BTreeSet<BlobId>,
}

impl Actor {
    fn holds(&self, content: &BlobId) -> bool {
        self.proven.contains(content) || self.doubted.contains(content)
    }
}

struct Model {
    net: Net,
    actors: Vec<Actor>,
}

impl Model {
    fn new() -> Self {
        let actor = |n| Actor {
            peer: Peer::new(n),
            connected: false,
            revoked: false,
            heard: Duration::ZERO,
            names: BTreeMap::new(),
            proven: BTreeSet::new(),
            doubted: BTreeSet::new(),
        };
        Self {
            net: Net::new(),
            actors: (0..).take(PEERS).map(actor).collect(),
        }
    }

    fn online(&self, actor: &Actor) -> bool {
        actor.connected && self.net.now.mono < actor.heard + HEARTBEAT * 3
    }

    fn shared(&self, content: &BlobId) -> bool {
        self.actors
            .iter()
            .any(|actor| actor.names.values().any(|id| id == content))
    }

    /// What nobody shares any more is known no more.
    fn forget_unshared(&mut self) {
        let shared: BTreeSet<BlobId> = self
            .actors
            .iter()
            .flat_map(|actor| actor.names.values().copied())
            .collect();
        for actor in &mut self.actors {
            actor.proven.retain(|content| shared.contains(content));
            actor.doubted.retain(|content| shared.contains(content));
        }
    }

    fn run(&mut self, step: &Step) {
        let connected = |at: &usize| self.actors[*at].connected;
        match step {
            Step::Connect(at) => self.connect(*at),
            Step::Pass(seconds) => self.net.pass(Duration::from_secs((*seconds).into())),
            Step::Revoke(at) => self.revoke(*at),
            Step::Restart => self.restart(),
            Step::Lose(at, content) => {
                self.actors[*at].peer.has.remove(&blob(*content));
            }
            Step::Disconnect(at) if connected(at) => self.disconnect(*at),
            Step::Beat(at) if connected(at) => {
                self.talk(*at, Request::Heartbeat(Heartbeat { used_bytes: 1 }))
            }
            Step::Publish(at, name, content) if connected(at) => self.publish(*at, *name, blob(*content)),
            Step::Withdraw(at, name) if connected(at) => self.withdraw(*at, *name),
            Step::Fetch(at, content) if connected(at) => {
                self.actors[*at].peer.has.insert(blob(*content));
                self.hold(*at, blob(*content));
            }
            Step::Lie(at, content) if connected(at) => self.hold(*at, blob(*content)),
            Step::Drop(at, content) if connected(at) => self.drop_content(*at, blob(*content)),
            Step::Lookup(at, content) if connected(at) => self.lookup(*at, blob(*content)),
            Step::Leave(at) if connected(at) => self.leave(*at),
            _ => {}
        }
    }

    fn talk(&mut self, at: usize, body: Request) {
        self.actors[at].heard = self.net.now.mono;
        let reply = self.net.ask(&self.actors[at].peer, body);
        assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
    }

    /// Connects, joins if need be, attends, and says what it has if that is not known.
    fn connect(&mut self, at: usize) {
        let now = self.net.now.mono;
        let actor = &mut self.actors[at];
        if actor.revoked {
            self.net.connect(&mut actor.peer);
            assert_eq!(self.net.closed(&actor.peer), Some(Reason::Revoked));
            return;
        }
        self.net.connect(&mut actor.peer);
        if actor.peer.grant.is_none() {
            self.net.invite(9, Role::Both, 1);
            let Reply::Joined(joined) = self.net.ask(&actor.peer, join(9, None, None)) else {
                panic!("not joined");
            };
            actor.peer.grant = Some(joined.grant);
        }
        let welcome = self.net.attend(&actor.peer);
        (actor.connected, actor.heard) = (true, now);
        assert_eq!(welcome.holdings_known, actor.peer.has == actor.proven);
        actor.doubted.clear();
        if !welcome.holdings_known {
            actor.doubted = std::mem::take(&mut actor.proven);
            for content in actor.peer.has.clone() {
                self.hold(at, content);
            }
        }
    }

    fn disconnect(&mut self, at: usize) {
        self.net.disconnect(&self.actors[at].peer);
        self.actors[at].connected = false;
        self.actors[at].doubted.clear();
    }

    fn publish(&mut self, at: usize, name: usize, content: BlobId) {
        self.actors[at].heard = self.net.now.mono;
        let first = !self.actors.iter().any(|actor| actor.holds(&content));
        let actor = &mut self.actors[at];
        self.net
            .publish(&mut actor.peer, &format!("name {name}"), content);
        actor.names.insert(name, content);
        if first || actor.doubted.remove(&content) {
            actor.proven.insert(content);
        }
        self.forget_unshared();
        self.hold(at, content);
    }

    fn withdraw(&mut self, at: usize, name: usize) {
        let actor = &mut self.actors[at];
        let Some(content) = actor.names.remove(&name) else {
            return;
        };
        let mut record = actor.peer.record(&format!("name {name}"), content);
        record.withdrawn = true;
        let request = publish(&actor.peer, &record, 0);
        self.talk(at, request);
        self.forget_unshared();
    }

    /// Says that it has a content, and is believed if it has, or publishes it and cannot be asked.
    fn hold(&mut self, at: usize, content: BlobId) {
        self.actors[at].heard = self.net.now.mono;
        let peer = &self.actors[at].peer;
        let request = self.net.send(peer, hold(&[content]));
        self.net.deposit();
        let peer = &self.actors[at].peer;
        let reply = self.net.reply(peer, request).expect("questions");
        let asked = matches!(&reply, Reply::Questions(questions) if !questions.questions.is_empty());
        let refused = self.net.prove(peer, reply);
        let (has, shared) = (peer.has.contains(&content), self.shared(&content));
        let held = self.actors.iter().any(|actor| actor.holds(&content));
        let actor = &mut self.actors[at];
        let publishes = actor.names.values().any(|id| *id == content);
        let known = actor.holds(&content);
        assert!(!asked || (shared && held && !known), "asked without need");
        assert_eq!(refused.is_empty(), !asked || has);
        // A publisher is believed where there is nothing to ask.
        let was_doubted = actor.doubted.remove(&content);
        if (shared && publishes && !asked) || (asked && has) || was_doubted {
            actor.proven.insert(content);
        }
    }

    fn drop_content(&mut self, at: usize, content: BlobId) {
        self.actors[at].peer.has.remove(&content);
        self.actors[at].proven.remove(&content);
        self.actors[at].doubted.remove(&content);
        let contents = vec![content];
        self.talk(at, Request::Drop(Drop { contents }));
    }

    fn lookup(&mut self, at: usize, content: BlobId) {
        let now = self.net.now.mono;
        self.actors[at].heard = now;
        let peer = &self.actors[at].peer;
        if !self.shared(&content) {
            let lookup = Request::Lookup(Lookup { content });
            assert_eq!(self.net.denied(peer, lookup), Reason::NotFound);
            return;
        }
        let given: BTreeSet<PeerId> = self.net.lookup_ids(peer, content).into_iter().collect();
        let holds = |(other, actor): &(usize, &Actor)| {
            *other != at && self.online(actor) && actor.proven.contains(&content)
        };
        let holders = self.actors.iter().enumerate().filter(holds);
        let expected: BTreeSet<PeerId> = holders.map(|(_, actor)| actor.peer.id()).collect();
        assert_eq!(
            given, expected,
            "online and verified, all of them and nobody else"
        );
    }

    fn leave(&mut self, at: usize) {
        self.talk(at, Request::Leave(Leave {}));
        self.disconnect(at);
        self.actors[at].peer.grant = None;
        self.gone(at);
    }

    fn revoke(&mut self, at: usize) {
        let actor = &mut self.actors[at];
        let Some(grant) = actor.peer.grant.as_ref().filter(|_| !actor.revoked) else {
            return;
        };
        let name = grant.peek().unwrap().name;
        self.net.administer(Command::Revoke { name }).unwrap();
        (actor.revoked, actor.connected) = (true, false);
        self.gone(at);
    }

    fn gone(&mut self, at: usize) {
        self.actors[at].names.clear();
        self.actors[at].proven.clear();
        self.actors[at].doubted.clear();
        self.forget_unshared();
    }

    fn restart(&mut self) {
        let before = self.net.index.summary();
        self.net.restart();
        let after = self.net.index.summary();
        assert_eq!((before.peers, before.shares), (after.peers, after.shares));
        assert_eq!(
            (before.contents, before.holdings),
            (after.contents, after.holdings)
        );
        assert_eq!((after.online, self.net.index.leftovers.len()), (0, 0));
        for actor in &mut self.actors {
            actor.connected = false;
            actor.proven.append(&mut actor.doubted);
        }
    }

    /// The numbers of the index are those of the model, whatever just happened.
    fn check(&self) {
        let summary = self.net.index.summary();
        let online = self.actors.iter().filter(|actor| self.online(actor)).count();
        assert_eq!(summary.online, online);
        let names = self.actors.iter().map(|actor| actor.names.len()).sum();
        assert_eq!(summary.shares, names);
        let held = self
            .actors
            .iter()
            .map(|actor| actor.proven.len() + actor.doubted.len())
            .sum();
        assert_eq!(summary.holdings, held);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_index_agrees_with_the_model(steps in vec(step(), 1..200)) {
        let mut model = Model::new();
        (0..PEERS).for_each(|at| model.connect(at));
        for step in &steps {
            model.run(step);
            model.check();
        }
    }
}
