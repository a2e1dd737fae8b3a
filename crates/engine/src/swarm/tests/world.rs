//! A simulated world: peers with an uplink each, that download with a [`Swarm`] and serve what they have.
//! Events happen in the order of their times; the same seed gives the same course.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    time::Duration,
};

use rand::{SeedableRng, rngs::SmallRng};
use roaring::RoaringTreemap;

use super::{MIB, peer};
use crate::swarm::{Action, Config, Failure, Have, Outcome, Received, Sizes, Swarm};

mod serving;

const SEGMENT: u64 = 128 << 10;
/// Verifying and storing a chunk.
const STORE: Duration = Duration::from_millis(1);

/// How a peer treats those who ask it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manners {
    /// How likely it refuses a request.
    pub(super) refuses: f64,
    /// How likely the bytes are wrong.
    pub(super) lies: f64,
    /// How likely it takes a request and never answers.
    pub(super) ignores: f64,
    /// When it goes, and for how long.
    pub(super) leaves: Option<(Duration, Duration)>,
    /// When it stops sending for ever, still connected.
    pub(super) freezes: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Job {
    id: u64,
    chunk: u64,
    sent: u64,
    bad: bool,
}

#[derive(Debug)]
struct Peer {
    rate: f64,
    latency: Duration,
    manners: Manners,
    complete: bool,
    have: RoaringTreemap,
    present: bool,
    queues: BTreeMap<usize, VecDeque<Job>>,
    served_last: usize,
    sending: bool,
    swarm: Option<Swarm>,
    /// Open requests: (holder, chunk) with their ids and the bytes that have come.
    open: BTreeMap<(usize, u64), (u64, u64)>,
    /// Requests that were taken back from holders that are still of use.
    cancelled: BTreeSet<u64>,
    duplicates: u64,
    done_at: Option<Duration>,
    avoided: BTreeSet<usize>,
    wake_at: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Asked {
        from: usize,
        to: usize,
        chunk: u64,
        id: u64,
    },
    Unasked {
        to: usize,
        from: usize,
        id: u64,
    },
    Sent {
        by: usize,
    },
    Came {
        from: usize,
        to: usize,
        chunk: u64,
        id: u64,
        so_far: u64,
        bad: bool,
    },
    Refused {
        by: usize,
        to: usize,
        chunk: u64,
        id: u64,
    },
    Stored {
        at: usize,
        by: usize,
        chunk: u64,
        bad: bool,
    },
    Told {
        from: usize,
        to: usize,
        chunk: u64,
    },
    Found {
        by: usize,
    },
    Leaves {
        who: usize,
        back_after: Duration,
    },
    Returns {
        who: usize,
    },
    Wake {
        who: usize,
    },
}

pub(super) struct World {
    pub(super) now: Duration,
    sizes: Sizes,
    peers: Vec<Peer>,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    made: u64,
    rng: SmallRng,
    /// Whether downloaders serve each other.
    pub(super) sociable: bool,
    /// Whether to check the invariants after every event.
    pub(super) strict: bool,
}

impl World {
    pub(super) fn new(total_bytes: u64, seed: u64) -> Self {
        Self {
            now: Duration::ZERO,
            sizes: Sizes::Even { total_bytes },
            peers: Vec::new(),
            events: BinaryHeap::new(),
            made: 0,
            rng: SmallRng::seed_from_u64(seed),
            sociable: false,
            strict: false,
        }
    }

    /// A peer that serves all, or only some chunks.
    pub(super) fn holder(
        &mut self,
        rate: u64,
        latency: Duration,
        manners: Manners,
        some: Option<RoaringTreemap>,
    ) {
        if let Some((at, back_after)) = manners.leaves {
            let who = self.peers.len();
            self.at(at, Event::Leaves { who, back_after });
        }
        self.peers.push(Peer {
            rate: rate as f64,
            latency,
            manners,
            complete: some.is_none(),
            have: some.unwrap_or_default(),
            present: true,
            queues: BTreeMap::new(),
            served_last: 0,
            sending: false,
            swarm: None,
            open: BTreeMap::new(),
            cancelled: BTreeSet::new(),
            duplicates: 0,
            done_at: None,
            avoided: BTreeSet::new(),
            wake_at: None,
        });
    }

    /// Peers that are honest and have everything.
    pub(super) fn holders(&mut self, count: usize, rate: u64, latency: Duration) {
        (0..count).for_each(|_| self.holder(rate, latency, Manners::default(), None));
    }

    /// A peer that downloads, and knows everybody who was there before.
    pub(super) fn downloader(&mut self, rate: u64, latency: Duration, seed: u64) -> usize {
        let who = self.peers.len();
        self.holder(rate, latency, Manners::default(), Some(RoaringTreemap::new()));
        let wanted = 0..self.sizes.chunks();
        let swarm = Swarm::new(
            Config::default(),
            self.sizes.clone(),
            wanted,
            &RoaringTreemap::new(),
            seed,
        );
        self.peers[who].swarm = Some(swarm.known_as(peer(who)));
        (0..who).for_each(|other| self.introduce(who, other));
        self.peers[who].wake_at = Some(self.now);
        self.at(self.now, Event::Wake { who });
        who
    }

    /// Runs until all downloaders are done or stuck, or nothing happens any more.
    pub(super) fn run(&mut self, limit: Duration) {
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            self.now = at;
            if at > limit || self.all_done() {
                return;
            }
            self.happen(event);
        }
    }

    pub(super) fn outcome(&self, who: usize) -> Outcome {
        self.swarm(who).outcome()
    }

    pub(super) fn swarm(&self, who: usize) -> &Swarm {
        self.peers[who].swarm.as_ref().unwrap()
    }

    /// When the last chunk was stored.
    pub(super) fn done_at(&self, who: usize) -> f64 {
        self.peers[who].done_at.unwrap_or(Duration::MAX).as_secs_f64()
    }

    /// Bytes that travelled to `who` in vain, not counting those of holders that failed or lied.
    pub(super) fn duplicates(&self, who: usize) -> u64 {
        self.peers[who].duplicates
    }

    pub(super) fn size(&self) -> u64 {
        (0..self.sizes.chunks())
            .map(|chunk| self.sizes.bytes(chunk))
            .sum()
    }

    fn all_done(&self) -> bool {
        self.peers
            .iter()
            .filter_map(|peer| peer.swarm.as_ref())
            .all(|swarm| swarm.outcome() != Outcome::Running)
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.made += 1;
        self.events.push(Reverse((at, self.made, event)));
    }

    fn after(&mut self, delay: Duration, event: Event) {
        self.at(self.now + delay, event);
    }

    fn has(&self, who: usize, chunk: u64) -> bool {
        self.peers[who].complete || self.peers[who].have.contains(chunk)
    }

    fn introduce(&mut self, who: usize, other: usize) {
        if who == other || !self.peers[other].present {
            return;
        }
        let serves = self.peers[other].swarm.is_none() || self.sociable;
        let latency = self.peers[other].latency * 2;
        let have = match self.peers[other].complete {
            true => Have::Complete,
            false => Have::Some(self.peers[other].have.clone()),
        };
        if let (Some(swarm), true) = (&mut self.peers[who].swarm, serves) {
            swarm.handle_holder(self.now, peer(other), have);
            swarm.handle_latency(self.now, peer(other), latency);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Asked { from, to, chunk, id } => self.asked(from, to, chunk, id),
            Event::Unasked { to, from, id } => {
                if let Some(queue) = self.peers[to].queues.get_mut(&from) {
                    queue.retain(|job| job.id != id);
                }
            }
            Event::Sent { by } => {
                self.peers[by].sending = false;
                self.send(by);
            }
            Event::Came {
                from,
                to,
                chunk,
                id,
                so_far,
                bad,
            } => self.came((from, to, chunk, id), so_far, bad),
            Event::Refused { by, to, chunk, id } => {
                if self.close(to, by, chunk, id) {
                    let now = self.now;
                    self.swarm_mut(to)
                        .handle_failed(now, peer(by), chunk, Failure::Refused);
                    self.poll(to);
                }
            }
            Event::Stored { at, by, chunk, bad } => self.stored(at, by, chunk, bad),
            Event::Told { from, to, chunk } => {
                let now = self.now;
                self.swarm_mut(to).handle_have_more(now, peer(from), &[chunk]);
                self.poll(to);
            }
            Event::Found { by } => self.found(by),
            Event::Leaves { who, back_after } => self.leaves(who, back_after),
            Event::Returns { who } => {
                self.peers[who].present = true;
                for other in 0..self.peers.len() {
                    if self.peers[other].swarm.is_some() {
                        self.introduce(other, who);
                        self.poll(other);
                    }
                }
            }
            Event::Wake { who } => {
                if self.peers[who].wake_at.take_if(|at| *at <= self.now).is_some() {
                    self.poll(who);
                }
            }
        }
    }

    fn found(&mut self, by: usize) {
        for other in 0..self.peers.len() {
            if !self.knows(by, other) {
                self.introduce(by, other);
            }
        }
        let now = self.now;
        self.swarm_mut(by).handle_no_more_holders(now);
        self.poll(by);
    }

    fn knows(&self, who: usize, other: usize) -> bool {
        self.swarm(who)
            .holders(self.now)
            .iter()
            .any(|holder| holder.peer == peer(other))
    }

    fn swarm_mut(&mut self, who: usize) -> &mut Swarm {
        self.peers[who].swarm.as_mut().unwrap()
    }

    fn close(&mut self, who: usize, holder: usize, chunk: u64, id: u64) -> bool {
        let open = self.is_open(who, holder, chunk, id);
        if open {
            self.peers[who].open.remove(&(holder, chunk));
        }
        open
    }

    fn is_open(&self, who: usize, holder: usize, chunk: u64, id: u64) -> bool {
        self.peers[who]
            .open
            .get(&(holder, chunk))
            .is_some_and(|open| open.0 == id)
    }

    fn came(&mut self, (from, to, chunk, id): (usize, usize, u64, u64), so_far: u64, bad: bool) {
        let size = self.sizes.bytes(chunk);
        if !self.is_open(to, from, chunk, id) {
            if self.peers[to].cancelled.contains(&id) {
                self.peers[to].duplicates += SEGMENT.min(size);
            }
            return;
        }
        let now = self.now;
        if so_far < size {
            self.peers[to].open.insert((from, chunk), (id, so_far));
            self.swarm_mut(to).handle_progress(now, peer(from), chunk, so_far);
        } else {
            self.close(to, from, chunk, id);
            if self.swarm_mut(to).handle_received(now, peer(from), chunk, size) == Received::Store {
                self.after(
                    STORE,
                    Event::Stored {
                        at: to,
                        by: from,
                        chunk,
                        bad,
                    },
                );
            }
        }
        self.poll(to);
    }

    fn stored(&mut self, at: usize, by: usize, chunk: u64, bad: bool) {
        let now = self.now;
        if bad {
            self.swarm_mut(at).handle_bad(now, peer(by), chunk);
        } else {
            self.swarm_mut(at).handle_stored(now, chunk);
            self.peers[at].have.insert(chunk);
            self.tell(at, chunk);
        }
        if self.outcome(at) == Outcome::Complete && self.peers[at].done_at.is_none() {
            self.peers[at].done_at = Some(now);
        }
        self.poll(at);
    }

    fn tell(&mut self, from: usize, chunk: u64) {
        let others: Vec<usize> = (0..self.peers.len())
            .filter(|&other| self.sociable && other != from && self.peers[other].swarm.is_some())
            .collect();
        for to in others {
            self.after(self.peers[from].latency, Event::Told { from, to, chunk });
        }
    }

    fn poll(&mut self, who: usize) {
        let mut actions = Vec::new();
        let now = self.now;
        let strict = self.strict;
        let swarm = self.swarm_mut(who);
        swarm.poll(now, &mut actions);
        if strict {
            swarm.check();
        }
        if let Some(at) = swarm.next_wakeup() {
            assert!(at > now, "would spin");
            if self.peers[who].wake_at.is_none_or(|known| known > at) {
                self.peers[who].wake_at = Some(at);
                self.at(at, Event::Wake { who });
            }
        }
        for action in actions {
            self.act(who, action);
        }
    }

    fn act(&mut self, who: usize, action: Action) {
        match action {
            Action::Request { peer, chunk } => {
                let to = number(peer);
                assert!(self.has(to, chunk), "{to} has no chunk {chunk}");
                assert!(!self.peers[who].avoided.contains(&to));
                assert!(!self.peers[who].have.contains(chunk), "{chunk} is here");
                self.made += 1;
                let id = self.made;
                assert_eq!(
                    self.peers[who].open.insert((to, chunk), (id, 0)),
                    None,
                    "asked twice"
                );
                self.after(
                    self.peers[to].latency,
                    Event::Asked {
                        from: who,
                        to,
                        chunk,
                        id,
                    },
                );
            }
            Action::Cancel { peer, chunk } => {
                let to = number(peer);
                let (id, came) = self.peers[who]
                    .open
                    .remove(&(to, chunk))
                    .expect("it was asked for");
                let stats = self.swarm(who).holders(self.now);
                if stats
                    .iter()
                    .any(|holder| holder.peer == peer && holder.unusable.is_none())
                {
                    self.peers[who].cancelled.insert(id);
                    self.peers[who].duplicates += came;
                }
                self.after(self.peers[to].latency, Event::Unasked { to, from: who, id });
            }
            Action::FindHolders => self.after(Duration::from_millis(20), Event::Found { by: who }),
            Action::Avoid { peer, .. } => {
                self.peers[who].avoided.insert(number(peer));
            }
        }
    }
}

fn number(peer: skep_wire::PeerId) -> usize {
    usize::try_from(u64::from_be_bytes(peer.0[..8].try_into().unwrap())).unwrap()
}

/// So many bytes of random chunks may be fetched twice.
pub(super) fn duplicates_allowed(size: u64) -> u64 {
    size / 50 + 3 * MIB
}
