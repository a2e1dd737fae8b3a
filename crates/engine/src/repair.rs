//! Which shards are missing, and whose turn it is to be rebuilt (document "P2PBRS": REPLICATE-REQ).
//!
//! A peer that went away is offline, and after a time it has failed: what it held is counted as lost
//! and rebuilt on others. Where so few shards of a pack are reachable that one or two more could end
//! it, nobody waits. Shards of who returns count again, and what is then too much stays until the
//! owner prunes: so peers that sleep at night cost one more copy once, and not one each night.
//!
//! Fewest shards left first; so many rebuilds at a time, and so many bytes a second. The replacement
//! pulls shards and rebuilds its own; who that is, is chosen by [`crate::placement`].

mod health;
mod presence;
mod surplus;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skep_wire::{PackId, PeerId, backup::Scheme};

use crate::bucket::Bucket;

pub use health::{Health, Level};
pub use surplus::{Divided, divide};

use self::presence::Attendance;

/// A rebuild that failed is tried again after so long, and then each time after twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// How eagerly to repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Who is away for so long has failed.
    pub repair_after: Duration,
    /// Where reachable shards are down to one more than it takes, who is away for so long does not count.
    pub urgent_after: Duration,
    /// After a start, peers have so long to come back before anything is missed.
    pub settle: Duration,
    /// A rebuild that takes longer is given to somebody else, and one that cannot be placed is tried again then, or
    /// when somebody comes.
    pub patience: Duration,
    /// Rebuilds at a time.
    pub rebuilds: usize,
    /// Bytes that rebuilds move in a second; none for no limit.
    pub bytes_per_s: Option<u64>,
}

/// A shard that is to be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Of which pack.
    pub pack: PackId,
    /// Which shard.
    pub shard: u8,
    /// Its bytes.
    pub shard_bytes: u64,
    /// How the pack is split.
    pub scheme: Scheme,
    /// Who is there and has which shard: at least as many as it takes.
    pub sources: Vec<(u8, PeerId)>,
    /// Who has a shard of the pack already, there or not: none of them is chosen.
    pub holders: Vec<PeerId>,
}

/// All packs, who holds them, and what is being rebuilt.
#[derive(Debug)]
pub struct Repair {
    settings: Settings,
    packs: BTreeMap<PackId, Kept>,
    attendance: Attendance,
    /// Packs that lack shards and can be rebuilt: how many are left beyond those it takes, and which.
    queue: BTreeSet<(usize, PackId)>,
    /// Rebuilds under way, and packs that could not be placed: none of these is looked at before that time.
    waiting: BTreeMap<PackId, Wait>,
    bucket: Option<Bucket>,
    not_before: Duration,
}

#[derive(Debug)]
struct Kept {
    scheme: Scheme,
    shard_bytes: u64,
    held: BTreeSet<(u8, PeerId)>,
    /// Who wants to be rid of what it holds: that is read, and does not count.
    leaving: BTreeSet<PeerId>,
    /// Its place in the queue.
    queued: Option<usize>,
    /// Rebuilds in a row that did not succeed.
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    until: Duration,
    /// Who rebuilds; none if nobody could be found.
    target: Option<PeerId>,
}

impl Repair {
    /// Nothing kept yet. Peers are away until they come.
    #[must_use]
    pub fn new(now: Duration, settings: Settings) -> Self {
        Self {
            settings,
            packs: BTreeMap::new(),
            attendance: Attendance::new(now, settings.repair_after),
            queue: BTreeSet::new(),
            waiting: BTreeMap::new(),
            bucket: settings.bytes_per_s.map(|rate| Bucket::new(now, rate)),
            not_before: now + settings.settle,
        }
    }

    /// A pack is kept from now on, by nobody yet.
    pub fn keep(&mut self, pack: PackId, scheme: Scheme, shard_bytes: u64) {
        self.packs.entry(pack).or_insert(Kept {
            scheme,
            shard_bytes,
            held: BTreeSet::new(),
            leaving: BTreeSet::new(),
            queued: None,
            failures: 0,
        });
    }

    /// A pack need not be kept any more. Returns who holds something of it.
    pub fn forget(&mut self, pack: &PackId) -> Vec<(u8, PeerId)> {
        let Some(kept) = self.packs.remove(pack) else {
            return Vec::new();
        };
        if let Some(left) = kept.queued {
            self.queue.remove(&(left, *pack));
        }
        self.waiting.remove(pack);
        for (_, peer) in &kept.held {
            self.attendance.drop_pack(peer, pack);
        }
        kept.held.into_iter().collect()
    }

    /// A peer has a shard, verified: placed, rebuilt, or come back with.
    pub fn hold(&mut self, pack: PackId, shard: u8, peer: PeerId) {
        let Some(kept) = self.packs.get_mut(&pack) else {
            return;
        };
        if usize::from(shard) >= kept.scheme.shards() {
            return;
        }
        kept.held.insert((shard, peer));
        kept.failures = 0;
        self.attendance.add_pack(peer, pack);
        if self
            .waiting
            .get(&pack)
            .is_some_and(|wait| wait.target == Some(peer))
        {
            self.waiting.remove(&pack);
        }
        self.refresh_some(vec![pack]);
    }

    /// A peer does not have a shard any more: dropped, damaged, or found missing by an audit.
    pub fn lose(&mut self, pack: &PackId, shard: u8, peer: &PeerId) {
        if let Some(kept) = self.packs.get_mut(pack) {
            kept.held.remove(&(shard, *peer));
            if kept.held.iter().all(|(_, holder)| holder != peer) {
                kept.leaving.remove(peer);
                self.attendance.drop_pack(peer, pack);
            }
        }
        self.refresh(pack);
    }

    /// A peer wants to be rid of what it holds of a pack, or (`wants` is false) does not any more.
    pub fn release(&mut self, pack: &PackId, peer: PeerId, wants: bool) {
        if let Some(kept) = self.packs.get_mut(pack) {
            match wants {
                true => kept.leaving.insert(peer),
                false => kept.leaving.remove(&peer),
            };
        }
        self.refresh(pack);
    }

    /// A peer is there.
    pub fn online(&mut self, now: Duration, peer: PeerId) {
        self.advance(now);
        self.attendance.come(peer);
        // It may take what nobody could.
        self.waiting.retain(|_, wait| wait.target.is_some());
        self.refresh_all_of(&peer);
    }

    /// A peer went away.
    pub fn offline(&mut self, now: Duration, peer: PeerId) {
        self.advance(now);
        self.attendance.go(peer);
        self.stop_waiting_for(&peer);
        self.refresh_all_of(&peer);
    }

    /// A peer will not come back, or is not to be trusted: it failed, whatever the time.
    pub fn failed(&mut self, now: Duration, peer: PeerId) {
        self.advance(now);
        self.attendance.fail(peer);
        self.stop_waiting_for(&peer);
        self.refresh_all_of(&peer);
    }

    /// A peer left for good, and nothing of what it had will ever be seen again.
    pub fn gone(&mut self, now: Duration, peer: &PeerId) {
        self.failed(now, *peer);
        for pack in self.attendance.remove(peer) {
            if let Some(kept) = self.packs.get_mut(&pack) {
                kept.held.retain(|(_, holder)| holder != peer);
                kept.leaving.remove(peer);
            }
            self.refresh(&pack);
        }
    }

    /// How many rebuilds a peer makes now: for the choice of others.
    #[must_use]
    pub fn rebuilds_of(&self, peer: &PeerId) -> usize {
        let targets = self.waiting.values().filter_map(|wait| wait.target);
        targets.filter(|target| target == peer).count()
    }

    /// The most urgent shard to be rebuilt, if it is time for one. The caller answers with [`Repair::begin`] or
    /// [`Repair::postpone`], and asks again.
    pub fn next(&mut self, now: Duration) -> Option<Need> {
        self.advance(now);
        if now < self.not_before || !self.is_free() {
            return None;
        }
        let ready = |(_, pack): &&(usize, PackId)| !self.waiting.contains_key(pack);
        let (_, pack) = self.queue.iter().find(ready)?;
        self.need(pack)
    }

    /// `target` rebuilds it.
    pub fn begin(&mut self, now: Duration, need: &Need, target: PeerId) {
        if let Some(bucket) = &mut self.bucket {
            let moved = need.shard_bytes.saturating_mul(need.scheme.data() as u64);
            self.not_before = self.not_before.max(now + bucket.take(now, moved));
        }
        self.wait(now, need.pack, Some(target));
    }

    /// Nobody can take it for now.
    pub fn postpone(&mut self, now: Duration, pack: PackId) {
        self.wait(now, pack, None);
    }

    /// What `target` was to rebuild did not succeed: it is tried again after a while, each time a longer one, or when
    /// somebody comes, for a source may just have gone.
    pub fn gave_up(&mut self, now: Duration, pack: &PackId, target: &PeerId) {
        let (Some(wait), Some(kept)) = (self.waiting.get_mut(pack), self.packs.get_mut(pack)) else {
            return;
        };
        if wait.target == Some(*target) {
            let pause = FIRST_PAUSE * 2u32.saturating_pow(kept.failures);
            kept.failures = kept.failures.saturating_add(1);
            wait.until = now + pause.min(self.settings.patience);
            wait.target = None;
        }
    }

    /// When something changes by time alone.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Duration> {
        let waits = self.waiting.values().map(|wait| wait.until).min();
        let settled = self.has_ready().then_some(self.not_before);
        let presence = self.attendance.next_wakeup(self.settings.urgent_after);
        [waits, settled, presence].into_iter().flatten().min()
    }

    /// Whether there is something that [`Repair::next`] would say, if it is not too early.
    fn has_ready(&self) -> bool {
        self.is_free()
            && self
                .queue
                .iter()
                .any(|(_, pack)| !self.waiting.contains_key(pack))
    }

    /// Whether another rebuild may begin.
    fn is_free(&self) -> bool {
        let busy = self.waiting.values().filter(|wait| wait.target.is_some()).count();
        busy < self.settings.rebuilds
    }

    fn wait(&mut self, now: Duration, pack: PackId, target: Option<PeerId>) {
        let until = now + self.settings.patience;
        self.waiting.insert(pack, Wait { until, target });
    }

    /// Lets time pass: peers fail, and waits end.
    fn advance(&mut self, now: Duration) {
        let changed = self.attendance.advance(now, self.settings.urgent_after);
        changed.iter().for_each(|peer| self.refresh_all_of(peer));
        self.waiting.retain(|_, wait| wait.until > now);
    }

    /// What it was to rebuild, another may.
    fn stop_waiting_for(&mut self, peer: &PeerId) {
        self.waiting.retain(|_, wait| wait.target != Some(*peer));
    }

    fn refresh_all_of(&mut self, peer: &PeerId) {
        self.refresh_some(self.attendance.packs_of(peer));
    }

    /// What begins or ends a time in which most are away is about all packs.
    fn refresh_some(&mut self, packs: Vec<PackId>) {
        let packs = match self.attendance.most_away_changed() {
            true => self.packs.keys().copied().collect(),
            false => packs,
        };
        packs.iter().for_each(|pack| self.refresh(pack));
    }

    /// Puts a pack where it belongs in the queue.
    fn refresh(&mut self, pack: &PackId) {
        let place = self.place_in_queue(pack);
        let Some(kept) = self.packs.get_mut(pack) else {
            return;
        };
        if kept.queued == place {
            return;
        }
        if let Some(left) = std::mem::replace(&mut kept.queued, place) {
            self.queue.remove(&(left, *pack));
        }
        if let Some(left) = place {
            self.queue.insert((left, *pack));
        }
    }
}

#[cfg(test)]
mod tests;
