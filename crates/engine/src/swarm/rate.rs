//! How fast something comes: bytes a second, smoothed over about half a second of the time it was busy.

use std::time::Duration;

/// Over which time a measurement fades.
const MEMORY_S: f64 = 0.5;
/// Who has sent nothing for so long is not fast.
const UNHEARD_S: f64 = 0.2;
/// Bytes are gathered for at least so long before they count: shorter times say nothing.
const WINDOW_S: f64 = 0.02;

/// A smoothed rate. It knows nothing until the first bytes have come.
#[derive(Debug, Clone, Default)]
pub(super) struct Rate {
    per_second: Option<f64>,
    since: Duration,
    bytes: u64,
}

impl Rate {
    /// What is measured was idle and is busy from now on: the pause before does not count.
    pub(super) fn start(&mut self, now: Duration) {
        self.since = now;
        self.bytes = 0;
    }

    /// It is idle from now on. What its last silence said is kept: a rate, or a bound of it.
    pub(super) fn stop(&mut self, now: Duration, awaited: u64) {
        if self.per_second.is_some() || self.elapsed(now) > UNHEARD_S {
            self.per_second = Some(self.while_busy(now, awaited, f64::INFINITY));
        }
    }

    /// More bytes have come.
    pub(super) fn add(&mut self, now: Duration, bytes: u64) {
        self.bytes += bytes;
        let elapsed = self.elapsed(now);
        if elapsed >= WINDOW_S {
            self.per_second = Some(self.blend(elapsed));
            self.start(now);
        }
    }

    /// The last measurement, whatever happened since.
    pub(super) fn measured(&self) -> Option<f64> {
        self.per_second
    }

    /// The rate now, if it is still busy: silence makes it less. Before anything has come it is `guess`, or less
    /// if that would have brought the `awaited` bytes by now.
    pub(super) fn while_busy(&self, now: Duration, awaited: u64, guess: f64) -> f64 {
        let elapsed = self.elapsed(now);
        match self.per_second {
            None => guess.min(awaited as f64 / elapsed.max(WINDOW_S)),
            Some(known) if elapsed < 2.0 * MEMORY_S => known,
            Some(known) => self.blend(elapsed).min(known),
        }
    }

    fn blend(&self, elapsed: f64) -> f64 {
        let sample = self.bytes as f64 / elapsed;
        let Some(known) = self.per_second else {
            return sample;
        };
        let weight = 1.0 - (-elapsed / MEMORY_S).exp();
        known + (sample - known) * weight
    }

    fn elapsed(&self, now: Duration) -> f64 {
        now.saturating_sub(self.since).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn settles_on_a_steady_rate_and_forgets_an_old_one() {
        let mut rate = Rate::default();
        rate.start(ms(0));
        (1..=20).for_each(|step| rate.add(ms(step * 100), 1_000));
        assert!((rate.measured().unwrap() - 10_000.0).abs() < 1.0);
        (21..=60).for_each(|step| rate.add(ms(step * 100), 100));
        assert!((rate.measured().unwrap() - 1_000.0).abs() < 20.0);
    }

    #[test]
    fn pauses_do_not_count_and_silence_does() {
        let mut rate = Rate::default();
        rate.start(ms(0));
        rate.add(ms(100), 1_000);
        rate.start(ms(60_000));
        assert_eq!(rate.while_busy(ms(60_100), 0, 0.0), 10_000.0);
        assert!(rate.while_busy(ms(65_000), 0, 0.0) < 10.0);
        assert_eq!(rate.measured(), Some(10_000.0));
    }

    #[test]
    fn the_first_silence_says_something_too() {
        let mut rate = Rate::default();
        rate.start(ms(0));
        assert_eq!(rate.while_busy(ms(10), 1_000, 5_000.0), 5_000.0);
        assert_eq!(rate.while_busy(ms(10_000), 1_000, 5_000.0), 100.0);
    }

    #[test]
    fn bytes_at_one_instant_are_not_an_infinite_rate() {
        let mut rate = Rate::default();
        rate.start(ms(5));
        rate.add(ms(5), 1 << 20);
        assert_eq!(rate.measured(), None);
        rate.add(ms(105), 1 << 20);
        assert_eq!(rate.measured().unwrap().round(), 20_971_520.0);
    }
}
