//! How a pack stands: what is left of it, what is within reach, and what is to be rebuilt.

use std::collections::BTreeSet;

use skep_wire::{PackId, PeerId};

use super::{Kept, Need, Repair, presence::Standing};

/// How well a pack is kept, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All of its shards.
    Whole,
    /// Some are lost; it can be restored, and survives the loss of another.
    Degraded,
    /// It can be restored, and does not survive the loss of another.
    AtRisk,
    /// Too few shards are left.
    Lost,
}

/// How a pack stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// In a word.
    pub level: Level,
    /// How many of those that have not failed may be lost.
    pub survives: usize,
    /// Shards that are within reach now.
    pub reachable: usize,
    /// Shards to be rebuilt.
    pub missing: usize,
}

/// The shards of a pack that count, by some measure. Replicas are all alike: there each holder counts.
fn count<'a>(kept: &Kept, held: impl Iterator<Item = &'a (u8, PeerId)>) -> usize {
    match kept.scheme.data() {
        1 => held.map(|(_, peer)| *peer).collect::<BTreeSet<_>>().len(),
        _ => held.map(|(shard, _)| *shard).collect::<BTreeSet<_>>().len(),
    }
}

impl Repair {
    /// How a pack stands; none if it is not kept.
    #[must_use]
    pub fn health(&self, pack: &PackId) -> Option<Health> {
        let kept = self.packs.get(pack)?;
        let (need, want) = (kept.scheme.data(), kept.scheme.shards());
        let left = count(kept, kept.held.iter().filter(|held| !self.has_failed(&held.1)));
        let level = match left {
            _ if left < need => Level::Lost,
            _ if left >= want => Level::Whole,
            _ if left == need => Level::AtRisk,
            _ => Level::Degraded,
        };
        Some(Health {
            level,
            survives: left.saturating_sub(need),
            reachable: self.reachable(kept),
            missing: want.saturating_sub(left),
        })
    }

    /// Whether others have all that is wanted of a pack, and are there now: then what this peer has is too much.
    #[must_use]
    pub fn can_spare(&self, pack: &PackId, peer: &PeerId) -> bool {
        let Some(kept) = self.packs.get(pack) else {
            return false;
        };
        let counts =
            |holder: &PeerId| holder != peer && self.is_online(holder) && !kept.leaving.contains(holder);
        let others = kept.held.iter().filter(|(_, holder)| counts(holder));
        count(kept, others) >= kept.scheme.shards()
    }

    /// How many are left beyond those it takes, if the pack lacks shards that can be rebuilt now.
    pub(super) fn place_in_queue(&self, pack: &PackId) -> Option<usize> {
        let kept = self.packs.get(pack)?;
        let counted = count(kept, self.counted(kept).iter());
        let spare = self.reachable(kept).checked_sub(kept.scheme.data())?;
        // When most are away, copying what is left costs more than it helps, but for the last shards.
        let waits = self.attendance.most_are_away() && spare > 0;
        (counted < kept.scheme.shards() && !waits).then_some(spare)
    }

    /// Whether a pack lacks shards, or would without this peer's: who leaves then takes something with it.
    #[must_use]
    pub fn needs(&self, pack: &PackId, peer: &PeerId) -> bool {
        let Some(kept) = self.packs.get(pack) else {
            return false;
        };
        let counted = self
            .counted(kept)
            .into_iter()
            .filter(|(_, holder)| holder != peer);
        count(kept, counted.collect::<Vec<_>>().iter()) < kept.scheme.shards()
    }

    /// The first shard that does not count, and who has the others.
    pub(super) fn need(&self, pack: &PackId) -> Option<Need> {
        let kept = self.packs.get(pack)?;
        let counted: BTreeSet<u8> = self.counted(kept).iter().map(|(shard, _)| *shard).collect();
        let all = (0..kept.scheme.shards()).filter_map(|shard| u8::try_from(shard).ok());
        // A peer may hold two replicas, which count as one: any number will do for another.
        let any = (kept.scheme.data() == 1).then_some(0);
        let shard = all.into_iter().find(|shard| !counted.contains(shard)).or(any)?;
        let online = kept.held.iter().filter(|(_, peer)| self.is_online(peer));
        Some(Need {
            pack: *pack,
            shard,
            shard_bytes: kept.shard_bytes,
            scheme: kept.scheme,
            sources: online.copied().collect(),
            holders: kept.held.iter().map(|(_, peer)| *peer).collect(),
        })
    }

    /// The shards of those that have not failed and do not leave; where few are within reach, of those alone that are
    /// not away for long.
    fn counted(&self, kept: &Kept) -> Vec<(u8, PeerId)> {
        let urgent = self.reachable(kept) <= kept.scheme.data() + 1;
        let counts = |peer: &PeerId| match self.attendance.standing(peer) {
            Standing::Online => true,
            Standing::Away(away) => !urgent || away < self.settings.urgent_after,
            Standing::Failed => false,
        };
        kept.held
            .iter()
            .filter(|(_, peer)| counts(peer) && !kept.leaving.contains(peer))
            .copied()
            .collect()
    }

    fn reachable(&self, kept: &Kept) -> usize {
        count(kept, kept.held.iter().filter(|(_, peer)| self.is_online(peer)))
    }

    fn is_online(&self, peer: &PeerId) -> bool {
        self.attendance.standing(peer) == Standing::Online
    }

    fn has_failed(&self, peer: &PeerId) -> bool {
        self.attendance.standing(peer) == Standing::Failed
    }
}
