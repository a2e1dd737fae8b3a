//! What a prune is going to do: marked and swept, before anything is written.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use skep_engine::retention::{self, Pack, Terms};
use skep_vault::{
    Index, Sealer,
    index::{Listed, Slot},
    piece::Decoder,
};
use skep_wire::{PackId, PeerId};

use super::{Census, Taken};
use crate::{
    api::types::PruneDone,
    backup::{
        error::BackupError,
        marking,
        meter::Meter,
        near::{Listing, Near},
        reader::{Lost, Reader},
        state::Owned,
    },
};

/// A pack is packed anew when less than half of it is needed.
const REPACK_BELOW_PERMILLE: u16 = 500;
/// More index packs than this are made into one.
const MANY_INDEXES: usize = 16;
/// What a piece takes in a pack beside its sealed bytes: its entry in the contents.
const ENTRY_BYTES: u64 = 40;

/// What to do.
pub(super) struct Plan {
    /// All that is relied on.
    pub(super) listed: BTreeSet<PackId>,
    /// Of that, packs which were lost when the plan was made. Nothing needs them.
    pub(super) lost: BTreeSet<PackId>,
    /// Packs that the next head lists, index packs apart.
    pub(super) keep: BTreeSet<PackId>,
    /// What is in all packs that are there.
    pub(super) index: Index,
    /// Pieces that are sealed anew.
    rescue: Vec<Slot>,
    /// Whether there is a new index.
    pub(super) rewrites: bool,
    /// Packs that may go, if then no head lists them.
    pub(super) condemn: Vec<PackId>,
}

/// Which packs stand in which lists.
struct Lists {
    /// Of this device, and those whose snapshots it takes over.
    own: BTreeSet<PackId>,
    others: BTreeSet<PackId>,
}

/// Marks and sweeps. Blocks.
pub(super) fn plan(
    near: &Near<'_>,
    owned: &Owned,
    device: PeerId,
    taken: &Taken,
    census: &Census,
    meter: &Meter,
) -> Result<Plan, BackupError> {
    let listing = near.listing(owned, &device, |pack| census.is_there(pack));
    if let Some(unreadable) = listing.unreadable.first() {
        return Err(no_index(unreadable));
    }
    let Listing { index, of, .. } = listing;
    let live = {
        let reader = Reader::new(&owned.ring, &index, near);
        let roots = taken.catalog.snapshots.iter().map(|snapshot| &snapshot.root);
        marking::mark(&reader, roots, meter).map_err(unsound)?
    };
    let lists = lists(of, taken);
    let retired = owned.roster.retired.iter().map(|retired| retired.peer).collect();
    let terms = Terms {
        device,
        retired: &retired,
        needed_by_others: &lists.others,
        repack_below_permille: REPACK_BELOW_PERMILLE,
    };
    is_sound(&live, &index, &lists)?;
    Ok(sweep(index, &live, &lists, taken, census, &terms))
}

fn lists(of: BTreeMap<PeerId, BTreeSet<PackId>>, taken: &Taken) -> Lists {
    let (own, others): (Vec<_>, Vec<_>) = of
        .into_iter()
        .partition(|(device, _)| taken.devices.contains(device));
    let packs = |of: Vec<(PeerId, BTreeSet<PackId>)>| of.into_iter().flat_map(|(_, packs)| packs).collect();
    Lists {
        own: packs(own),
        others: packs(others),
    }
}

/// Every live piece is in a pack that the own head lists: nothing else is sure to stay.
fn is_sound(live: &HashSet<Slot>, index: &Index, lists: &Lists) -> Result<(), BackupError> {
    let is_own = |slot: &Slot| {
        let place = index.at(*slot);
        place.is_some_and(|(listed, _)| lists.own.contains(&listed.pack))
    };
    match live.iter().all(is_own) {
        true => Ok(()),
        false => Err(unsound(Lost::Unlisted.into())),
    }
}

fn sweep(
    index: Index,
    live: &HashSet<Slot>,
    lists: &Lists,
    taken: &Taken,
    census: &Census,
    terms: &Terms<'_>,
) -> Plan {
    let mut packs: Vec<Pack<Slot>> = index
        .packs()
        .filter(|listed| lists.own.contains(&listed.pack))
        .filter_map(|listed| pack(listed, &index, census))
        .collect();
    let full = packs.len();
    packs.extend(unneeded(lists, taken, census));
    let swept = retention::sweep(&packs, terms, |slot| live.contains(slot));
    let indexes = &taken.catalog.indexes;
    let lost: BTreeSet<PackId> = lists
        .own
        .iter()
        .filter(|pack| !census.is_there(pack))
        .copied()
        .collect();
    let rewrites = swept.keep.len() < full || !lost.is_empty() || indexes.len() > MANY_INDEXES;
    let mut condemn = swept.condemn;
    if rewrites {
        let old: Vec<Pack<Slot>> = indexes.iter().filter_map(|id| empty(id, census)).collect();
        condemn.extend(retention::sweep(&old, terms, |_| false).condemn);
    }
    Plan {
        lost,
        keep: swept.keep.into_iter().collect(),
        rescue: swept.rescue.into_iter().map(|(slot, _)| slot).collect(),
        rewrites,
        condemn,
        listed: lists.own.clone(),
        index,
    }
}

/// A pack as the sweep sees it. Its padding does not count: to pack it anew would make another.
fn pack(listed: &Listed, index: &Index, census: &Census) -> Option<Pack<Slot>> {
    let entries = listed.contents.entries.iter();
    let pieces: Vec<(Slot, u64)> = entries
        .filter_map(|entry| {
            let bytes = u64::from(entry.sealed_len) + ENTRY_BYTES;
            Some((index.slot(&entry.id)?, bytes))
        })
        .collect();
    Some(Pack {
        id: listed.pack,
        sealed_by: census.packs.get(&listed.pack)?.sealed_by,
        bytes: pieces.iter().map(|(_, bytes)| bytes).sum(),
        listed: true,
        pieces,
    })
}

/// Packs that nothing can need: in no list, as an interrupted backup leaves them, or lost.
fn unneeded(lists: &Lists, taken: &Taken, census: &Census) -> Vec<Pack<Slot>> {
    let is_unneeded = |id: &&PackId| {
        let is_listed = lists.own.contains(*id) || lists.others.contains(*id);
        let is_lost = census.lost.contains(*id) && !taken.catalog.indexes.contains(id);
        !is_listed || is_lost && !lists.others.contains(*id)
    };
    let ids = census.packs.keys().filter(is_unneeded);
    // What is condemned waits for its grace.
    ids.filter(|id| !census.condemned.contains(id))
        .filter_map(|id| empty(id, census))
        .collect()
}

/// A pack of which nothing is needed.
fn empty(id: &PackId, census: &Census) -> Option<Pack<Slot>> {
    Some(Pack {
        id: *id,
        sealed_by: census.packs.get(id)?.sealed_by,
        bytes: 0,
        listed: false,
        pieces: Vec::new(),
    })
}

impl Plan {
    /// The packs that stay, with what is in them.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Listed> {
        self.index
            .packs()
            .filter(|listed| self.keep.contains(&listed.pack))
    }

    /// Seals anew what is to be rescued. Blocks.
    pub(super) fn store_again(
        &self,
        reader: &Reader<'_>,
        sealer: &Sealer<'_>,
        meter: &Meter,
    ) -> Result<(), BackupError> {
        meter.expect(self.rescued_bytes());
        let (mut hand, mut decoder) = (sealer.hand(), Decoder::new());
        for slot in &self.rescue {
            if meter.is_stopped() {
                return Err(BackupError::Stopped);
            }
            let (listed, entry) = self.index.at(*slot).ok_or(Lost::Unlisted)?;
            let plain = reader
                .piece(&entry.id, &mut decoder)
                .map_err(|lost| unsound(lost.into()))?;
            hand.store(listed.contents.kind, &plain);
            meter.add(entry.sealed_len.into());
        }
        Ok(())
    }

    fn rescued_bytes(&self) -> u64 {
        let places = self.rescue.iter().filter_map(|slot| self.index.at(*slot));
        places.map(|(_, entry)| u64::from(entry.sealed_len)).sum()
    }

    /// For people.
    pub(super) fn told(&self, census: &Census, dry_run: bool) -> PruneDone {
        PruneDone {
            packs: self.condemn.len(),
            freed_bytes: census.stored_bytes(&self.condemn),
            repacked_bytes: self.rescued_bytes(),
            kept: self.keep.len(),
            surplus: 0,
            dry_run,
        }
    }
}

/// Nobody knows what is needed.
pub(super) fn no_index((pack, reason): &(PackId, String)) -> BackupError {
    BackupError::NotPruned(format!("the index {} cannot be read: {reason}", pack.short()))
}

/// A snapshot is not whole.
fn unsound(error: BackupError) -> BackupError {
    match error {
        BackupError::Lost(lost) => BackupError::NotPruned(format!("a snapshot is not whole: {lost}")),
        error => error,
    }
}
