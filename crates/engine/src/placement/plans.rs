//! Plans under way: what was promised to whom and is not yet confirmed (document "P2PBRS": STORE-ACK).
//!
//! A holder that does not confirm in time, or fails three times, loses its place; the caller chooses
//! another and says so with [`Plans::replace`]. Until then room is reserved with each. Who confirms
//! late keeps the shard if its place is still open, and else is told to drop it: nothing stays behind
//! for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skep_wire::{PackId, PeerId};

/// After so many failures on one holder, another is planned.
pub const MAX_FAILURES: u8 = 3;

/// A shard's place in a plan: the pack, and the number of the shard.
pub type Slot = (PackId, u8);

/// All plans under way.
#[derive(Debug)]
pub struct Plans {
    patience: Duration,
    open: BTreeMap<PackId, Plan>,
    /// Slots by the time when their holder must have confirmed.
    due: BTreeSet<(Duration, Slot)>,
    reserved: BTreeMap<PeerId, u64>,
}

#[derive(Debug)]
struct Plan {
    shard_bytes: u64,
    places: Vec<Place>,
}

#[derive(Debug)]
struct Place {
    holder: PeerId,
    failures: u8,
    state: State,
    /// Who had this place before.
    former: Vec<PeerId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Must be confirmed by then.
    Waiting(Duration),
    /// Was not, and nobody else has been chosen yet.
    Vacant,
    Confirmed,
}

/// What a confirmation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// The shard is kept; others of the pack are still missing.
    Kept,
    /// It was the last one: the pack is placed, and the plan is closed.
    Complete,
    /// It came late and is kept. Who was chosen instead is not needed, and drops what it may have.
    KeptInstead {
        /// The other one.
        of: PeerId,
        /// Whether it was the last one.
        complete: bool,
    },
    /// It came too late: the sender drops the shard.
    Surplus,
    /// No plan knows of it. The caller looks whether the pack was placed there before.
    Unknown,
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// The same holder is tried again.
    Retry,
    /// The caller chooses another.
    Replace,
    /// Nothing: it is not the one who was waited for.
    Ignored,
}

impl Plans {
    /// Holders have `patience` to confirm a shard.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            open: BTreeMap::new(),
            due: BTreeSet::new(),
            reserved: BTreeMap::new(),
        }
    }

    /// Bytes that are promised on a peer and not yet used.
    #[must_use]
    pub fn reserved(&self, peer: &PeerId) -> u64 {
        self.reserved.get(peer).copied().unwrap_or(0)
    }

    /// Everybody who has, or had, a place in the plan of a pack: not to be chosen again.
    #[must_use]
    pub fn holders(&self, pack: &PackId) -> Vec<PeerId> {
        let places = self.open.get(pack).map_or(&[][..], |plan| &plan.places);
        let all = places
            .iter()
            .flat_map(|place| place.former.iter().chain([&place.holder]));
        all.copied().collect()
    }

    /// Whether a plan of the pack still waits for somebody.
    #[must_use]
    pub fn is_waiting(&self, pack: &PackId) -> bool {
        let plan = self.open.get(pack);
        plan.is_some_and(|plan| plan.places.iter().any(|place| place.state != State::Confirmed))
    }

    /// Bytes of each shard of a planned pack; 0 if none is planned.
    #[must_use]
    pub fn shard_bytes(&self, pack: &PackId) -> u64 {
        self.open.get(pack).map_or(0, |plan| plan.shard_bytes)
    }

    /// Begins a plan: shard `n` goes to the `n`-th holder. An earlier plan of the pack is given up.
    pub fn open(&mut self, now: Duration, pack: PackId, shard_bytes: u64, holders: &[PeerId]) {
        self.cancel(&pack);
        let place = |holder: &PeerId| Place {
            holder: *holder,
            failures: 0,
            state: State::Vacant,
            former: Vec::new(),
        };
        let plan = Plan {
            shard_bytes,
            places: holders.iter().map(place).collect(),
        };
        self.open.insert(pack, plan);
        for (shard, holder) in (0..).zip(holders) {
            self.wait(now, (pack, shard), *holder);
        }
    }

    /// Gives up a plan. Returns who may have something of it.
    pub fn cancel(&mut self, pack: &PackId) -> Vec<(u8, PeerId)> {
        let count = self.open.get(pack).map_or(0, |plan| plan.places.len());
        for (shard, _) in (0..).zip(0..count) {
            self.release((*pack, shard), State::Vacant);
        }
        let places = self.open.remove(pack).map_or(Vec::new(), |plan| plan.places);
        (0..)
            .zip(&places)
            .map(|(shard, place)| (shard, place.holder))
            .collect()
    }

    /// A holder says that it has the shard, durably.
    pub fn confirmed(&mut self, slot: Slot, peer: &PeerId) -> Confirmed {
        let Some(place) = self.place(slot) else {
            return Confirmed::Unknown;
        };
        let (holder, state) = (place.holder, place.state);
        if holder == *peer {
            self.release(slot, State::Confirmed);
            return match self.close_if_complete(&slot.0) {
                true => Confirmed::Complete,
                false => Confirmed::Kept,
            };
        }
        if !place.former.contains(peer) {
            return Confirmed::Unknown;
        }
        if state == State::Confirmed {
            return Confirmed::Surplus;
        }
        self.release(slot, State::Confirmed);
        if let Some(place) = self.place(slot) {
            place.holder = *peer;
        }
        Confirmed::KeptInstead {
            of: holder,
            complete: self.close_if_complete(&slot.0),
        }
    }

    /// Whoever is still waited for has until `due` at the latest: the others have confirmed, and all are brought at once.
    pub fn hurry(&mut self, due: Duration, pack: &PackId) {
        let Some(plan) = self.open.get_mut(pack) else {
            return;
        };
        for (shard, place) in (0..).zip(&mut plan.places) {
            let State::Waiting(before) = place.state else {
                continue;
            };
            if before > due && self.due.remove(&(before, (*pack, shard))) {
                place.state = State::Waiting(due);
                self.due.insert((due, (*pack, shard)));
            }
        }
    }

    /// The owner could not bring a shard to its holder, or the holder refused it.
    pub fn failed(&mut self, slot: Slot, peer: &PeerId) -> Failed {
        let Some(place) = self.place(slot) else {
            return Failed::Ignored;
        };
        if place.holder != *peer || !matches!(place.state, State::Waiting(_)) {
            return Failed::Ignored;
        }
        place.failures += 1;
        if place.failures < MAX_FAILURES {
            return Failed::Retry;
        }
        self.release(slot, State::Vacant);
        Failed::Replace
    }

    /// The shard goes to another holder from now on, unless it has been confirmed meanwhile.
    pub fn replace(&mut self, now: Duration, slot: Slot, holder: PeerId) {
        self.release(slot, State::Vacant);
        let open = |place: &&mut Place| place.state != State::Confirmed;
        let Some(place) = self.place(slot).filter(open) else {
            return;
        };
        if place.holder != holder {
            place.former.push(place.holder);
        }
        (place.holder, place.failures) = (holder, 0);
        self.wait(now, slot, holder);
    }

    /// When [`Plans::overdue`] has something to say.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Duration> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Places that were not confirmed in time, each told once; the caller chooses others.
    pub fn overdue(&mut self, now: Duration) -> Vec<(Slot, PeerId)> {
        let due = self.due.iter().take_while(|(due, _)| *due <= now);
        let slots: Vec<Slot> = due.map(|(_, slot)| *slot).collect();
        let mut out = Vec::new();
        for slot in slots {
            self.release(slot, State::Vacant);
            out.extend(self.place(slot).map(|place| (slot, place.holder)));
        }
        out
    }

    fn place(&mut self, (pack, shard): Slot) -> Option<&mut Place> {
        self.open.get_mut(&pack)?.places.get_mut(usize::from(shard))
    }

    /// Reserves room and sets the time.
    fn wait(&mut self, now: Duration, slot: Slot, holder: PeerId) {
        let due = now + self.patience;
        let Some(plan) = self.open.get_mut(&slot.0) else {
            return;
        };
        *self.reserved.entry(holder).or_default() += plan.shard_bytes;
        if let Some(place) = plan.places.get_mut(usize::from(slot.1)) {
            place.state = State::Waiting(due);
        }
        self.due.insert((due, slot));
    }

    /// Ends the waiting of a slot, if it waits, and leaves it in `state` unless it is confirmed already.
    fn release(&mut self, slot: Slot, state: State) {
        let Some(plan) = self.open.get_mut(&slot.0) else {
            return;
        };
        let bytes = plan.shard_bytes;
        let Some(place) = plan.places.get_mut(usize::from(slot.1)) else {
            return;
        };
        let (before, holder) = (place.state, place.holder);
        if before != State::Confirmed {
            place.state = state;
        }
        let State::Waiting(due) = before else { return };
        self.due.remove(&(due, slot));
        let reserved = self.reserved.entry(holder).or_default();
        *reserved = reserved.saturating_sub(bytes);
        if *reserved == 0 {
            self.reserved.remove(&holder);
        }
    }

    fn close_if_complete(&mut self, pack: &PackId) -> bool {
        let complete = self
            .open
            .get(pack)
            .is_some_and(|plan| plan.places.iter().all(|place| place.state == State::Confirmed));
        // Who had a place before may still confirm late: then it is a surplus, and the plan stays to say so.
        let has_former = |plan: &Plan| plan.places.iter().any(|place| !place.former.is_empty());
        if complete && !self.open.get(pack).is_some_and(has_former) {
            self.open.remove(pack);
        }
        complete
    }

    /// Forgets plans that are complete and were kept for late confirmations alone. For when the pack's placement is
    /// known elsewhere, such as after some hours; who confirms then is told by the list of its holders.
    pub fn forget_complete(&mut self) {
        self.open
            .retain(|_, plan| plan.places.iter().any(|place| place.state != State::Confirmed));
    }
}
