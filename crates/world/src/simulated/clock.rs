//! Clocks over tokio's time, which the simulation pauses and advances.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use skep_wire::Moment;
use tokio::time::Instant;

/// A machine's clock. Its date can be set wrong; its `mono` cannot.
#[derive(Debug)]
pub struct Clock {
    started: Instant,
    started_unix: Duration,
    wrong_by_s: AtomicI64,
}

impl Clock {
    /// A clock that shows this date now, and whose `mono` starts now.
    #[must_use]
    pub fn showing(unix_s: u64) -> Self {
        Self {
            started: Instant::now(),
            started_unix: Duration::from_secs(unix_s),
            wrong_by_s: AtomicI64::new(0),
        }
    }

    /// Somebody sets the date `seconds` later, or earlier if negative.
    pub fn jump(&self, seconds: i64) {
        self.wrong_by_s.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl crate::Clock for Clock {
    fn now(&self) -> Moment {
        let mono = self.started.elapsed();
        let right = (self.started_unix + mono).as_secs();
        let unix_s = right.saturating_add_signed(self.wrong_by_s.load(Ordering::Relaxed));
        Moment { mono, unix_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock as _;

    #[tokio::test(start_paused = true)]
    async fn both_clocks_run_and_only_the_date_jumps() {
        let clock = Clock::showing(1_000);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(
            clock.now(),
            Moment {
                mono: Duration::from_secs(5),
                unix_s: 1_005
            }
        );
        clock.jump(-1_000);
        assert_eq!(
            clock.now(),
            Moment {
                mono: Duration::from_secs(5),
                unix_s: 5
            }
        );
        clock.jump(-6_000);
        assert_eq!(clock.now().unix_s, 0);
    }
}
