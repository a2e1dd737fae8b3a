//! What happens when chunks do not come: other holders, pauses, blame, and the end of hope.

use std::time::Duration;

use super::{MIB, ms, peer, rig::Rig};
use crate::swarm::{Action, Failure, Outcome, Reason, Received};

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
    let progress = rig.swarm.progress(rig.now);
    assert_eq!(
        (progress.received_bytes, progress.duplicate_bytes),
        (2 * MIB, MIB)
    );
    let holders = rig.swarm.holders(rig.now);
    assert!(holders.iter().all(|holder| holder.bytes == MIB));
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
fn what_waits_here_for_the_rate_is_not_stalled() {
    let mut rig = Rig::new(2);
    rig.complete(0..1);
    let asked = rig.requests();
    for _ in 0..3_000 {
        rig.wait(ms(100));
        for &(from, chunk) in &asked {
            rig.swarm.handle_held(rig.now, from, chunk);
        }
        assert_eq!(rig.poll(), []);
    }
    rig.wait(Duration::from_secs(60));
    let stalled = |action: &Action| matches!(action, Action::Cancel { .. });
    assert_eq!(rig.poll().iter().filter(|action| stalled(action)).count(), 2);
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
    // Four at half a second, four at one second, four at two, and so on.
    assert!((3..16).contains(&searches), "{searches}");
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
fn the_search_is_brought_forward_when_nobody_is_left() {
    let mut rig = Rig::new(4);
    rig.partial(0, &[0]);
    let [(from, chunk)] = rig.requests()[..] else {
        panic!("one chunk to be had")
    };
    rig.deliver(from, chunk);
    for _ in 0..30 {
        rig.poll();
        rig.swarm.handle_no_more_holders(rig.now);
        rig.wait(Duration::from_secs(60));
    }
    rig.poll();
    rig.swarm.handle_no_more_holders(rig.now);
    rig.wait(ms(600));
    assert_eq!(rig.poll(), [], "the pauses are long by now");
    rig.swarm.handle_gone(rig.now, from);
    assert_eq!(rig.poll(), []);
    rig.wait(ms(500));
    assert_eq!(rig.poll(), [Action::FindHolders]);
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
