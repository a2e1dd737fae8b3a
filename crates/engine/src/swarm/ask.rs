//! What to ask of whom: holders are filled from the one that would answer first, each with what suits it best.
//!
//! While only complete holders are known, chunks are asked for in order, so that disks and read-ahead work well.
//! With partial holders it is the rarest first, in runs that begin at random places: several downloads fetch
//! different chunks from the one who has all, and the rest from each other.

use std::{ops::Range, time::Duration};

use rand::Rng;

use super::{
    Action, Swarm,
    board::{Flight, HolderNo, State},
};

/// What a holder gives in a second when nothing is known of any.
const GUESSED_RATE: f64 = (16 << 20) as f64;

impl Swarm {
    /// Hands out requests until nobody who has room may be asked for something useful.
    pub(super) fn assign(&mut self, now: Duration) {
        while let Some((no, chunk)) = self.next_request(now) {
            self.request(now, no, chunk, 0);
        }
    }

    /// Asks `no` for a wanted chunk that was moved `moves` times.
    pub(super) fn request(&mut self, now: Duration, no: HolderNo, chunk: u64, moves: u32) {
        let flight = Flight {
            holder: no,
            order: self.requests,
            heard: now,
            bytes: 0,
            moves,
        };
        self.requests += 1;
        self.board.ask(chunk, flight);
        let holder = &mut self.holders[no];
        holder.asked(now, self.board.bytes(chunk));
        holder.cursor = chunk + 1;
        self.out.push(Action::Request {
            peer: holder.peer,
            chunk,
        });
    }

    fn next_request(&mut self, now: Duration) -> Option<(HolderNo, u64)> {
        if self.board.wanted().next().is_none() {
            return None;
        }
        let guess = self.guess(now);
        for no in self.with_room(now, guess) {
            let Some(chunk) = self.choose(now, no, guess) else {
                continue;
            };
            if !self.fits(chunk) {
                return None;
            }
            if self.is_worth_it(now, no, chunk, guess) {
                return Some((no, chunk));
            }
        }
        None
    }

    /// Who may be asked for more, the one that would answer first first.
    pub(super) fn with_room(&self, now: Duration, guess: f64) -> Vec<HolderNo> {
        let mut order: Vec<(f64, HolderNo)> = self
            .holders
            .iter()
            .enumerate()
            .filter(|(_, holder)| holder.is_ready(now) && holder.in_flight < holder.depth(&self.config))
            .map(|(no, holder)| (holder.finish_s(now, skep_wire::CHUNK_BYTES, guess), no))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order.into_iter().map(|(_, no)| no).collect()
    }

    /// What a holder of whom nothing is known may give: as much as the best one. So everyone is tried.
    pub(super) fn guess(&self, now: Duration) -> f64 {
        let best = self
            .holders
            .iter()
            .filter_map(|holder| holder.rate(now))
            .fold(0.0, f64::max);
        if best > 0.0 { best } else { GUESSED_RATE }
    }

    /// Whether memory allows one chunk more.
    fn fits(&self, chunk: u64) -> bool {
        let pending = self.board.pending_bytes();
        pending == 0 || pending + self.board.bytes(chunk) <= self.config.budget_bytes
    }

    /// What to ask of `no`, which has room.
    fn choose(&mut self, now: Duration, no: HolderNo, guess: f64) -> Option<u64> {
        let version = self.board.version();
        if self.holders[no].barren_at == Some(version) {
            return None;
        }
        let chunk = self
            .choose_urgent(now, no, guess)
            .or_else(|| self.choose_rarest(now, no));
        if chunk.is_none() && !self.holders[no].has_blocks() {
            self.holders[no].barren_at = Some(version);
        }
        chunk
    }

    /// The first chunk that somebody waits for, unless somebody else would give it much sooner.
    fn choose_urgent(&self, now: Duration, no: HolderNo, guess: f64) -> Option<u64> {
        let chunk = self
            .urgent
            .iter()
            .find_map(|range| self.next_in(now, no, range))?;
        let bytes = self.board.bytes(chunk);
        let mine = self.holders[no].finish_s(now, bytes, guess);
        (self.soonest_elsewhere(now, no, chunk, guess) * 2.0 >= mine).then_some(chunk)
    }

    fn next_in(&self, now: Duration, no: HolderNo, range: &Range<u64>) -> Option<u64> {
        let holder = &self.holders[no];
        let first = self
            .board
            .wanted()
            .filter_map(|bits| holder.next(bits, range.start, now))
            .min()?;
        (first < range.end).then_some(first)
    }

    fn choose_rarest(&mut self, now: Duration, no: HolderNo) -> Option<u64> {
        let anywhere = self.rng.random_range(0..self.board.len().max(1));
        let holder = &self.holders[no];
        let scattered = self
            .holders
            .iter()
            .any(|holder| holder.out.is_none() && !holder.is_complete());
        self.board.wanted().find_map(|bits| {
            let from = match scattered {
                false => self.origin,
                true if bits.contains(holder.cursor) => holder.cursor,
                true => anywhere,
            };
            holder.next(bits, from, now).or_else(|| holder.next(bits, 0, now))
        })
    }

    /// Whether the download is not over sooner if somebody else does it. A slow holder is useful in the middle of
    /// a download, and in the way at its end.
    fn is_worth_it(&self, now: Duration, no: HolderNo, chunk: u64, guess: f64) -> bool {
        let mine = self.holders[no].finish_s(now, self.board.bytes(chunk), guess);
        mine <= self.remaining_s(now, guess) || mine <= self.soonest_elsewhere(now, no, chunk, guess)
    }

    /// In how many seconds everything would be here if all holders went on as they do.
    fn remaining_s(&self, now: Duration, guess: f64) -> f64 {
        let usable = self.holders.iter().filter(|holder| holder.is_ready(now));
        let rate: f64 = usable.map(|holder| holder.rate(now).unwrap_or(guess)).sum();
        self.board.missing_bytes() as f64 / rate.max(1.0)
    }

    /// In how many seconds the best of the others would have given `chunk`.
    fn soonest_elsewhere(&self, now: Duration, no: HolderNo, chunk: u64, guess: f64) -> f64 {
        let others = self.holders.iter().enumerate().filter(|(other, _)| *other != no);
        others
            .filter(|(_, other)| other.offers(chunk, now))
            .map(|(_, other)| other.finish_s(now, self.board.bytes(chunk), guess))
            .fold(f64::INFINITY, f64::min)
    }

    /// A reader has jumped: takes back requests that nobody waits for and that have brought nothing yet, so that
    /// what is waited for need not queue behind them.
    pub(super) fn make_way(&mut self) {
        let urgent = |chunk: u64, urgent: &[Range<u64>]| urgent.iter().any(|range| range.contains(&chunk));
        if self.urgent.is_empty() || self.board.flights().any(|(chunk, _)| urgent(chunk, &self.urgent)) {
            return;
        }
        let waiting = self.urgent_wanted();
        let mut idle: Vec<(u64, HolderNo, u64)> = self
            .board
            .flights()
            .filter(|(_, flight)| flight.bytes == 0)
            .map(|(chunk, flight)| (flight.order, flight.holder, chunk))
            .collect();
        idle.sort_unstable();
        for (_, no, chunk) in idle.into_iter().rev().take(waiting) {
            self.cancel(no, chunk);
        }
    }

    /// How many chunks that somebody waits for are still to be asked for, as far as it matters.
    fn urgent_wanted(&self) -> usize {
        let chunks = self
            .urgent
            .iter()
            .flat_map(|range| range.clone().take(self.config.max_depth));
        chunks
            .filter(|&chunk| self.board.state(chunk) == State::Wanted)
            .count()
    }
}
