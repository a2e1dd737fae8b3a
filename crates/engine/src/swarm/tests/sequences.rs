//! Random sequences of events against the invariants: whatever the driver reports, sensible or not, the state stays
//! consistent, no chunk is asked of somebody who has not got it, and once all obstacles are gone the download ends.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use roaring::RoaringTreemap;

use super::{MIB, ms, peer};
use crate::swarm::{Action, Config, Failure, Have, Outcome, Received, Sizes, Swarm};

const CHUNKS: u64 = 70;
const PEERS: usize = 4;

#[derive(Debug, Clone)]
enum Step {
    Holder(usize, Option<BTreeSet<u64>>),
    More(usize, Vec<u64>),
    Latency(usize, u64),
    Progress(usize, u64, u64),
    Received(usize, u64),
    Stored(u64),
    NotStored(u64),
    Bad(usize, u64),
    Failed(usize, u64, Failure),
    Gone(usize),
    Searched,
    Priority(u64, u64),
    Want(u64, u64),
    Pause(bool),
    /// Answers the oldest open request properly.
    Answer,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (peer, chunk) = (0..PEERS, 0..CHUNKS + 2);
    let failure = prop_oneof![
        Just(Failure::Busy),
        Just(Failure::Refused),
        Just(Failure::Missing),
        Just(Failure::Withdrawn),
        Just(Failure::Stalled),
        Just(Failure::Disconnected),
    ];
    let some = prop::option::of(prop::collection::btree_set(chunk.clone(), 0..40));
    prop_oneof![
        3 => (peer.clone(), some).prop_map(|(peer, some)| Step::Holder(peer, some)),
        2 => (peer.clone(), prop::collection::vec(chunk.clone(), 0..8)).prop_map(|(p, c)| Step::More(p, c)),
        1 => (peer.clone(), 0..200_u64).prop_map(|(p, ms)| Step::Latency(p, ms)),
        2 => (peer.clone(), chunk.clone(), 0..2 * MIB).prop_map(|(p, c, b)| Step::Progress(p, c, b)),
        2 => (peer.clone(), chunk.clone()).prop_map(|(p, c)| Step::Received(p, c)),
        1 => chunk.clone().prop_map(Step::Stored),
        1 => chunk.clone().prop_map(Step::NotStored),
        1 => (peer.clone(), chunk.clone()).prop_map(|(p, c)| Step::Bad(p, c)),
        2 => (peer.clone(), chunk.clone(), failure).prop_map(|(p, c, f)| Step::Failed(p, c, f)),
        1 => peer.prop_map(Step::Gone),
        1 => Just(Step::Searched),
        1 => (chunk.clone(), 0..20_u64).prop_map(|(c, n)| Step::Priority(c, n)),
        1 => (chunk, 0..20_u64).prop_map(|(c, n)| Step::Want(c, n)),
        1 => any::<bool>().prop_map(Step::Pause),
        9 => Just(Step::Answer),
        5 => (0..3_000_u64).prop_map(Step::Wait),
    ]
}

/// A driver that remembers what it was told to do.
struct Driver {
    swarm: Swarm,
    now: Duration,
    open: Vec<(usize, u64)>,
    has: Vec<Option<RoaringTreemap>>,
}

impl Driver {
    fn new(seed: u64) -> Self {
        let sizes = Sizes::Each(
            (0..CHUNKS)
                .map(|chunk| u32::try_from(MIB).unwrap() >> (chunk % 5))
                .collect(),
        );
        let swarm = Swarm::new(Config::default(), sizes, 0..CHUNKS / 2, &(3..9).collect(), seed);
        Self {
            swarm,
            now: ms(0),
            open: Vec::new(),
            has: vec![Some(RoaringTreemap::new()); PEERS],
        }
    }

    fn take(&mut self, step: Step) {
        let now = self.now;
        let swarm = &mut self.swarm;
        match step {
            Step::Holder(who, some) => self.announce(who, some),
            Step::More(who, chunks) => {
                swarm.handle_have_more(now, peer(who), &chunks);
                if let Some(has) = &mut self.has[who] {
                    has.extend(chunks);
                }
            }
            Step::Latency(who, latency) => swarm.handle_latency(now, peer(who), ms(latency)),
            Step::Progress(who, chunk, bytes) => swarm.handle_progress(now, peer(who), chunk, bytes),
            Step::Received(who, chunk) => self.receive(who, chunk),
            Step::Stored(chunk) => swarm.handle_stored(now, chunk),
            Step::NotStored(chunk) => swarm.handle_not_stored(now, chunk),
            Step::Bad(who, chunk) => swarm.handle_bad(now, peer(who), chunk),
            Step::Failed(who, chunk, failure) => self.fail(who, chunk, failure),
            Step::Gone(who) => {
                swarm.handle_gone(now, peer(who));
                self.open.retain(|&(other, _)| other != who);
            }
            Step::Searched => swarm.handle_no_more_holders(now),
            Step::Priority(from, count) => swarm.handle_priority(&[from..from + count, 5..7]),
            Step::Want(from, count) => swarm.want(from..from + count),
            Step::Pause(true) => swarm.pause(),
            Step::Pause(false) => swarm.resume(),
            Step::Answer => self.answer(),
            Step::Wait(by) => self.now += ms(by),
        }
        self.poll();
    }

    fn announce(&mut self, who: usize, some: Option<BTreeSet<u64>>) {
        let has: Option<RoaringTreemap> = some.map(|some| some.into_iter().collect());
        let have = has.clone().map_or(Have::Complete, Have::Some);
        self.swarm.handle_holder(self.now, peer(who), have);
        self.has[who] = has;
    }

    fn receive(&mut self, who: usize, chunk: u64) {
        self.open.retain(|&open| open != (who, chunk));
        let _: Received = self.swarm.handle_received(self.now, peer(who), chunk, 1);
    }

    fn fail(&mut self, who: usize, chunk: u64, failure: Failure) {
        self.open.retain(|&open| open != (who, chunk));
        self.swarm.handle_failed(self.now, peer(who), chunk, failure);
    }

    fn answer(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let (who, chunk) = self.open.remove(0);
        if self.swarm.handle_received(self.now, peer(who), chunk, MIB) == Received::Store {
            self.swarm.handle_stored(self.now, chunk);
        }
    }

    fn poll(&mut self) {
        let mut actions = Vec::new();
        self.swarm.poll(self.now, &mut actions);
        self.swarm.check();
        for action in actions {
            match action {
                Action::Request { peer: whom, chunk } => {
                    let who = (0..PEERS + 1).find(|&who| peer(who) == whom).unwrap();
                    let has = self
                        .has
                        .get(who)
                        .is_none_or(|has| has.as_ref().is_none_or(|has| has.contains(chunk)));
                    assert!(has, "{who} has no chunk {chunk}");
                    assert!(!self.open.contains(&(who, chunk)), "asked twice");
                    self.open.push((who, chunk));
                }
                Action::Cancel { peer: whom, chunk } => {
                    self.open.retain(|&(who, c)| (peer(who), c) != (whom, chunk))
                }
                Action::FindHolders | Action::Avoid { .. } => {}
            }
        }
    }

    /// An honest holder comes; everything that is asked of it, and only that, is answered.
    fn finish(&mut self) {
        self.swarm.resume();
        self.swarm.handle_holder(self.now, peer(PEERS), Have::Complete);
        for _ in 0..5_000 {
            if self.swarm.outcome() == Outcome::Complete {
                return;
            }
            self.poll();
            self.now += ms(100);
            self.open.sort_by_key(|&(who, _)| who != PEERS);
            if self.open.first().is_some_and(|&(who, _)| who == PEERS) {
                self.answer();
            }
        }
    }
}

proptest! {

    #[test]
    fn whatever_happens_the_state_is_sound_and_an_honest_holder_ends_it(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut driver = Driver::new(seed);
        for step in steps {
            driver.take(step);
        }
        // What was received and never reported on is lost: the driver says so.
        for chunk in 0..CHUNKS {
            driver.swarm.handle_not_stored(driver.now, chunk);
        }
        driver.finish();
        prop_assert_eq!(driver.swarm.outcome(), Outcome::Complete);
    }
}
