//! Which parts of a pack are kept once too often, as an owner sees it: without opinions on who is worth how much.

use std::collections::BTreeSet;

use skep_wire::{PeerId, backup::Scheme, message::ShardAt};

/// The holders of a pack, divided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Divided {
    /// All that it takes for the pack to be whole.
    pub needed: Vec<ShardAt>,
    /// Who has nothing of that.
    pub surplus: BTreeSet<PeerId>,
}

/// Divides those who have something of a pack; who comes first is needed. None: the pack is not whole.
#[must_use]
pub fn divide(scheme: Scheme, held: impl IntoIterator<Item = ShardAt>) -> Option<Divided> {
    let are_alike = scheme.data() == 1;
    let (mut needed, mut rest): (Vec<ShardAt>, Vec<ShardAt>) = Default::default();
    for at in held {
        // Two copies at one peer are one.
        let is_known = |it: &ShardAt| it.shard == at.shard || are_alike && it.peer == at.peer;
        match needed.iter().any(is_known) {
            true => rest.push(at),
            false => needed.push(at),
        }
    }
    for at in rest.iter().filter(|_| are_alike) {
        if needed.len() < scheme.shards() && needed.iter().all(|it| it.peer != at.peer) {
            needed.push(*at);
        }
    }
    let is_needed = |peer: &PeerId| needed.iter().any(|it| it.peer == *peer);
    let rest = rest.into_iter().map(|at| at.peer);
    let surplus = rest.filter(|peer| !is_needed(peer)).collect();
    (needed.len() >= scheme.shards()).then_some(Divided { needed, surplus })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(scheme: Scheme, held: &[ShardAt]) -> bool {
        let peers: BTreeSet<PeerId> = held.iter().map(|at| at.peer).collect();
        let shards: BTreeSet<u8> = held.iter().map(|at| at.shard).collect();
        let count = if scheme.data() == 1 {
            peers.len()
        } else {
            shards.len()
        };
        count >= scheme.shards()
    }

    #[test]
    fn of_copies_that_are_alike_every_number_stays() {
        let held = [(0, 1), (0, 4), (1, 2), (2, 3)];
        let held = held.map(|(shard, peer)| ShardAt {
            shard,
            peer: PeerId([peer; 32]),
        });
        let divided = divide(Scheme::copies(3).unwrap(), held).unwrap();
        assert_eq!(divided.surplus, [PeerId([4; 32])].into());
        assert_eq!(divided.needed, [held[0], held[2], held[3]]);
    }

    proptest! {
        #[test]
        fn without_its_surplus_a_pack_is_as_whole_as_before(
            (data, parity) in (1u8..4, 1u8..3),
            held in prop::collection::btree_set((0u8..5, 0u8..8), 0..14),
        ) {
            let scheme = Scheme::new(data, parity).unwrap();
            let held: Vec<ShardAt> = held
                .into_iter()
                .map(|(shard, peer)| ShardAt { shard: shard % (data + parity), peer: PeerId([peer; 32]) })
                .collect();
            let divided = divide(scheme, held.iter().copied());
            prop_assert_eq!(divided.is_some(), whole(scheme, &held));
            if let Some(Divided { needed, surplus }) = divided {
                prop_assert_eq!(needed.len(), scheme.shards());
                prop_assert!(needed.iter().all(|at| held.contains(at)));
                let left: Vec<ShardAt> = held.into_iter().filter(|at| !surplus.contains(&at.peer)).collect();
                prop_assert!(whole(scheme, &left) && needed.iter().all(|at| left.contains(at)));
                let numbers = |held: &[ShardAt]| held.iter().map(|at| at.shard).collect::<BTreeSet<u8>>();
                prop_assert!(data == 1 || numbers(&needed).len() == scheme.shards());
                // Whoever else there is has something that is needed.
                prop_assert!(left.iter().all(|at| needed.iter().any(|it| it.peer == at.peer)));
            }
        }
    }
}
