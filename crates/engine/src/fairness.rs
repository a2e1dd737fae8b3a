//! Who is served next when more is asked for than can be sent: weighted fair queueing of upload slots.
//!
//! Under contention a part of the uplink ([`Config::floor`]) is shared equally by all who wait, so that nobody starves
//! and newcomers get a first chunk; the rest goes by what this uploader received from each, so that giving pays.
//! What others report about a peer is a hint and counts little. Without contention everybody gets all there is.
//!
//! A chunk that has just gone to one goes to another after everything else: those who want the same feed each other.
//!
//! Pure: start-time fair queueing (Goyal, Vin, Cheng 1996) over jobs of some bytes each. It sends nothing, limits no
//! rate (that is [`crate::bucket`]) and knows nothing of contents.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use skep_wire::{BlobId, PeerId};

mod recent;

use recent::Recent;

/// The knobs. The defaults are meant for use.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Jobs that are served at a time.
    pub slots: usize,
    /// A job counts against the slots for so long at most: who takes its bytes slowly must not hold up the others.
    pub hold: Duration,
    /// The part of the uplink that is shared equally, 0 to 1.
    pub floor: f64,
    /// In this time what was received from a peer comes to count half.
    pub half_life: Duration,
    /// Bytes that one peer's report about another may count for, at most.
    pub hint_cap_bytes: u64,
    /// The part of a reported byte that counts.
    pub hint_value: f64,
    /// Accounts of peers that are kept.
    pub max_accounts: usize,
    /// Jobs of one peer that wait at a time; more are turned away.
    pub max_waiting: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slots: 16,
            hold: Duration::from_secs(2),
            floor: 0.2,
            half_life: Duration::from_secs(1_800),
            hint_cap_bytes: 64 << 20,
            hint_value: 0.25,
            max_accounts: 10_000,
            max_waiting: 64,
        }
    }
}

/// A chunk of a content.
pub type Chunk = (BlobId, u64);

/// One thing to send, numbered by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job {
    /// For whom.
    pub peer: PeerId,
    /// The caller's number, unique among the jobs of this peer.
    pub id: u64,
}

/// Whether a job was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Admission {
    /// It waits until it is granted.
    Waits,
    /// This peer has too many waiting jobs already; tell it so.
    TooMany,
}

/// The upload slots of one peer.
#[derive(Debug)]
pub struct Slots {
    config: Config,
    accounts: BTreeMap<PeerId, Account>,
    /// Jobs that are being served, with the time of their grant.
    served: BTreeMap<Job, Duration>,
    recent: Recent,
    /// The virtual time: where the last job that was granted began.
    clock: f64,
}

/// What is known of one peer.
#[derive(Debug, Default)]
struct Account {
    /// Bytes received from it, faded until `as_of`.
    received: f64,
    as_of: Duration,
    /// Bytes that others say they received from it.
    hints: BTreeMap<PeerId, u64>,
    waiting: VecDeque<Waiting>,
    /// Virtual time at which all that it was granted is paid for.
    paid_until: f64,
}

/// A job that waits.
#[derive(Debug)]
struct Waiting {
    id: u64,
    bytes: u64,
    chunk: Option<Chunk>,
}

impl Slots {
    /// No peers yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            config,
            accounts: BTreeMap::new(),
            served: BTreeMap::new(),
            recent: Recent::default(),
            clock: 0.0,
        }
    }

    /// How many jobs may be served at a time from now on.
    pub fn set_slots(&mut self, slots: usize) {
        self.config.slots = slots;
    }

    /// Somebody asks for `bytes`, of this chunk if it is one that others may give on.
    pub fn handle_ask(&mut self, now: Duration, job: Job, bytes: u64, chunk: Option<Chunk>) -> Admission {
        self.make_room(now);
        let account = self.accounts.entry(job.peer).or_default();
        if account.waiting.len() >= self.config.max_waiting {
            return Admission::TooMany;
        }
        let id = job.id;
        account.waiting.push_back(Waiting { id, bytes, chunk });
        Admission::Waits
    }

    /// A job is over, served or not wanted any more.
    pub fn handle_done(&mut self, job: Job) {
        self.served.remove(&job);
        if let Some(account) = self.accounts.get_mut(&job.peer) {
            account.waiting.retain(|waiting| waiting.id != job.id);
        }
    }

    /// A peer is gone with all that it asked for. What it gave is remembered.
    pub fn handle_gone(&mut self, peer: PeerId) {
        self.served.retain(|job, _| job.peer != peer);
        if let Some(account) = self.accounts.get_mut(&peer) {
            account.waiting.clear();
        }
    }

    /// `bytes` came from `peer` and were what they should be.
    pub fn handle_received(&mut self, now: Duration, peer: PeerId, bytes: u64) {
        self.make_room(now);
        let half_life = self.config.half_life;
        let account = self.accounts.entry(peer).or_default();
        account.received = account.received(now, half_life) + bytes as f64;
        account.as_of = now;
    }

    /// `reporter` says that it received so many bytes from `about`, in all.
    /// Only reports about peers that are known here are kept.
    pub fn handle_report(&mut self, reporter: PeerId, about: PeerId, bytes: u64) {
        if reporter == about {
            return;
        }
        if let Some(account) = self.accounts.get_mut(&about)
            && (account.hints.contains_key(&reporter) || account.hints.len() < MAX_REPORTERS)
        {
            account
                .hints
                .insert(reporter, bytes.min(self.config.hint_cap_bytes));
        }
    }

    /// Appends the jobs that are to be served now.
    pub fn poll(&mut self, now: Duration, granted: &mut Vec<Job>) {
        let mut free = self.config.slots.saturating_sub(self.occupied(now));
        while free > 0
            && let Some(job) = self.grant(now)
        {
            granted.push(job);
            free -= 1;
        }
    }

    /// When a slot becomes free without any job being over; none if nobody waits or that is now.
    pub fn next_wakeup(&self, now: Duration) -> Option<Duration> {
        self.accounts
            .values()
            .find(|account| !account.waiting.is_empty())?;
        self.served
            .values()
            .map(|&since| since + self.config.hold)
            .filter(|&at| at > now)
            .min()
    }

    /// Jobs that wait.
    pub fn waiting(&self) -> usize {
        self.accounts.values().map(|account| account.waiting.len()).sum()
    }

    /// The part of the uplink that `peer` gets while everybody who waits now goes on waiting; 0 if it does not wait.
    pub fn share(&self, now: Duration, peer: PeerId) -> f64 {
        let Some(account) = self
            .accounts
            .get(&peer)
            .filter(|account| !account.waiting.is_empty())
        else {
            return 0.0;
        };
        let (count, credit) = self.competition(now);
        self.weight(account.credit(now, &self.config), count, credit) / count as f64
    }

    fn occupied(&self, now: Duration) -> usize {
        self.served
            .values()
            .filter(|&&since| now < since + self.config.hold)
            .count()
    }

    /// Serves a job of whoever is next: the one whose turn begins first in virtual time.
    fn grant(&mut self, now: Duration) -> Option<Job> {
        let is_rare = |peer, job: &Waiting| {
            job.chunk
                .is_none_or(|chunk| !self.recent.has_another(now, chunk, peer))
        };
        let (peer, at) = self.next(is_rare).or_else(|| self.next(|_, _| true))?;
        let begin = self.accounts.get(&peer)?.paid_until.max(self.clock);
        let (count, credit) = self.competition(now);
        let given = self.accounts.get(&peer)?.credit(now, &self.config);
        let weight = self.weight(given, count, credit);
        let account = self.accounts.get_mut(&peer)?;
        let Waiting { id, bytes, chunk } = account.waiting.remove(at)?;
        account.paid_until = begin + bytes.max(1) as f64 / weight;
        self.clock = begin;
        if let Some(chunk) = chunk {
            self.recent.note(now, chunk, peer);
        }
        let job = Job { peer, id };
        self.served.insert(job, now);
        Some(job)
    }

    /// Whose turn it is among those with a job that is `good`, and which of its jobs that is.
    fn next(&self, good: impl Fn(PeerId, &Waiting) -> bool) -> Option<(PeerId, usize)> {
        let first_good = |(&peer, account): (&PeerId, &Account)| {
            let at = account.waiting.iter().position(|job| good(peer, job))?;
            Some((account.paid_until.max(self.clock), peer, at))
        };
        let turns = self.accounts.iter().filter_map(first_good);
        let (_, peer, at) = turns.min_by(|a, b| a.0.total_cmp(&b.0))?;
        Some((peer, at))
    }

    /// How many peers wait, and what all of them have given.
    fn competition(&self, now: Duration) -> (usize, f64) {
        let waiting = self
            .accounts
            .values()
            .filter(|account| !account.waiting.is_empty());
        let count =
            |(count, credit), account: &Account| (count + 1, credit + account.credit(now, &self.config));
        waiting.fold((0, 0.0), count)
    }

    /// The weight among `count` who wait and have given `all` together: 1 on average, never less than the floor.
    fn weight(&self, given: f64, count: usize, all: f64) -> f64 {
        let earned = if all > 0.0 {
            given / all * count as f64
        } else {
            1.0
        };
        self.config.floor + (1.0 - self.config.floor) * earned
    }

    /// Keeps the number of accounts bounded: when there are too many, those of peers that ask for nothing and have
    /// given least are forgotten.
    fn make_room(&mut self, now: Duration) {
        if self.accounts.len() < self.config.max_accounts {
            return;
        }
        let idle = self
            .accounts
            .iter()
            .filter(|(_, account)| account.waiting.is_empty());
        let mut idle: Vec<(f64, PeerId)> = idle
            .map(|(&peer, account)| (account.credit(now, &self.config), peer))
            .collect();
        idle.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        for (_, peer) in idle.into_iter().take(self.config.max_accounts / 4 + 1) {
            self.accounts.remove(&peer);
        }
    }
}

/// Reports about one peer that are kept.
const MAX_REPORTERS: usize = 64;

impl Account {
    /// Bytes that were received from it, the older ones faded.
    fn received(&self, now: Duration, half_life: Duration) -> f64 {
        let age = now.saturating_sub(self.as_of).as_secs_f64() / half_life.as_secs_f64();
        self.received * 0.5_f64.powf(age)
    }

    /// What it has given, here and by hearsay.
    fn credit(&self, now: Duration, config: &Config) -> f64 {
        let hints: u64 = self.hints.values().sum();
        self.received(now, config.half_life) + hints as f64 * config.hint_value
    }
}

#[cfg(test)]
mod tests;
