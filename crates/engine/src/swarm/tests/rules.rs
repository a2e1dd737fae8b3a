//! What is asked of whom, and in which order.

use std::{collections::BTreeSet, slice::from_ref, time::Duration};

use roaring::RoaringTreemap;

use super::{MIB, ms, peer, rig::Rig};
use crate::swarm::{Action, Config, Have, Outcome, Received, Sizes, Swarm};

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
fn pausing_asks_for_nothing_and_takes_what_comes() {
    let mut rig = Rig::new(8);
    rig.complete(0..1);
    let open = rig.requests();
    assert!(!rig.swarm.is_paused());
    rig.swarm.pause();
    assert!(rig.swarm.is_paused());
    open.iter().for_each(|&(from, chunk)| rig.deliver(from, chunk));
    assert_eq!(rig.poll(), []);
    assert_eq!(rig.swarm.next_wakeup(), None);
    rig.swarm.resume();
    assert!(!rig.swarm.is_paused());
    assert_eq!(rig.finish().len(), 6);
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
fn a_hurried_chunk_is_the_next_one_and_nothing_makes_way_for_it() {
    let mut rig = Rig::new(50);
    rig.complete(0..1);
    let asked = rig.requests();
    rig.swarm.hurry(33);
    assert_eq!(rig.poll(), []);
    rig.wait(ms(10));
    rig.deliver(asked[0].0, asked[0].1);
    assert_eq!(rig.requests().first().map(|&(_, chunk)| chunk), Some(33));
    let order = rig.finish();
    assert!(!order.contains(&33), "once is enough");
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
fn moving_requests_wastes_one_chunk_of_a_small_download_at_most() {
    let mut rig = Rig::new(3);
    rig.complete(0..1);
    let slow: Vec<u64> = rig.requests().into_iter().map(|(_, chunk)| chunk).collect();
    rig.wait(Duration::from_secs(100));
    for &chunk in &slow {
        rig.swarm.handle_progress(rig.now, peer(0), chunk, MIB * 7 / 10);
    }
    rig.complete(1..2);
    let open = rig.requests();
    assert_eq!(open.len(), 1);
    rig.wait(ms(100));
    rig.deliver(peer(1), open[0].1);
    let moved: Vec<Action> = rig
        .poll()
        .into_iter()
        .filter(|a| matches!(a, Action::Cancel { .. }))
        .collect();
    assert_eq!(
        moved,
        [Action::Cancel {
            peer: peer(0),
            chunk: slow[1]
        }],
        "the one that would be last"
    );
    rig.wait(ms(20));
    rig.deliver(peer(1), slow[1]);
    assert_eq!(rig.poll(), [], "the other one has come too far");
    assert!(rig.swarm.progress(rig.now).duplicate_bytes < MIB);
}

#[test]
fn a_slow_holder_is_asked_for_nothing_at_the_end() {
    let mut rig = Rig::new(14);
    rig.complete(0..2);
    let mut open = rig.requests();
    open.sort();
    for (from, chunk) in open {
        let takes = if from == peer(0) { ms(25) } else { ms(1_000) };
        rig.wait(takes);
        rig.deliver(from, chunk);
    }
    let asked = rig.requests();
    assert!(
        !asked.is_empty() && asked.iter().all(|(from, _)| *from == peer(0)),
        "{asked:?}"
    );
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
