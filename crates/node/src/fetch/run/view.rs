//! How a download stands, told to the scheduler, to who watches, and in errors.

use std::{sync::atomic::Ordering, time::Duration};

use skep_engine::swarm::{Failure, HolderStats, Outcome, Reason};
use skep_wire::PeerId;

use super::Pump;
use crate::{
    api::types::{PeerShare, Progress},
    fetch::{control::Doing, error::GetError},
};

impl Pump<'_> {
    /// Tells the scheduler and the watcher how far it is.
    pub(super) fn look(&mut self) {
        let now = self.job.core.mono();
        for (&(peer, chunk), under_way) in &mut self.under_way {
            let arrived = under_way.way.arrived.load(Ordering::Relaxed);
            if arrived != under_way.told {
                under_way.told = arrived;
                self.swarm.handle_progress(now, peer, chunk, arrived);
            } else if under_way.way.held.load(Ordering::Relaxed) {
                self.swarm.handle_held(now, peer, chunk);
            }
        }
        let seen = self.swarm.progress(now);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "for people"
        )]
        let rate = seen.rate.max(0.0) as u64;
        self.job.control.tell(Progress {
            bytes: seen.have_bytes,
            total: self.partial.layout().total_bytes(),
            rate,
            holders: self.connected.len(),
            state: self.doing().words().to_owned(),
            peers: self.shares(now),
        });
    }

    pub(super) fn doing(&self) -> Doing {
        if self.full {
            Doing::WaitingForSpace
        } else if self.swarm.is_paused() {
            Doing::Paused
        } else if matches!(self.swarm.outcome(), Outcome::Stuck { .. }) {
            Doing::WaitingForHolders
        } else {
            Doing::Downloading
        }
    }

    /// How each holder does that gave something.
    pub(super) fn shares(&self, now: Duration) -> Vec<PeerShare> {
        let stats = self.swarm.holders(now).into_iter();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "for people"
        )]
        let share = |stats: HolderStats| PeerShare {
            name: self.names.get(&stats.peer).cloned().unwrap_or_default(),
            bytes: stats.bytes,
            share: stats.share,
            rate: stats.rate.max(0.0) as u64,
            latency_ms: stats.latency.map(|latency| latency.as_secs_f64() * 1000.0),
        };
        stats.filter(|stats| stats.bytes > 0).map(share).collect()
    }

    pub(super) fn stuck(&self, reasons: &[(PeerId, Reason)]) -> GetError {
        if reasons.is_empty() && self.unusable.is_empty() {
            return GetError::NoHolders(self.job.goal.name.clone());
        }
        let named = |peer: &PeerId| {
            let connected = self.connected.get(peer);
            connected.map_or_else(|| peer.short(), |connected| connected.holder.name.to_string())
        };
        let mut all: Vec<String> = reasons
            .iter()
            .map(|(peer, reason)| format!("{}: {}", named(peer), in_words(*reason)))
            .collect();
        all.extend(self.unusable.values().cloned());
        let seen = self.swarm.progress(self.job.core.mono());
        let missing = format!("{} bytes", seen.wanted_bytes.saturating_sub(seen.have_bytes));
        GetError::Stuck {
            share: self.job.goal.name.clone(),
            missing,
            reasons: all,
        }
    }
}

/// Why a holder is of no use, for people.
fn in_words(reason: Reason) -> String {
    match reason {
        Reason::Lied => "it sent wrong bytes".to_owned(),
        Reason::Gone => "the connection is gone".to_owned(),
        Reason::Withdrawn => "its copy has changed or is gone".to_owned(),
        Reason::HasNoneOfIt => "it has none of what is missing".to_owned(),
        Reason::Exhausted(failure) => format!("asked often enough, last: {}", last_failure(failure)),
    }
}

fn last_failure(failure: Failure) -> &'static str {
    match failure {
        Failure::Refused | Failure::Busy => "it was busy or in trouble",
        Failure::Missing => "it has not got it",
        Failure::Withdrawn => "its copy has changed",
        Failure::Stalled => "nothing came",
        Failure::Disconnected => "the connection broke",
    }
}
