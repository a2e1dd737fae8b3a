//! Reading what is kept, again and again: disks forget, and who asks first should not be who needs it.

use std::{io, sync::Arc, time::Duration};

use skep_wire::{OwnerId, message::ShardName};
use tokio::time;

use super::{reading, reviewing};
use crate::core::Core;

/// The shortest and the longest pause between two shards.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(3600));

/// Reads all shards, one after the other, and then what owners said, as long as the peer runs.
pub(crate) async fn scrub(core: Arc<Core>) {
    loop {
        let shards = &core.hold.shards;
        let owners = shards.owners();
        let all: Vec<(OwnerId, ShardName)> = owners
            .into_iter()
            .flat_map(|owner| {
                shards
                    .list(&owner, None, usize::MAX)
                    .into_iter()
                    .map(move |name| (owner, name))
            })
            .collect();
        let parts = u32::try_from(all.len().max(1)).unwrap_or(u32::MAX);
        let pause = (core.config.scrub_every / parts).clamp(PAUSE.0, PAUSE.1);
        time::sleep(pause).await;
        for (owner, name) in all {
            // Its damage is told by what it does about it; one that went meanwhile is none.
            let _ = examine(&core, owner, name).await;
            time::sleep(pause).await;
        }
        let owners: Vec<OwnerId> = core.hold.owners().keys().copied().collect();
        for owner in owners {
            // One that went meanwhile has said nothing.
            let _ = reviewing::review(&core, owner).await;
        }
    }
}

/// Reads a shard and its record. If that is not what it should be, the shard goes, and others make it again.
///
/// # Errors
/// Of kind `InvalidData` when it is damaged; or why it cannot be read.
pub(super) async fn examine(core: &Arc<Core>, owner: OwnerId, name: ShardName) -> io::Result<()> {
    let shards = core.hold.shards.clone();
    let read = core.world.work.call(move || shards.verify(&owner, &name)).await;
    if let Err(error) = &read
        && reading::is_damage(error)
        && core.hold.shards.has(&owner, &name)
    {
        reading::drop_damaged(core, owner, name).await;
    }
    read
}
