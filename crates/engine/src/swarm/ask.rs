//! What to ask of whom: holders are filled from the one that would answer first, each with what suits it best.
//!
//! While only complete holders are known, chunks are asked for in order, so that disks and read-ahead work well.
//! With partial holders it is the rarest first, in runs that begin at random places: several downloads fetch
//! different chunks from the one who has all, and the rest from each other.

use std::{ops::Range, time::Duration};

use rand::Rng;
use skep_wire::PeerId;

use super::{
    Action, Swarm,
    bits::Bits,
    board::{Flight, HolderNo, State},
    holder::Holder,
};

/// What a holder may give in a second, at least, as long as nothing is known of it.
const GUESSED_RATE: f64 = (16 << 20) as f64;

/// So many random places are compared to find a good one.
const PROBES: usize = 64;
/// Rivals divide the chunks in about so many runs.
const RUNS: u64 = 1_024;
/// Runs are no longer than this many chunks.
const LONGEST_RUN: u64 = 16;

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
        holder.cursor = Some(chunk + 1);
        self.out.push(Action::Request {
            peer: holder.peer,
            chunk,
        });
    }

    fn next_request(&mut self, now: Duration) -> Option<(HolderNo, u64)> {
        self.board.wanted().next()?;
        let guess = self.guess();
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

    /// What a holder of whom nothing is known may give: much, and as much as the best one. So everyone is tried.
    pub(super) fn guess(&self) -> f64 {
        let measured = self.holders.iter().filter_map(Holder::measured_rate);
        measured.fold(GUESSED_RATE, f64::max)
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
            .or_else(|| self.choose_hurried(now, no))
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

    fn choose_hurried(&self, now: Duration, no: HolderNo) -> Option<u64> {
        let can_be_asked =
            |chunk: &u64| self.board.state(*chunk) == State::Wanted && self.holders[no].offers(*chunk, now);
        self.soon.iter().copied().find(can_be_asked)
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
        let rivals = self.rivals();
        let probes: [u64; PROBES] = std::array::from_fn(|_| self.rng.random_range(0..self.board.len()));
        let holder = &self.holders[no];
        self.board.wanted().find_map(|bits| {
            let from = match holder.cursor {
                _ if rivals.is_empty() => self.origin,
                Some(at) if at % self.run() != 0 && bits.contains(at) => at,
                _ => self.least_contested(bits, &probes, &rivals),
            };
            holder.next(bits, from, now).or_else(|| holder.next(bits, 0, now))
        })
    }

    /// Others who download the same, and will want the same chunks.
    fn rivals(&self) -> Vec<PeerId> {
        let partial = self
            .holders
            .iter()
            .filter(|holder| holder.out.is_none() && !holder.is_complete());
        partial.map(|holder| holder.peer).collect()
    }

    /// Chunks that are fetched by one and the same rival, in order. It depends on nothing that rivals see differently.
    fn run(&self) -> u64 {
        (self.board.len() / RUNS).clamp(1, LONGEST_RUN)
    }

    /// Where in `wanted` it is least likely that somebody else is at work. For each run of chunks everybody computes
    /// the same order of all rivals; as each begins where it comes first itself, they seldom meet.
    fn least_contested(&self, wanted: &Bits, probes: &[u64], rivals: &[PeerId]) -> u64 {
        let few: Vec<u64> = match wanted.count() <= probes.len() as u64 {
            true => wanted.iter().collect(),
            false => probes.iter().copied().filter(|&at| wanted.contains(at)).collect(),
        };
        let before_me = |chunk: &u64| {
            let mine = claim(self.me, *chunk);
            rivals
                .iter()
                .filter(|&&rival| claim(rival, *chunk) > mine)
                .count()
        };
        few.into_iter().min_by_key(before_me).unwrap_or(probes[0])
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
        let rate: f64 = usable.map(|holder| holder.rate(now, guess)).sum();
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
    pub(super) fn make_way(&mut self, now: Duration) {
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
            self.cancel(now, no, chunk);
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

/// How strong the claim of a peer on a run is; the same for everybody who computes it.
fn claim(peer: PeerId, run: u64) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = peer.0;
    let mixed = u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ run.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The finish of SplitMix64 (Steele, Lea, Flood 2014).
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
