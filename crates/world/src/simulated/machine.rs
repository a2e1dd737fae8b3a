//! Whole machines in a simulated world: each with a disk, a clock, and a place in the network.

use std::{net::IpAddr, sync::Arc};

use rand::{RngCore, SeedableRng, rngs::StdRng};
use tokio::time::Instant;

use super::{Clock, Crash, Disk, Entropy, Net, Trace, Work};
use crate::World;

/// The date when a simulated world begins: 2026-01-01, in seconds since 1970.
const BEGINNING_UNIX_S: u64 = 1_767_225_600;

/// What the machines of one simulated world share.
#[derive(Clone)]
pub struct Universe {
    seed: u64,
    began: Instant,
    trace: Trace,
    net: Net,
}

impl Universe {
    /// A world without machines, in which everything follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::traced(seed, Trace::default())
    }

    /// The same, with a trace of the caller's.
    #[must_use]
    pub fn traced(seed: u64, trace: Trace) -> Self {
        let net = Net::new(seed, trace.clone());
        Self {
            seed,
            began: Instant::now(),
            trace,
            net,
        }
    }

    /// A new machine, with an empty disk, switched off.
    #[must_use]
    pub fn machine(&self, ip: IpAddr) -> Machine {
        let disk = Disk::traced(&ip.to_string(), self.trace.clone());
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        match ip {
            IpAddr::V4(ip) => seed[8..12].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => seed[8..24].copy_from_slice(&ip.octets()),
        }
        Machine {
            universe: self.clone(),
            ip,
            disk,
            seeds: StdRng::from_seed(seed),
            clock_wrong_by_s: 0,
            clock: None,
        }
    }

    /// The network.
    #[must_use]
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// What happened.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.trace
    }
}

/// A machine. Its disk outlives its crashes.
pub struct Machine {
    universe: Universe,
    ip: IpAddr,
    disk: Disk,
    seeds: StdRng,
    clock_wrong_by_s: i64,
    /// Of the programs that run.
    clock: Option<Arc<Clock>>,
}

impl Machine {
    /// The world of the programs that start on it now, until its next crash.
    pub fn boot(&mut self) -> World {
        let since = self.universe.began.elapsed().as_secs();
        let clock = Arc::new(Clock::showing(BEGINNING_UNIX_S + since));
        clock.jump(self.clock_wrong_by_s);
        self.disk.set_clock(Arc::clone(&clock) as Arc<dyn crate::Clock>);
        self.clock = Some(Arc::clone(&clock));
        World {
            clock,
            entropy: Arc::new(Entropy::seeded(self.seeds.next_u64())),
            disk: Arc::new(self.disk.until_crash()),
            network: Arc::new(self.universe.net.host(self.ip)),
            work: Arc::new(Work),
        }
    }

    /// Ends all programs on it. What still runs of them can do nothing any more, and is to be dropped.
    pub fn crash(&self, how: Crash) {
        self.disk.crash(how);
        self.universe.net.crash(self.ip);
    }

    /// Its clock shows another date than the others, from now on.
    pub fn set_clock_wrong_by(&mut self, seconds: i64) {
        if let Some(clock) = &self.clock {
            clock.jump(seconds - self.clock_wrong_by_s);
        }
        self.clock_wrong_by_s = seconds;
    }

    /// Its address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.ip
    }

    /// Its disk.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }
}
