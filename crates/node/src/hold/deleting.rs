//! Time passes for what is condemned, or one part too many: when its grace is over, it is deleted, and the coordinator is
//! told; of what is too many it is asked before.

use std::{sync::Arc, time::Duration};

use skep_wire::{
    OwnerId, PackId,
    message::{Done, GiveUp, ShardName},
};
use tokio::time;

use super::{announce, lists, words};
use crate::{core::Core, session::SessionError};

/// How often time is counted: so much of it is lost in a crash.
const TICK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));

/// Counts time, and deletes what is due, as long as the peer runs.
pub(crate) async fn run(core: Arc<Core>) {
    let tick = (core.config.grace / 8).clamp(TICK.0, TICK.1);
    let mut last = core.mono();
    loop {
        time::sleep(tick).await;
        let now = core.mono();
        let passed = now.saturating_sub(last);
        last = now;
        let owners: Vec<OwnerId> = core.hold.owners().keys().copied().collect();
        for owner in owners {
            lists::complete(&core, owner).await;
            pass(&core, owner, passed).await;
            relieve(&core, owner).await;
        }
    }
}

async fn pass(core: &Arc<Core>, owner: OwnerId, time: Duration) {
    match serve(core, &owner, time) {
        None => return,
        Some(due) if due.is_empty() => return save(core, owner).await,
        Some(_) => {}
    }
    // Some device may need by now what was condemned: without the newest heads, nothing goes.
    if announce::exchange(core, owner).await.is_err() {
        return save(core, owner).await;
    }
    let _turn = core.hold.writing.lock().await;
    let due = serve(core, &owner, Duration::ZERO).unwrap_or_default();
    let gone = delete(core, owner, due).await;
    note(core, owner).await;
    announce::lost(core, &gone).await;
}

/// Deletes what a device said others have, where the coordinator counts enough of them.
async fn relieve(core: &Arc<Core>, owner: OwnerId) {
    let due = core.hold.with(&owner, |known| known.docket.due_surplus());
    for pack in due.unwrap_or_default() {
        match core.session.ask::<_, Done>(&GiveUp { pack }).await {
            Ok(Done {}) => give_up(core, owner, pack).await,
            Err(SessionError::Refused { .. }) => {
                if let Some(known) = core.hold.owners().get_mut(&owner) {
                    known.docket.needed(&pack);
                }
                save(core, owner).await;
            }
            // It is asked again with the next tick.
            Err(_) => return,
        }
    }
}

/// The coordinator does not count on it any more: it is deleted, or told again.
async fn give_up(core: &Arc<Core>, owner: OwnerId, pack: PackId) {
    let _turn = core.hold.writing.lock().await;
    let gone = delete(core, owner, vec![pack]).await;
    note(core, owner).await;
    // It may have been brought again meanwhile, and told.
    announce::lost(core, &gone).await;
    if gone.is_empty() {
        core.hold.untold.notify_one();
    }
}

/// Time passes for what is condemned, if anything is. Returns what is due.
fn serve(core: &Core, owner: &OwnerId, time: Duration) -> Option<Vec<PackId>> {
    let mut owners = core.hold.owners();
    let docket = &mut owners.get_mut(owner)?.docket;
    docket.served(time);
    docket.is_waiting().then(|| docket.due())
}

async fn save(core: &Arc<Core>, owner: OwnerId) {
    let _turn = core.hold.writing.lock().await;
    note(core, owner).await;
}

async fn note(core: &Arc<Core>, owner: OwnerId) {
    if words::save_docket(core, owner).await.is_err() {
        tracing::warn!("the time that passed for what is condemned could not be noted");
    }
}

/// Deletes these packs. Returns the shards that went.
async fn delete(core: &Arc<Core>, owner: OwnerId, due: Vec<PackId>) -> Vec<ShardName> {
    if due.is_empty() {
        return Vec::new();
    }
    let shards = core.hold.shards.clone();
    let (gone, packs) = core
        .world
        .work
        .call(move || {
            let (mut gone, mut packs) = (Vec::new(), Vec::new());
            for pack in due {
                let names = shards.of_pack(&owner, &pack);
                let removed = names.iter().try_for_each(|name| shards.remove(&owner, name));
                match removed {
                    Ok(()) => {
                        gone.extend(names);
                        packs.push(pack);
                    }
                    Err(error) => tracing::warn!("pack {} could not be deleted: {error}", pack.short()),
                }
            }
            (gone, packs)
        })
        .await;
    if let Some(known) = core.hold.owners().get_mut(&owner) {
        packs.iter().for_each(|pack| known.docket.deleted(pack));
    }
    gone
}
