//! The world as it is: the system's clock, its randomness, its disk and its threads.
//!
//! No connections: those are `skep-net`'s.

mod beneath;
mod disk;
mod file;
mod raw;
mod work;

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use skep_wire::Moment;

pub use disk::Disk;
pub use work::Work;

use crate::{Network, World};

impl World {
    /// This machine, with these connections. At most `jobs` blocking jobs run at once.
    #[must_use]
    pub fn real(network: Arc<dyn Network>, jobs: usize) -> Self {
        Self {
            clock: Arc::new(Clock::start()),
            entropy: Arc::new(Entropy),
            disk: Arc::new(Disk),
            network,
            work: Arc::new(Work::bounded(jobs)),
        }
    }
}

/// The system's clocks. Two of them differ in where `mono` starts.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock whose `mono` starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl crate::Clock for Clock {
    fn now(&self) -> Moment {
        // A date before 1970 is as wrong as any other wrong date.
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment {
            mono: self.start.elapsed(),
            unix_s: since_1970.as_secs(),
        }
    }
}

/// The generator of aws-lc-rs, which the system's seeds.
#[derive(Debug, Clone, Copy)]
pub struct Entropy;

impl crate::Entropy for Entropy {
    fn fill(&self, out: &mut [u8]) {
        aws_lc_rs::rand::fill(out).expect("a machine without randomness cannot run this program");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clock as _, Entropy as _};

    #[test]
    fn clocks_run_forwards_from_a_plausible_date() {
        let clock = Clock::start();
        let (earlier, later) = (clock.now(), clock.now());
        assert!(earlier.mono <= later.mono);
        assert!(earlier.unix_s > 1_700_000_000);
    }

    #[test]
    fn random_bytes_differ() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        Entropy.fill(&mut a);
        Entropy.fill(&mut b);
        assert_ne!(a, b);
    }
}
