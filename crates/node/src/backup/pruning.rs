//! `prune`: what no snapshot needs any more is condemned, and packs that are mostly dead are packed anew.
//!
//! It keeps to the rules of docs/backup-format.md, so that it may run beside backups and prunes of other devices
//! and stop anywhere: it relies on packs that the own head lists, writes what it rescues, commits, and condemns
//! last. Nothing is deleted by it: holders do that, when their grace is over. At the end it tells them what is kept once
//! too often.

mod census;
mod plan;
mod surplus;
mod taking;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use skep_vault::{Catalog, Index, Sealer, index::Listed, pack::Sealed};
use skep_wire::PackId;
use tokio::sync::mpsc;

use self::{census::Census, plan::Plan, taking::Taken};
use super::{
    error::BackupError,
    far::Far,
    lock,
    meter::Meter,
    near::Near,
    packing::{QUEUED_PACKS, keys, list, seal_index, send_all},
    reader::Reader,
    send::Sender,
    state::{Owned, State},
    sync, words,
};
use crate::{
    api::types::{PruneDone, PruneRequest},
    core::Core,
};

/// One prune.
struct Prune<'a> {
    core: &'a Arc<Core>,
    state: &'a State,
    meter: Arc<Meter>,
}

/// What replaces the packs that go.
#[derive(Default)]
struct Rescued {
    packs: Vec<PackId>,
    indexes: Vec<PackId>,
}

/// Prunes, or only says what that would be. `owned` is what the network knows now.
pub(super) async fn prune(
    core: &Arc<Core>,
    state: &State,
    owned: Owned,
    request: PruneRequest,
    meter: Arc<Meter>,
) -> Result<PruneDone, BackupError> {
    let prune = Prune { core, state, meter };
    let taken = taking::take_over(core.id(), &owned)?;
    let census = Census::take(core, &owned).await?;
    let owned = Arc::new(owned);
    let plan = prune.plan(&owned, &taken, &census).await?;
    let mut done = plan.told(&census, request.dry_run);
    if request.dry_run {
        return Ok(done);
    }
    let owned = prune.take_over(owned, &taken, &plan).await?;
    let plan = Arc::new(plan);
    let rescued = match plan.rewrites {
        true => prune.rescue(&owned, &plan).await?,
        false => Rescued::default(),
    };
    prune.commit(&owned, taken.catalog, &plan, rescued).await?;
    let (condemned, needed) = prune.condemn(&plan).await?;
    done.packs = condemned.len();
    done.freed_bytes = census.stored_bytes(&condemned);
    done.surplus = surplus::relieve(core, state, &owned, &needed).await?;
    Ok(done)
}

impl Prune<'_> {
    async fn plan(&self, owned: &Arc<Owned>, taken: &Taken, census: &Census) -> Result<Plan, BackupError> {
        let far = Far::new(self.core, owned);
        let (state, owned, meter) = (self.state.clone(), owned.clone(), self.meter.clone());
        let (device, taken, census) = (self.core.id(), taken.clone(), census.clone());
        let plan = move || {
            let near = Near {
                state: &state,
                far: &far,
            };
            plan::plan(&near, &owned, device, &taken, &census, &meter)
        };
        self.core.world.work.call_waiting(plan).await
    }

    /// Sees to it that everything the plan relies on is listed by the own head, not condemned, and there.
    async fn take_over(
        &self,
        owned: Arc<Owned>,
        taken: &Taken,
        plan: &Plan,
    ) -> Result<Arc<Owned>, BackupError> {
        let relied: Vec<PackId> = plan.listed.iter().copied().collect();
        let mut now = owned;
        if taken.is_more {
            let catalog = taken.catalog.clone();
            sync::commit(self.core, self.state, &now, catalog, relied.clone()).await?;
            now = Arc::new(sync::load(self.core, self.state).await?);
        } else {
            words::spare(self.core, now.owner, &relied).await?;
        }
        self.are_there(&now, relied, plan).await?;
        Ok(now)
    }

    /// Whether no more of these packs are lost than the plan knows.
    async fn are_there(&self, owned: &Owned, packs: Vec<PackId>, plan: &Plan) -> Result<(), BackupError> {
        let lost = sync::lost(self.core, owned.owner, packs).await?;
        match lost.iter().find(|pack| !plan.lost.contains(pack)) {
            None => Ok(()),
            Some(pack) => Err(BackupError::NotPruned(format!(
                "pack {} was lost meanwhile",
                pack.short()
            ))),
        }
    }

    /// Seals anew what is needed of packs that go, and an index of everything.
    async fn rescue(&self, owned: &Arc<Owned>, plan: &Arc<Plan>) -> Result<Rescued, BackupError> {
        let sender = Arc::new(Sender::new(self.core, owned, None));
        let (packs, queue) = mpsc::channel(QUEUED_PACKS);
        let job = Rescue {
            core: self.core.clone(),
            state: self.state.clone(),
            owned: owned.clone(),
            far: Far::new(self.core, owned),
            plan: plan.clone(),
            meter: self.meter.clone(),
        };
        let sealing = self.core.world.work.call_waiting(move || job.seal(&packs));
        let (rescued, sent) = tokio::join!(sealing, send_all(&sender, self.state, queue));
        // If sending failed, that is why the thread stopped.
        sent?;
        rescued
    }

    async fn commit(
        &self,
        owned: &Owned,
        mut catalog: Catalog,
        plan: &Plan,
        rescued: Rescued,
    ) -> Result<(), BackupError> {
        if plan.rewrites {
            catalog.indexes = rescued.indexes;
        }
        let own = owned.heads.get(&self.core.id());
        if own.is_none_or(|own| own.catalog == catalog) {
            return Ok(());
        }
        let kept: Vec<PackId> = plan.keep.iter().copied().collect();
        let needed = [&kept[..], &rescued.packs, &catalog.indexes].concat();
        sync::commit(self.core, self.state, owned, catalog, needed).await?;
        self.are_there(owned, kept, plan).await
    }

    /// Condemns what goes and no head lists now. Returns that, and what heads list.
    async fn condemn(&self, plan: &Plan) -> Result<(Vec<PackId>, BTreeSet<PackId>), BackupError> {
        let mut owned = sync::load(self.core, self.state).await?;
        sync::with_network(self.core, self.state, &mut owned).await?;
        let owner = owned.owner;
        let needed = self.listed_by_anyone(owned).await?;
        let condemned: Vec<PackId> = plan
            .condemn
            .iter()
            .filter(|pack| !needed.contains(pack))
            .copied()
            .collect();
        // What was kept of a backup that did not finish goes: no note of it stays behind.
        let state = self.state.clone();
        let tidy = move || {
            state.settle_pending()?;
            state.sweep_near(&needed).map(|()| needed)
        };
        let needed = self.core.world.work.call(tidy).await?;
        words::condemn(self.core, self.state, owner, &condemned).await?;
        Ok((condemned, needed))
    }

    async fn listed_by_anyone(&self, owned: Owned) -> Result<BTreeSet<PackId>, BackupError> {
        let far = Far::new(self.core, &owned);
        let (state, device) = (self.state.clone(), self.core.id());
        let list = move || {
            let near = Near {
                state: &state,
                far: &far,
            };
            let listing = near.listing(&owned, &device, |_| true);
            match listing.unreadable.first() {
                Some(unreadable) => Err(plan::no_index(unreadable)),
                None => Ok(listing.of.into_values().flatten().collect()),
            }
        };
        self.core.world.work.call_waiting(list).await
    }
}

/// What the sealing thread needs.
struct Rescue {
    core: Arc<Core>,
    state: State,
    owned: Arc<Owned>,
    far: Far,
    plan: Arc<Plan>,
    meter: Arc<Meter>,
}

impl Rescue {
    /// Blocks.
    fn seal(self, packs: &mpsc::Sender<Sealed>) -> Result<Rescued, BackupError> {
        let near = Near {
            state: &self.state,
            far: &self.far,
        };
        let sealed: Mutex<Vec<Listed>> = Mutex::default();
        let entropy = || self.core.world.entropy.bytes32();
        let out = |pack: Sealed| {
            self.state.keep_near(&pack);
            lock(&sealed).push(list(&pack));
            if self.core.world.work.wait_for(packs.send(pack)).is_err() {
                self.meter.stop();
            }
        };
        let nothing = Index::new();
        let sealer = Sealer::new(keys(&self.owned)?, &nothing, &entropy, &out);
        let reader = Reader::new(&self.owned.ring, &self.plan.index, &near);
        self.plan.store_again(&reader, &sealer, &self.meter)?;
        sealer.flush();
        let fresh = std::mem::take(&mut *lock(&sealed));
        let indexes = seal_index(&sealer, &sealed, self.plan.kept().chain(&fresh));
        match self.meter.is_stopped() {
            true => Err(BackupError::Stopped),
            false => Ok(Rescued {
                packs: fresh.iter().map(|listed| listed.pack).collect(),
                indexes,
            }),
        }
    }
}
