//! When to look for more holders, and when to say that nobody can go on.

use std::time::Duration;

use super::{Action, Reason, Swarm, board::HolderNo};

/// The pause after the first searches: those who begin at the same time find each other then.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// After so many in a row the pause doubles.
const IN_A_ROW: u32 = 4;
/// The longest pause between searches.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// With so many usable holders there is no need of more.
const ENOUGH_HOLDERS: usize = 16;
/// A partial holder that had something new within this time may have more soon.
const HOPE: Duration = Duration::from_secs(30);

/// What is known of the search for holders.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// When the next one may begin; none before the first.
    next_at: Option<Duration>,
    running: bool,
    in_a_row: u32,
    /// The last one is over and nothing new was heard since.
    in_vain: bool,
    /// It was brought forward since the last news.
    hurried: bool,
    /// Nobody can go on, and the last search found nobody.
    stuck: bool,
}

impl Search {
    /// A holder or a chunk more to be had.
    pub(super) fn news(&mut self) {
        self.in_vain = false;
        self.stuck = false;
        self.hurried = false;
    }

    /// The search is over.
    pub(super) fn ended(&mut self, now: Duration) {
        self.running = false;
        self.in_vain = true;
        let pause = FIRST_PAUSE * (1 << (self.in_a_row / IN_A_ROW).min(6));
        self.in_a_row += 1;
        self.next_at = Some(now + pause.min(LONGEST_PAUSE));
    }

    /// When the next one may begin.
    pub(super) fn next_at(&self, now: Duration) -> Option<Duration> {
        self.next_at.filter(|&at| !self.running && at > now)
    }

    /// Nobody is left: the next one is not far, and they begin anew.
    fn hurry(&mut self, now: Duration) {
        if !std::mem::replace(&mut self.hurried, true) {
            self.in_a_row = 0;
            self.next_at = self.next_at.map(|at| at.min(now + FIRST_PAUSE));
        }
    }

    fn may_begin(&self, now: Duration) -> bool {
        !self.running && self.next_at.is_none_or(|at| at <= now)
    }
}

impl Swarm {
    /// Whether nobody can go on and nobody new was found.
    pub(super) fn is_stuck(&self) -> bool {
        self.search.stuck
    }

    /// Asks for a search if more holders would help, and finds out whether the download is stuck.
    pub(super) fn look_for_holders(&mut self, now: Duration) {
        if self.board.is_complete() {
            self.search.stuck = false;
            return;
        }
        let hope = self.board.is_busy() || (0..self.holders.len()).any(|no| self.is_hope(now, no));
        self.search.stuck = !hope && self.search.in_vain;
        if !self.board.is_busy() && !self.holders.iter().any(|holder| holder.out.is_none()) {
            self.search.hurry(now);
        }
        let usable = self.holders.iter().filter(|holder| holder.out.is_none()).count();
        if usable < ENOUGH_HOLDERS || !hope {
            self.begin_search(now);
        }
    }

    fn begin_search(&mut self, now: Duration) {
        if self.search.may_begin(now) {
            self.search.running = true;
            self.out.push(Action::FindHolders);
        }
    }

    /// Whether this holder may still give something that is missing.
    fn is_hope(&self, now: Duration, no: HolderNo) -> bool {
        let holder = &self.holders[no];
        if holder.out == Some(Reason::Gone) {
            return holder.bytes > 0 && now < holder.changed + self.config.patience;
        }
        // Blocks that end some time have ended just before the end of time.
        let some_time = Duration::MAX - Duration::from_nanos(1);
        let growing = !holder.is_complete() && now < holder.changed + HOPE;
        let offers = || {
            self.board
                .wanted()
                .any(|bits| holder.next(bits, 0, some_time).is_some())
        };
        holder.out.is_none() && (growing || offers())
    }
}
