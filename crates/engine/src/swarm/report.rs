//! How a download stands, for its driver and for display.

use std::time::Duration;

use super::{Holder, HolderStats, Outcome, Progress, Swarm};

impl Swarm {
    /// How it stands, as of the last poll.
    pub fn outcome(&self) -> Outcome {
        if self.board.is_complete() {
            return Outcome::Complete;
        }
        if !self.is_stuck() {
            return Outcome::Running;
        }
        let reasons = self
            .numbers
            .iter()
            .map(|(&peer, &no)| (peer, self.holders[no].reason()));
        Outcome::Stuck {
            reasons: reasons.collect(),
        }
    }

    /// How far it is.
    pub fn progress(&self, now: Duration) -> Progress {
        let (wanted_chunks, wanted_bytes) = self.board.needed();
        let (have_chunks, have_bytes) = self.board.done();
        Progress {
            wanted_chunks,
            wanted_bytes,
            have_chunks,
            have_bytes,
            received_bytes: self.tally.received,
            duplicate_bytes: self.tally.duplicate,
            lost_bytes: self.tally.lost,
            rate: self.holders.iter().map(|holder| current_rate(holder, now)).sum(),
        }
    }

    /// Every holder that was ever known, for display.
    pub fn holders(&self, now: Duration) -> Vec<HolderStats> {
        let all_bytes = self.tally.received.max(1);
        self.numbers
            .iter()
            .map(|(&peer, &no)| {
                let holder = &self.holders[no];
                HolderStats {
                    peer,
                    complete: holder.is_complete(),
                    bytes: holder.bytes,
                    share: holder.bytes as f64 / all_bytes as f64,
                    rate: current_rate(holder, now),
                    latency: holder.latency(),
                    in_flight: holder.in_flight,
                    unusable: holder.out,
                }
            })
            .collect()
    }
}

/// Bytes a second; nothing comes from whom nothing is asked.
fn current_rate(holder: &Holder, now: Duration) -> f64 {
    if holder.in_flight == 0 {
        0.0
    } else {
        holder.rate(now, 0.0)
    }
}
