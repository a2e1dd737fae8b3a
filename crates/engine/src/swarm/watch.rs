//! Finds requests that take too long, and lets them fail.

use std::time::Duration;

use super::{Action, Failure, Swarm, board::HolderNo};

impl Swarm {
    /// Lets every request fail that has stalled.
    pub(super) fn watch(&mut self, now: Duration) {
        let stalled: Vec<(u64, HolderNo)> = self
            .board
            .flights()
            .filter(|(_, flight)| self.holders[flight.holder].is_stalled(now, flight.heard, &self.config))
            .map(|(chunk, flight)| (chunk, flight.holder))
            .collect();
        for (chunk, no) in stalled {
            // An earlier one may have put the holder out, and this request with it.
            if self.board.flight(chunk).is_some() {
                self.out.push(Action::Cancel {
                    peer: self.holders[no].peer,
                    chunk,
                });
                self.fail(now, no, chunk, Failure::Stalled);
            }
        }
    }
}
