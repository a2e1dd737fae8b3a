//! A swarm, its clock, and a driver in a few words.

use std::time::Duration;

use roaring::RoaringTreemap;
use skep_wire::PeerId;

use super::{MIB, ms, peer};
use crate::swarm::{Action, Config, Have, Received, Sizes, Swarm};

/// A swarm with the time and what it has said last.
pub(super) struct Rig {
    pub(super) swarm: Swarm,
    pub(super) now: Duration,
}

impl Rig {
    pub(super) fn new(chunks: u64) -> Self {
        Self::with(chunks, &RoaringTreemap::new())
    }

    pub(super) fn with(chunks: u64, have: &RoaringTreemap) -> Self {
        let sizes = Sizes::Even {
            total_bytes: chunks * MIB,
        };
        Self {
            swarm: Swarm::new(Config::default(), sizes, 0..chunks, have, 1),
            now: ms(0),
        }
    }

    /// Complete holders with these numbers.
    pub(super) fn complete(&mut self, numbers: std::ops::Range<usize>) {
        numbers.for_each(|number| self.swarm.handle_holder(self.now, peer(number), Have::Complete));
    }

    pub(super) fn partial(&mut self, number: usize, chunks: &[u64]) {
        let have = Have::Some(chunks.iter().copied().collect());
        self.swarm.handle_holder(self.now, peer(number), have);
    }

    pub(super) fn poll(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.swarm.poll(self.now, &mut actions);
        self.swarm.check();
        actions
    }

    /// What is asked of whom now.
    pub(super) fn requests(&mut self) -> Vec<(PeerId, u64)> {
        let ask = |action| match action {
            Action::Request { peer, chunk } => Some((peer, chunk)),
            _ => None,
        };
        self.poll().into_iter().filter_map(ask).collect()
    }

    pub(super) fn wait(&mut self, by: Duration) {
        self.now += by;
    }

    /// `chunk` comes from `from` and is stored.
    pub(super) fn deliver(&mut self, from: PeerId, chunk: u64) {
        assert_eq!(
            self.swarm.handle_received(self.now, from, chunk, MIB),
            Received::Store
        );
        self.swarm.handle_stored(self.now, chunk);
    }

    /// Everything that is asked for comes, until nothing more is asked for.
    pub(super) fn finish(&mut self) -> Vec<u64> {
        let mut order = Vec::new();
        let mut open = self.requests();
        while !open.is_empty() {
            self.wait(ms(10));
            for (from, chunk) in open.drain(..) {
                self.deliver(from, chunk);
                order.push(chunk);
            }
            open = self.requests();
        }
        order
    }

    /// Like `finish`, with what was asked for last.
    pub(super) fn finish_from(&mut self, actions: Vec<Action>) -> Vec<u64> {
        let mut order = Vec::new();
        self.wait(ms(10));
        for action in actions {
            if let Action::Request { peer, chunk } = action {
                self.deliver(peer, chunk);
                order.push(chunk);
            }
        }
        order.extend(self.finish());
        order
    }
}
