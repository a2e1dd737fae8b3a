//! Parts that are kept once too often, as after a repair and a return of who was missed: their holders are told that
//! they need not keep them. All others show before that they have theirs; holders do the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use skep_engine::{
    audit,
    repair::{Divided, divide},
};
use skep_net::Link;
use skep_wire::{
    PackId, PeerId, UNIT_BYTES,
    backup::{PackRecord, open_kept},
    message::{Holder, Locate, Located, LocatedPack, ProveShard, ShardAt, ShardName, ShardProof},
};

use crate::{
    backup::{
        error::BackupError,
        state::{Owned, State},
        sync, words,
    },
    core::Core,
};

/// What is asked of the holders of one owner.
struct Relief<'a> {
    core: &'a Arc<Core>,
    owned: &'a Owned,
    /// Connections to those that were asked; none to who cannot be reached.
    links: BTreeMap<PeerId, Option<Link>>,
    /// What each need not keep.
    surplus: BTreeMap<PeerId, Vec<PackId>>,
}

/// Tells holders what of these packs they need not keep. Returns how many parts that are.
pub(super) async fn relieve(
    core: &Arc<Core>,
    state: &State,
    owned: &Owned,
    packs: &BTreeSet<PackId>,
) -> Result<usize, BackupError> {
    let mut relief = Relief {
        core,
        owned,
        links: BTreeMap::new(),
        surplus: BTreeMap::new(),
    };
    let packs: Vec<PackId> = packs.iter().copied().collect();
    for some in packs.chunks(sync::LOCATED_PACKS) {
        relief.look(some).await?;
    }
    let mut told = 0;
    for (peer, packs) in &relief.surplus {
        if let Some(Some(link)) = relief.links.get(peer) {
            told += words::relieve(core, state, owned.owner, (*peer, link), packs).await?;
        }
    }
    Ok(told)
}

impl Relief<'_> {
    async fn look(&mut self, packs: &[PackId]) -> Result<(), BackupError> {
        let request = Locate {
            owner: self.owned.owner,
            packs: packs.to_vec(),
        };
        let located: Located = self.core.session.ask(&request).await?;
        let online = located.holders.into_iter().map(|holder| (holder.peer, holder));
        let online: BTreeMap<PeerId, Holder> = online.collect();
        for at in &located.packs {
            self.look_at(at, &online).await;
        }
        Ok(())
    }

    async fn look_at(&mut self, at: &LocatedPack, online: &BTreeMap<PeerId, Holder>) {
        let Ok(record) = open_kept(&at.record, &self.owned.roster) else {
            return;
        };
        let held = at.held.iter().filter(|at| online.contains_key(&at.peer));
        let Some(Divided { needed, surplus }) = divide(record.scheme, held.copied()) else {
            return;
        };
        if surplus.is_empty() {
            return;
        }
        for needed in needed {
            if !self.has(&record, needed, online).await {
                return;
            }
        }
        for peer in surplus {
            if self.link(peer, online).await.is_some() {
                self.surplus.entry(peer).or_default().push(record.pack);
            }
        }
    }

    /// Whether a holder shows a leaf of its shard that nobody could foresee; before it does, it reads all of it.
    async fn has(&mut self, record: &PackRecord, at: ShardAt, online: &BTreeMap<PeerId, Holder>) -> bool {
        let leaves = record.shard_bytes().div_ceil(UNIT_BYTES).max(1);
        let [a, b, c, d, e, f, g, h, ..] = self.core.world.entropy.bytes32();
        let question = ProveShard {
            owner: record.owner,
            shard: ShardName {
                pack: record.pack,
                shard: at.shard,
            },
            leaf: u64::from_le_bytes([a, b, c, d, e, f, g, h]) % leaves,
        };
        let Some(link) = self.link(at.peer, online).await else {
            return false;
        };
        let shown = link.ask::<_, ShardProof>(&question).await;
        shown.is_ok_and(|shown| audit::is_right(record, at.shard, question.leaf, shown))
    }

    async fn link(&mut self, peer: PeerId, online: &BTreeMap<PeerId, Holder>) -> Option<Link> {
        if let Some(known) = self.links.get(&peer) {
            return known.clone();
        }
        let link = sync::link(self.core, self.owned, online.get(&peer)?).await;
        self.links.insert(peer, link.clone());
        link
    }
}
