//! In which state each chunk is. The only place that moves a chunk from one state to another.
//!
//! It knows how rare a chunk is, but nothing of holders beyond their number, and decides nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    time::Duration,
};

use roaring::RoaringTreemap;

use super::{bits::Bits, terms::Sizes};

/// Chunks that more partial holders have than this are equally common.
const MAX_RARITY: usize = 15;

/// The number of a holder in this download.
pub(super) type HolderNo = usize;

/// The closed list of what a chunk can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Neither here nor wanted.
    NotNeeded,
    /// To be asked for.
    Wanted,
    /// Asked of this holder, and of no other.
    InFlight(HolderNo),
    /// Come, and being verified and stored.
    Received,
    /// Stored.
    Have,
}

/// A chunk that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flight {
    pub(super) holder: HolderNo,
    /// Requests are numbered in the order in which they are made.
    pub(super) order: u64,
    /// When it was asked for, or something of it came last.
    pub(super) heard: Duration,
    /// What has come of it.
    pub(super) bytes: u64,
    /// How often it was taken from one holder and given to another.
    pub(super) moves: u32,
}

/// The chunks of a content, each in exactly one [`State`].
#[derive(Debug)]
pub(super) struct Board {
    sizes: Sizes,
    len: u64,
    needed: Bits,
    have: Bits,
    /// By how many partial holders have them: the rarest first.
    wanted: Vec<Bits>,
    /// For each chunk, how many partial holders have it; empty until there is one.
    copies: Vec<u16>,
    flights: BTreeMap<u64, Flight>,
    received: BTreeSet<u64>,
    pending_bytes: u64,
    needed_bytes: u64,
    have_bytes: u64,
    have_needed: u64,
    /// Grows whenever a chunk becomes wanted.
    version: u64,
}

impl Board {
    pub(super) fn new(sizes: Sizes, have: &RoaringTreemap) -> Self {
        let len = sizes.chunks();
        Self {
            len,
            sizes,
            needed: Bits::new(len),
            have: Bits::from_treemap(len, have),
            wanted: vec![Bits::new(len)],
            copies: Vec::new(),
            flights: BTreeMap::new(),
            received: BTreeSet::new(),
            pending_bytes: 0,
            needed_bytes: 0,
            have_bytes: 0,
            have_needed: 0,
            version: 0,
        }
    }

    /// How many chunks the content has.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn bytes(&self, chunk: u64) -> u64 {
        self.sizes.bytes(chunk)
    }

    pub(super) fn state(&self, chunk: u64) -> State {
        if self.have.contains(chunk) {
            State::Have
        } else if let Some(flight) = self.flights.get(&chunk) {
            State::InFlight(flight.holder)
        } else if self.received.contains(&chunk) {
            State::Received
        } else if self.needed.contains(chunk) {
            State::Wanted
        } else {
            State::NotNeeded
        }
    }

    /// NOT_NEEDED becomes WANTED; what is here already counts as done.
    pub(super) fn want(&mut self, chunks: Range<u64>) {
        for chunk in chunks.start..chunks.end.min(self.len) {
            if !self.needed.insert(chunk) {
                continue;
            }
            self.needed_bytes += self.bytes(chunk);
            if self.have.contains(chunk) {
                self.have_bytes += self.bytes(chunk);
                self.have_needed += 1;
            } else if !self.flights.contains_key(&chunk) && !self.received.contains(&chunk) {
                self.put_wanted(chunk);
            }
        }
    }

    /// WANTED becomes IN_FLIGHT.
    pub(super) fn ask(&mut self, chunk: u64, flight: Flight) {
        debug_assert_eq!(self.state(chunk), State::Wanted);
        self.take_wanted(chunk);
        self.pending_bytes += self.bytes(chunk);
        self.flights.insert(chunk, flight);
    }

    /// IN_FLIGHT becomes WANTED.
    pub(super) fn release(&mut self, chunk: u64) -> Option<Flight> {
        let flight = self.end_flight(chunk)?;
        self.put_wanted(chunk);
        Some(flight)
    }

    /// WANTED or IN_FLIGHT becomes RECEIVED.
    pub(super) fn arrive(&mut self, chunk: u64) -> Option<Flight> {
        let flight = self.end_flight(chunk);
        self.take_wanted(chunk);
        self.received.insert(chunk);
        self.pending_bytes += self.bytes(chunk);
        flight
    }

    /// Whatever it was becomes HAVE.
    pub(super) fn keep(&mut self, chunk: u64) -> Option<Flight> {
        let flight = self.end_flight(chunk);
        self.end_received(chunk);
        self.take_wanted(chunk);
        if self.have.insert(chunk) && self.needed.contains(chunk) {
            self.have_bytes += self.bytes(chunk);
            self.have_needed += 1;
        }
        flight
    }

    /// RECEIVED or HAVE becomes WANTED again.
    pub(super) fn lose(&mut self, chunk: u64) {
        let was_here = self.have.remove(chunk);
        if was_here && self.needed.contains(chunk) {
            self.have_bytes -= self.bytes(chunk);
            self.have_needed -= 1;
        }
        if (self.end_received(chunk) || was_here) && self.needed.contains(chunk) {
            self.put_wanted(chunk);
        }
    }

    /// Something of a chunk in flight has come.
    pub(super) fn flight_mut(&mut self, chunk: u64) -> Option<&mut Flight> {
        self.flights.get_mut(&chunk)
    }

    pub(super) fn flight(&self, chunk: u64) -> Option<&Flight> {
        self.flights.get(&chunk)
    }

    /// Every chunk in flight, ascending.
    pub(super) fn flights(&self) -> impl Iterator<Item = (u64, &Flight)> {
        self.flights.iter().map(|(&chunk, flight)| (chunk, flight))
    }

    /// Bytes of all chunks that are in flight or received: what this download holds in memory, at most.
    pub(super) fn pending_bytes(&self) -> u64 {
        self.pending_bytes
    }

    /// Whether something is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.flights.is_empty() || !self.received.is_empty()
    }

    /// Whether everything that is needed is here.
    pub(super) fn is_complete(&self) -> bool {
        self.have_needed == self.needed.count()
    }

    /// Bytes of chunks that are needed and not here.
    pub(super) fn missing_bytes(&self) -> u64 {
        self.needed_bytes - self.have_bytes
    }

    /// (chunks, bytes) needed, here or not.
    pub(super) fn needed(&self) -> (u64, u64) {
        (self.needed.count(), self.needed_bytes)
    }

    /// (chunks, bytes) needed and here.
    pub(super) fn done(&self) -> (u64, u64) {
        (self.have_needed, self.have_bytes)
    }

    /// The WANTED chunks, the rarest first, equally rare ones together.
    pub(super) fn wanted(&self) -> impl Iterator<Item = &Bits> {
        self.wanted.iter().filter(|bits| bits.count() > 0)
    }

    /// The WANTED chunks that no partial holder has.
    pub(super) fn uncopied(&self) -> &Bits {
        &self.wanted[0]
    }

    /// Changes whenever a chunk becomes wanted (and not when it ceases to be).
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// How many partial holders have it.
    pub(super) fn copies(&self, chunk: u64) -> u16 {
        slot(chunk)
            .and_then(|at| self.copies.get(at))
            .copied()
            .unwrap_or(0)
    }

    /// One partial holder more has it.
    pub(super) fn add_copy(&mut self, chunk: u64) {
        self.set_copies(chunk, self.copies(chunk).saturating_add(1));
    }

    /// One partial holder fewer has it.
    pub(super) fn drop_copy(&mut self, chunk: u64) {
        self.set_copies(chunk, self.copies(chunk).saturating_sub(1));
    }

    fn set_copies(&mut self, chunk: u64, copies: u16) {
        let Some(at) = slot(chunk).filter(|_| chunk < self.len) else {
            return;
        };
        let was_wanted = self.take_wanted(chunk);
        if self.copies.is_empty() {
            self.copies = vec![0; slot(self.len).unwrap_or(0)];
        }
        self.copies[at] = copies;
        if was_wanted {
            self.put_wanted(chunk);
        }
    }

    fn put_wanted(&mut self, chunk: u64) {
        let rarity = self.rarity(chunk);
        while self.wanted.len() <= rarity {
            self.wanted.push(Bits::new(self.len));
        }
        self.wanted[rarity].insert(chunk);
        self.version += 1;
    }

    fn take_wanted(&mut self, chunk: u64) -> bool {
        let rarity = self.rarity(chunk);
        self.wanted.get_mut(rarity).is_some_and(|bits| bits.remove(chunk))
    }

    fn rarity(&self, chunk: u64) -> usize {
        usize::from(self.copies(chunk)).min(MAX_RARITY)
    }

    fn end_flight(&mut self, chunk: u64) -> Option<Flight> {
        let flight = self.flights.remove(&chunk)?;
        self.pending_bytes -= self.bytes(chunk);
        Some(flight)
    }

    fn end_received(&mut self, chunk: u64) -> bool {
        let was = self.received.remove(&chunk);
        if was {
            self.pending_bytes -= self.bytes(chunk);
        }
        was
    }

    /// Panics unless every chunk is in exactly one state and every sum is right.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let (mut pending, mut done) = (0, (0, 0));
        for chunk in 0..self.len {
            let levels: Vec<usize> = (0..self.wanted.len())
                .filter(|&level| self.wanted[level].contains(chunk))
                .collect();
            let flying = self.flights.contains_key(&chunk);
            let received = self.received.contains(&chunk);
            let memberships = levels.len()
                + usize::from(flying)
                + usize::from(received)
                + usize::from(self.have.contains(chunk));
            let expected = usize::from(self.state(chunk) != State::NotNeeded);
            assert_eq!(memberships, expected, "chunk {chunk} is {:?}", self.state(chunk));
            assert_eq!(
                !levels.is_empty(),
                self.state(chunk) == State::Wanted,
                "chunk {chunk}"
            );
            assert!(
                levels.iter().all(|&level| level == self.rarity(chunk)),
                "chunk {chunk} at {levels:?}"
            );
            if flying || received {
                pending += self.bytes(chunk);
            }
            if self.have.contains(chunk) && self.needed.contains(chunk) {
                done = (done.0 + 1, done.1 + self.bytes(chunk));
            }
        }
        assert_eq!(pending, self.pending_bytes);
        assert_eq!(done, self.done());
        assert_eq!(
            self.needed.iter().map(|chunk| self.bytes(chunk)).sum::<u64>(),
            self.needed_bytes
        );
    }
}

fn slot(chunk: u64) -> Option<usize> {
    usize::try_from(chunk).ok()
}
