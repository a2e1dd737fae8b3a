//! What one download knows of one holder: what it has, how fast it is, and how far it can be relied on.

use std::{collections::BTreeMap, time::Duration};

use skep_wire::{CHUNK_BYTES, PeerId};

use super::{
    bits::Bits,
    rate::Rate,
    terms::{Config, Failure, Reason},
};

/// Round trip of a holder that was never measured.
const UNKNOWN_LATENCY: Duration = Duration::from_millis(20);
/// Waiting is a stall when it takes this many times as long as expected.
const STALL_FACTOR: f64 = 4.0;
/// After this silence it is worth a try to ask somebody else.
const SILENCE_S: f64 = 0.25;
/// More is asked for than what the measured rate would fill, so that a holder that can give more is found out.
const GROWTH: f64 = 1.25;
/// Being busy is no failure: a holder may say so this many times as often.
const BUSY_PATIENCE: u32 = 4;

/// Which chunks a holder has.
#[derive(Debug)]
pub(super) enum Has {
    All,
    Some(Bits),
}

/// A chunk that did not come from this holder.
#[derive(Debug, Clone, Copy)]
struct Block {
    tries: u32,
    until: Duration,
}

/// One holder of the content of one download.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) peer: PeerId,
    pub(super) has: Has,
    /// Why nothing is asked of it; none while it may be.
    pub(super) out: Option<Reason>,
    /// Chunks asked of it now, and what is still to come of them.
    pub(super) in_flight: usize,
    pub(super) awaited_bytes: u64,
    /// Where a run of chunks asked of it would go on.
    pub(super) cursor: Option<u64>,
    /// Everything that came from it.
    pub(super) bytes: u64,
    /// Chunks that were not what they should be.
    pub(super) bad: u32,
    /// When it last had something new, or was lost.
    pub(super) changed: Duration,
    /// At this version of the board it had nothing that is wanted.
    pub(super) barren_at: Option<u64>,
    rate: Rate,
    latency: Option<Duration>,
    /// Whether it is reached over several connections.
    pub(super) wide: bool,
    pub(super) heard: Duration,
    blocked: BTreeMap<u64, Block>,
    resume_at: Duration,
    /// Troubles since it last delivered a chunk.
    streak: u32,
    stalls: u32,
    last_failure: Option<Failure>,
}

impl Holder {
    pub(super) fn new(now: Duration, peer: PeerId, has: Has) -> Self {
        Self {
            peer,
            has,
            out: None,
            in_flight: 0,
            awaited_bytes: 0,
            cursor: None,
            bytes: 0,
            bad: 0,
            changed: now,
            barren_at: None,
            rate: Rate::default(),
            latency: None,
            wide: false,
            heard: now,
            blocked: BTreeMap::new(),
            resume_at: Duration::ZERO,
            streak: 0,
            stalls: 0,
            last_failure: None,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        matches!(self.has, Has::All)
    }

    pub(super) fn has(&self, chunk: u64) -> bool {
        match &self.has {
            Has::All => true,
            Has::Some(bits) => bits.contains(chunk),
        }
    }

    /// Whether it may be asked for anything now.
    pub(super) fn is_ready(&self, now: Duration) -> bool {
        self.out.is_none() && self.resume_at <= now
    }

    /// Whether it may be asked for `chunk` now.
    pub(super) fn offers(&self, chunk: u64, now: Duration) -> bool {
        self.is_ready(now) && self.has(chunk) && !self.is_blocked(chunk, now)
    }

    /// The first of `wanted` from `from` on that it has and may be asked for at `at`.
    pub(super) fn next(&self, wanted: &Bits, from: u64, at: Duration) -> Option<u64> {
        let mut from = from;
        loop {
            let chunk = match &self.has {
                Has::All => wanted.next(from),
                Has::Some(bits) => bits.next_in_both(wanted, from),
            }?;
            if !self.is_blocked(chunk, at) {
                return Some(chunk);
            }
            from = chunk + 1;
        }
    }

    /// Whether some of its chunks are not to be asked for, now or ever.
    pub(super) fn has_blocks(&self) -> bool {
        !self.blocked.is_empty()
    }

    fn is_blocked(&self, chunk: u64, at: Duration) -> bool {
        self.blocked.get(&chunk).is_some_and(|block| block.until > at)
    }

    /// It is connected (again). Old troubles still slow it down unless they had put it out.
    pub(super) fn come_back(&mut self, now: Duration) {
        match self.out {
            Some(Reason::Lied) => return,
            Some(Reason::Exhausted(_) | Reason::Withdrawn) => {
                self.streak = 0;
                self.blocked.clear();
            }
            _ => {}
        }
        self.out = None;
        self.wide = false;
        self.changed = now;
        self.barren_at = None;
    }

    pub(super) fn set_latency(&mut self, round_trip: Duration) {
        self.latency = Some(
            self.latency
                .map_or(round_trip, |known| (known * 3 + round_trip) / 4),
        );
    }

    pub(super) fn latency(&self) -> Option<Duration> {
        self.latency
    }

    fn latency_s(&self) -> f64 {
        self.latency.unwrap_or(UNKNOWN_LATENCY).as_secs_f64()
    }

    /// Bytes a second that came when it was last measured; none before anything has come.
    pub(super) fn measured_rate(&self) -> Option<f64> {
        self.rate.measured()
    }

    /// Bytes a second that can be expected of it now; as much as `guess` while nothing is known.
    pub(super) fn rate(&self, now: Duration, guess: f64) -> f64 {
        match self.in_flight {
            0 => self.rate.measured().unwrap_or(guess),
            _ => self.rate.while_busy(now, CHUNK_BYTES, guess),
        }
        .max(1.0)
    }

    /// In how many seconds `more` bytes would be here if they were asked for now, behind all that is asked already.
    pub(super) fn finish_s(&self, now: Duration, more: u64, guess: f64) -> f64 {
        self.latency_s() + (self.awaited_bytes + more) as f64 / self.rate(now, guess)
    }

    /// In how many seconds the answer to a request behind `ahead` bytes begins.
    pub(super) fn begin_s(&self, now: Duration, ahead: u64, guess: f64) -> f64 {
        ahead as f64 / self.rate(now, guess)
    }

    /// Whether requests that go out now are noticed before the answers to older ones begin.
    pub(super) fn notice_s(&self) -> f64 {
        2.0 * self.latency_s() + 0.05
    }

    /// Bytes that still come after a request is cancelled that is answered behind `ahead` bytes.
    pub(super) fn unstoppable(&self, now: Duration, ahead: u64, guess: f64) -> f64 {
        if self.bytes == 0 && self.rate.measured().is_some() {
            return 0.0;
        }
        let unnoticed_s = self.notice_s() - self.begin_s(now, ahead, guess);
        unnoticed_s.max(0.0) * self.rate(now, guess)
    }

    /// Whether it was asked for something, and nothing has come for longer than a good holder needs.
    pub(super) fn is_silent(&self, now: Duration) -> bool {
        let silence_s = now.saturating_sub(self.heard).as_secs_f64();
        self.in_flight > 0 && silence_s > SILENCE_S + 2.0 * self.latency_s()
    }

    /// How many chunks to ask of it at a time: bandwidth x delay, and one in the making at each end.
    pub(super) fn depth(&self, config: &Config) -> usize {
        let least = if self.wide {
            config.wide_depth
        } else {
            config.min_depth
        };
        let Some(rate) = self.rate.measured() else {
            return least;
        };
        let delay_s = self.latency_s() + config.slack.as_secs_f64();
        let chunks = rate * delay_s * GROWTH / CHUNK_BYTES as f64;
        let enough = (0..config.max_depth).take_while(|&depth| (depth as f64) < chunks);
        let wanted = enough.count() + 1;
        wanted.clamp(least, config.max_depth)
    }

    /// A chunk of `bytes` is asked of it.
    pub(super) fn asked(&mut self, now: Duration, bytes: u64) {
        if self.in_flight == 0 {
            // The first bytes cannot be here sooner.
            self.rate.start(now + self.latency.unwrap_or(UNKNOWN_LATENCY));
            self.heard = now;
        }
        self.in_flight += 1;
        self.awaited_bytes += bytes;
    }

    /// Some of what it was asked for has come.
    pub(super) fn progressed(&mut self, now: Duration, bytes: u64) {
        self.awaited_bytes -= bytes;
        self.bytes += bytes;
        self.heard = now;
        self.rate.add(now, bytes);
    }

    /// A request to it is over; `unsent` bytes of it never came.
    pub(super) fn ended(&mut self, now: Duration, unsent: u64) {
        self.in_flight -= 1;
        self.awaited_bytes -= unsent;
        if self.in_flight == 0 {
            self.rate.stop(now, CHUNK_BYTES);
        }
    }

    /// It has given all of `chunk`.
    pub(super) fn delivered(&mut self, chunk: u64) {
        self.blocked.remove(&chunk);
        self.streak = 0;
        self.stalls = 0;
    }

    /// The chunk is here: whatever happened to it before does not matter any more.
    pub(super) fn forget(&mut self, chunk: u64) {
        self.blocked.remove(&chunk);
    }

    /// Whether a request that was last heard of at `heard` has taken too long.
    pub(super) fn is_stalled(&self, now: Duration, heard: Duration, config: &Config) -> bool {
        let patience = 1_u32 << self.stalls.min(6);
        let first = self
            .expected(CHUNK_BYTES)
            .clamp(config.min_stall, config.max_stall);
        let silence = (first * patience).min(config.max_stall * 2);
        let queue = (config.min_stall + self.expected(self.awaited_bytes)) * patience;
        now >= self.heard + silence || now >= heard + queue
    }

    /// How long `bytes` may take, generously.
    fn expected(&self, bytes: u64) -> Duration {
        let rate = self.rate.measured().unwrap_or(CHUNK_BYTES as f64).max(64.0);
        Duration::from_secs_f64(STALL_FACTOR * (self.latency_s() + bytes as f64 / rate))
    }

    /// It did not give `chunk`: that is not asked of it for a while, and nothing else for a while either.
    /// `jitter` spreads the pauses, about 1.
    pub(super) fn failed(
        &mut self,
        now: Duration,
        chunk: u64,
        failure: Failure,
        config: &Config,
        jitter: f64,
    ) {
        self.last_failure = Some(failure);
        if failure == Failure::Missing {
            self.blocked.insert(
                chunk,
                Block {
                    tries: config.max_tries,
                    until: Duration::MAX,
                },
            );
            return;
        }
        if failure != Failure::Busy {
            let tries = self.blocked.get(&chunk).map_or(1, |block| block.tries + 1);
            let pause = backoff(tries, config, jitter);
            let until = if tries < config.max_tries {
                now + pause
            } else {
                Duration::MAX
            };
            self.blocked.insert(chunk, Block { tries, until });
        }
        self.troubled(now, failure, config, jitter);
    }

    /// Something went wrong with it as a whole; several things in one go count once.
    pub(super) fn troubled(&mut self, now: Duration, failure: Failure, config: &Config, jitter: f64) {
        if self.resume_at > now {
            return;
        }
        self.last_failure = Some(failure);
        self.streak += 1;
        self.stalls += u32::from(failure == Failure::Stalled);
        self.resume_at = now + backoff(self.streak, config, jitter);
    }

    /// Why it is to be given up, if so: too many troubles since it last delivered something.
    pub(super) fn hopeless(&self, config: &Config) -> Option<Reason> {
        let failure = self.last_failure?;
        let patience = if failure == Failure::Busy {
            BUSY_PATIENCE
        } else {
            1
        };
        (self.streak >= config.max_tries * patience).then_some(Reason::Exhausted(failure))
    }

    /// What is wrong with it when nothing more comes from it.
    pub(super) fn reason(&self) -> Reason {
        match (self.out, self.last_failure) {
            (Some(reason), _) => reason,
            (None, Some(failure)) if self.has_blocks() => Reason::Exhausted(failure),
            _ => Reason::HasNoneOfIt,
        }
    }

    /// When it may be asked for something that it may not be asked for now.
    pub(super) fn next_chance(&self, now: Duration) -> Option<Duration> {
        if self.out.is_some() {
            return None;
        }
        let blocks = self
            .blocked
            .values()
            .map(|block| block.until)
            .filter(|&until| until < Duration::MAX);
        blocks.chain([self.resume_at]).filter(|&at| at > now).min()
    }
}

/// The pause after so many failures in a row: doubles from the shortest to the longest.
fn backoff(failures: u32, config: &Config, jitter: f64) -> Duration {
    let doubled = config.min_backoff * (1 << failures.saturating_sub(1).min(16));
    doubled.min(config.max_backoff).mul_f64(jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> Holder {
        Holder::new(Duration::ZERO, PeerId([1; 32]), Has::All)
    }

    #[test]
    fn pauses_double_to_the_longest() {
        let config = Config::default();
        let pauses: Vec<_> = (1..=9).map(|n| backoff(n, &config, 1.0).as_millis()).collect();
        assert_eq!(
            pauses,
            [200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000]
        );
    }

    #[test]
    fn a_chunk_is_tried_eight_times_and_others_go_on() {
        let (config, mut holder, mut now) = (Config::default(), holder(), Duration::ZERO);
        for _ in 0..8 {
            assert!(holder.offers(3, now));
            holder.failed(now, 3, Failure::Refused, &config, 1.0);
            assert!(!holder.offers(4, now), "the holder pauses, too");
            now += Duration::from_secs(40);
            assert!(holder.offers(4, now));
            holder.delivered(4);
        }
        assert!(!holder.offers(3, now + Duration::from_secs(1_000_000)));
        assert_eq!(holder.reason(), Reason::Exhausted(Failure::Refused));
    }

    #[test]
    fn failures_of_one_batch_count_once() {
        let (config, mut holder) = (Config::default(), holder());
        (0..16).for_each(|chunk| holder.failed(Duration::ZERO, chunk, Failure::Refused, &config, 1.0));
        assert_eq!(holder.next_chance(Duration::ZERO), Some(config.min_backoff));
        assert_eq!(holder.hopeless(&config), None);
    }

    #[test]
    fn depth_follows_bandwidth_times_delay() {
        let config = Config::default();
        let depth = |latency_ms: u64, bytes_per_ms: u64, wide: bool| {
            let mut holder = holder();
            holder.wide = wide;
            holder.set_latency(Duration::from_millis(latency_ms));
            holder.asked(Duration::ZERO, 100 * bytes_per_ms);
            holder.progressed(Duration::from_millis(latency_ms + 100), 100 * bytes_per_ms);
            holder.depth(&config)
        };
        assert_eq!(depth(1, 1, false), 2);
        assert_eq!(depth(90, 1, false), 2, "more would queue behind each other");
        assert_eq!(
            depth(90, 1, true),
            config.wide_depth,
            "several connections have to be kept busy"
        );
        assert_eq!(depth(250, 40 << 10, false), 14);
        assert_eq!(depth(1_000, 1 << 20, true), 16);
    }

    #[test]
    fn silence_is_a_stall_sooner_at_a_fast_holder() {
        let (config, mut fast) = (Config::default(), holder());
        fast.asked(Duration::ZERO, 2 << 20);
        fast.progressed(Duration::from_millis(50), 1 << 20);
        let heard = Duration::from_millis(50);
        assert!(!fast.is_stalled(Duration::from_secs(2), heard, &config));
        assert!(fast.is_stalled(Duration::from_secs(3), heard, &config));
        let mut slow = holder();
        slow.asked(Duration::ZERO, 2 << 20);
        slow.progressed(Duration::from_secs(10), 1 << 10);
        assert!(!slow.is_stalled(Duration::from_secs(35), Duration::from_secs(10), &config));
        assert!(slow.is_stalled(Duration::from_secs(41), Duration::from_secs(10), &config));
    }
}
