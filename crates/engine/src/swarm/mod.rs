//! The scheduler of one download: decides which chunk is asked of which holder, and when.
//!
//! Pure: it sees chunk numbers and peers, never bytes, sockets or clocks. `now` is monotonic and comes in as
//! an argument, randomness as a seed. The driver reports what happens with `handle_*`, then drains
//! [`Swarm::poll`] and sleeps until [`Swarm::next_wakeup`].
//!
//! It does not verify, store or count on anybody's word: what a holder says it has is only where to ask.
//!
//! Each chunk is not needed, wanted, in flight at one holder, received, or here (`board`). Holders are filled from
//! the one that would answer first (`ask`); who has nothing left to do takes over from slower ones (`steal`); who is
//! silent for too long fails (`watch`); when nobody can go on, more are looked for (`search`).

use std::{collections::BTreeMap, ops::Range, time::Duration};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use roaring::RoaringTreemap;
use skep_wire::PeerId;

mod ask;
mod bits;
mod board;
mod holder;
mod rate;
mod report;
mod search;
mod steal;
mod terms;
#[cfg(test)]
mod tests;
mod watch;

pub use terms::{Action, Config, Failure, Have, HolderStats, Outcome, Progress, Reason, Received, Sizes};

use bits::Bits;
use board::{Board, HolderNo, State};
use holder::{Has, Holder};
use search::Search;

/// While something is in flight, estimates are looked at again this often.
const TICK: Duration = Duration::from_millis(100);

/// One download.
#[derive(Debug)]
pub struct Swarm {
    config: Config,
    board: Board,
    holders: Vec<Holder>,
    numbers: BTreeMap<PeerId, HolderNo>,
    rng: SmallRng,
    /// Where downloads from complete holders begin, so that several downloads of one content differ.
    origin: u64,
    /// What would be good to have soon, though nobody waits for it, in order.
    soon: Vec<u64>,
    /// What somebody waits for, in order.
    urgent: Vec<Range<u64>>,
    /// Requests made so far.
    requests: u64,
    /// Under which name rivals know this peer.
    me: PeerId,
    tally: Tally,
    search: Search,
    paused: bool,
    wakeup: Option<Duration>,
    out: Vec<Action>,
}

/// Bytes that came over the network, and what became of them.
#[derive(Debug, Default)]
struct Tally {
    received: u64,
    duplicate: u64,
    lost: u64,
    /// What moving requests may have cost, as far as it can be known: counts against the duplicates allowed.
    risked: f64,
}

impl Swarm {
    /// A download of the chunks `wanted`, of which those in `have` are here already.
    /// Downloads of the same content by different peers need different seeds.
    #[must_use]
    pub fn new(config: Config, sizes: Sizes, wanted: Range<u64>, have: &RoaringTreemap, seed: u64) -> Self {
        let mut board = Board::new(sizes, have);
        let mut rng = SmallRng::seed_from_u64(seed);
        let origin = rng.random_range(0..board.len().max(1));
        board.want(wanted);
        let me = PeerId(rng.random());
        Self {
            config,
            board,
            holders: Vec::new(),
            numbers: BTreeMap::new(),
            rng,
            origin,
            soon: Vec::new(),
            urgent: Vec::new(),
            requests: 0,
            me,
            tally: Tally::default(),
            search: Search::default(),
            paused: false,
            wakeup: None,
            out: Vec::new(),
        }
    }

    /// Tells who is downloading, so that several who download the same divide the work between them.
    #[must_use]
    pub fn known_as(mut self, me: PeerId) -> Self {
        self.me = me;
        self
    }

    /// These chunks are wanted, too.
    pub fn want(&mut self, chunks: Range<u64>) {
        self.board.want(chunks);
        self.search.news();
    }

    /// `peer` is connected and says what it has; also when it is back, or announces itself again.
    pub fn handle_holder(&mut self, now: Duration, peer: PeerId, have: Have) {
        let has = match have {
            Have::Complete => Has::All,
            Have::Some(chunks) => Has::Some(Bits::from_treemap(self.board.len(), &chunks)),
        };
        let no = match self.numbers.get(&peer) {
            Some(&no) => {
                self.forget_copies(no);
                self.holders[no].has = has;
                self.holders[no].come_back(now);
                no
            }
            None => {
                self.numbers.insert(peer, self.holders.len());
                self.holders.push(Holder::new(now, peer, has));
                self.holders.len() - 1
            }
        };
        self.count_copies(no);
        self.search.news();
    }

    /// `peer` has these, too.
    pub fn handle_have_more(&mut self, now: Duration, peer: PeerId, chunks: &[u64]) {
        let Some(no) = self.number(peer) else { return };
        let holder = &mut self.holders[no];
        let Has::Some(bits) = &mut holder.has else { return };
        let new: Vec<u64> = chunks
            .iter()
            .copied()
            .filter(|&chunk| bits.insert(chunk))
            .collect();
        if new.is_empty() || holder.out.is_some() {
            return;
        }
        holder.changed = now;
        holder.barren_at = None;
        self.search.news();
        for chunk in new {
            self.board.add_copy(chunk);
            self.prefer_rarer(now, chunk);
        }
    }

    /// A search that [`Action::FindHolders`] asked for is over. Whoever was found and could be reached has been
    /// told with [`Swarm::handle_holder`] before.
    pub fn handle_no_more_holders(&mut self, now: Duration) {
        self.search.ended(now);
    }

    /// A round trip to `peer` took so long.
    pub fn handle_latency(&mut self, _now: Duration, peer: PeerId, round_trip: Duration) {
        if let Some(no) = self.number(peer) {
            self.holders[no].set_latency(round_trip);
        }
    }

    /// Whether `peer` is reached over several connections from now on, until it is gone.
    pub fn handle_wide(&mut self, peer: PeerId, several: bool) {
        if let Some(no) = self.number(peer) {
            self.holders[no].wide = several;
        }
    }

    /// Of `chunk`, asked of `peer`, `bytes` have come by now, in all. Call it some times a second while bytes come.
    pub fn handle_progress(&mut self, now: Duration, peer: PeerId, chunk: u64, bytes: u64) {
        let Some(no) = self.number(peer) else { return };
        let size = self.board.bytes(chunk);
        let Some(flight) = self.board.flight_mut(chunk).filter(|flight| flight.holder == no) else {
            return;
        };
        let more = bytes.min(size).saturating_sub(flight.bytes);
        if more == 0 {
            return;
        }
        flight.bytes += more;
        flight.heard = now;
        self.holders[no].progressed(now, more);
        self.tally.received += more;
    }

    /// The request for `chunk` has not gone to `peer` yet: it waits here for the download rate, and that is not the
    /// holder's fault. Call it some times a second while it does.
    pub fn handle_held(&mut self, now: Duration, peer: PeerId, chunk: u64) {
        let Some(no) = self.number(peer) else { return };
        if let Some(flight) = self.board.flight_mut(chunk).filter(|flight| flight.holder == no) {
            flight.heard = now;
            self.holders[no].heard = now;
        }
    }

    /// All of `chunk` has come from `peer`: `bytes` bytes, not verified yet.
    pub fn handle_received(&mut self, now: Duration, peer: PeerId, chunk: u64, bytes: u64) -> Received {
        let Some(no) = self.number(peer) else {
            return Received::Drop;
        };
        let state = self.board.state(chunk);
        if state == State::InFlight(no) {
            self.handle_progress(now, peer, chunk, bytes);
        } else {
            self.tally.received += bytes;
            self.holders[no].bytes += bytes;
        }
        if self.holders[no].out == Some(Reason::Lied) {
            self.tally.lost += bytes;
            return Received::Drop;
        }
        if !matches!(state, State::Wanted | State::InFlight(_)) {
            self.tally.duplicate += bytes;
            return Received::Drop;
        }
        self.end_elsewhere(now, no, chunk, state);
        if let Some(flight) = self.board.arrive(chunk) {
            let unsent = self.board.bytes(chunk) - flight.bytes;
            self.holders[flight.holder].ended(now, unsent);
        }
        self.holders[no].delivered(chunk);
        Received::Store
    }

    /// `chunk` is verified and kept. Also for chunks found by other means.
    pub fn handle_stored(&mut self, now: Duration, chunk: u64) {
        if let State::InFlight(no) = self.board.state(chunk) {
            self.cancel(now, no, chunk);
        }
        self.board.keep(chunk);
        self.holders.iter_mut().for_each(|holder| holder.forget(chunk));
    }

    /// A received `chunk` could not be stored (the disk is full), or a stored one is lost: it is wanted again.
    pub fn handle_not_stored(&mut self, _now: Duration, chunk: u64) {
        self.board.lose(chunk);
        self.search.news();
    }

    /// What `peer` sent as `chunk` is not it. The holder is asked for nothing more.
    pub fn handle_bad(&mut self, now: Duration, peer: PeerId, chunk: u64) {
        let Some(no) = self.number(peer) else { return };
        self.tally.lost += self.board.bytes(chunk);
        if self.board.state(chunk) == State::Received {
            self.board.lose(chunk);
        }
        self.retire(now, no, Reason::Lied);
        self.holders[no].bad += 1;
        if self.holders[no].bad > 1 {
            self.out.push(Action::Avoid {
                peer,
                until: now + self.config.avoid_for,
            });
        }
    }

    /// `chunk` will not come from `peer` this time.
    pub fn handle_failed(&mut self, now: Duration, peer: PeerId, chunk: u64, failure: Failure) {
        let Some(no) = self.number(peer) else { return };
        if failure == Failure::Withdrawn {
            self.retire(now, no, Reason::Withdrawn);
        } else if self.board.state(chunk) == State::InFlight(no) {
            self.fail(now, no, chunk, failure);
        }
    }

    /// The connection to `peer` is gone, with all that was asked of it.
    pub fn handle_gone(&mut self, now: Duration, peer: PeerId) {
        let Some(no) = self.number(peer) else { return };
        if self.holders[no].in_flight > 0 {
            let jitter = self.jitter();
            self.holders[no].troubled(now, Failure::Disconnected, &self.config, jitter);
        }
        for chunk in self.flights_at(no) {
            let came = self.end_flight(now, no, chunk);
            self.tally.lost += came;
        }
        self.retire(now, no, Reason::Gone);
        self.holders[no].changed = now;
    }

    /// Somebody reads: these chunks first, range by range and in order (each from where a reader is to the end of
    /// its read-ahead). Replaces the ranges told before. They are made wanted if they are not.
    pub fn handle_priority(&mut self, ranges: &[Range<u64>]) {
        self.urgent = ranges.to_vec();
        for range in ranges {
            self.board.want(range.clone());
        }
    }

    /// `chunk` is asked for next, after others that are hurried, of whoever has room. Nothing that is under way
    /// makes way for it.
    pub fn hurry(&mut self, chunk: u64) {
        self.soon.retain(|&chunk| self.board.state(chunk) != State::Have);
        self.soon.push(chunk);
    }

    /// Ask for nothing more until [`Swarm::resume`]; what is under way is let in.
    pub fn pause(&mut self) {
        self.paused = true;
    }

    /// Go on.
    pub fn resume(&mut self) {
        self.paused = false;
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Appends what is to be done now. Call it after every batch of `handle_*` and at [`Swarm::next_wakeup`].
    pub fn poll(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.watch(now);
        if !self.paused {
            self.make_way(now);
            self.assign(now);
            self.steal(now);
            self.look_for_holders(now);
        }
        self.wakeup = self.plan_wakeup(now);
        actions.append(&mut self.out);
    }

    /// When to call [`Swarm::poll`] again if nothing happens before; none if nothing can change by itself.
    /// Valid right after a poll.
    pub fn next_wakeup(&self) -> Option<Duration> {
        self.wakeup
    }

    fn plan_wakeup(&self, now: Duration) -> Option<Duration> {
        let tick = self.board.is_busy().then_some(now + TICK);
        if self.paused || self.board.is_complete() {
            return tick;
        }
        let chances = self.holders.iter().filter_map(|holder| holder.next_chance(now));
        chances.chain(tick).chain(self.search.next_at(now)).min()
    }

    fn number(&self, peer: PeerId) -> Option<HolderNo> {
        self.numbers.get(&peer).copied()
    }

    fn flights_at(&self, no: HolderNo) -> Vec<u64> {
        if self.holders[no].in_flight == 0 {
            return Vec::new();
        }
        self.board
            .flights()
            .filter(|(_, flight)| flight.holder == no)
            .map(|(chunk, _)| chunk)
            .collect()
    }

    /// The chunk came from `no` although somebody else was asked for it.
    fn end_elsewhere(&mut self, now: Duration, no: HolderNo, chunk: u64, state: State) {
        if let State::InFlight(other) = state
            && other != no
        {
            self.cancel(now, other, chunk);
        }
    }

    /// Takes back a request. What has come of it has come in vain.
    fn cancel(&mut self, now: Duration, no: HolderNo, chunk: u64) {
        let came = self.end_flight(now, no, chunk);
        self.tally.duplicate += came;
        self.out.push(Action::Cancel {
            peer: self.holders[no].peer,
            chunk,
        });
    }

    /// A request is over and brought nothing. Returns the bytes that had come.
    fn end_flight(&mut self, now: Duration, no: HolderNo, chunk: u64) -> u64 {
        let Some(flight) = self.board.release(chunk) else {
            return 0;
        };
        debug_assert_eq!(flight.holder, no);
        self.holders[no].ended(now, self.board.bytes(chunk) - flight.bytes);
        flight.bytes
    }

    fn fail(&mut self, now: Duration, no: HolderNo, chunk: u64, failure: Failure) {
        let came = self.end_flight(now, no, chunk);
        self.tally.lost += came;
        let jitter = self.jitter();
        self.holders[no].failed(now, chunk, failure, &self.config, jitter);
        if let Some(reason) = self.holders[no].hopeless(&self.config) {
            self.retire(now, no, reason);
        }
    }

    /// Nothing more is asked of this holder, and what was asked is taken back.
    fn retire(&mut self, now: Duration, no: HolderNo, reason: Reason) {
        for chunk in self.flights_at(no) {
            let came = self.end_flight(now, no, chunk);
            self.tally.lost += came;
            self.out.push(Action::Cancel {
                peer: self.holders[no].peer,
                chunk,
            });
        }
        self.forget_copies(no);
        let holder = &mut self.holders[no];
        if holder.out != Some(Reason::Lied) {
            holder.out = Some(reason);
        }
    }

    /// What a partial holder has that may be used is no longer so rare.
    fn count_copies(&mut self, no: HolderNo) {
        self.each_copy(no, Board::add_copy);
    }

    fn forget_copies(&mut self, no: HolderNo) {
        self.each_copy(no, Board::drop_copy);
    }

    fn each_copy(&mut self, no: HolderNo, count: fn(&mut Board, u64)) {
        let holder = &self.holders[no];
        if let (Has::Some(bits), None) = (&holder.has, holder.out) {
            bits.iter().for_each(|chunk| count(&mut self.board, chunk));
        }
    }

    /// About 1, so that pauses that began together do not end together.
    fn jitter(&mut self) -> f64 {
        self.rng.random_range(0.75..1.0)
    }
}
