//! The peers, what they really hold, and what the engine makes of what it sees of them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use skep_engine::{
    placement::{Candidate, Site, Wish, choose},
    repair::{Repair, Settings},
};
use skep_wire::{PackId, PeerId, record::Role};

use super::{DAY, Setting};

/// Peers are away for so long, so often.
const NAP: Duration = Duration::from_secs(7_200);
const AWAKE_DAYS: f64 = 3.0;
/// What is not rebuilt after that is given to somebody else.
const PATIENCE: Duration = Duration::from_secs(5 * 86_400);
/// So long after its death, a peer is taken off the list.
const GONE_AFTER: Duration = Duration::from_secs(9 * 86_400);
/// Who is asked for a place: so many are enough to choose from.
const ASKED: usize = 48;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// Something may be due for repair.
    Look,
    NapBegins(PeerId),
    NapEnds(PeerId),
    Dies(PeerId),
    SiteBurns(u32),
    Gone(PeerId),
    Rebuilt(PackId, u8, PeerId),
}

/// A peer that lives.
struct Peer {
    site: u32,
    packs: BTreeSet<PackId>,
}

struct Town {
    setting: Setting,
    chance: SmallRng,
    repair: Repair,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    alive: BTreeMap<PeerId, Peer>,
    /// The same, to draw from.
    names: Vec<PeerId>,
    /// What is really there.
    packs: BTreeMap<PackId, BTreeSet<(u8, PeerId)>>,
    made: u64,
    lost: u32,
}

/// How many packs are lost.
pub(super) fn simulate(setting: Setting) -> u32 {
    let mut town = Town::new(setting);
    town.run();
    town.lost
}

impl Town {
    fn new(setting: Setting) -> Self {
        let settings = Settings {
            repair_after: setting.detection,
            urgent_after: setting.detection,
            settle: Duration::ZERO,
            patience: PATIENCE,
            rebuilds: usize::MAX,
            bytes_per_s: None,
        };
        let mut town = Self {
            setting,
            chance: SmallRng::seed_from_u64(setting.seed),
            repair: Repair::new(Duration::ZERO, settings),
            events: BinaryHeap::new(),
            alive: BTreeMap::new(),
            names: Vec::new(),
            packs: BTreeMap::new(),
            made: 0,
            lost: 0,
        };
        let sites = town.sites();
        (0..setting.peers).for_each(|number| town.peer_comes(Duration::ZERO, number % sites));
        (0..setting.packs).for_each(|_| town.pack_comes());
        if setting.sites.is_some() {
            (0..sites).for_each(|site| town.site_stands(Duration::ZERO, site));
        }
        town
    }

    fn sites(&self) -> u32 {
        self.setting.sites.map_or(1, |sites| sites.count)
    }

    fn run(&mut self) {
        while let Some(Reverse((now, event))) = self.events.pop() {
            if now > DAY * self.setting.days {
                return;
            }
            self.happen(now, event);
            while let Some(need) = self.repair.next(now) {
                let target = self.choose(1, &need.holders)[0];
                self.repair.begin(now, &need, target);
                let rebuilt = Event::Rebuilt(need.pack, need.shard, target);
                self.at(now + self.setting.rebuild, rebuilt);
            }
        }
    }

    fn happen(&mut self, now: Duration, event: Event) {
        match event {
            Event::Look => {}
            Event::NapBegins(peer) if self.alive.contains_key(&peer) => {
                self.repair.offline(now, peer);
                self.at(now + NAP, Event::NapEnds(peer));
            }
            Event::NapEnds(peer) if self.alive.contains_key(&peer) => {
                let next = self.later(AWAKE_DAYS);
                self.repair.online(now, peer);
                self.at(now + next, Event::NapBegins(peer));
            }
            Event::NapBegins(_) | Event::NapEnds(_) => {}
            Event::Dies(peer) => self.die(now, &[peer]),
            Event::SiteBurns(site) => self.burn(now, site),
            Event::Gone(peer) => self.repair.gone(now, &peer),
            Event::Rebuilt(pack, shard, target) => self.rebuilt(now, pack, shard, target),
        }
    }

    fn rebuilt(&mut self, now: Duration, pack: PackId, shard: u8, target: PeerId) {
        let (Some(peer), Some(held)) = (self.alive.get_mut(&target), self.packs.get_mut(&pack)) else {
            return self.repair.gave_up(now, &pack, &target);
        };
        peer.packs.insert(pack);
        held.insert((shard, target));
        self.repair.hold(pack, shard, target);
    }

    fn burn(&mut self, now: Duration, site: u32) {
        let there = self.alive.iter().filter(|(_, peer)| peer.site == site);
        let there: Vec<PeerId> = there.map(|(name, _)| *name).collect();
        self.die(now, &there);
        self.site_stands(now, site);
    }

    /// All at once. What they held is lost now; the engine learns it when they have been away for long.
    fn die(&mut self, now: Duration, peers: &[PeerId]) {
        let mut touched = BTreeSet::new();
        let mut sites = Vec::new();
        for name in peers {
            let Some(peer) = self.alive.remove(name) else {
                continue;
            };
            for pack in &peer.packs {
                self.packs
                    .entry(*pack)
                    .or_default()
                    .retain(|(_, holder)| holder != name);
            }
            touched.extend(peer.packs);
            sites.push(peer.site);
            self.repair.offline(now, *name);
            self.at(now + GONE_AFTER, Event::Gone(*name));
        }
        self.names.retain(|name| self.alive.contains_key(name));
        self.at(now + self.setting.detection, Event::Look);
        sites.into_iter().for_each(|site| self.peer_comes(now, site));
        touched.into_iter().for_each(|pack| self.count(pack));
    }

    /// A pack that cannot be restored any more is replaced by another.
    fn count(&mut self, pack: PackId) {
        let held = &self.packs[&pack];
        let left = match self.setting.scheme.data() {
            1 => held.len(),
            _ => held.iter().map(|(shard, _)| shard).collect::<BTreeSet<_>>().len(),
        };
        if left >= self.setting.scheme.data() {
            return;
        }
        self.lost += 1;
        self.repair.forget(&pack);
        for (_, holder) in self.packs.remove(&pack).unwrap_or_default() {
            self.alive.get_mut(&holder).map(|peer| peer.packs.remove(&pack));
        }
        self.pack_comes();
    }

    fn peer_comes(&mut self, now: Duration, site: u32) {
        let name = PeerId(self.id());
        let (dies, naps) = (self.later(self.setting.lifetime_days), self.later(AWAKE_DAYS));
        let packs = BTreeSet::new();
        self.alive.insert(name, Peer { site, packs });
        self.names.push(name);
        self.repair.online(now, name);
        self.at(now + dies, Event::Dies(name));
        self.at(now + naps, Event::NapBegins(name));
    }

    fn pack_comes(&mut self) {
        let pack = PackId(self.id());
        self.packs.insert(pack, BTreeSet::new());
        self.repair.keep(pack, self.setting.scheme, 1);
        let holders = self.choose(self.setting.scheme.shards(), &[]);
        for (shard, peer) in (0..).zip(holders) {
            self.rebuilt(Duration::ZERO, pack, shard, peer);
        }
    }

    fn site_stands(&mut self, now: Duration, site: u32) {
        let days = self
            .setting
            .sites
            .map_or(f64::INFINITY, |sites| sites.lifetime_days);
        let burns = now + self.later(days);
        self.at(burns, Event::SiteBurns(site));
    }

    fn choose(&mut self, count: usize, holders: &[PeerId]) -> Vec<PeerId> {
        let mut asked = BTreeSet::new();
        while asked.len() < ASKED {
            asked.insert(self.names[self.chance.random_range(0..self.names.len())]);
        }
        // Holders are not asked again, but where they stand counts.
        asked.extend(holders);
        let candidates: Vec<Candidate> = asked.into_iter().map(|peer| self.candidate(peer)).collect();
        let wish = Wish {
            scheme: self.setting.scheme,
            count,
            shard_bytes: 1,
            never: &[],
            holders,
            seed: self.chance.random(),
        };
        choose(&wish, &candidates).expect("hundreds are online, and nobody is full")
    }

    fn candidate(&self, peer: PeerId) -> Candidate {
        let alive = self.alive.get(&peer);
        let are_named = self.setting.sites.is_some_and(|sites| sites.are_named);
        let site = |peer: &Peer| -> Site { format!("site {}", peer.site).into() };
        Candidate {
            peer,
            role: Role::Storage,
            site: alive.filter(|_| are_named).map(site),
            online: alive.is_some(),
            free_bytes: 1 << 40,
            availability_permille: 1000,
        }
    }

    fn id(&mut self) -> [u8; 32] {
        self.made += 1;
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.made.to_be_bytes());
        id
    }

    fn later(&mut self, mean_days: f64) -> Duration {
        let sample: f64 = self.chance.random_range(f64::MIN_POSITIVE..1.0);
        DAY.mul_f64(-sample.ln() * mean_days)
    }

    fn at(&mut self, time: Duration, event: Event) {
        self.events.push(Reverse((time, event)));
    }
}
