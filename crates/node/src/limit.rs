//! A rate that transfers wait for: the token bucket of `skep-engine` with a clock.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_engine::bucket::Bucket;
use skep_world::Clock;
use tokio::{sync::Notify, time};

/// Bytes per second, shared by all who wait here.
pub(crate) struct RateLimit {
    clock: Arc<dyn Clock>,
    bucket: Mutex<Option<Bucket>>,
    /// The rate is another.
    changed: Notify,
}

impl RateLimit {
    /// `rate` bytes per second; none: no limit.
    pub(crate) fn new(clock: Arc<dyn Clock>, rate: Option<u64>) -> Self {
        let bucket = rate.map(|rate| Bucket::new(clock.now().mono, rate));
        Self {
            clock,
            bucket: Mutex::new(bucket),
            changed: Notify::new(),
        }
    }

    /// The rate now.
    pub(crate) fn rate(&self) -> Option<u64> {
        self.bucket().as_ref().map(Bucket::rate)
    }

    /// Changes the rate, also for those who wait already.
    pub(crate) fn set(&self, rate: Option<u64>) {
        let now = self.clock.now().mono;
        let mut bucket = self.bucket();
        match (&mut *bucket, rate) {
            (Some(bucket), Some(rate)) => bucket.set_rate(now, rate),
            (bucket, rate) => *bucket = rate.map(|rate| Bucket::new(now, rate)),
        }
        drop(bucket);
        self.changed.notify_waiters();
    }

    /// Waits until `bytes` may pass.
    pub(crate) async fn pass(&self, bytes: u64) {
        let Some(place) = self.take(bytes) else { return };
        let mut waiting = Waiting { limit: self, bytes };
        loop {
            let changed = self.changed.notified();
            let wait = self.wait_for(place);
            if wait.is_zero() {
                waiting.bytes = 0;
                return;
            }
            tokio::select! {
                biased;
                () = changed => {}
                () = time::sleep(wait) => {}
            }
        }
    }

    /// A place in the queue; none if there is no limit.
    fn take(&self, bytes: u64) -> Option<u64> {
        let mut bucket = self.bucket();
        let bucket = bucket.as_mut()?;
        bucket.take(self.clock.now().mono, bytes);
        Some(bucket.taken())
    }

    fn wait_for(&self, place: u64) -> Duration {
        let now = self.clock.now().mono;
        self.bucket()
            .as_ref()
            .map_or(Duration::ZERO, |bucket| bucket.wait_for(now, place))
    }

    fn bucket(&self) -> MutexGuard<'_, Option<Bucket>> {
        self.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits, and may give up: then what it took is given back.
struct Waiting<'a> {
    limit: &'a RateLimit,
    bytes: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.bytes > 0
            && let Some(bucket) = &mut *self.limit.bucket()
        {
            bucket.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn limit(rate: Option<u64>) -> RateLimit {
        RateLimit::new(Arc::new(skep_world::simulated::Clock::showing(0)), rate)
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nobody_waits() {
        let (limit, start) = (limit(None), Instant::now());
        limit.pass(1 << 40).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_rate_counts_for_who_waits_already() {
        let (limit, start) = (limit(Some(MIB)), Instant::now());
        let change = async {
            time::sleep(Duration::from_secs(10)).await;
            limit.set(Some(10 * MIB));
        };
        tokio::join!(limit.pass(110 * MIB), change);
        assert_eq!(start.elapsed().as_secs(), 20, "10 s at 1 MiB/s, 10 s at 10 MiB/s");
        let lift = async {
            time::sleep(Duration::from_secs(5)).await;
            limit.set(None);
        };
        tokio::join!(limit.pass(1000 * MIB), lift);
        assert_eq!(start.elapsed().as_secs(), 25);
        assert_eq!(limit.rate(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_takes_nothing() {
        let (limit, start) = (limit(Some(MIB)), Instant::now());
        for _ in 0..100 {
            let given_up = time::timeout(Duration::from_millis(10), limit.pass(10 * MIB)).await;
            assert!(given_up.is_err());
        }
        limit.pass(10 * MIB).await;
        assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    }
}
