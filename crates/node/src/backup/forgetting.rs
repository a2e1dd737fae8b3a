//! `forget`: which snapshots of the owner are let go. Their packs stay until a prune condemns them.
//!
//! A device takes its own snapshots out of its catalog; those of other devices it names there as forgotten,
//! and each of them takes its own out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use skep_engine::retention::{self, Policy};
use skep_vault::{Snapshot, SnapshotId, snapshot::MAX_FORGOTTEN};
use skep_wire::PackId;

use super::{
    error::BackupError,
    far::Far,
    near::Near,
    snapshots,
    state::{Owned, State},
    sync,
};
use crate::{
    api::types::{ForgetDone, ForgetRequest},
    core::Core,
};

/// Forgets what the policy does not keep, or only says what that would be.
pub(super) async fn forget(
    core: &Arc<Core>,
    state: &State,
    owned: Owned,
    request: ForgetRequest,
) -> Result<ForgetDone, BackupError> {
    let all = snapshots::all(&owned);
    let forgotten = judge(&all, &policy(&request))?;
    let done = ForgetDone {
        forgotten: forgotten.iter().map(ToString::to_string).collect(),
        kept: all.len() - forgotten.len(),
        dry_run: request.dry_run,
    };
    if !request.dry_run && !forgotten.is_empty() {
        commit(core, state, owned, &forgotten).await?;
    }
    Ok(done)
}

fn policy(request: &ForgetRequest) -> Policy {
    Policy {
        last: request.keep_last,
        daily: request.keep_daily,
        weekly: request.keep_weekly,
        monthly: request.keep_monthly,
        yearly: request.keep_yearly,
    }
}

/// A machine and its paths.
type Group<'a> = (&'a [u8], &'a [Vec<u8>]);

/// Each machine's backups of the same paths are judged by themselves: a rare one is not crowded out.
fn judge(all: &[(SnapshotId, Snapshot)], policy: &Policy) -> Result<BTreeSet<SnapshotId>, BackupError> {
    let mut groups: BTreeMap<Group<'_>, Vec<(SnapshotId, u64)>> = BTreeMap::new();
    for (id, snapshot) in all {
        let group = groups.entry((&snapshot.host, &snapshot.paths)).or_default();
        group.push((*id, snapshot.made_unix_s));
    }
    let mut forgotten = BTreeSet::new();
    for group in groups.values() {
        let taken: Vec<u64> = group.iter().map(|(_, made)| *made).collect();
        let reasons = retention::judge(policy, &taken, 0).map_err(|e| BackupError::Policy(e.to_string()))?;
        let judged = group.iter().zip(reasons);
        forgotten.extend(judged.filter(|(_, why)| why.is_empty()).map(|((id, _), _)| *id));
    }
    Ok(forgotten)
}

async fn commit(
    core: &Arc<Core>,
    state: &State,
    owned: Owned,
    forgotten: &BTreeSet<SnapshotId>,
) -> Result<(), BackupError> {
    let own = owned.heads.get(&core.id());
    let mut catalog = own.map(|known| known.catalog.clone()).unwrap_or_default();
    catalog
        .snapshots
        .retain(|snapshot| !forgotten.contains(&snapshot.id()));
    // Also those that were taken over from a retired device, whose head says them still.
    let others = owned.heads.iter().filter(|(device, _)| **device != core.id());
    let of_others = others.flat_map(|(_, known)| known.catalog.snapshots.iter().map(Snapshot::id));
    let of_others: BTreeSet<SnapshotId> = of_others.filter(|id| forgotten.contains(id)).collect();
    catalog.forgotten.extend(of_others);
    if catalog.forgotten.len() > MAX_FORGOTTEN {
        return Err(BackupError::Policy(
            "too many snapshots of other devices are forgotten".to_owned(),
        ));
    }
    // All packs stay on the list: a prune finds out which are still needed.
    let far = Far::new(core, &owned);
    let owned = Arc::new(owned);
    let needed = needed(core, state, &owned, far).await?;
    sync::commit(core, state, &owned, catalog, needed).await
}

/// Every pack that this device's head lists.
async fn needed(
    core: &Arc<Core>,
    state: &State,
    owned: &Arc<Owned>,
    far: Far,
) -> Result<Vec<PackId>, BackupError> {
    let (state, owned, device) = (state.clone(), owned.clone(), core.id());
    let list = move || {
        let near = Near {
            state: &state,
            far: &far,
        };
        let mut listing = near.listing(&owned, &device, |_| true);
        match listing.unreadable.pop() {
            // What it lists would be missing in the next head.
            Some((_, reason)) => Err(BackupError::NotKept(format!("an index cannot be read: {reason}"))),
            None => Ok(listing
                .of
                .remove(&device)
                .unwrap_or_default()
                .into_iter()
                .collect()),
        }
    };
    core.world.work.call_waiting(list).await
}

#[cfg(test)]
mod tests {
    use skep_vault::Content;

    use super::*;

    fn snapshot(host: &str, made_unix_s: u64) -> (SnapshotId, Snapshot) {
        let snapshot = Snapshot {
            made_unix_s,
            host: host.as_bytes().to_vec(),
            paths: vec![b"/home".to_vec()],
            root: Content {
                size: 0,
                depth: 0,
                pieces: Vec::new(),
            },
            files: 0,
            bytes: 0,
            missing: 0,
        };
        (snapshot.id(), snapshot)
    }

    #[test]
    fn machines_are_judged_by_themselves() {
        let all = [
            snapshot("desk", 1),
            snapshot("desk", 2),
            snapshot("desk", 3),
            snapshot("lap", 1),
        ];
        let last = Policy {
            last: 2,
            ..Policy::default()
        };
        assert_eq!(judge(&all, &last).unwrap(), BTreeSet::from([all[0].0]));
        assert!(judge(&all, &Policy::default()).is_err());
        assert!(judge(&[], &Policy::default()).is_ok());
    }
}
