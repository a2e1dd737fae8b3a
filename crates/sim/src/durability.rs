//! 500 peers that nap, die and are replaced, and sites that burn down: how many packs are lost, beside what a
//! closed formula says.
//!
//! Placement, presence and repair are the engine's own; what is simulated is who lives, and how long a rebuild
//! takes. Lives are far shorter than those of real peers, so that there are losses to count: this is about the
//! arithmetic and the state machines, and says nothing about anybody's disks.

mod formula;
mod town;

use std::{fmt, time::Duration};

use skep_wire::backup::Scheme;

pub use formula::expected;

/// Seconds in a day.
const DAY: Duration = Duration::from_secs(86_400);

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// How packs are split.
    pub scheme: Scheme,
    /// How many there are; a lost one is replaced.
    pub packs: u32,
    /// How long.
    pub days: u32,
    /// How many peers there are; a dead one is replaced.
    pub peers: u32,
    /// How long a peer lives, in the mean.
    pub lifetime_days: f64,
    /// A peer that is away for so long has failed.
    pub detection: Duration,
    /// A shard is rebuilt so long after that.
    pub rebuild: Duration,
    /// Sites that are lost as a whole.
    pub sites: Option<Sites>,
    /// Chance.
    pub seed: u64,
}

/// Sites with equally many peers each.
#[derive(Debug, Clone, Copy)]
pub struct Sites {
    /// How many.
    pub count: u32,
    /// How long one stands, in the mean; all of its peers die with it.
    pub lifetime_days: f64,
    /// Whether peers say where they stand, so that placement can spread packs.
    pub are_named: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// What was simulated.
    pub setting: Setting,
    /// Packs that were lost.
    pub lost: u32,
    /// Packs that the formula expects to be lost.
    pub expected: f64,
}

impl Setting {
    /// Peers live half a month, are missed after a day, and what they had is rebuilt half a day later.
    #[must_use]
    pub fn fast(scheme: Scheme, packs: u32, days: u32) -> Self {
        Self {
            scheme,
            packs,
            days,
            peers: 500,
            lifetime_days: 15.0,
            detection: DAY,
            rebuild: DAY / 2,
            sites: None,
            seed: 1,
        }
    }

    /// The same where ten sites stand for a hundred days each.
    #[must_use]
    pub fn with_sites(self, are_named: bool) -> Self {
        let sites = Sites {
            count: 10,
            lifetime_days: 100.0,
            are_named,
        };
        Self {
            sites: Some(sites),
            ..self
        }
    }

    /// How long a shard is missing, in days.
    fn window_days(&self) -> f64 {
        (self.detection + self.rebuild).as_secs_f64() / DAY.as_secs_f64()
    }
}

/// Simulates, and holds the formula against it.
#[must_use]
pub fn compare(setting: Setting) -> Outcome {
    Outcome {
        setting,
        lost: town::simulate(setting),
        expected: expected(&setting),
    }
}

impl Outcome {
    /// Simulated by expected.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        f64::from(self.lost) / self.expected
    }
}

/// The head of a table of outcomes, as Markdown.
pub const HEAD: &str = "| scheme | sites | packs | days | lost | formula | ratio | lost of 1,000 packs in a year |\n\
                        |--------|-------|------:|-----:|-----:|--------:|------:|---------------------------:|";

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting {
            scheme,
            packs,
            days,
            sites,
            ..
        } = self.setting;
        let sites = match sites {
            None => "stand",
            Some(Sites { are_named: true, .. }) => "are lost, named",
            Some(_) => "are lost, not named",
        };
        let yearly = f64::from(self.lost) * 365.0 * 1000.0 / f64::from(days) / f64::from(packs);
        write!(
            f,
            "| {scheme} | {sites} | {packs} | {days} | {} | {:.0} | {:.2} | {yearly:.0} |",
            self.lost,
            self.expected,
            self.ratio()
        )
    }
}
