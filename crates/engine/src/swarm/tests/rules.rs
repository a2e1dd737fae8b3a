//! The rules, one by one.

use std::{collections::BTreeSet, slice::from_ref, time::Duration};

use roaring::RoaringTreemap;
use skep_wire::PeerId;

use super::{MIB, ms, peer};
use crate::swarm::{Action, Config, Failure, Have, Outcome, Reason, Received, Sizes, Swarm};

/// A swarm with the time and what it has said last.
struct Rig {
    swarm: Swarm,
    now: Duration,
}

impl Rig {
    fn new(chunks: u64) -> Self {
        Self::with(chunks, &RoaringTreemap::new())
    }

    fn with(chunks: u64, have: &RoaringTreemap) -> Self {
        let sizes = Sizes::Even {
            total_bytes: chunks * MIB,
        };
        Self {
            swarm: Swarm::new(Config::default(), sizes, 0..chunks, have, 1),
            now: ms(0),
        }
    }

    /// Complete holders with these numbers.
    fn complete(&mut self, numbers: std::ops::Range<usize>) {
        numbers.for_each(|number| self.swarm.handle_holder(self.now, peer(number), Have::Complete));
    }

    fn partial(&mut self, number: usize, chunks: &[u64]) {
        let have = Have::Some(chunks.iter().copied().collect());
        self.swarm.handle_holder(self.now, peer(number), have);
    }

    fn poll(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.swarm.poll(self.now, &mut actions);
        self.swarm.check();
        actions
    }

    /// What is asked of whom now.
    fn requests(&mut self) -> Vec<(PeerId, u64)> {
        let ask = |action| match action {
            Action::Request { peer, chunk } => Some((peer, chunk)),
            _ => None,
        };
        self.poll().into_iter().filter_map(ask).collect()
    }

    fn wait(&mut self, by: Duration) {
        self.now += by;
    }

    /// `chunk` comes from `from` and is stored.
    fn deliver(&mut self, from: PeerId, chunk: u64) {
        assert_eq!(
            self.swarm.handle_received(self.now, from, chunk, MIB),
            Received::Store
        );
        self.swarm.handle_stored(self.now, chunk);
    }

    /// Everything that is asked for comes, until nothing more is asked for.
    fn finish(&mut self) -> Vec<u64> {
        let mut order = Vec::new();
        let mut open = self.requests();
        while !open.is_empty() {
            self.wait(ms(10));
            for (from, chunk) in open.drain(..) {
                self.deliver(from, chunk);
                order.push(chunk);
            }
            open = self.requests();
        }
        order
    }
}

#[test]
fn every_chunk_is_fetched_once_and_in_order() {
    let mut rig = Rig::with(100, &(10..20).collect());
    rig.complete(0..1);
    let order = rig.finish();
    assert_eq!(order.len(), 90);
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 90);
    let jumps = order.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(
        jumps <= 2,
        "from the beginning to the end, past what is here, and round: {order:?}"
    );
    assert_eq!(rig.swarm.outcome(), Outcome::Complete);
    assert_eq!(rig.swarm.progress(rig.now).have_bytes, 100 * MIB);
}

#[test]
fn an_empty_blob_is_one_chunk_and_nothing_wanted_is_complete() {
    let sizes = Sizes::Even { total_bytes: 0 };
    let mut swarm = Swarm::new(Config::default(), sizes.clone(), 0..1, &RoaringTreemap::new(), 1);
    assert_eq!(swarm.outcome(), Outcome::Running);
    swarm.handle_holder(ms(0), peer(0), Have::Complete);
    let mut actions = Vec::new();
    swarm.poll(ms(0), &mut actions);
    assert!(actions.contains(&Action::Request {
        peer: peer(0),
        chunk: 0
    }));
    assert_eq!(swarm.handle_received(ms(1), peer(0), 0, 0), Received::Store);
    swarm.handle_stored(ms(1), 0);
    assert_eq!(swarm.outcome(), Outcome::Complete);
    let nothing = Swarm::new(Config::default(), sizes, 0..0, &RoaringTreemap::new(), 1);
    assert_eq!(nothing.outcome(), Outcome::Complete);
}

#[test]
fn begins_with_two_chunks_each_within_the_budget() {
    let mut rig = Rig::new(1_000);
    rig.complete(0..5);
    assert_eq!(rig.requests().len(), 10);
    rig.complete(5..50);
    assert_eq!(rig.requests().len(), 14, "24 MiB in all");
}

#[test]
fn chunks_being_stored_count_against_the_budget() {
    let mut rig = Rig::new(1_000);
    rig.complete(0..12);
    let open = rig.requests();
    assert_eq!(open.len(), 24);
    for &(from, chunk) in &open {
        assert_eq!(
            rig.swarm.handle_received(rig.now, from, chunk, MIB),
            Received::Store
        );
    }
    assert_eq!(rig.requests(), []);
    rig.swarm.handle_stored(rig.now, open[0].1);
    assert_eq!(rig.requests().len(), 1);
}

#[test]
fn asks_for_the_rarest_first() {
    let mut rig = Rig::new(8);
    rig.partial(0, &[0, 1, 2, 3]);
    rig.partial(1, &[0, 1, 2]);
    rig.partial(2, &[0, 1]);
    let asked = rig.requests();
    assert!(
        asked.contains(&(peer(0), 3)) && asked.contains(&(peer(1), 2)),
        "{asked:?}"
    );
    assert_eq!(asked.len(), 4);
    rig.complete(3..4);
    let asked: Vec<u64> = rig.requests().into_iter().map(|(_, chunk)| chunk).collect();
    assert!(asked.iter().all(|chunk| (4..8).contains(chunk)), "{asked:?}");
}

#[test]
fn a_failed_chunk_goes_to_another_holder_at_once() {
    let mut rig = Rig::new(1);
    rig.complete(0..2);
    let [(first, 0)] = rig.requests()[..] else {
        panic!()
    };
    rig.swarm.handle_failed(rig.now, first, 0, Failure::Refused);
    let [(second, 0)] = rig.requests()[..] else {
        panic!()
    };
    assert_ne!(first, second);
}

#[test]
fn a_lone_holder_is_tried_eight_times_with_growing_pauses() {
    let mut rig = Rig::new(1);
    rig.complete(0..1);
    let mut asked_at = Vec::new();
    while rig.swarm.outcome() == Outcome::Running {
        for action in rig.poll() {
            match action {
                Action::Request { peer, chunk } => {
                    asked_at.push(rig.now);
                    rig.swarm.handle_failed(rig.now, peer, chunk, Failure::Refused);
                }
                Action::FindHolders => rig.swarm.handle_no_more_holders(rig.now),
                other => panic!("{other:?}"),
            }
        }
        rig.poll();
        rig.now = rig.swarm.next_wakeup().unwrap_or(rig.now);
    }
    let pauses: Vec<_> = asked_at
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64())
        .collect();
    assert_eq!(pauses.len(), 7);
    for (pause, doubled) in pauses.iter().zip([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8]) {
        assert!((doubled * 0.7..=doubled * 1.1).contains(pause), "{pauses:?}");
    }
    let reasons = vec![(peer(0), Reason::Exhausted(Failure::Refused))];
    assert_eq!(rig.swarm.outcome(), Outcome::Stuck { reasons });
}

#[test]
fn being_busy_is_no_failure_of_the_chunk() {
    let mut rig = Rig::new(1);
    rig.complete(0..1);
    for _ in 0..20 {
        let [(from, 0)] = rig.requests()[..] else { panic!() };
        rig.swarm.handle_failed(rig.now, from, 0, Failure::Busy);
        rig.wait(Duration::from_secs(31));
    }
    assert_eq!(rig.requests().len(), 1);
}

#[test]
fn what_a_holder_has_not_got_is_not_asked_of_it_again() {
    let mut rig = Rig::new(2);
    rig.complete(0..1);
    assert_eq!(rig.requests().len(), 2);
    rig.swarm.handle_failed(rig.now, peer(0), 1, Failure::Missing);
    rig.deliver(peer(0), 0);
    rig.wait(Duration::from_secs(1_000));
    assert_eq!(rig.requests(), []);
}

#[test]
fn a_liar_is_asked_for_nothing_more_and_a_repeated_one_is_avoided() {
    let mut rig = Rig::new(8);
    rig.complete(0..1);
    let asked = rig.requests();
    for &(from, chunk) in &asked {
        assert_eq!(
            rig.swarm.handle_received(rig.now, from, chunk, MIB),
            Received::Store
        );
    }
    let more = rig.requests();
    rig.swarm.handle_bad(rig.now, peer(0), asked[0].1);
    let actions = rig.poll();
    assert!(
        more.iter()
            .all(|&(peer, chunk)| actions.contains(&Action::Cancel { peer, chunk }))
    );
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Avoid { .. }))
    );
    rig.swarm.handle_bad(rig.now, peer(0), asked[1].1);
    assert!(rig.poll().contains(&Action::Avoid {
        peer: peer(0),
        until: Duration::from_secs(600)
    }));
    rig.complete(0..1);
    assert_eq!(rig.requests(), [], "not even when it comes back");
    assert_eq!(
        rig.swarm.handle_received(rig.now, peer(0), 5, MIB),
        Received::Drop
    );
    rig.complete(1..2);
    assert_eq!(rig.finish().len(), 8);
}

#[test]
fn a_late_chunk_is_taken_and_a_second_one_is_not() {
    let mut rig = Rig::new(4);
    rig.complete(0..2);
    let (from, chunk) = rig.requests()[0];
    let other = if from == peer(0) { peer(1) } else { peer(0) };
    assert_eq!(
        rig.swarm.handle_received(rig.now, other, chunk, MIB),
        Received::Store
    );
    assert!(rig.poll().contains(&Action::Cancel { peer: from, chunk }));
    assert_eq!(
        rig.swarm.handle_received(rig.now, from, chunk, MIB),
        Received::Drop
    );
    assert_eq!(rig.swarm.progress(rig.now).duplicate_bytes, MIB);
    assert_eq!(
        rig.swarm.handle_received(rig.now, from, 77, MIB),
        Received::Drop,
        "no such chunk"
    );
}

#[test]
fn silence_is_a_stall_and_the_next_one_must_be_longer() {
    let mut rig = Rig::new(1);
    rig.complete(0..1);
    let mut stalls = Vec::new();
    let mut asked = rig.now;
    while stalls.len() < 3 {
        for action in rig.poll() {
            match action {
                Action::Request { .. } => asked = rig.now,
                Action::Cancel { .. } => stalls.push((rig.now - asked).as_secs_f64()),
                _ => {}
            }
        }
        rig.wait(ms(50));
    }
    assert!(stalls[0] >= 2.0 && stalls[0] < 10.0, "{stalls:?}");
    assert!(
        stalls[1] > stalls[0] * 1.5 && stalls[2] > stalls[1] * 1.5,
        "{stalls:?}"
    );
}

#[test]
fn a_lost_connection_frees_its_chunks_and_coming_back_is_welcome() {
    let mut rig = Rig::new(4);
    rig.complete(0..1);
    assert_eq!(rig.requests().len(), 2);
    rig.swarm.handle_gone(rig.now, peer(0));
    assert_eq!(rig.requests(), []);
    rig.swarm.handle_no_more_holders(rig.now);
    rig.poll();
    assert_eq!(
        rig.swarm.outcome(),
        Outcome::Stuck {
            reasons: vec![(peer(0), Reason::Gone)]
        }
    );
    rig.complete(0..1);
    rig.wait(ms(200));
    assert_eq!(rig.finish().len(), 4);
}

#[test]
fn a_holder_that_gave_something_may_come_back() {
    let mut rig = Rig::new(4);
    rig.complete(0..1);
    let (from, chunk) = rig.requests()[0];
    rig.deliver(from, chunk);
    rig.swarm.handle_no_more_holders(rig.now);
    rig.swarm.handle_gone(rig.now, from);
    let mut searches = 0;
    while rig.swarm.outcome() == Outcome::Running {
        for action in rig.poll() {
            assert_eq!(action, Action::FindHolders);
            searches += 1;
            rig.swarm.handle_no_more_holders(rig.now);
        }
        assert_eq!(rig.poll(), []);
        rig.now = rig.swarm.next_wakeup().expect("it looks again");
    }
    assert!(
        rig.now >= Duration::from_secs(15) && rig.now < Duration::from_secs(40),
        "{:?}",
        rig.now
    );
    assert!((3..8).contains(&searches), "{searches}");
}

#[test]
fn looks_for_holders_until_it_finds_them() {
    let mut rig = Rig::new(4);
    assert_eq!(rig.poll(), [Action::FindHolders]);
    assert_eq!(rig.poll(), [], "one search at a time");
    assert_eq!(rig.swarm.outcome(), Outcome::Running);
    rig.swarm.handle_no_more_holders(rig.now);
    assert_eq!(rig.poll(), []);
    assert_eq!(rig.swarm.outcome(), Outcome::Stuck { reasons: vec![] });
    rig.now = rig.swarm.next_wakeup().unwrap();
    assert_eq!(rig.poll(), [Action::FindHolders]);
    rig.complete(0..1);
    assert_eq!(rig.swarm.outcome(), Outcome::Running);
    rig.swarm.handle_no_more_holders(rig.now);
    assert_eq!(rig.finish().len(), 4);
}

#[test]
fn pausing_asks_for_nothing_and_takes_what_comes() {
    let mut rig = Rig::new(8);
    rig.complete(0..1);
    let open = rig.requests();
    rig.swarm.pause();
    assert!(rig.swarm.is_paused());
    open.iter().for_each(|&(from, chunk)| rig.deliver(from, chunk));
    assert_eq!(rig.poll(), []);
    assert_eq!(rig.swarm.next_wakeup(), None);
    rig.swarm.resume();
    assert_eq!(rig.finish().len(), 6);
}

#[test]
fn what_cannot_be_stored_is_asked_for_again() {
    let mut rig = Rig::new(1);
    rig.complete(0..1);
    rig.requests();
    assert_eq!(
        rig.swarm.handle_received(rig.now, peer(0), 0, MIB),
        Received::Store
    );
    rig.swarm.handle_not_stored(rig.now, 0);
    assert_eq!(rig.finish(), [0]);
}

#[test]
fn a_reader_gets_its_chunks_first_and_in_order() {
    let mut rig = Rig::new(1_000);
    rig.complete(0..2);
    let open = rig.requests();
    rig.swarm.handle_priority(from_ref(&(700..716)));
    let actions = rig.poll();
    let requests = actions
        .iter()
        .filter(|action| matches!(action, Action::Request { .. }));
    let asked: Vec<u64> = requests.map(chunk).collect();
    assert_eq!(asked, (700..700 + asked.len() as u64).collect::<Vec<_>>());
    assert_eq!(asked.len(), open.len(), "queued requests made way");
    let order = rig.finish_from(actions);
    assert_eq!(order[..16], (700..716).collect::<Vec<_>>());
}

#[test]
fn reading_a_range_wants_it() {
    let sizes = Sizes::Even {
        total_bytes: 100 * MIB,
    };
    let swarm = Swarm::new(Config::default(), sizes, 0..0, &RoaringTreemap::new(), 1);
    let mut rig = Rig { swarm, now: ms(0) };
    rig.complete(0..1);
    assert_eq!(rig.finish(), []);
    rig.swarm.handle_priority(from_ref(&(40..44)));
    assert_eq!(rig.finish(), [40, 41, 42, 43]);
    rig.swarm.want(0..2);
    assert_eq!(rig.finish().len(), 2);
}

#[test]
fn an_idle_holder_takes_over_from_a_silent_one() {
    let mut rig = Rig::new(6);
    rig.complete(0..1);
    let held: BTreeSet<u64> = rig.requests().into_iter().map(|(_, chunk)| chunk).collect();
    rig.complete(1..2);
    let mut mine: Vec<_> = rig.requests();
    let mut done = BTreeSet::new();
    while rig.now < Duration::from_secs(1) {
        rig.wait(ms(20));
        for (from, chunk) in std::mem::take(&mut mine) {
            rig.deliver(from, chunk);
            done.insert(chunk);
        }
        mine = rig.requests();
    }
    assert_eq!(rig.swarm.outcome(), Outcome::Complete, "{held:?} {done:?}");
}

#[test]
fn a_chunk_that_others_have_by_now_gives_way_to_a_rarer_one() {
    let mut rig = Rig::new(64);
    rig.partial(1, &[]);
    rig.complete(0..1);
    rig.swarm.handle_latency(rig.now, peer(0), ms(1));
    let [first, second] = rig.requests()[..] else {
        panic!()
    };
    rig.wait(ms(500));
    rig.swarm.handle_progress(rig.now, peer(0), first.1, MIB / 4);
    rig.poll();
    rig.swarm.handle_have_more(rig.now, peer(1), &[first.1, second.1]);
    let actions = rig.poll();
    assert!(
        actions.contains(&Action::Cancel {
            peer: peer(0),
            chunk: second.1
        }),
        "{actions:?}"
    );
    assert!(
        actions.contains(&Action::Request {
            peer: peer(1),
            chunk: second.1
        }),
        "{actions:?}"
    );
    assert!(
        !actions.contains(&Action::Cancel {
            peer: peer(0),
            chunk: first.1
        }),
        "some of it is here"
    );
}

#[test]
fn a_terabyte_is_nothing_special() {
    let mut rig = Rig::new(1 << 20);
    rig.complete(0..20);
    rig.partial(20, &(0..1 << 20).step_by(3).collect::<Vec<_>>());
    let mut open = Vec::new();
    for _ in 0..2_000 {
        rig.swarm.poll(rig.now, &mut open);
        rig.wait(ms(1));
        for action in open.drain(..) {
            if let Action::Request { peer, chunk } = action {
                rig.deliver(peer, chunk);
            }
        }
    }
    let done = rig.swarm.progress(rig.now).have_chunks;
    assert!(done >= 40_000, "{done}");
}

fn chunk(action: &Action) -> u64 {
    match action {
        Action::Request { chunk, .. } | Action::Cancel { chunk, .. } => *chunk,
        other => panic!("{other:?}"),
    }
}

impl Rig {
    /// Like `finish`, with what was asked for last.
    fn finish_from(&mut self, actions: Vec<Action>) -> Vec<u64> {
        let mut order = Vec::new();
        self.wait(ms(10));
        for action in actions {
            if let Action::Request { peer, chunk } = action {
                self.deliver(peer, chunk);
                order.push(chunk);
            }
        }
        order.extend(self.finish());
        order
    }
}
