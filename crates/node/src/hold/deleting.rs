//! Time passes for what is condemned: when its grace is over, it is deleted, and the coordinator is told.

use std::{sync::Arc, time::Duration};

use skep_wire::{
    OwnerId, PackId,
    message::{Done, Lost, ShardName},
};
use tokio::time;

use super::{announce, lists, words};
use crate::core::Core;

/// How often time is counted: so much of it is lost in a crash.
const TICK: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// Shards in one message.
const BATCH: usize = 1024;

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
    for shards in gone.chunks(BATCH) {
        let lost = Lost {
            shards: shards.to_vec(),
        };
        if core.session.ask::<_, Done>(&lost).await.is_err() {
            core.hold.untold.notify_one();
        }
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
