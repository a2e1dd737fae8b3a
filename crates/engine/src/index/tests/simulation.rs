//! Hundreds of peers by seed: they come, lie, fetch, fall silent and return, and the coordinator is
//! killed now and then. The same seed gives the same outputs, to the byte.

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

const PEERS: u16 = 300;
const STEPS: usize = 4_000;

struct Simulation {
    net: Net,
    rng: StdRng,
    peers: Vec<Peer>,
    online: BTreeSet<usize>,
    /// Everything that was handed out.
    trace: blake3::Hasher,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        Self {
            net: Net::new(),
            rng: StdRng::seed_from_u64(seed),
            peers: Vec::new(),
            online: BTreeSet::new(),
            trace: blake3::Hasher::new(),
        }
    }

    fn run(mut self) -> blake3::Hash {
        for n in 0..PEERS {
            let peer = self.net.join(n, &format!("p{n}"));
            self.online.insert(self.peers.len());
            self.peers.push(peer);
        }
        for _ in 0..STEPS {
            self.step();
            self.net.deposit();
            self.net.out.clear();
        }
        self.trace.finalize()
    }

    fn step(&mut self) {
        let at = self.rng.random_range(0..self.peers.len());
        let content = blob(self.rng.random_range(0..40));
        if !self.online.contains(&at) {
            return self.come(at);
        }
        match self.rng.random_range(0..1000) {
            0..150 => self.share(at, content),
            150..500 => self.fetch(at, content),
            500..900 => self.look(at, content),
            900..960 => self.go(at),
            960..998 => self.time_passes(),
            _ => self.restart(),
        }
    }

    fn share(&mut self, at: usize, content: BlobId) {
        let name = format!("s{}", self.rng.random_range(0..3));
        self.net.publish(&mut self.peers[at], &name, content);
        self.hold(at, content);
    }

    fn fetch(&mut self, at: usize, content: BlobId) {
        if self.rng.random_bool(0.8) {
            self.peers[at].has.insert(content);
        }
        self.hold(at, content);
    }

    fn hold(&mut self, at: usize, content: BlobId) {
        let peer = &self.peers[at];
        let request = self.net.send(peer, hold(&[content]));
        self.net.deposit();
        let reply = self.net.reply(peer, request).expect("questions");
        self.net.prove(peer, reply);
    }

    fn look(&mut self, at: usize, content: BlobId) {
        let Reply::HandedOut(given) = self.net.ask(&self.peers[at], Request::Lookup(Lookup { content }))
        else {
            return;
        };
        let body = given.encode();
        self.trace.update(&body);
        let given = Holders::decode(&body).unwrap().holders;
        assert!(given.len() <= 50);
        for holder in &given {
            let index = self
                .peers
                .iter()
                .position(|peer| peer.id() == holder.peer)
                .unwrap();
            assert!(self.online.contains(&index), "{} is offline", holder.name);
            assert!(
                self.peers[index].has.contains(&content),
                "{} does not have it",
                holder.name
            );
            assert_ne!(index, at);
        }
    }

    fn come(&mut self, at: usize) {
        self.net.connect(&mut self.peers[at]);
        let welcome = self.net.attend(&self.peers[at]);
        self.online.insert(at);
        if !welcome.holdings_known {
            let all: Vec<BlobId> = self.peers[at].has.iter().copied().collect();
            let request = self.net.send(&self.peers[at], hold(&all));
            self.net.deposit();
            let reply = self.net.reply(&self.peers[at], request).expect("questions");
            self.net.prove(&self.peers[at], reply);
        }
    }

    fn go(&mut self, at: usize) {
        self.net.disconnect(&self.peers[at]);
        self.online.remove(&at);
    }

    /// Most of those that are there beat; the rest is silent for good.
    fn time_passes(&mut self) {
        for _ in 0..3 {
            for at in self.online.clone() {
                if at % 50 != 0 {
                    self.net.send(
                        &self.peers[at],
                        Request::Heartbeat(skep_wire::message::Heartbeat { used_bytes: 0 }),
                    );
                }
            }
            self.net.pass(HEARTBEAT);
        }
        self.online.retain(|at| at % 50 != 0);
        assert_eq!(self.net.index.summary().online, self.online.len());
    }

    fn restart(&mut self) {
        let before = self.net.index.summary();
        self.net.restart();
        let after = self.net.index.summary();
        assert_eq!(
            (before.peers, before.shares, before.holdings),
            (after.peers, after.shares, after.holdings)
        );
        self.online.clear();
    }
}

#[test]
fn hundreds_of_peers_come_and_go() {
    for seed in 0..3 {
        Simulation::new(seed).run();
    }
}

#[test]
fn the_same_seed_gives_the_same_outputs() {
    assert_eq!(Simulation::new(7).run(), Simulation::new(7).run());
    assert_ne!(Simulation::new(7).run(), Simulation::new(8).run());
}
