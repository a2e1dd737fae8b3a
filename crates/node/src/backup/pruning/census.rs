//! All packs of an owner that the network knows: who sealed them, how much they take, which are lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use skep_wire::{
    PackId, PeerId,
    backup::open_kept,
    message::{Locate, Located, LocatedPack},
};

use crate::{
    backup::{error::BackupError, state::Owned, sync, words},
    core::Core,
};

/// The packs that there are.
#[derive(Clone, Default)]
pub(super) struct Census {
    pub(super) packs: BTreeMap<PackId, Counted>,
    /// Too few shards are left of these.
    pub(super) lost: BTreeSet<PackId>,
    /// These are condemned already.
    pub(super) condemned: BTreeSet<PackId>,
}

/// A pack.
#[derive(Clone)]
pub(super) struct Counted {
    pub(super) sealed_by: PeerId,
    /// Bytes of all its shards, with all holders.
    pub(super) stored_bytes: u64,
}

impl Census {
    pub(super) async fn take(core: &Arc<Core>, owned: &Owned) -> Result<Self, BackupError> {
        let ids = sync::all_packs(core, owned.owner).await?;
        let mut packs = BTreeMap::new();
        for some in ids.chunks(sync::LOCATED_PACKS) {
            let request = Locate {
                owner: owned.owner,
                packs: some.to_vec(),
            };
            let located: Located = core.session.ask(&request).await?;
            packs.extend(located.packs.iter().filter_map(|at| count(at, owned)));
        }
        let lost = sync::lost(core, owned.owner, ids).await?;
        let condemned = words::sentences(core, owned.owner).await?;
        Ok(Self {
            packs,
            lost,
            condemned: condemned.into_keys().collect(),
        })
    }

    /// Whether a pack can be relied on, as far as anybody knows.
    pub(super) fn is_there(&self, pack: &PackId) -> bool {
        self.packs.contains_key(pack) && !self.lost.contains(pack)
    }

    /// What these packs take, with all holders.
    pub(super) fn stored_bytes<'a>(&self, packs: impl IntoIterator<Item = &'a PackId>) -> u64 {
        let counted = packs.into_iter().filter_map(|pack| self.packs.get(pack));
        counted.map(|pack| pack.stored_bytes).sum()
    }
}

fn count(at: &LocatedPack, owned: &Owned) -> Option<(PackId, Counted)> {
    let record = open_kept(&at.record, &owned.roster).ok()?;
    let counted = Counted {
        sealed_by: record.device,
        stored_bytes: record.shard_bytes() * at.held.len() as u64,
    };
    Some((record.pack, counted))
}
