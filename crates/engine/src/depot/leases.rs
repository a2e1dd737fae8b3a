//! Who wants to be rid of what it keeps, of one owner or of all: until when, and what is not elsewhere yet.
//!
//! Nothing here is durable: who still wants it says so again. Until then a fresh coordinator counts its shards as others'.

use std::{collections::BTreeMap, time::Duration};

use skep_wire::{
    Moment, OwnerId, PackId, PeerId,
    message::{Reason, Release, Releasing},
};

use super::Depot;
use crate::index::{Change, Denial};

/// The most wishes of one peer.
const MAX_WISHES: usize = 256;

/// All wishes, and until when each holds.
#[derive(Debug, Default)]
pub(super) struct Leases(BTreeMap<(PeerId, Option<OwnerId>), Duration>);

impl Leases {
    /// Whether a peer wants to be rid of what it keeps of an owner.
    pub(super) fn cover(&self, peer: &PeerId, owner: &OwnerId) -> bool {
        [None, Some(*owner)]
            .into_iter()
            .any(|whose| self.0.contains_key(&(*peer, whose)))
    }

    /// Who is not to be asked to keep anything of an owner.
    pub(super) fn unwilling<'a>(&'a self, owner: &'a OwnerId) -> impl Iterator<Item = PeerId> + 'a {
        let about = |whose: &Option<OwnerId>| whose.is_none_or(|whose| whose == *owner);
        let keys = self.0.keys().filter(move |(_, whose)| about(whose));
        keys.map(|(peer, _)| *peer)
    }

    /// What is wished anew, or again; more than a peer may wish is not heard.
    fn wish(&mut self, peer: PeerId, whose: Option<OwnerId>, until: Duration) {
        let all = (peer, None)..=(peer, Some(OwnerId([0xff; 32])));
        if self.0.contains_key(&(peer, whose)) || self.0.range(all).count() < MAX_WISHES {
            self.0.insert((peer, whose), until);
        }
    }

    /// The peer left: it wants nothing any more.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.0.retain(|(leaving, _), _| leaving != peer);
    }

    pub(super) fn next_wakeup(&self) -> Option<Duration> {
        self.0.values().min().copied()
    }

    fn take_over(&mut self, now: Duration) -> Vec<PeerId> {
        let over = self.0.extract_if(.., |_, until| *until <= now);
        over.map(|((peer, _), _)| peer).collect()
    }
}

impl Depot {
    /// A peer wants to be rid of what it keeps. Returns what of it nobody else has yet.
    pub(crate) fn release(&mut self, now: Moment, peer: PeerId, wish: &Release) -> Releasing {
        let until = now.mono + Duration::from_secs(wish.seconds.into());
        self.leases.wish(peer, wish.owner, until);
        let mut left = Releasing { shards: 0, bytes: 0 };
        for (id, bytes) in self.kept_of(&peer, wish.owner) {
            self.repair.release(&id, peer, true);
            if self.is_needed_from(&id, &peer) {
                left.shards += 1;
                left.bytes += bytes;
            }
        }
        left
    }

    /// A peer deletes what it has of a pack, as its owner says that others have it. Refused if they do not, or are not
    /// there. From now on it does not count: who asks next is refused.
    pub(crate) fn give_up(
        &mut self,
        peer: &PeerId,
        pack: &PackId,
        changes: &mut Vec<Change>,
    ) -> Result<(), Denial> {
        let is_settled = self.packs.get(pack).is_some_and(|known| known.settled);
        let is_planned = self.plans.is_waiting(pack);
        if !is_settled || is_planned || !self.repair.can_spare(pack, peer) {
            return Err(Denial::new(Reason::Busy, "what you have of this pack is needed"));
        }
        let own = self.keepers.of(peer).into_iter();
        for name in own.filter(|name| name.pack == *pack).collect::<Vec<_>>() {
            self.lost(*peer, name, changes);
        }
        Ok(())
    }

    /// Who has not said again in time that it wants to be rid of something keeps it.
    pub(crate) fn end_leases(&mut self, now: Moment) {
        for peer in self.leases.take_over(now.mono) {
            for (id, _) in self.kept_of(&peer, None) {
                let owner = self.packs.get(&id).map(|pack| pack.owner);
                let wants = owner.is_some_and(|owner| self.leases.cover(&peer, &owner));
                self.repair.release(&id, peer, wants);
            }
        }
    }

    /// Whether a pack would lack something without what this peer has of it.
    fn is_needed_from(&self, id: &PackId, peer: &PeerId) -> bool {
        let Some(pack) = self.packs.get(id) else {
            return false;
        };
        // What its owner still brings is not yet counted.
        !pack.dying && (!pack.settled || self.repair.needs(id, peer))
    }

    /// The packs of which a peer has something, of one owner or of all, each once, and the bytes of a shard.
    fn kept_of(&self, peer: &PeerId, owner: Option<OwnerId>) -> Vec<(PackId, u64)> {
        let mut ids: Vec<PackId> = self.keepers.of(peer).into_iter().map(|name| name.pack).collect();
        ids.dedup();
        let known = ids.into_iter().filter_map(|id| Some((id, self.packs.get(&id)?)));
        let wanted = known.filter(|(_, pack)| owner.is_none_or(|owner| pack.owner == owner));
        wanted.map(|(id, pack)| (id, pack.shard_bytes)).collect()
    }
}
