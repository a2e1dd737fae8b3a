//! What each peer keeps, and what it has told of that since it came back.

use std::collections::{BTreeMap, BTreeSet};

use skep_wire::{OwnerId, PeerId, message::ShardName};

/// All peers that keep something.
#[derive(Debug, Default)]
pub(super) struct Keepers(BTreeMap<PeerId, Keeper>);

#[derive(Debug, Default)]
struct Keeper {
    shards: BTreeSet<ShardName>,
    /// How many of each owner.
    owners: BTreeMap<OwnerId, usize>,
    bytes: u64,
    /// What was told in the report that is under way.
    report: Option<BTreeSet<ShardName>>,
    /// Up to which number it was told the words of each owner, in this session.
    told: BTreeMap<OwnerId, u64>,
}

impl Keepers {
    pub(super) fn add(&mut self, peer: PeerId, name: ShardName, (owner, bytes): (OwnerId, u64)) {
        let keeper = self.0.entry(peer).or_default();
        if keeper.shards.insert(name) {
            keeper.bytes += bytes;
            *keeper.owners.entry(owner).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, peer: &PeerId, name: &ShardName, (owner, bytes): (OwnerId, u64)) {
        if let Some(keeper) = self.0.get_mut(peer)
            && keeper.shards.remove(name)
        {
            keeper.bytes = keeper.bytes.saturating_sub(bytes);
            let left = keeper.owners.get(&owner).map_or(0, |count| count - 1);
            match left {
                0 => keeper.owners.remove(&owner),
                left => keeper.owners.insert(owner, left),
            };
        }
    }

    /// Whose shards a peer keeps.
    pub(super) fn owners_at(&self, peer: &PeerId) -> BTreeSet<OwnerId> {
        let keeper = self.0.get(peer);
        keeper.map_or(BTreeSet::new(), |keeper| keeper.owners.keys().copied().collect())
    }

    /// Bytes of all that is noted of a peer.
    pub(super) fn bytes(&self, peer: &PeerId) -> u64 {
        self.0.get(peer).map_or(0, |keeper| keeper.bytes)
    }

    pub(super) fn of(&self, peer: &PeerId) -> Vec<ShardName> {
        let keeper = self.0.get(peer);
        keeper.map_or(Vec::new(), |keeper| keeper.shards.iter().copied().collect())
    }

    /// BLAKE3 of what is noted of a peer, as `Returned` has it.
    pub(super) fn digest(&self, peer: &PeerId) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for name in self.0.get(peer).iter().flat_map(|keeper| &keeper.shards) {
            hasher.update(&name.pack.0).update(&[name.shard]);
        }
        *hasher.finalize().as_bytes()
    }

    /// The peer is about to tell everything it has.
    pub(super) fn begin_report(&mut self, peer: PeerId) {
        self.0.entry(peer).or_default().report = Some(BTreeSet::new());
    }

    /// The peer told this.
    pub(super) fn report(&mut self, peer: &PeerId, name: ShardName) {
        let report = self.0.get_mut(peer).and_then(|keeper| keeper.report.as_mut());
        if let Some(report) = report {
            report.insert(name);
        }
    }

    /// That was all: returns what is noted and was not told.
    pub(super) fn end_report(&mut self, peer: &PeerId) -> Vec<ShardName> {
        let Some(keeper) = self.0.get_mut(peer) else {
            return Vec::new();
        };
        let Some(report) = keeper.report.take() else {
            return Vec::new();
        };
        keeper.shards.difference(&report).copied().collect()
    }

    /// Up to which number the peer was told the words of an owner.
    pub(super) fn told(&self, peer: &PeerId, owner: &OwnerId) -> u64 {
        let keeper = self.0.get(peer);
        keeper
            .and_then(|keeper| keeper.told.get(owner))
            .copied()
            .unwrap_or(0)
    }

    pub(super) fn tell(&mut self, peer: PeerId, owner: OwnerId, number: u64) {
        let told = self.0.entry(peer).or_default().told.entry(owner).or_default();
        *told = number.max(*told);
    }

    /// The session is over: a report that was not ended means nothing, and words are told again.
    pub(super) fn close(&mut self, peer: &PeerId) {
        if let Some(keeper) = self.0.get_mut(peer) {
            keeper.report = None;
            keeper.told.clear();
        }
        self.0.retain(|_, keeper| {
            !keeper.shards.is_empty() || keeper.report.is_some() || !keeper.told.is_empty()
        });
    }
}
