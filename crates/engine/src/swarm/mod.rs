//! The scheduler of one download: decides which chunk is asked of which holder, and when.
//!
//! Pure: it sees chunk numbers and peers, never bytes, sockets or clocks. `now` is monotonic and comes in as
//! an argument, randomness as a seed. The driver reports what happens with `handle_*`, then drains
//! [`Swarm::poll`] and sleeps until [`Swarm::next_wakeup`].
//!
//! It does not verify, store or count on anybody's word: what a holder says it has is only where to ask.

use std::{ops::Range, time::Duration};

use roaring::RoaringTreemap;
use skep_wire::PeerId;

mod terms;

pub use terms::{Action, Config, Failure, Have, HolderStats, Outcome, Progress, Reason, Received, Sizes};

/// One download.
#[derive(Debug)]
pub struct Swarm {}

impl Swarm {
    /// A download of the chunks `wanted`, of which those in `have` are here already.
    /// Downloads of the same content by different peers need different seeds.
    #[must_use]
    pub fn new(config: Config, sizes: Sizes, wanted: Range<u64>, have: &RoaringTreemap, seed: u64) -> Self {
        let _ = (config, sizes, wanted, have, seed);
        todo!()
    }

    /// These chunks are wanted, too.
    pub fn want(&mut self, chunks: Range<u64>) {
        let _ = chunks;
        todo!()
    }

    /// `peer` is connected and says what it has; also when it is back, or announces itself again.
    pub fn handle_holder(&mut self, now: Duration, peer: PeerId, have: Have) {
        let _ = (now, peer, have);
        todo!()
    }

    /// `peer` has these, too.
    pub fn handle_have_more(&mut self, now: Duration, peer: PeerId, chunks: &[u64]) {
        let _ = (now, peer, chunks);
        todo!()
    }

    /// A search that [`Action::FindHolders`] asked for is over; who was found has been told before.
    pub fn handle_no_more_holders(&mut self, now: Duration) {
        let _ = now;
        todo!()
    }

    /// A round trip to `peer` took so long.
    pub fn handle_latency(&mut self, now: Duration, peer: PeerId, round_trip: Duration) {
        let _ = (now, peer, round_trip);
        todo!()
    }

    /// Of `chunk`, asked of `peer`, `bytes` have come by now, in all. Call it at least once a second while bytes come.
    pub fn handle_progress(&mut self, now: Duration, peer: PeerId, chunk: u64, bytes: u64) {
        let _ = (now, peer, chunk, bytes);
        todo!()
    }

    /// All of `chunk` has come from `peer`: `bytes` bytes, not verified yet.
    pub fn handle_received(&mut self, now: Duration, peer: PeerId, chunk: u64, bytes: u64) -> Received {
        let _ = (now, peer, chunk, bytes);
        todo!()
    }

    /// `chunk` is verified and kept. Also for chunks found by other means.
    pub fn handle_stored(&mut self, now: Duration, chunk: u64) {
        let _ = (now, chunk);
        todo!()
    }

    /// A received `chunk` could not be stored (the disk is full), or a stored one is lost: it is wanted again.
    pub fn handle_not_stored(&mut self, now: Duration, chunk: u64) {
        let _ = (now, chunk);
        todo!()
    }

    /// What `peer` sent as `chunk` is not it. The holder is asked for nothing more.
    pub fn handle_bad(&mut self, now: Duration, peer: PeerId, chunk: u64) {
        let _ = (now, peer, chunk);
        todo!()
    }

    /// `chunk` will not come from `peer` this time.
    pub fn handle_failed(&mut self, now: Duration, peer: PeerId, chunk: u64, failure: Failure) {
        let _ = (now, peer, chunk, failure);
        todo!()
    }

    /// The connection to `peer` is gone, with all that was asked of it.
    pub fn handle_gone(&mut self, now: Duration, peer: PeerId) {
        let _ = (now, peer);
        todo!()
    }

    /// Somebody reads: these chunks first, range by range and in order (each from where a reader is to the end of
    /// its read-ahead). Replaces the ranges told before. They are made wanted if they are not.
    pub fn handle_priority(&mut self, ranges: &[Range<u64>]) {
        let _ = ranges;
        todo!()
    }

    /// Ask for nothing more until [`Swarm::resume`]; what is under way is let in.
    pub fn pause(&mut self) {
        todo!()
    }

    /// Go on.
    pub fn resume(&mut self) {
        todo!()
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        todo!()
    }

    /// Appends what is to be done now. Call it after every batch of `handle_*` and at [`Swarm::next_wakeup`].
    pub fn poll(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let _ = (now, actions);
        todo!()
    }

    /// When to call [`Swarm::poll`] again if nothing happens before; none if nothing can change by itself.
    pub fn next_wakeup(&self) -> Option<Duration> {
        todo!()
    }

    /// How it stands.
    pub fn outcome(&self) -> Outcome {
        todo!()
    }

    /// How far it is.
    pub fn progress(&self, now: Duration) -> Progress {
        let _ = now;
        todo!()
    }

    /// Every holder that was ever known, for display.
    pub fn holders(&self, now: Duration) -> Vec<HolderStats> {
        let _ = now;
        todo!()
    }
}
