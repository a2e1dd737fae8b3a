//! A rate that transfers wait for: the token bucket of `skep-engine` with a clock.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use skep_engine::bucket::Bucket;
use skep_world::Clock;

/// Bytes per second, shared by all who wait here.
pub(crate) struct RateLimit {
    clock: Arc<dyn Clock>,
    bucket: Mutex<Option<Bucket>>,
}

impl RateLimit {
    /// `rate` bytes per second; none: no limit.
    pub(crate) fn new(clock: Arc<dyn Clock>, rate: Option<u64>) -> Self {
        let bucket = rate.map(|rate| Bucket::new(clock.now().mono, rate));
        Self {
            clock,
            bucket: Mutex::new(bucket),
        }
    }

    /// Waits until `bytes` may pass.
    pub(crate) async fn pass(&self, bytes: u64) {
        let wait = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket
                .as_mut()
                .map_or(Duration::ZERO, |bucket| bucket.take(self.clock.now().mono, bytes))
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }
}
