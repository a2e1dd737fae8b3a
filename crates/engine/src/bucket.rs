//! A token bucket: at what time so many bytes may pass, at a rate that can change.
//!
//! Pure; `now` is monotonic and comes in. Who takes more than there is goes into debt and is told
//! how long to wait, so that large and small takers are served in the order they come.

use std::time::Duration;

/// A bucket holds at most what flows in this time: the burst after a pause.
const DEPTH: Duration = Duration::from_millis(100);

/// A rate, and what has passed.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Bytes per second, at least 1.
    rate: u64,
    /// Until when all that was taken has been paid for.
    paid_until: Duration,
    /// Bytes that were ever taken.
    taken: u64,
}

impl Bucket {
    /// `rate` bytes per second (at least 1), empty at `now`.
    #[must_use]
    pub fn new(now: Duration, rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            paid_until: now,
            taken: 0,
        }
    }

    /// Bytes per second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// Changes the rate; what is owed is owed at the new one.
    pub fn set_rate(&mut self, now: Duration, rate: u64) {
        let owed = self.bytes_in(self.paid_until.saturating_sub(now));
        self.rate = rate.max(1);
        self.paid_until = self.paid_until.min(now).saturating_add(self.time_for(owed));
    }

    /// Takes `bytes`, and returns how long to wait before they may pass. The rate may change in the meantime: who
    /// remembers [`Bucket::taken`] now can ask [`Bucket::wait_for`] again then.
    pub fn take(&mut self, now: Duration, bytes: u64) -> Duration {
        let start = self.paid_until.max(now.saturating_sub(DEPTH));
        self.paid_until = start.saturating_add(self.time_for(bytes));
        self.taken += bytes;
        self.paid_until.saturating_sub(now)
    }

    /// `bytes` that were taken will not pass after all: all who wait, wait less.
    pub fn give_back(&mut self, bytes: u64) {
        self.paid_until = self.paid_until.saturating_sub(self.time_for(bytes));
    }

    /// Bytes that were ever taken: the place in the queue of who took last.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// How long to wait until the first `taken` bytes may pass.
    pub fn wait_for(&self, now: Duration, taken: u64) -> Duration {
        let later = self.time_for(self.taken.saturating_sub(taken));
        self.paid_until.saturating_sub(later).saturating_sub(now)
    }

    fn time_for(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn bytes_in(&self, time: Duration) -> u64 {
        let bytes = time.as_nanos() * u128::from(self.rate) / 1_000_000_000;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Takes `bytes` at a time for ten seconds and returns the bytes that passed.
    fn passed(bucket: &mut Bucket, bytes: u64) -> u64 {
        let (mut now, mut passed) = (SECOND, 0);
        while now < 11 * SECOND {
            now += bucket.take(now, bytes);
            passed += bytes;
        }
        passed
    }

    #[test]
    fn the_rate_is_kept_for_large_and_small_takers() {
        for bytes in [1 << 10, 128 << 10, 1 << 20] {
            let rate = 40 << 20;
            let sum = passed(&mut Bucket::new(SECOND, rate), bytes);
            let most = rate * 10 + rate / 10 + bytes;
            assert!((rate * 10..=most).contains(&sum), "{bytes}: {sum}");
        }
    }

    #[test]
    fn a_pause_saves_up_a_tenth_of_a_second_and_no_more() {
        let mut bucket = Bucket::new(Duration::ZERO, 1000);
        assert_eq!(bucket.take(100 * SECOND, 100), Duration::ZERO);
        assert_eq!(bucket.take(100 * SECOND, 500), SECOND / 2);
    }

    #[test]
    fn a_new_rate_counts_at_once_also_for_debts() {
        let mut bucket = Bucket::new(SECOND, 1000);
        assert_eq!(bucket.take(SECOND, 2000), SECOND * 2);
        bucket.set_rate(SECOND, 10_000);
        assert_eq!(bucket.take(SECOND, 0), SECOND / 5);
        bucket.set_rate(SECOND * 11 / 10, 100);
        assert_eq!(bucket.take(SECOND * 11 / 10, 0), SECOND * 10);
    }

    #[test]
    fn who_waits_keeps_its_place_when_the_rate_changes() {
        let mut bucket = Bucket::new(SECOND, 1000);
        bucket.take(SECOND, 1000);
        let first = bucket.taken();
        bucket.take(SECOND, 3000);
        let second = bucket.taken();
        let waits = |bucket: &Bucket, now| (bucket.wait_for(now, first), bucket.wait_for(now, second));
        assert_eq!(waits(&bucket, SECOND), (SECOND, 4 * SECOND));
        bucket.set_rate(SECOND, 10_000);
        assert_eq!(waits(&bucket, SECOND), (SECOND / 10, SECOND * 4 / 10));
        assert_eq!(
            waits(&bucket, SECOND * 12 / 10),
            (Duration::ZERO, SECOND * 2 / 10)
        );
    }

    #[test]
    fn extremes_do_not_overflow() {
        let mut bucket = Bucket::new(SECOND, 0);
        assert!(bucket.take(SECOND, u64::from(u32::MAX)) > SECOND);
        bucket.set_rate(SECOND, u64::MAX);
        bucket.take(2 * SECOND, u64::from(u32::MAX));
    }
}
