//! What the network knows of an owner, held against what this device knows; newer wins, on both sides.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use skep_net::Link;
use skep_vault::{
    Catalog, Owner, Phrase,
    head::{self, Frame, Previous},
};
use skep_wire::{
    BlobId, OwnerId, PackId, PeerId, Signed,
    backup::{self, PackList, Roster},
    message::{
        Done, GetHead, HeadIs, Health, HealthIs, Holder, KeepHead, KeepRoster, Lane, ListPacks, Locate,
        Located, OwnerStands, OwnerState, PackIds, Reason,
    },
};

use super::{
    error::BackupError,
    state::{Owned, State, applicant},
    words,
};
use crate::{core::Core, session::SessionError};

/// How many packs fit one question for their health.
const HEALTH_PACKS: usize = 4096;
/// The most packs that an answer names as lost.
const TOLD_LOST: usize = 64;
/// How many packs fit one question for their holders.
pub(super) const LOCATED_PACKS: usize = 256;
/// How many holders are told of a head.
const TOLD_HOLDERS: usize = 64;

/// The folder of this peer's backups.
pub(super) async fn state(core: &Arc<Core>) -> Result<State, BackupError> {
    let inner = core.clone();
    let opened = core.world.work.call(move || State::open(&*inner.home.dir)).await;
    Ok(opened?)
}

/// The owner whose device this is, as far as this device knows.
pub(super) async fn load(core: &Arc<Core>, state: &State) -> Result<Owned, BackupError> {
    let (inner, state) = (core.clone(), state.clone());
    let loaded = core.world.work.call(move || state.load(&inner.home.key)).await;
    loaded?.ok_or(BackupError::NoOwner)
}

/// The same; a new owner, if there is none.
pub(super) async fn load_or_found(core: &Arc<Core>, state: &State) -> Result<Owned, BackupError> {
    let (inner, state) = (core.clone(), state.clone());
    let found = move || state.load_or_found(&inner.home.key, &*inner.world.entropy);
    core.world.work.call(found).await
}

/// Learns what is newer, and tells the coordinator what it does not know.
pub(super) async fn with_network(
    core: &Arc<Core>,
    state: &State,
    owned: &mut Owned,
) -> Result<(), BackupError> {
    let stands = stands(core, owned.owner).await?;
    learn_roster(core, state, owned, stands.roster).await?;
    let numbers: BTreeMap<PeerId, u64> = stands.heads.iter().map(|at| (at.device, at.number)).collect();
    for (device, number) in &numbers {
        let known = owned.heads.get(device).map_or(0, |known| known.head.number);
        if *number > known {
            learn_head(core, state, owned, *device).await?;
        }
    }
    for (device, known) in &owned.heads {
        let told = numbers.get(device).copied().unwrap_or(0);
        if told < known.head.number {
            if told > 0 {
                tracing::warn!("the coordinator knows an older state of the backups than this device");
            }
            tell(
                core,
                &KeepHead {
                    head: known.signed.clone(),
                },
            )
            .await?;
        }
    }
    Ok(())
}

async fn stands(core: &Arc<Core>, owner: OwnerId) -> Result<OwnerStands, BackupError> {
    Ok(core.session.ask(&OwnerState { owner }).await?)
}

async fn learn_roster(
    core: &Arc<Core>,
    state: &State,
    owned: &mut Owned,
    theirs: Option<Signed<Roster>>,
) -> Result<(), BackupError> {
    let number = |signed: &Signed<Roster>| signed.peek().map_or(0, |roster| roster.number);
    let known = theirs.as_ref().map_or(0, number);
    if known < owned.roster.number {
        let roster = owned.signed.clone();
        return tell(core, &KeepRoster { roster }).await;
    }
    let Some(newer) = theirs.filter(|_| known > owned.roster.number) else {
        return Ok(());
    };
    let Some(mut taken) = Owned::new(owned.owner, newer.clone(), &core.home.key) else {
        // A roster without this device: it was revoked.
        return Err(BackupError::NotAllowed);
    };
    for known in std::mem::take(&mut owned.heads).into_values() {
        taken.believe(known.signed);
    }
    *owned = taken;
    let state = state.clone();
    core.world.work.call(move || state.keep_roster(&newer)).await
}

async fn learn_head(
    core: &Arc<Core>,
    state: &State,
    owned: &mut Owned,
    device: PeerId,
) -> Result<(), BackupError> {
    let owner = owned.owner;
    let HeadIs { head } = core.session.ask(&GetHead { owner, device }).await?;
    if !owned.believe(head.clone()) {
        tracing::warn!("the coordinator has a head of a backup that cannot be believed");
        return Ok(());
    }
    let state = state.clone();
    core.world
        .work
        .call(move || state.keep_head(&device, &head))
        .await
}

/// Tells the coordinator; what it knows newer already is no failure.
async fn tell<M: skep_wire::message::Message>(core: &Arc<Core>, message: &M) -> Result<(), BackupError> {
    match core.session.ask::<_, Done>(message).await {
        Ok(Done {})
        | Err(SessionError::Refused {
            reason: Reason::Stale,
            ..
        }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Tells the coordinator a roster, which passes it on to the holders.
pub(super) async fn tell_roster(core: &Arc<Core>, roster: Signed<Roster>) -> Result<(), BackupError> {
    tell(core, &KeepRoster { roster }).await
}

/// Makes this peer a device of who has the phrase.
pub(super) async fn recover(core: &Arc<Core>, phrase: &Phrase) -> Result<Owned, BackupError> {
    let state = state(core).await?;
    let owner = Owner::new(phrase);
    match load(core, &state).await {
        Ok(owned) if owned.owner != owner.id() && !owned.heads.is_empty() => {
            return Err(BackupError::OtherOwner);
        }
        Ok(_) | Err(BackupError::NoOwner) => {}
        Err(error) => return Err(error),
    }
    let theirs = stands(core, owner.id()).await?.roster;
    let theirs = theirs.ok_or(BackupError::UnknownOwner)?;
    let is_listed = Owned::new(owner.id(), theirs.clone(), &core.home.key).is_some();
    let roster = match is_listed {
        true => theirs,
        false => owner.admit(&theirs, &applicant(&core.home.key), &mut || {
            core.world.entropy.bytes32()
        })?,
    };
    let keep = KeepRoster {
        roster: roster.clone(),
    };
    tell(core, &keep).await?;
    let (inner, kept) = (state.clone(), roster);
    core.world.work.call(move || inner.become_device(&kept)).await?;
    let mut owned = load(core, &state).await?;
    with_network(core, &state, &mut owned).await?;
    Ok(owned)
}

/// A connection to a holder that knows this device; none if it cannot be reached.
pub(super) async fn link(core: &Arc<Core>, owned: &Owned, holder: &Holder) -> Option<Link> {
    let link = core.links.to(core, holder, Lane::Bulk).await.ok()?;
    let roster = owned.signed.clone();
    // What it knows already, it refuses.
    let _ = link.ask::<_, Done>(&KeepRoster { roster }).await;
    Some(link)
}

/// How these packs stand, all together.
pub(super) async fn health(
    core: &Arc<Core>,
    owner: OwnerId,
    packs: impl IntoIterator<Item = PackId>,
) -> Result<Option<HealthIs>, BackupError> {
    let packs: Vec<PackId> = packs.into_iter().collect();
    let mut worst: Option<HealthIs> = None;
    for packs in packs.chunks(HEALTH_PACKS) {
        let packs = packs.to_vec();
        let is: HealthIs = core.session.ask(&Health { owner, packs }).await?;
        worst = Some(match worst {
            None => is,
            Some(before) => together(before, is),
        });
    }
    Ok(worst)
}

fn together(a: HealthIs, b: HealthIs) -> HealthIs {
    HealthIs {
        level: a.level.max(b.level),
        survives: a.survives.min(b.survives),
        reachable: a.reachable + b.reachable,
        packs: a.packs + b.packs,
        missing_bytes: a.missing_bytes + b.missing_bytes,
        lost: a.lost.into_iter().chain(b.lost).collect(),
        audited_unix_s: a.audited_unix_s.min(b.audited_unix_s),
    }
}

/// All packs of an owner that the network knows.
pub(super) async fn all_packs(core: &Arc<Core>, owner: OwnerId) -> Result<Vec<PackId>, BackupError> {
    let (mut packs, mut after) = (Vec::new(), None);
    loop {
        let page: PackIds = core.session.ask(&ListPacks { owner, after }).await?;
        after = page.packs.last().copied();
        packs.extend(page.packs);
        if !page.more || after.is_none() {
            return Ok(packs);
        }
    }
}

/// Which of these packs are lost: too few shards of them are left, or nobody knows them.
pub(super) async fn lost(
    core: &Arc<Core>,
    owner: OwnerId,
    packs: impl IntoIterator<Item = PackId>,
) -> Result<BTreeSet<PackId>, BackupError> {
    let packs: Vec<PackId> = packs.into_iter().collect();
    let mut lost = BTreeSet::new();
    let mut open: Vec<&[PackId]> = packs.chunks(HEALTH_PACKS).collect();
    while let Some(packs) = open.pop() {
        let asked = packs.to_vec();
        let is: HealthIs = core.session.ask(&Health { owner, packs: asked }).await?;
        // An answer names a few only: then the question is divided.
        if is.lost.len() < TOLD_LOST || packs.len() <= TOLD_LOST {
            lost.extend(is.lost);
        } else {
            let (front, back) = packs.split_at(packs.len() / 2);
            open.extend([front, back]);
        }
    }
    Ok(lost)
}

/// Commits a catalog: from now on this is what the device's snapshots are. `list` names every pack that
/// it needs; if some of them are condemned, that is canceled first.
pub(super) async fn commit(
    core: &Arc<Core>,
    state: &State,
    owned: &Owned,
    catalog: Catalog,
    list: Vec<PackId>,
) -> Result<(), BackupError> {
    words::spare(core, owned.owner, &list).await?;
    let holders = sample(core, owned.owner, &list).await?;
    let bytes = Bytes::from(backup::encode_pack_list(list));
    let device = core.id();
    let previous = owned.heads.get(&device).map_or_else(Previous::default, |known| {
        Previous::of(&known.signed, known.head.number)
    });
    let frame = Frame {
        owner: owned.owner,
        previous,
        roster: owned.roster.number,
        epoch: owned.roster.epoch,
        made_unix_s: core.unix_s(),
        packs: PackList {
            id: BlobId(*blake3::hash(&bytes).as_bytes()),
            size: bytes.len() as u64,
        },
    };
    let salt = core.world.entropy.bytes32();
    let signed = head::seal(&frame, &catalog, &owned.ring, salt, &core.home.key)?;
    let number = previous.number + 1;
    let _offer = core.outgoing.offer_list(owned.owner, device, number, bytes);
    // What the coordinator has taken is committed, whatever happens here: the next one begins by asking.
    let head = signed.clone();
    let word = KeepHead { head };
    core.session.ask::<_, Done>(&word).await?;
    let (inner, kept) = (state.clone(), signed);
    core.world
        .work
        .call(move || inner.keep_head(&device, &kept))
        .await?;
    tell_holders(core, &owned.signed, &word, holders).await;
    Ok(())
}

/// Holders that are online now, of some of these packs from all over the list.
async fn sample(core: &Arc<Core>, owner: OwnerId, list: &[PackId]) -> Result<Vec<Holder>, BackupError> {
    let step = list.len().div_ceil(LOCATED_PACKS).max(1);
    let packs: Vec<PackId> = list.iter().step_by(step).copied().collect();
    if packs.is_empty() {
        return Ok(Vec::new());
    }
    match core.session.ask::<_, Located>(&Locate { owner, packs }).await {
        Ok(located) => Ok(located.holders),
        // This device may write and not read. Holders hear of the head from the coordinator.
        Err(SessionError::Refused { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Holders keep heads too, so that losing the coordinator loses no backup. Those that are missed hear of it from
/// the coordinator when they are back.
async fn tell_holders(core: &Arc<Core>, roster: &Signed<Roster>, word: &KeepHead, holders: Vec<Holder>) {
    let mut telling = tokio::task::JoinSet::new();
    for holder in holders.into_iter().take(TOLD_HOLDERS) {
        let (core, roster, word) = (core.clone(), roster.clone(), word.clone());
        telling.spawn(async move {
            let link = core.links.to(&core, &holder, Lane::Bulk).await;
            let link = link.map_err(|e| e.to_string())?;
            if link.ask::<_, Done>(&word).await.is_ok() {
                return Ok(());
            }
            let told = link.ask::<_, Done>(&KeepRoster { roster }).await;
            told.map_err(|e| e.to_string())?;
            let kept = link.ask::<_, Done>(&word).await;
            kept.map(drop).map_err(|e| format!("{}: {e}", holder.name))
        });
    }
    while let Some(told) = telling.join_next().await {
        if let Ok(Err(error)) = told {
            tracing::info!("a holder did not take the head of the backup: {error}");
        }
    }
}
