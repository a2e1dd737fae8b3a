//! Requests move from one holder to another: from the slow to those who have nothing better to do, and away from
//! whoever alone has the rare chunks.
//!
//! A chunk is never in flight twice. What a cancelled request had brought is lost; so much of that is allowed as
//! [`Config::duplicate_share`](super::Config) says.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Swarm,
    board::{Flight, HolderNo, State},
};

/// A request moves only if it is done so many times sooner then. Each move makes the next one harder.
const GAIN: f64 = 1.5;
/// And sooner by this many seconds at least.
const MIN_GAIN_S: f64 = 0.03;
/// So many chunks may be lost to moves even in a small download.
const FREE_DUPLICATES: u64 = 2;

/// A request that might move.
#[derive(Debug, Clone, Copy)]
struct Prey {
    chunk: u64,
    flight: Flight,
    /// When it is done if it stays.
    done_s: f64,
}

impl Swarm {
    /// Whoever still has room after everything was handed out takes over what others would do later.
    pub(super) fn steal(&mut self, now: Duration) {
        let guess = self.guess(now);
        for no in self.with_room(now, guess) {
            let Some(prey) = self.find_prey(now, no, guess) else {
                continue;
            };
            self.cancel(prey.flight.holder, prey.chunk);
            self.request(now, no, prey.chunk, prey.flight.moves + 1);
        }
    }

    /// The request that gains most by moving to `thief`.
    fn find_prey(&self, now: Duration, thief: HolderNo, guess: f64) -> Option<Prey> {
        let candidates = self.queued(now, guess).into_iter().filter(|prey| {
            let there = self.holders[thief].finish_s(now, self.board.bytes(prey.chunk), guess);
            prey.flight.holder != thief
                && self.holders[thief].offers(prey.chunk, now)
                && prey.done_s > there * (GAIN + f64::from(prey.flight.moves)) + MIN_GAIN_S
                && self.may_lose(prey.flight.bytes)
        });
        candidates.max_by(|a, b| a.done_s.total_cmp(&b.done_s).then(b.chunk.cmp(&a.chunk)))
    }

    /// Whether so many more bytes may come in vain.
    fn may_lose(&self, bytes: u64) -> bool {
        let share = self.board.needed().1 as f64 * self.config.duplicate_share;
        let free = FREE_DUPLICATES * skep_wire::CHUNK_BYTES;
        bytes == 0 || (self.tally.duplicate + bytes) as f64 <= share.max(free as f64)
    }

    /// Everything in flight with the time at which it will be here, each behind what was asked of its holder before.
    fn queued(&self, now: Duration, guess: f64) -> Vec<Prey> {
        let mut flights: Vec<(u64, Flight)> = self.board.flights().map(|(c, f)| (c, *f)).collect();
        flights.sort_unstable_by_key(|(_, flight)| flight.order);
        let mut ahead: BTreeMap<HolderNo, u64> = BTreeMap::new();
        let place = |(chunk, flight): (u64, Flight)| {
            let queue = ahead.entry(flight.holder).or_default();
            *queue += self.board.bytes(chunk) - flight.bytes;
            let done_s = self.holders[flight.holder].begin_s(now, *queue, guess);
            let silent_s = now.saturating_sub(flight.heard).as_secs_f64();
            Prey {
                chunk,
                flight,
                done_s: done_s.max(if flight.bytes > 0 { silent_s } else { 0.0 }),
            }
        };
        flights.into_iter().map(place).collect()
    }

    /// Somebody has `chunk` that only complete holders had before. If it still waits in the queue of one of them
    /// which has other chunks that nobody else has, that one had better send those.
    pub(super) fn prefer_rarer(&mut self, now: Duration, chunk: u64) {
        let State::InFlight(no) = self.board.state(chunk) else {
            return;
        };
        let holder = &self.holders[no];
        let rarer = holder.next(self.board.uncopied(), 0, now).is_some();
        let guess = self.guess(now);
        if self.board.copies(chunk) == 1
            && rarer
            && self.waits(chunk)
            && holder.begin_s(now, self.ahead_of(chunk), guess) > holder.notice_s()
        {
            self.cancel(no, chunk);
        }
    }

    fn waits(&self, chunk: u64) -> bool {
        self.board.flight(chunk).is_some_and(|flight| flight.bytes == 0)
    }

    /// Bytes that the holder of a chunk in flight sends before it.
    fn ahead_of(&self, chunk: u64) -> u64 {
        let Some(own) = self.board.flight(chunk) else {
            return 0;
        };
        let before = self
            .board
            .flights()
            .filter(|(_, f)| f.holder == own.holder && f.order < own.order);
        before
            .map(|(chunk, flight)| self.board.bytes(chunk) - flight.bytes)
            .sum()
    }
}
