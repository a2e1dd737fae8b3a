//! Lists of packs that are missing here: a head came without its own, or it has rotten. Without it nothing of the owner
//! is deleted, so it is read from another holder when something is condemned.

use std::sync::Arc;

use skep_wire::{
    OwnerId, Signed,
    backup::Head,
    message::{Holder, Keepers, KeepersAre, Lane},
};

use super::words;
use crate::core::Core;

/// Reads the lists that are missing, as far as others have them.
pub(super) async fn complete(core: &Arc<Core>, owner: OwnerId) {
    let missing = missing(core, &owner);
    fetch(core, owner, missing).await;
}

/// Reads the lists of these heads, as far as others have them. Returns how many are here now.
pub(super) async fn fetch(core: &Arc<Core>, owner: OwnerId, heads: Vec<(Head, Signed<Head>)>) -> usize {
    if heads.is_empty() {
        return 0;
    }
    let keepers = core.session.ask::<_, KeepersAre>(&Keepers { owner }).await;
    let Ok(KeepersAre { holders }) = keepers else {
        return 0;
    };
    let mut kept = 0;
    for (head, signed) in heads {
        let Some(list) = find(core, &holders, &head).await else {
            continue;
        };
        match words::write_head(core, owner, (head, signed), Some(list)).await {
            Ok(_) => kept += 1,
            Err(denied) => tracing::debug!("a list of packs was not kept: {}", denied.text),
        }
    }
    kept
}

/// Heads without their lists, if these matter now.
fn missing(core: &Core, owner: &OwnerId) -> Vec<(Head, Signed<Head>)> {
    let missing = core.hold.with(owner, |known| {
        if !known.docket.is_waiting() {
            return Vec::new();
        }
        let unlisted = known.docket.unlisted().into_iter();
        unlisted
            .filter_map(|device| known.heads.get(&device).cloned())
            .collect()
    });
    missing.unwrap_or_default()
}

async fn find(core: &Arc<Core>, holders: &[Holder], head: &Head) -> Option<Vec<u8>> {
    for holder in holders {
        let Ok(link) = core.links.to(core, holder, Lane::Bulk).await else {
            continue;
        };
        if let Some(list) = words::fetch_list(&link, head).await {
            return Some(list);
        }
    }
    None
}
