//! Telling the coordinator what is kept here, and hearing what owners said meanwhile.
//!
//! A coordinator that lost everything learns everything again: rosters and heads first, then every shard
//! with its record.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use skep_wire::{
    OwnerId, PeerId,
    message::{
        Done, GetHead, HeadIs, Held, KeepHead, KeepRoster, Lost, OwnerStands, OwnerState, Reported, Returned,
        ShardName, ShardsKnown,
    },
};
use tokio::time;

use super::{Denied, reading, words};
use crate::{core::Core, session::SessionError};

/// Shards in one message.
const BATCH: usize = 256;
/// Names of shards in one message.
const LOST_BATCH: usize = 1024;
/// Before what could not be told is told again.
const PAUSE: Duration = Duration::from_secs(5);

/// Says what is not kept any more, or could not be rebuilt. What cannot be said now is told with everything else later.
pub(super) async fn lost(core: &Arc<Core>, shards: &[ShardName]) {
    for some in shards.chunks(LOST_BATCH) {
        let lost = Lost {
            shards: some.to_vec(),
        };
        if core.session.ask::<_, Done>(&lost).await.is_err() {
            core.hold.untold.notify_one();
        }
    }
}

/// As long as a connection lasts: tells what is kept, and again whenever something could not be told.
pub(crate) async fn reconcile(core: Arc<Core>) {
    loop {
        if let Err(error) = tell(&core).await {
            tracing::debug!("what is kept here is told later: {error}");
            core.hold.untold.notify_one();
        }
        core.hold.untold.notified().await;
        time::sleep(PAUSE).await;
    }
}

async fn tell(core: &Arc<Core>) -> Result<(), SessionError> {
    let said: Vec<OwnerId> = core.hold.owners().keys().copied().collect();
    // Of whom there are shards and no roster, that was lost.
    let owners: BTreeSet<OwnerId> = said.into_iter().chain(core.hold.shards.owners()).collect();
    for owner in owners {
        exchange(core, owner).await?;
    }
    let shards = digest(core);
    let ShardsKnown { known } = core.session.ask(&Returned { shards }).await?;
    if known {
        return Ok(());
    }
    for owner in core.hold.shards.owners() {
        tell_shards(core, owner).await?;
    }
    let Done {} = core.session.ask(&Reported {}).await?;
    Ok(())
}

async fn tell_shards(core: &Arc<Core>, owner: OwnerId) -> Result<(), SessionError> {
    let mut after = None;
    loop {
        let names = core.hold.shards.list(&owner, after, BATCH);
        let Some(last) = names.last() else {
            return Ok(());
        };
        after = Some(*last);
        let shards = reading::records(core, owner, names).await;
        match core.session.ask::<_, Done>(&Held { shards }).await {
            // What it does not believe it does not note; the others it does.
            Ok(_) | Err(SessionError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// BLAKE3 of all shards' names, ascending.
fn digest(core: &Core) -> [u8; 32] {
    let shards = &core.hold.shards;
    let owners = shards.owners();
    let mut names: Vec<ShardName> = owners
        .iter()
        .flat_map(|owner| shards.list(owner, None, usize::MAX))
        .collect();
    names.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(&name.pack.0).update(&[name.shard]);
    }
    *hasher.finalize().as_bytes()
}

/// Tells the coordinator what it does not know of an owner yet, and takes what is newer there.
pub(super) async fn exchange(core: &Arc<Core>, owner: OwnerId) -> Result<(), SessionError> {
    let theirs: OwnerStands = core.session.ask(&OwnerState { owner }).await?;
    let claimed = theirs.roster.as_ref().and_then(|roster| roster.peek().ok());
    let their_number = claimed.map_or(0, |roster| roster.number);
    let ours = core
        .hold
        .with(&owner, |known| (known.roster.number, known.signed.clone()));
    match (ours, theirs.roster.clone()) {
        (Ok((number, roster)), _) if number > their_number => {
            taken(core.session.ask::<_, Done>(&KeepRoster { roster }).await)?;
        }
        (Ok((number, _)), _) if number == their_number => {}
        (_, Some(roster)) => note(words::keep_roster(core, roster).await),
        _ => {}
    }
    exchange_heads(core, owner, &theirs).await
}

async fn exchange_heads(core: &Arc<Core>, owner: OwnerId, theirs: &OwnerStands) -> Result<(), SessionError> {
    let heads = core.hold.with(&owner, |known| {
        let heads = known.heads.values();
        heads
            .map(|(head, signed)| (head.device, head.number, signed.clone()))
            .collect::<Vec<_>>()
    });
    let heads = heads.unwrap_or_default();
    let number_of = |device: &PeerId| {
        let theirs = theirs.heads.iter().find(|head| head.device == *device);
        theirs.map_or(0, |head| head.number)
    };
    for (device, number, head) in &heads {
        if *number > number_of(device) {
            let head = head.clone();
            taken(core.session.ask::<_, Done>(&KeepHead { head }).await)?;
        }
    }
    for head in &theirs.heads {
        let known = heads.iter().find(|(device, ..)| *device == head.device);
        if known.is_none_or(|(_, number, _)| *number < head.number) {
            let device = head.device;
            let HeadIs { head } = core.session.ask(&GetHead { owner, device }).await?;
            note(words::keep_head(core, None, head).await);
        }
    }
    Ok(())
}

/// What is refused is not told again.
fn taken(answer: Result<Done, SessionError>) -> Result<(), SessionError> {
    match answer {
        Ok(_) | Err(SessionError::Refused { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

fn note(taken: Result<Done, Denied>) {
    if let Err(denied) = taken {
        tracing::debug!("the coordinator's word was not taken: {}", denied.text);
    }
}
