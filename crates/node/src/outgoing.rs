//! What this peer has offered to holders and they have not read yet: shards, and lists of packs. It is in
//! memory, and gone when whoever offered it takes it back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use bytes::Bytes;
use skep_wire::{OwnerId, PeerId, message::ShardName};

type Shards = BTreeMap<(PeerId, ShardName), (Bytes, Arc<AtomicU64>)>;
type Lists = BTreeMap<(OwnerId, PeerId, u64), Bytes>;

/// What is offered now.
#[derive(Clone, Default)]
pub(crate) struct Outgoing {
    shards: Arc<Mutex<Shards>>,
    lists: Arc<Mutex<Lists>>,
}

/// An offer; dropping it takes it back.
pub(crate) struct Offer<K: Ord, V> {
    table: Arc<Mutex<BTreeMap<K, V>>>,
    key: K,
}

impl Outgoing {
    /// Offers a shard to one reader. `progress` is raised by the bytes that it takes.
    pub(crate) fn offer_shard(
        &self,
        reader: PeerId,
        shard: ShardName,
        bytes: Bytes,
        progress: Arc<AtomicU64>,
    ) -> Offer<(PeerId, ShardName), (Bytes, Arc<AtomicU64>)> {
        offer(&self.shards, (reader, shard), (bytes, progress))
    }

    /// Offers the list of packs of a head to whoever may ask.
    pub(crate) fn offer_list(
        &self,
        owner: OwnerId,
        device: PeerId,
        number: u64,
        list: Bytes,
    ) -> Offer<(OwnerId, PeerId, u64), Bytes> {
        offer(&self.lists, (owner, device, number), list)
    }

    /// The shard, if it is offered to this reader, and what to raise by the bytes that are sent.
    pub(crate) fn shard(&self, reader: &PeerId, shard: &ShardName) -> Option<(Bytes, Arc<AtomicU64>)> {
        lock(&self.shards).get(&(*reader, *shard)).cloned()
    }

    /// The list of packs of this head, if it is offered.
    pub(crate) fn pack_list(&self, owner: &OwnerId, device: &PeerId, number: u64) -> Option<Bytes> {
        lock(&self.lists).get(&(*owner, *device, number)).cloned()
    }
}

fn offer<K: Ord + Clone, V>(table: &Arc<Mutex<BTreeMap<K, V>>>, key: K, value: V) -> Offer<K, V> {
    lock(table).insert(key.clone(), value);
    let table = table.clone();
    Offer { table, key }
}

impl<K: Ord, V> Drop for Offer<K, V> {
    fn drop(&mut self) {
        lock(&self.table).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use skep_wire::PackId;

    use super::*;

    #[test]
    fn an_offer_is_for_one_reader_and_as_long_as_it_lasts() {
        let (outgoing, ann, bob) = (Outgoing::default(), PeerId([1; 32]), PeerId([2; 32]));
        let name = ShardName {
            pack: PackId([3; 32]),
            shard: 0,
        };
        let offer = outgoing.offer_shard(ann, name, Bytes::from_static(b"shard"), Arc::default());
        assert_eq!(outgoing.shard(&ann, &name).unwrap().0, "shard");
        assert!(outgoing.shard(&bob, &name).is_none());
        drop(offer);
        assert!(outgoing.shard(&ann, &name).is_none());
        let owner = OwnerId([4; 32]);
        let list = outgoing.offer_list(owner, ann, 7, Bytes::from_static(b"list"));
        assert_eq!(outgoing.pack_list(&owner, &ann, 7).unwrap(), "list");
        assert!(outgoing.pack_list(&owner, &ann, 8).is_none());
        drop(list);
        assert!(outgoing.pack_list(&owner, &ann, 7).is_none());
    }
}
