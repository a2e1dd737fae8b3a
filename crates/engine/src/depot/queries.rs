//! What devices ask: where packs are, which there are, and how they stand.

use std::{collections::BTreeSet, ops::Bound};

use skep_wire::{
    OwnerId, PackId, PeerId,
    backup::{MAX_DEVICES, Rights},
    message::{
        Health, HealthIs, Level, ListCondemned, ListPacks, Locate, LocatedPack, PackIds, Sentence, Sentences,
        WhoKeeps,
    },
};

use super::{Depot, Pack, not_allowed};
use crate::{index::Denial, repair};

/// The most packs on a page.
const PAGE_PACKS: usize = 4096;
/// The most holders of a pack that are told.
const MAX_HELD: usize = 64;
/// The most packs that are told to be lost.
const MAX_LOST: usize = 64;

impl Depot {
    /// Who has these packs?
    pub(crate) fn locate(&self, device: &PeerId, locate: &Locate) -> Result<Vec<LocatedPack>, Denial> {
        self.allowed(&locate.owner, device, Rights::READ)?;
        let known = locate.packs.iter().filter_map(|pack| self.packs.get(pack));
        let own = known.filter(|pack| pack.owner == locate.owner);
        Ok(own
            .map(|pack| LocatedPack {
                record: pack.record.clone(),
                held: pack.held.iter().take(MAX_HELD).copied().collect(),
            })
            .collect())
    }

    /// All packs of an owner.
    pub(crate) fn list_packs(&self, device: &PeerId, list: &ListPacks) -> Result<PackIds, Denial> {
        let owner = self.device_of(&list.owner, device)?;
        let first = list.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = owner.packs.range((first, Bound::Unbounded));
        let packs: Vec<PackId> = rest.by_ref().take(PAGE_PACKS).copied().collect();
        let more = rest.next().is_some();
        Ok(PackIds { packs, more })
    }

    /// Which packs are condemned.
    pub(crate) fn sentences(&self, device: &PeerId, list: &ListCondemned) -> Result<Sentences, Denial> {
        let all = self.device_of(&list.owner, device)?.sentences();
        let first = list.after.map_or(Bound::Unbounded, |after| {
            Bound::Excluded((after, PeerId([0xff; 32])))
        });
        let mut sentences: Vec<Sentence> = Vec::new();
        for (&(pack, device), &number) in all.range((first, Bound::Unbounded)) {
            let is_next = sentences.last().is_none_or(|last| last.pack != pack);
            // All sentences of a pack are on one page.
            if is_next && sentences.len() + MAX_DEVICES > PAGE_PACKS {
                return Ok(Sentences {
                    sentences,
                    more: true,
                });
            }
            sentences.push(Sentence { pack, device, number });
        }
        Ok(Sentences {
            sentences,
            more: false,
        })
    }

    /// How packs stand.
    pub(crate) fn health(&self, device: &PeerId, health: &Health) -> Result<HealthIs, Denial> {
        let owner = self.device_of(&health.owner, device)?;
        let mut sum = HealthIs {
            level: Level::Whole,
            survives: u32::MAX,
            reachable: 0,
            packs: 0,
            missing_bytes: 0,
            lost: Vec::new(),
            audited_unix_s: 0,
        };
        if health.packs.is_empty() {
            let live = |id: &&PackId| self.packs.get(id).is_some_and(|pack| !pack.dying && pack.settled);
            owner
                .packs
                .iter()
                .filter(live)
                .for_each(|id| self.add(&mut sum, id));
        } else {
            health.packs.iter().for_each(|id| self.add(&mut sum, id));
        }
        if sum.packs == 0 {
            sum.survives = 0;
        }
        Ok(sum)
    }

    /// Who keeps something of these packs.
    pub(crate) fn who_keeps(&self, device: &PeerId, who: &WhoKeeps) -> Result<BTreeSet<PeerId>, Denial> {
        self.device_of(&who.owner, device)?;
        if who.packs.is_empty() {
            return Ok(self.keepers_of(&who.owner));
        }
        let known = who.packs.iter().filter_map(|pack| self.packs.get(pack));
        let own = known.filter(|pack| pack.owner == who.owner);
        Ok(own.flat_map(|pack| &pack.held).map(|at| at.peer).collect())
    }

    /// Adds how one pack stands.
    fn add(&self, sum: &mut HealthIs, id: &PackId) {
        sum.packs += 1;
        let known = self.packs.get(id);
        let health = known.map_or(NOTHING, |pack| self.health_of(id, pack));
        sum.level = sum.level.max(level(health.level));
        sum.survives = sum
            .survives
            .min(u32::try_from(health.survives).unwrap_or(u32::MAX));
        if let Some(pack) = known {
            sum.reachable += u64::from(health.reachable >= pack.scheme.data());
            sum.missing_bytes += pack.shard_bytes * health.missing as u64;
            sum.audited_unix_s = sum.audited_unix_s.max(pack.audited_unix_s);
        }
        if health.level == repair::Level::Lost && sum.lost.len() < MAX_LOST {
            sum.lost.push(*id);
        }
    }

    /// Of what repair does not look after yet, all that is there counts.
    fn health_of(&self, id: &PackId, pack: &Pack) -> repair::Health {
        let settled = self.repair.health(id);
        settled.unwrap_or_else(|| {
            let held = pack.held.len();
            repair::Health {
                level: match held.checked_sub(pack.scheme.data()) {
                    None => repair::Level::Lost,
                    Some(spare) if spare >= pack.scheme.parity() => repair::Level::Whole,
                    Some(0) => repair::Level::AtRisk,
                    Some(_) => repair::Level::Degraded,
                },
                survives: held.saturating_sub(pack.scheme.data()),
                reachable: held,
                missing: pack.scheme.shards().saturating_sub(held),
            }
        })
    }

    fn device_of(&self, owner: &OwnerId, device: &PeerId) -> Result<&super::Owner, Denial> {
        let known = self.owners.get(owner).ok_or_else(super::unknown_owner)?;
        match known.roster.device(device) {
            Some(_) => Ok(known),
            None => Err(not_allowed("your device is not one of the owner's")),
        }
    }
}

const NOTHING: repair::Health = repair::Health {
    level: repair::Level::Lost,
    survives: 0,
    reachable: 0,
    missing: 0,
};

fn level(level: repair::Level) -> Level {
    match level {
        repair::Level::Whole => Level::Whole,
        repair::Level::Degraded => Level::Degraded,
        repair::Level::AtRisk => Level::AtRisk,
        repair::Level::Lost => Level::Lost,
    }
}
