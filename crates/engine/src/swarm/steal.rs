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
/// As much as this many chunks may be lost to moves even in a small download.
const FREE_DUPLICATES: u64 = 1;

/// A request that might move.
#[derive(Debug, Clone, Copy)]
struct Prey {
    chunk: u64,
    flight: Flight,
    /// When it is done if it stays.
    done_s: f64,
    /// Bytes that have come, or come all the same, if it does not.
    loss: f64,
}

impl Swarm {
    /// Whoever still has room after everything was handed out takes over what others would do later. While chunks
    /// are wanted for which there is no memory, only those do that have next to nothing to do.
    pub(super) fn steal(&mut self, now: Duration) {
        while let Some((no, prey)) = self.next_move(now) {
            self.tally.risked += prey.loss;
            self.cancel(now, prey.flight.holder, prey.chunk);
            self.request(now, no, prey.chunk, prey.flight.moves + 1);
        }
    }

    fn next_move(&self, now: Duration) -> Option<(HolderNo, Prey)> {
        let guess = self.guess();
        let queued = self.queued(now, guess);
        let crowded = self.board.wanted().next().is_some();
        let idle = |no: &HolderNo| !crowded || self.holders[*no].in_flight < self.config.min_depth;
        let with_room = self.with_room(now, guess).into_iter().filter(idle);
        with_room
            .filter_map(|no| Some((no, self.find_prey(now, no, &queued, guess)?)))
            .next()
    }

    /// The request that gains most by moving to `thief`. Nothing moves from a holder that is known to work to one
    /// of which nothing is known.
    fn find_prey(&self, now: Duration, thief: HolderNo, queued: &[Prey], guess: f64) -> Option<Prey> {
        let known = self.holders[thief].measured_rate().is_some();
        let gains = |prey: &&Prey| {
            let there_s = self.holders[thief].finish_s(now, self.board.bytes(prey.chunk), guess);
            prey.flight.holder != thief
                && (known || self.holders[prey.flight.holder].is_silent(now))
                && self.holders[thief].offers(prey.chunk, now)
                && prey.done_s > there_s * (GAIN + f64::from(prey.flight.moves)) + MIN_GAIN_S
                && self.may_lose(prey.loss)
        };
        let later = |a: &&Prey, b: &&Prey| a.done_s.total_cmp(&b.done_s).then(b.chunk.cmp(&a.chunk));
        queued.iter().filter(gains).max_by(later).copied()
    }

    /// Whether so many more bytes may come in vain.
    fn may_lose(&self, bytes: f64) -> bool {
        let share = self.board.needed().1 as f64 * self.config.duplicate_share;
        let free = (FREE_DUPLICATES * skep_wire::CHUNK_BYTES) as f64;
        bytes == 0.0 || self.tally.risked + bytes <= share.max(free)
    }

    /// Everything in flight with the time at which it will be here, each behind what was asked of its holder before.
    fn queued(&self, now: Duration, guess: f64) -> Vec<Prey> {
        let mut flights: Vec<(u64, Flight)> = self.board.flights().map(|(c, f)| (c, *f)).collect();
        flights.sort_unstable_by_key(|(_, flight)| flight.order);
        let mut queues: BTreeMap<HolderNo, u64> = BTreeMap::new();
        let place = |(chunk, flight): (u64, Flight)| {
            let holder = &self.holders[flight.holder];
            let ahead = queues.entry(flight.holder).or_default();
            let left = self.board.bytes(chunk) - flight.bytes;
            let silent = holder.is_silent(now);
            let coming = if silent {
                0.0
            } else {
                holder.unstoppable(now, *ahead, guess).min(left as f64)
            };
            *ahead += left;
            Prey {
                chunk,
                flight,
                done_s: holder.begin_s(now, *ahead, guess),
                loss: coming + flight.bytes as f64,
            }
        };
        flights.into_iter().map(place).collect()
    }

    /// Somebody else has `chunk` now. If it is in flight here, both follow the same run: this one goes on elsewhere.
    ///
    /// If only complete holders had it before, and it still waits in the queue of one of them
    /// which has other chunks that nobody else has, that one had better send those.
    pub(super) fn prefer_rarer(&mut self, now: Duration, chunk: u64) {
        let State::InFlight(no) = self.board.state(chunk) else {
            return;
        };
        self.holders[no].cursor = None;
        let holder = &self.holders[no];
        let rarer = holder.next(self.board.uncopied(), 0, now).is_some();
        let guess = self.guess();
        if self.board.copies(chunk) == 1
            && rarer
            && self.waits(chunk)
            && holder.begin_s(now, self.ahead_of(chunk), guess) > holder.notice_s()
        {
            self.cancel(now, no, chunk);
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
