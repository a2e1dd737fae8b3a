//! What happens in a run, decided by its seed before anything runs. Pure.
//!
//! A scenario has no plot: whoever plays it leaves out what makes no sense at the moment, such as
//! starting a peer that runs.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use skep_world::simulated::{Crash, Route};

/// A peer, by number.
pub type PeerNumber = usize;
/// Something to share, by number.
pub type ItemNumber = usize;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const HOUR_S: i64 = 3600;
const YEARS_S: i64 = 3 * 365 * 24 * HOUR_S;

/// Everything that a run starts from.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// All else follows from it.
    pub seed: u64,
    /// How many peers there are.
    pub peers: usize,
    /// How far they are from each other, unless the weather changes.
    pub route: Route,
    /// How many of them, from the first on, back up; where none does, none keeps anything for others.
    pub owners: usize,
    /// What there is to share.
    pub items: Vec<Shape>,
    /// What happens, and how long after the event before.
    pub steps: Vec<(Duration, Act)>,
}

/// A file or folder to be shared, by the sizes of its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// One file.
    File(u64),
    /// A folder.
    Folder(Vec<u64>),
}

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The coordinator's.
    Coordinator,
    /// A peer's.
    Peer(PeerNumber),
}

/// One event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    /// The program there starts.
    Start(Place),
    /// It is asked to stop.
    Stop(Place),
    /// It ends without being asked.
    Crash(Place, Crash),
    /// The peer leaves the network for good.
    Leave(PeerNumber),
    /// The peer publishes its copy.
    Share(PeerNumber, ItemNumber),
    /// The peer takes that back.
    Unshare(PeerNumber, ItemNumber),
    /// The peer downloads.
    Get(PeerNumber, ItemNumber),
    /// The peer does something with its backups.
    Do(PeerNumber, Deed),
    /// A bit of the peer's own copy turns.
    Decay(PeerNumber, ItemNumber),
    /// A bit turns in something that the peer keeps for others.
    Rot(PeerNumber, u64),
    /// The disk there is full.
    Fill(Place),
    /// The clock there is wrong by so many seconds.
    Jump(Place, i64),
    /// Nothing gets from one to the other any more.
    Cut(Place, Place),
    /// The way from one to the other is another.
    Reroute(Place, Place, Route),
    /// All connections between the two break.
    Reset(Place, Place),
    /// The machine loses its network.
    Unplug(Place),
    /// Nobody can dial the peer any more.
    Hide(PeerNumber),
    /// The network, the clocks and the room on the disks are as they were in the beginning.
    Calm,
}

/// What an owner of backups does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It changes some of its files, as the number says, and makes a snapshot.
    BackUp(u64),
    /// It restores its newest snapshot.
    Restore,
    /// It lets old snapshots go.
    Forget,
    /// It condemns what is not needed.
    Prune,
    /// It looks whether all is there, or also reads it, and mends what is not.
    Check(bool),
}

impl Scenario {
    /// The scenario of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let peers = match rng.random_range(0..100) {
            0..70 => rng.random_range(3..=6),
            70..95 => rng.random_range(7..=12),
            _ => rng.random_range(13..=30),
        };
        let count = rng.random_range(1..=4);
        let items: Vec<_> = (0..count).map(|_| shape(&mut rng)).collect();
        let route = route(&mut rng);
        let owners = *[0, 1, 1, 2].choose(&mut rng).unwrap_or(&0);
        let mut author = Author {
            rng,
            peers,
            owners,
            items: items.len(),
        };
        let steps = author.steps();
        Self {
            seed,
            peers,
            owners,
            route,
            items,
            steps,
        }
    }
}

fn shape(rng: &mut StdRng) -> Shape {
    match rng.random_range(0..10) {
        0 => Shape::File(rng.random_range(9..100)),
        1..3 => Shape::File(rng.random_range(2..100 * KIB)),
        3 => Shape::File(MIB),
        4 => Shape::File(MIB + 1),
        5..8 => Shape::File(rng.random_range(MIB..6 * MIB)),
        _ => {
            let files = rng.random_range(1..30);
            let large = rng.random_range(0..3);
            let small = (0..files)
                .map(|_| rng.random_range(0..80 * KIB))
                .collect::<Vec<_>>();
            let large = (0..large)
                .map(|_| rng.random_range(MIB..3 * MIB))
                .collect::<Vec<_>>();
            Shape::Folder([small, large].concat())
        }
    }
}

fn route(rng: &mut StdRng) -> Route {
    let latency = Duration::from_millis(rng.random_range(1..100));
    let bytes_per_s = 1 << rng.random_range(18..28);
    Route {
        latency,
        jitter: latency.mul_f64(rng.random_range(0.0..2.0)),
        bytes_per_s,
    }
}

struct Author {
    rng: StdRng,
    peers: usize,
    owners: usize,
    items: usize,
}

impl Author {
    /// All come, most share, and then anything goes.
    fn steps(&mut self) -> Vec<(Duration, Act)> {
        let mut steps = vec![(Duration::ZERO, Act::Start(Place::Coordinator))];
        for peer in 0..self.peers {
            steps.push((self.pause(500), Act::Start(Place::Peer(peer))));
        }
        steps.push((Duration::from_secs(3), Act::Calm));
        for item in 0..self.items {
            for _ in 0..self.rng.random_range(1..=2) {
                steps.push((self.pause(1_000), Act::Share(self.peer(), item)));
            }
        }
        for owner in 0..self.owners {
            steps.push((self.pause(1_000), Act::Do(owner, self.back_up())));
        }
        for _ in 0..self.rng.random_range(10..50) {
            let longest_ms = *[100, 2_000, 15_000].choose(&mut self.rng).unwrap_or(&100);
            steps.push((self.pause(longest_ms), self.anything()));
        }
        steps
    }

    fn anything(&mut self) -> Act {
        let (peer, item) = (self.peer(), self.item());
        if self.owners > 0 && self.rng.random_bool(0.3) {
            return self.anything_of_backups();
        }
        match self.rng.random_range(0..100) {
            0..26 => Act::Get(peer, item),
            26..28 => Act::Fill(self.place()),
            28..32 => Act::Jump(self.place(), self.jump()),
            32..37 => Act::Share(peer, item),
            37..39 => Act::Unshare(peer, item),
            39..41 => Act::Leave(peer),
            41..44 => Act::Stop(self.place()),
            44..54 => Act::Crash(self.place(), self.crash()),
            54..70 => Act::Start(self.place()),
            70..74 => Act::Cut(self.place(), self.place()),
            74..79 => Act::Reroute(self.place(), self.place(), route(&mut self.rng)),
            79..84 => Act::Reset(self.place(), self.place()),
            84..88 => Act::Unplug(self.place()),
            88..90 => Act::Hide(peer),
            90..92 => Act::Decay(peer, item),
            _ => Act::Calm,
        }
    }

    fn anything_of_backups(&mut self) -> Act {
        let owner = self.rng.random_range(0..self.owners);
        let deed = match self.rng.random_range(0..100) {
            0..45 => self.back_up(),
            45..60 => Deed::Restore,
            60..70 => Deed::Forget,
            70..80 => Deed::Prune,
            80..90 => Deed::Check(self.rng.random()),
            _ => return Act::Rot(self.peer(), self.rng.random()),
        };
        Act::Do(owner, deed)
    }

    fn back_up(&mut self) -> Deed {
        Deed::BackUp(self.rng.random())
    }

    /// An hour, or three years, there or back.
    fn jump(&mut self) -> i64 {
        *[-HOUR_S, HOUR_S, -YEARS_S, YEARS_S]
            .choose(&mut self.rng)
            .unwrap_or(&0)
    }

    fn pause(&mut self, longest_ms: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(0..=longest_ms))
    }

    fn peer(&mut self) -> PeerNumber {
        self.rng.random_range(0..self.peers)
    }

    fn item(&mut self) -> ItemNumber {
        self.rng.random_range(0..self.items)
    }

    /// The coordinator is talked to by all, so more often than any peer.
    fn place(&mut self) -> Place {
        if self.rng.random_bool(0.25) {
            Place::Coordinator
        } else {
            Place::Peer(self.peer())
        }
    }

    fn crash(&mut self) -> Crash {
        match self.rng.random_range(0..3) {
            0 => Crash::Kill,
            1 => Crash::Power,
            _ => Crash::TornPower(self.rng.random()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_follows_from_its_seed_and_acts_on_what_there_is() {
        for seed in 0..200 {
            let scenario = Scenario::of(seed);
            assert_eq!(format!("{scenario:?}"), format!("{:?}", Scenario::of(seed)));
            assert!((3..=30).contains(&scenario.peers));
            for (_, act) in scenario.steps {
                if let Act::Get(peer, item) = act {
                    assert!(peer < scenario.peers && item < scenario.items.len());
                }
            }
        }
        assert_ne!(
            format!("{:?}", Scenario::of(1).steps),
            format!("{:?}", Scenario::of(2).steps)
        );
    }

    #[test]
    fn every_act_happens_in_some_scenario() {
        let acts: Vec<_> = (0..200)
            .flat_map(|seed| Scenario::of(seed).steps)
            .map(|(_, act)| act)
            .collect();
        let name = |act: &Act| {
            format!("{act:?}")
                .split('(')
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let names: std::collections::BTreeSet<_> = acts.iter().map(name).collect();
        assert_eq!(names.len(), 18, "{names:?}");
    }
}
