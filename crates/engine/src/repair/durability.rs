//! 500 peers that nap, die and are replaced, for months: packs are lost as often as the closed formula
//! says, within a factor of two.
//!
//! Shards are lost independently of each other, each is back after the time of detection and rebuild, so
//! at any time one is missing with q = T / (T + lifetime). A pack is lost when a shard goes while exactly
//! the parity is missing: with n shards of which k are needed, n · C(n-1, n-k) · q^(n-k) · (1-q)^(k-1) /
//! lifetime times a day. Real peers fail together and live far longer: this is about the arithmetic and
//! the state machine, and says nothing about anybody's disks.

use std::{cmp::Reverse, collections::BinaryHeap};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use skep_wire::record::Role;

use super::*;
use crate::placement::{Candidate, Wish, choose};

const DAY: Duration = Duration::from_secs(86_400);
const PEERS: usize = 500;
const DAYS: u32 = 120;
const LIFETIME_DAYS: f64 = 30.0;
const DETECTION: Duration = DAY;
const REBUILD: Duration = Duration::from_secs(43_200);
const NAP: Duration = Duration::from_secs(7_200);
const AWAKE_DAYS: f64 = 3.0;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Something may be due for repair.
    Look,
    NapBegins(PeerId),
    NapEnds(PeerId),
    Dies(PeerId),
    /// Long after, it is taken off the list.
    Gone(PeerId),
    Rebuilt(PackId, u8, PeerId),
}

struct Town {
    chance: SmallRng,
    scheme: Scheme,
    repair: Repair,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    alive: Vec<PeerId>,
    made: u64,
    lost: u32,
}

impl Town {
    fn new(scheme: Scheme, packs: usize) -> Self {
        let settings = Settings {
            repair_after: DETECTION,
            urgent_after: DETECTION,
            settle: Duration::ZERO,
            patience: DAY * 5,
            rebuilds: usize::MAX,
            bytes_per_s: None,
        };
        let mut town = Self {
            chance: SmallRng::seed_from_u64(1),
            scheme,
            repair: Repair::new(Duration::ZERO, settings),
            events: BinaryHeap::new(),
            alive: Vec::new(),
            made: 0,
            lost: 0,
        };
        (0..PEERS).for_each(|_| town.peer_comes(Duration::ZERO));
        (0..packs).for_each(|_| town.pack_comes());
        town
    }

    fn id(&mut self) -> [u8; 32] {
        self.made += 1;
        *blake3::hash(&self.made.to_le_bytes()).as_bytes()
    }

    fn later(&mut self, mean_days: f64) -> Duration {
        let sample: f64 = self.chance.random_range(f64::MIN_POSITIVE..1.0);
        DAY.mul_f64(-sample.ln() * mean_days)
    }

    fn at(&mut self, time: Duration, event: Event) {
        self.events.push(Reverse((time, event)));
    }

    fn peer_comes(&mut self, now: Duration) {
        let peer = PeerId(self.id());
        let (dies, naps) = (self.later(LIFETIME_DAYS), self.later(AWAKE_DAYS));
        self.alive.push(peer);
        self.repair.online(now, peer);
        self.at(now + dies, Event::Dies(peer));
        self.at(now + naps, Event::NapBegins(peer));
    }

    fn pack_comes(&mut self) {
        let pack = PackId(self.id());
        self.repair.keep(pack, self.scheme, 1);
        let holders = self.choose(self.scheme.shards(), &[]);
        for (shard, peer) in (0..).zip(holders) {
            self.repair.hold(pack, shard, peer);
        }
    }

    fn choose(&mut self, count: usize, holders: &[PeerId]) -> Vec<PeerId> {
        // A sample is enough to choose from, and does not weigh 500 peers each time.
        let mut sample: BTreeSet<PeerId> = BTreeSet::new();
        while sample.len() < 24 {
            sample.insert(self.alive[self.chance.random_range(0..self.alive.len())]);
        }
        let candidate = |peer| Candidate {
            peer,
            role: Role::Storage,
            site: None,
            online: true,
            free_bytes: 1 << 40,
            availability_permille: 1000,
        };
        let candidates: Vec<Candidate> = sample.into_iter().map(candidate).collect();
        let wish = Wish {
            scheme: self.scheme,
            count,
            shard_bytes: 1,
            never: &[],
            holders,
            seed: self.chance.random(),
        };
        choose(&wish, &candidates).unwrap()
    }

    fn run(&mut self) {
        while let Some(Reverse((now, event))) = self.events.pop() {
            if now > DAY * DAYS {
                return;
            }
            self.happen(now, event);
            while let Some(need) = self.repair.next(now) {
                let target = self.choose(1, &need.holders)[0];
                self.repair.begin(now, &need, target);
                self.at(now + REBUILD, Event::Rebuilt(need.pack, need.shard, target));
            }
        }
    }

    fn happen(&mut self, now: Duration, event: Event) {
        match event {
            Event::Look => {}
            Event::NapBegins(peer) if self.alive.contains(&peer) => {
                self.repair.offline(now, peer);
                self.at(now + NAP, Event::NapEnds(peer));
            }
            Event::NapEnds(peer) if self.alive.contains(&peer) => {
                let next = self.later(AWAKE_DAYS);
                self.repair.online(now, peer);
                self.at(now + next, Event::NapBegins(peer));
            }
            Event::NapBegins(_) | Event::NapEnds(_) => {}
            Event::Dies(peer) => self.dies(now, peer),
            Event::Gone(peer) => self.repair.gone(now, &peer),
            Event::Rebuilt(pack, shard, target) if self.alive.contains(&target) => {
                self.repair.hold(pack, shard, target);
            }
            Event::Rebuilt(pack, ..) => self.repair.gave_up(&pack),
        }
    }

    /// What is lost with a peer is known here at once, and to the coordinator only when it counts as failed.
    fn dies(&mut self, now: Duration, peer: PeerId) {
        self.alive.retain(|alive| *alive != peer);
        for pack in self.repair.attendance.packs_of(&peer) {
            let held = &self.repair.packs[&pack].held;
            let left: BTreeSet<u8> = held
                .iter()
                .filter(|(_, holder)| self.alive.contains(holder))
                .map(|(shard, _)| *shard)
                .collect();
            if left.len() < self.scheme.data() {
                self.lost += 1;
                self.repair.forget(&pack);
                self.pack_comes();
            }
        }
        self.repair.offline(now, peer);
        self.at(now + DETECTION, Event::Look);
        self.at(now + DAY * 9, Event::Gone(peer));
        self.peer_comes(now);
    }
}

fn choose_of(n: usize, k: usize) -> f64 {
    (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product()
}

/// Packs lost, as the formula has it.
fn expected(scheme: Scheme, packs: usize) -> f64 {
    let window = (DETECTION + REBUILD).as_secs_f64() / DAY.as_secs_f64();
    let q = window / (window + LIFETIME_DAYS);
    let (n, m) = (scheme.shards(), scheme.parity());
    let power = |base: f64, times: usize| base.powi(i32::try_from(times).unwrap());
    let missing = choose_of(n - 1, m) * power(q, m) * power(1.0 - q, n - 1 - m);
    n as f64 * missing / LIFETIME_DAYS * packs as f64 * f64::from(DAYS)
}

#[test]
fn packs_are_lost_as_often_as_the_formula_says() {
    for (text, packs) in [("2x", 300), ("3x", 2000), ("4+2", 400)] {
        let scheme: Scheme = text.parse().unwrap();
        let mut town = Town::new(scheme, packs);
        town.run();
        let (lost, expected) = (f64::from(town.lost), expected(scheme, packs));
        let ratio = lost / expected;
        assert!(
            expected > 50.0 && (0.5..2.0).contains(&ratio),
            "{text}: {lost} lost, {expected} expected"
        );
    }
}
