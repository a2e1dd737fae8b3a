//! Tests of the scheduler: its rules one by one, random sequences of events against its invariants, and a
//! simulated world of holders and downloaders.

use std::time::Duration;

use skep_wire::PeerId;

use super::Swarm;

mod rig;
mod rules;
mod scenarios;
mod sequences;
mod troubles;
mod world;

const MIB: u64 = 1 << 20;

fn peer(number: usize) -> PeerId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    PeerId(id)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Swarm {
    /// Panics unless the state is consistent.
    pub(super) fn check(&self) {
        self.board.check();
        for (no, holder) in self.holders.iter().enumerate() {
            let flights: Vec<_> = self
                .board
                .flights()
                .filter(|(_, flight)| flight.holder == no)
                .collect();
            let awaited: u64 = flights
                .iter()
                .map(|(chunk, flight)| self.board.bytes(*chunk) - flight.bytes)
                .sum();
            assert_eq!(flights.len(), holder.in_flight, "holder {no}");
            assert_eq!(awaited, holder.awaited_bytes, "holder {no}");
            assert!(flights.len() <= self.config.max_depth, "holder {no}");
            assert!(
                flights.is_empty() || holder.out.is_none(),
                "holder {no} is out: {:?}",
                holder.out
            );
        }
        for chunk in 0..self.board.len() {
            let usable = self
                .holders
                .iter()
                .filter(|holder| holder.out.is_none() && !holder.is_complete());
            let copies = usable.filter(|holder| holder.has(chunk)).count();
            assert_eq!(
                usize::from(self.board.copies(chunk)),
                copies,
                "copies of chunk {chunk}"
            );
        }
        let pending = self.board.pending_bytes();
        let single = self.board.flights().count() <= 1;
        assert!(
            pending <= self.config.budget_bytes || single,
            "{pending} bytes pending"
        );
    }
}
