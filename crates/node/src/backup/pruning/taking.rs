//! Which snapshots a prune looks after: the device's own, and those that retired devices left behind.

use std::collections::BTreeSet;

use skep_vault::{Catalog, Snapshot, SnapshotId, head::HeadError, snapshot::MAX_SNAPSHOTS};
use skep_wire::PeerId;

use crate::backup::{error::BackupError, state::Owned};

/// What a device looks after from now on.
#[derive(Clone)]
pub(super) struct Taken {
    pub(super) catalog: Catalog,
    /// Whose heads that stood in.
    pub(super) devices: BTreeSet<PeerId>,
    /// Whether another device's snapshots are among them that its head does not say yet.
    pub(super) is_more: bool,
}

/// The catalog of `device`, with the snapshots that nobody else looks after, and without those that somebody wants
/// forgotten.
pub(super) fn take_over(device: PeerId, owned: &Owned) -> Result<Taken, BackupError> {
    let own = owned.heads.get(&device);
    let mut catalog = own.map(|known| known.catalog.clone()).unwrap_or_default();
    let mut devices = BTreeSet::from([device]);
    let retired = |peer: &PeerId| owned.roster.device(peer).is_none();
    for (peer, known) in owned.counting_heads().filter(|(peer, _)| retired(peer)) {
        devices.insert(*peer);
        catalog.snapshots.extend(known.catalog.snapshots.iter().cloned());
        catalog.indexes.extend(&known.catalog.indexes);
    }
    let is_more = devices.len() > 1;
    let forgotten: BTreeSet<SnapshotId> = owned
        .heads
        .values()
        .flat_map(|known| known.catalog.forgotten.iter().copied())
        .collect();
    catalog
        .snapshots
        .retain(|snapshot| !forgotten.contains(&snapshot.id()));
    catalog
        .snapshots
        .sort_by_key(|snapshot| (snapshot.made_unix_s, snapshot.id()));
    catalog.snapshots.dedup();
    // A wish that its device has fulfilled need not be said any more.
    let others = owned.heads.iter().filter(|(peer, _)| **peer != device);
    let of_others: BTreeSet<SnapshotId> = others
        .flat_map(|(_, known)| known.catalog.snapshots.iter().map(Snapshot::id))
        .collect();
    catalog.forgotten.retain(|id| of_others.contains(id));
    match catalog.snapshots.len() > MAX_SNAPSHOTS {
        true => Err(HeadError::TooLong.into()),
        false => Ok(Taken {
            catalog,
            devices,
            is_more,
        }),
    }
}
