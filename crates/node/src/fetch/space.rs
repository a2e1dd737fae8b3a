//! Waiting for room on a disk that is full.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time;

use crate::core::Core;

/// How often the disk is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// With so much room, or all that is missing, it is worth another try.
const WORTH_A_TRY: u64 = 64 << 20;

/// Waits for `pause`, and then until there is room beside `target` for what is `missing`, or for a
/// good part of it.
pub(crate) async fn wait(core: &Arc<Core>, target: &Path, missing: u64, pause: Duration) {
    time::sleep(pause).await;
    let needed = missing.clamp(1, WORTH_A_TRY);
    while free(core, target).await.is_some_and(|free| free < needed) {
        time::sleep(EVERY).await;
    }
}

/// Bytes that are free; none if that cannot be said.
async fn free(core: &Arc<Core>, target: &Path) -> Option<u64> {
    let folder = target.parent()?.to_owned();
    let disk = core.world.disk.clone();
    core.world.work.call(move || disk.free_bytes(&folder).ok()).await
}
