//! Where new packs go, where those go that could not be brought, and who rebuilds what is missing.

use skep_wire::{
    Moment, OwnerId, PackId, PeerId, Signed,
    backup::{PackRecord, Rights, Scheme},
    message::{NewPack, PackPlan, Plan, Reason, ShardFailed},
    record::Role,
};

use super::{Depot, bad};
use crate::{
    index::Denial,
    placement::{self, Candidate, Denied, Wish, plans::Failed},
    repair::Need,
};

/// An answer to a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// How the packs are split.
    pub scheme: Scheme,
    /// There is a single copy.
    pub is_fragile: bool,
    /// Who keeps what.
    pub packs: Vec<PackPlan>,
}

/// A rebuild to be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilding {
    /// What is to be rebuilt, and from whom.
    pub need: Need,
    /// Whose pack it is.
    pub owner: OwnerId,
    /// The owner's word on it.
    pub record: Signed<PackRecord>,
    /// Who rebuilds; none: nobody can.
    pub target: Option<PeerId>,
}

impl Depot {
    /// How much room a peer has, that offers `capacity_bytes` and says that it uses `used_bytes`.
    pub(crate) fn free_bytes(&self, peer: &PeerId, capacity_bytes: u64, used_bytes: u64) -> u64 {
        let used = used_bytes.max(self.keepers.bytes(peer));
        capacity_bytes
            .saturating_sub(used)
            .saturating_sub(self.plans.reserved(peer))
    }

    /// Chooses holders for new packs of a device.
    pub(crate) fn plan(
        &mut self,
        now: Moment,
        device: &PeerId,
        plan: &Plan,
        mut candidates: Vec<Candidate>,
        seed: u64,
    ) -> Result<Placed, Denial> {
        let owner = self.allowed(&plan.owner, device, Rights::WRITE)?;
        let (never, earlier) = (self.never(&plan.owner), owner.scheme);
        let storage = |candidate: &&Candidate| {
            candidate.role != Role::Owner && candidate.free_bytes > 0 && !never.contains(&candidate.peer)
        };
        let storage_peers = candidates.iter().filter(storage).count();
        let wanted = plan.scheme.or(earlier);
        let auto = placement::auto(storage_peers, wanted).map_err(no_room)?;
        let mut packs = Vec::with_capacity(plan.packs.len());
        for (new, seed) in plan.packs.iter().zip(seed..) {
            packs.push(self.place(now, *new, auto.scheme, (&never, seed), &mut candidates)?);
        }
        self.owner_mut(&plan.owner)?.scheme = Some(auto.scheme);
        Ok(Placed {
            scheme: auto.scheme,
            is_fragile: auto.is_fragile,
            packs,
        })
    }

    /// Chooses holders for one pack: those that have a shard already, and new ones for the rest.
    fn place(
        &mut self,
        now: Moment,
        new: NewPack,
        scheme: Scheme,
        (never, seed): (&[PeerId], u64),
        candidates: &mut [Candidate],
    ) -> Result<PackPlan, Denial> {
        let kept = self.kept_by(&new.pack, scheme, never)?;
        let holders: Vec<PeerId> = kept.iter().flatten().copied().collect();
        let shard_bytes = scheme.shard_bytes(new.size);
        let wish = Wish {
            scheme,
            count: scheme.shards() - holders.len(),
            shard_bytes,
            never,
            holders: &holders,
            seed,
        };
        let chosen = placement::choose(&wish, candidates).map_err(no_room)?;
        for candidate in candidates.iter_mut().filter(|it| chosen.contains(&it.peer)) {
            candidate.free_bytes = candidate.free_bytes.saturating_sub(shard_bytes);
        }
        let mut chosen = chosen.into_iter();
        let holders: Vec<PeerId> = kept
            .into_iter()
            .filter_map(|kept| kept.or_else(|| chosen.next()))
            .collect();
        self.plans.open(now.mono, new.pack, shard_bytes, &holders);
        Ok(PackPlan {
            pack: new.pack,
            holders,
        })
    }

    /// Who has each shard of a pack already, each peer once, and none of those that are `never` asked.
    fn kept_by(
        &self,
        pack: &PackId,
        scheme: Scheme,
        never: &[PeerId],
    ) -> Result<Vec<Option<PeerId>>, Denial> {
        let mut kept = vec![None; scheme.shards()];
        let Some(known) = self.packs.get(pack) else {
            return Ok(kept);
        };
        if known.scheme != scheme {
            return Err(bad("the pack is kept in another way"));
        }
        for at in &known.held {
            let taken = kept.contains(&Some(at.peer)) || never.contains(&at.peer);
            if let Some(place @ None) = kept.get_mut(usize::from(at.shard))
                && !taken
            {
                *place = Some(at.peer);
            }
        }
        Ok(kept)
    }

    /// A shard could not be brought to its holder. Returns whom to bring it to.
    pub(crate) fn shard_failed(
        &mut self,
        now: Moment,
        device: &PeerId,
        failed: &ShardFailed,
        candidates: &[Candidate],
        seed: u64,
    ) -> Result<PeerId, Denial> {
        let owner = self.allowed(&failed.owner, device, Rights::WRITE)?;
        let not_planned = || bad("nothing is planned there");
        let (never, scheme) = (self.never(&failed.owner), owner.scheme.ok_or_else(not_planned)?);
        let slot = (failed.shard.pack, failed.shard.shard);
        match self.plans.failed(slot, &failed.holder) {
            Failed::Retry => return Ok(failed.holder),
            Failed::Ignored => return Err(not_planned()),
            Failed::Replace => {}
        }
        let holders = self.plans.holders(&slot.0);
        let wish = Wish {
            scheme,
            count: 1,
            shard_bytes: self.plans.shard_bytes(&slot.0),
            never: &never,
            holders: &holders,
            seed,
        };
        let chosen = placement::choose(&wish, candidates);
        // If there is nobody else, the plan still ends some time.
        let holder = chosen.as_ref().ok().and_then(|chosen| chosen.first());
        let holder = holder.copied().unwrap_or(failed.holder);
        self.plans.replace(now.mono, slot, holder);
        chosen.map_err(no_room).map(|_| holder)
    }

    /// Plans whose holders did not confirm in time are given up: what is missing is rebuilt from what is there.
    pub(crate) fn give_up_overdue(&mut self, now: Moment) {
        for ((pack, _), holder) in self.plans.overdue(now.mono) {
            if let Some(known) = self.packs.get_mut(&pack) {
                known.late.insert(holder);
            }
            self.plans.cancel(&pack);
            self.settle(&pack);
        }
        self.plans.forget_complete();
    }

    /// The most urgent rebuild, if it is time for one, and who makes it. The caller says with [`Depot::rebuild_ordered`]
    /// what came of it, and asks again.
    pub(crate) fn next_rebuild(
        &mut self,
        now: Moment,
        candidates: impl FnOnce(&Self) -> Vec<Candidate>,
        seed: u64,
    ) -> Option<Rebuilding> {
        let need = self.repair.next(now.mono)?;
        let known = self.packs.get(&need.pack)?;
        let (owner, record) = (known.owner, known.record.clone());
        let never = self.never(&owner);
        let mut candidates = candidates(self);
        // Who rebuilds something now is chosen last: rebuilds at a time are spread over all.
        candidates.sort_by_key(|candidate| self.repair.rebuilds_of(&candidate.peer));
        let least = candidates
            .first()
            .map_or(0, |it| self.repair.rebuilds_of(&it.peer));
        let idle = candidates.partition_point(|it| self.repair.rebuilds_of(&it.peer) <= least);
        let idle = candidates.get(..idle).unwrap_or_default();
        let choose = |never: &[PeerId], among: &[Candidate]| {
            let wish = Wish {
                scheme: need.scheme,
                count: 1,
                shard_bytes: need.shard_bytes,
                never,
                holders: &need.holders,
                seed,
            };
            placement::choose(&wish, among).ok()?.first().copied()
        };
        // Who was planned and never confirmed is asked when there is nobody else.
        let not_late: Vec<PeerId> = never.iter().chain(&known.late).copied().collect();
        let target = choose(&not_late, idle)
            .or_else(|| choose(&not_late, &candidates))
            .or_else(|| choose(&never, &candidates));
        Some(Rebuilding {
            need,
            owner,
            record,
            target,
        })
    }

    /// Whether the rebuild was ordered.
    pub(crate) fn rebuild_ordered(&mut self, now: Moment, rebuilding: &Rebuilding, ordered: bool) {
        match rebuilding.target.filter(|_| ordered) {
            Some(target) => self.repair.begin(now.mono, &rebuilding.need, target),
            None => self.repair.postpone(now.mono, rebuilding.need.pack),
        }
    }

    /// A rebuild was refused.
    pub(crate) fn rebuild_failed(&mut self, now: Moment, pack: PackId) {
        self.repair.postpone(now.mono, pack);
    }

    /// The owner's own devices keep nothing of it, nor does who wants to be rid of it or has failed its audits.
    fn never(&self, owner: &OwnerId) -> Vec<PeerId> {
        let roster = self.owners.get(owner).map(|owner| &owner.roster);
        let listed = roster.into_iter().flat_map(|roster| &roster.devices);
        let retired = roster.into_iter().flat_map(|roster| &roster.retired);
        let devices = listed
            .map(|device| device.peer)
            .chain(retired.map(|retired| retired.peer));
        let unwilling = self.leases.unwilling(owner);
        devices
            .chain(unwilling)
            .chain(self.distrusted.iter().copied())
            .collect()
    }
}

fn no_room(denied: Denied) -> Denial {
    Denial::new(Reason::NoRoom, denied.to_string())
}
