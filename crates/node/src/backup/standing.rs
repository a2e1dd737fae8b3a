//! How the owner's snapshots stand: what is left of each, who has it, and when that was last looked at.
//!
//! The devices know which packs a snapshot needs, the coordinator how packs stand; nobody else knows both.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use skep_vault::{Snapshot, SnapshotId};
use skep_wire::{
    OwnerId, PackId, PeerId,
    message::{Health, HealthIs, Keeper, KeptBy, Level, Presence, WhoKeeps},
};

use super::{
    door,
    drills::Drills,
    error::BackupError,
    needs, snapshots,
    state::{Owned, State},
    sync,
};
use crate::{
    api::types::{BackupStatus, SnapshotState, SnapshotStatus},
    core::Core,
};

/// How many packs fit one question.
const ASKED_PACKS: usize = 4096;

/// How a set of packs stands.
#[derive(Clone)]
struct Standing {
    health: HealthIs,
    keepers: BTreeMap<PeerId, Keeper>,
}

/// How the backups stand; none if this peer has no owner.
pub(crate) async fn status(core: &Arc<Core>) -> Result<Option<BackupStatus>, BackupError> {
    let connected = core.session.view().connected;
    let known = match connected {
        true => door::known(core).await,
        false => door::known_here(core).await,
    };
    let (state, owned) = match known {
        Ok(known) => known,
        Err(BackupError::NoOwner) => return Ok(None),
        Err(error) => return Err(error),
    };
    let inner = state.clone();
    let drills = core.world.work.call(move || inner.drills()).await?;
    let owned = Arc::new(owned);
    let (standings, repair_bytes) = match connected {
        true => (
            standings(core, &state, &owned).await?,
            repair_bytes(core, owned.owner).await?,
        ),
        false => (BTreeMap::new(), 0),
    };
    let all = snapshots::all(&owned);
    let lines: Vec<SnapshotStatus> = all
        .iter()
        .map(|(id, snapshot)| line(*id, snapshot, standings.get(id), &drills))
        .collect();
    Ok(Some(BackupStatus {
        owner: owned.owner.to_string(),
        devices: owned.roster.devices.len(),
        repair_bytes,
        last_good: last_good(core, &owned, &lines),
        last_drill: lines.iter().filter_map(|line| line.last_drill).max(),
        snapshots: lines,
    }))
}

/// Bytes of shards that are missing, of all packs of the owner.
async fn repair_bytes(core: &Arc<Core>, owner: OwnerId) -> Result<u64, BackupError> {
    let packs = Vec::new();
    let all: HealthIs = core.session.ask(&Health { owner, packs }).await?;
    Ok(all.missing_bytes)
}

/// How each snapshot stands, as far as that can be told.
async fn standings(
    core: &Arc<Core>,
    state: &State,
    owned: &Arc<Owned>,
) -> Result<BTreeMap<SnapshotId, Standing>, BackupError> {
    let Some(needs) = needs::find(core, state, owned.clone()).await else {
        return Ok(BTreeMap::new());
    };
    // Snapshots that need the same packs stand alike.
    let mut asked: BTreeMap<&BTreeSet<PackId>, Standing> = BTreeMap::new();
    let mut of = BTreeMap::new();
    for (id, packs) in &*needs {
        let Some(packs) = packs.as_deref() else { continue };
        let standing = match asked.get(packs) {
            Some(standing) => standing.clone(),
            None => match ask(core, owned.owner, packs).await? {
                Some(standing) => asked.entry(packs).or_insert(standing).clone(),
                None => continue,
            },
        };
        of.insert(*id, standing);
    }
    Ok(of)
}

async fn ask(
    core: &Arc<Core>,
    owner: OwnerId,
    packs: &BTreeSet<PackId>,
) -> Result<Option<Standing>, BackupError> {
    let Some(health) = sync::health(core, owner, packs.iter().copied()).await? else {
        return Ok(None);
    };
    let (all, mut keepers) = (packs.iter().copied().collect::<Vec<_>>(), BTreeMap::new());
    for packs in all.chunks(ASKED_PACKS) {
        let packs = packs.to_vec();
        let told: KeptBy = core.session.ask(&WhoKeeps { owner, packs }).await?;
        keepers.extend(told.keepers.into_iter().map(|keeper| (keeper.peer, keeper)));
    }
    Ok(Some(Standing { health, keepers }))
}

fn line(id: SnapshotId, snapshot: &Snapshot, standing: Option<&Standing>, drills: &Drills) -> SnapshotStatus {
    let health = standing.map(|standing| &standing.health);
    let is = |keeper: &&Keeper, presence| keeper.presence == presence;
    let keepers = || {
        standing
            .into_iter()
            .flat_map(|standing| standing.keepers.values())
    };
    let holders = || keepers().filter(|keeper| !is(keeper, Presence::Failed));
    SnapshotStatus {
        id: id.to_string(),
        made: snapshot.made_unix_s,
        host: String::from_utf8_lossy(&snapshot.host).into_owned(),
        state: health.map_or(SnapshotState::Unknown, state),
        survives: health.map_or(0, |health| health.survives),
        holders: holders().count(),
        reachable: holders().filter(|keeper| is(keeper, Presence::Online)).count(),
        restorable: health.is_some_and(|health| health.reachable == health.packs),
        repair_bytes: health.map_or(0, |health| health.missing_bytes),
        last_audit: health
            .map(|health| health.audited_unix_s)
            .filter(|audited| *audited > 0),
        last_drill: drills.get(&id).copied(),
    }
}

/// When the newest snapshot of this device was made that can be restored as far as anybody knows; of a machine
/// that only restores, the newest of all.
fn last_good(core: &Core, owned: &Owned, lines: &[SnapshotStatus]) -> Option<u64> {
    let own = owned.heads.get(&core.id()).map(|known| &known.catalog.snapshots);
    let own: BTreeSet<String> = own
        .into_iter()
        .flatten()
        .map(|snapshot| snapshot.id().to_string())
        .collect();
    let good = lines.iter().filter(|line| line.state != SnapshotState::Lost);
    let good = good.filter(|line| own.is_empty() || own.contains(&line.id));
    good.map(|line| line.made).max()
}

/// A single copy may be whole, and is at risk.
fn state(health: &HealthIs) -> SnapshotState {
    match health.level {
        Level::Lost => SnapshotState::Lost,
        _ if health.survives == 0 => SnapshotState::AtRisk,
        Level::Whole => SnapshotState::Whole,
        Level::Degraded | Level::AtRisk => SnapshotState::Degraded,
    }
}
