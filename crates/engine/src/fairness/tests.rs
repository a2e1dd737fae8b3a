//! Tests of the upload slots: shares, bounds, and a swarm with free riders.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rand::{
    Rng, SeedableRng,
    rngs::SmallRng,
    seq::{IndexedRandom, SliceRandom},
};

use super::*;

const MIB: u64 = 1 << 20;
const NOW: Duration = Duration::ZERO;

fn peer(number: usize) -> PeerId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&(number as u64).to_be_bytes());
    PeerId(id)
}

fn number(peer: PeerId) -> usize {
    usize::try_from(u64::from_be_bytes(peer.0[..8].try_into().unwrap())).unwrap()
}

fn one_slot() -> Config {
    Config {
        slots: 1,
        ..Config::default()
    }
}

/// Serves `rounds` jobs of a MiB one after the other while these peers always have three waiting.
/// Returns how many each got, and the longest time any of them waited, in jobs.
fn serve(slots: &mut Slots, peers: usize, rounds: usize) -> (Vec<usize>, usize) {
    let (mut got, mut last, mut longest) = (vec![0; peers], vec![0; peers], 0);
    let mut id = 0;
    let mut ask = |slots: &mut Slots, number: usize| {
        id += 1;
        assert_eq!(
            slots.handle_ask(
                NOW,
                Job {
                    peer: peer(number),
                    id
                },
                MIB,
                None
            ),
            Admission::Waits
        );
    };
    (0..peers * 3).for_each(|number| ask(slots, number % peers));
    for round in 0..rounds {
        let mut granted = Vec::new();
        slots.poll(NOW, &mut granted);
        let [job] = granted[..] else { panic!("{granted:?}") };
        let number = number(job.peer);
        got[number] += 1;
        longest = longest.max(round - last[number]);
        last[number] = round;
        slots.handle_done(job);
        ask(slots, number);
    }
    let unserved = last.iter().map(|&at| rounds - at).max().unwrap();
    (got, longest.max(unserved))
}

#[test]
fn what_has_just_gone_to_somebody_else_goes_after_everything_else() {
    let mut slots = Slots::new(one_slot());
    let content = BlobId([7; 32]);
    let mut granted = Vec::new();
    for (number, chunk) in [(0, 1), (1, 1), (2, 1), (2, 2), (1, 3)] {
        let job = Job {
            peer: peer(number),
            id: chunk,
        };
        assert_eq!(
            slots.handle_ask(NOW, job, MIB, Some((content, chunk))),
            Admission::Waits
        );
    }
    while slots.waiting() > 0 {
        slots.poll(NOW, &mut granted);
        granted.iter().for_each(|&job| slots.handle_done(job));
    }
    let order: Vec<_> = granted.iter().map(|job| (number(job.peer), job.id)).collect();
    assert_eq!(order[..3], [(0, 1), (1, 3), (2, 2)], "rare ones first");
    assert_eq!(order.len(), 5, "and then the others, too");
}

#[test]
fn strangers_share_equally() {
    let mut slots = Slots::new(one_slot());
    let (got, _) = serve(&mut slots, 5, 100);
    assert_eq!(got, [20; 5]);
}

#[test]
fn who_gave_more_gets_more_and_a_newcomer_gets_the_floor() {
    let mut slots = Slots::new(one_slot());
    slots.handle_received(NOW, peer(0), 300 * MIB);
    slots.handle_received(NOW, peer(1), 100 * MIB);
    let (got, _) = serve(&mut slots, 4, 1_000);
    // 0.2 / 4 each, and 0.8 by 3 : 1 : 0 : 0.
    for (got, expected) in got.iter().zip([650_usize, 250, 50, 50]) {
        assert!(got.abs_diff(expected) <= 10, "{got} instead of {expected}");
    }
    assert!((slots.share(NOW, peer(0)) - 0.65).abs() < 0.001);
    assert_eq!(slots.share(NOW, peer(9)), 0.0);
}

#[test]
fn an_idle_uplink_is_for_everybody() {
    let mut slots = Slots::new(Config::default());
    slots.handle_received(NOW, peer(1), 1_000 * MIB);
    for id in 0..20 {
        assert_eq!(
            slots.handle_ask(NOW, Job { peer: peer(0), id }, MIB, None),
            Admission::Waits
        );
    }
    let mut granted = Vec::new();
    slots.poll(NOW, &mut granted);
    assert_eq!(granted.len(), 16);
    assert_eq!(slots.waiting(), 4);
}

#[test]
fn a_pause_saves_nothing_up() {
    let mut slots = Slots::new(one_slot());
    serve(&mut slots, 1, 500);
    // The newcomer was away while the other got 500 MiB; it does not get 500 in a row now.
    let (got, longest) = serve(&mut slots, 2, 100);
    assert!(got[0] >= 45, "{got:?}");
    assert!(longest <= 6, "{longest}");
}

#[test]
fn who_takes_its_bytes_slowly_does_not_hold_up_the_others() {
    let mut slots = Slots::new(one_slot());
    let mut granted = Vec::new();
    for number in 0..2 {
        assert_eq!(
            slots.handle_ask(
                NOW,
                Job {
                    peer: peer(number),
                    id: 0
                },
                MIB,
                None
            ),
            Admission::Waits
        );
    }
    slots.poll(NOW, &mut granted);
    let wakeup = slots.next_wakeup(NOW).unwrap();
    slots.poll(NOW, &mut granted);
    assert_eq!(granted.len(), 1);
    slots.poll(wakeup, &mut granted);
    assert_eq!(granted.len(), 2);
    assert_eq!(slots.next_wakeup(wakeup), None, "nobody waits");
}

#[test]
fn cancelled_jobs_and_lost_peers_free_their_places() {
    let mut slots = Slots::new(one_slot());
    let job = |number, id| Job {
        peer: peer(number),
        id,
    };
    for job in [job(0, 1), job(0, 2), job(1, 1)] {
        assert_eq!(slots.handle_ask(NOW, job, MIB, None), Admission::Waits);
    }
    let mut granted = Vec::new();
    slots.poll(NOW, &mut granted);
    assert_eq!(granted, [job(0, 1)]);
    slots.handle_done(job(1, 1));
    slots.handle_gone(peer(0));
    slots.poll(NOW, &mut granted);
    assert_eq!((granted.len(), slots.waiting()), (1, 0));
}

#[test]
fn one_peer_cannot_fill_the_queue() {
    let mut slots = Slots::new(Config {
        max_waiting: 2,
        ..one_slot()
    });
    let ask = |slots: &mut Slots, number, id| {
        slots.handle_ask(
            NOW,
            Job {
                peer: peer(number),
                id,
            },
            MIB,
            None,
        )
    };
    assert_eq!(ask(&mut slots, 0, 0), Admission::Waits);
    assert_eq!(ask(&mut slots, 0, 1), Admission::Waits);
    assert_eq!(ask(&mut slots, 0, 2), Admission::TooMany);
    assert_eq!(ask(&mut slots, 1, 0), Admission::Waits);
}

#[test]
fn gifts_fade_and_hearsay_is_capped() {
    let config = Config::default();
    let mut slots = Slots::new(config.clone());
    slots.handle_received(NOW, peer(0), 64 * MIB);
    let later = config.half_life * 2;
    let faded = slots.accounts[&peer(0)].credit(later, &config);
    assert!((faded - (16 * MIB) as f64).abs() < 1.0, "{faded}");
    slots.handle_report(peer(1), peer(0), u64::MAX);
    slots.handle_report(peer(1), peer(0), u64::MAX);
    slots.handle_report(peer(0), peer(0), u64::MAX);
    let credit = slots.accounts[&peer(0)].credit(later, &config);
    assert!(
        (credit - faded - (16 * MIB) as f64).abs() < 1.0,
        "a quarter of 64 MiB, once: {credit}"
    );
    slots.handle_report(peer(1), peer(7), 5);
    assert!(
        !slots.accounts.contains_key(&peer(7)),
        "nobody is remembered by hearsay alone"
    );
}

#[test]
fn strangers_without_number_cost_bounded_memory() {
    let mut slots = Slots::new(Config {
        max_accounts: 100,
        ..Config::default()
    });
    slots.handle_received(NOW, peer(0), 500 * MIB);
    for number in 1..5_000 {
        slots.handle_received(NOW, peer(number), 1);
    }
    assert!(slots.accounts.len() <= 100);
    assert!(
        slots.accounts.contains_key(&peer(0)),
        "who gave much is remembered"
    );
}

proptest! {
    #[test]
    fn nobody_starves(gifts in prop::collection::vec(0_u64..1 << 40, 1..30)) {
        let config = one_slot();
        let floor = config.floor;
        let mut slots = Slots::new(config);
        for (number, &gift) in gifts.iter().enumerate() {
            slots.handle_received(NOW, peer(number), gift);
        }
        let rounds = gifts.len() * 30;
        let (got, longest) = serve(&mut slots, gifts.len(), rounds);
        let least = 30.0 * floor - 2.0;
        prop_assert!(got.iter().all(|&got| got as f64 >= least), "{got:?}");
        let bound = gifts.len() as f64 * (1.0 / floor + 2.0);
        prop_assert!(longest as f64 <= bound, "waited for {longest} others");
    }

    #[test]
    fn shares_add_up_to_one(gifts in prop::collection::vec(0_u64..1 << 40, 1..30)) {
        let mut slots = Slots::new(one_slot());
        for (number, &gift) in gifts.iter().enumerate() {
            slots.handle_received(NOW, peer(number), gift);
            prop_assert_eq!(slots.handle_ask(NOW, Job { peer: peer(number), id: 0 }, MIB, None), Admission::Waits);
        }
        let sum: f64 = (0..gifts.len()).map(|number| slots.share(NOW, peer(number))).sum();
        prop_assert!((sum - 1.0).abs() < 1e-9);
    }
}

impl Slots {
    fn clear_waiting(&mut self) {
        self.accounts
            .values_mut()
            .for_each(|account| account.waiting.clear());
    }
}

/// A peer of the simulated swarm.
struct Member {
    slots: Slots,
    /// Chunks it sends in a round; free riders send none.
    uplink: usize,
    /// Whom it asks; the publisher is one of them.
    neighbours: Vec<usize>,
    have: BTreeSet<u64>,
    done: Option<usize>,
}

const CHUNKS: u64 = 80;
const PEERS: usize = 200;

/// Rounds after which each of 200 peers has everything, every third one a free rider. Peer 0 is the publisher.
fn free_riders(seed: u64) -> Vec<(bool, usize)> {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut members: Vec<Member> = (0..PEERS).map(member).collect();
    for number in 1..PEERS {
        for _ in 0..6 {
            let other = rng.random_range(1..PEERS);
            members[number].neighbours.push(other);
            members[other].neighbours.push(number);
        }
    }
    let mut round = 0;
    while members.iter().any(|member| member.done.is_none()) {
        round += 1;
        assert!(round < 5_000, "somebody starves: seed {seed}");
        play(&mut members, round, &mut rng);
    }
    let rounds = members.iter().enumerate().skip(1);
    rounds
        .map(|(number, member)| (is_rider(number), member.done.unwrap()))
        .collect()
}

fn is_rider(number: usize) -> bool {
    number.is_multiple_of(3)
}

fn member(number: usize) -> Member {
    let uplink = match number {
        0 => 8,
        _ if is_rider(number) => 0,
        _ => 2,
    };
    let have = if number == 0 {
        (0..CHUNKS).collect()
    } else {
        BTreeSet::new()
    };
    let done = (number == 0).then_some(0);
    Member {
        slots: Slots::new(Config::default()),
        uplink,
        neighbours: vec![0],
        have,
        done,
    }
}

/// One round: everybody asks a few neighbours for a chunk it misses, everybody serves by its slots.
fn play(members: &mut [Member], round: usize, rng: &mut SmallRng) {
    let now = Duration::from_secs(round as u64);
    for asker in 1..PEERS {
        for _ in 0..6 {
            let holder = members[asker].neighbours[rng.random_range(0..members[asker].neighbours.len())];
            let missing: Vec<u64> = members[holder]
                .have
                .difference(&members[asker].have)
                .copied()
                .collect();
            if let Some(&id) = missing.choose(rng) {
                let _ = members[holder].slots.handle_ask(
                    now,
                    Job {
                        peer: peer(asker),
                        id,
                    },
                    MIB,
                    None,
                );
            }
        }
    }
    let mut order: Vec<usize> = (0..PEERS).collect();
    order.shuffle(rng);
    for holder in order {
        upload(members, holder, now);
    }
    for member in members
        .iter_mut()
        .filter(|member| member.have.len() as u64 == CHUNKS)
    {
        member.done.get_or_insert(round);
    }
}

fn upload(members: &mut [Member], holder: usize, now: Duration) {
    let mut left = members[holder].uplink;
    while left > 0 {
        let Some(job) = members[holder].slots.grant(now) else {
            break;
        };
        members[holder].slots.handle_done(job);
        let asker = number(job.peer);
        if members[asker].have.insert(job.id) {
            members[asker].slots.handle_received(now, peer(holder), MIB);
            members[0].slots.handle_report(peer(asker), peer(holder), MIB);
            left -= 1;
        }
    }
    // Nobody waits for an answer for longer than a round here.
    members[holder].slots.clear_waiting();
}

#[test]
fn contributors_finish_earlier_and_free_riders_finish_too() {
    for seed in 0..3 {
        let done = free_riders(seed);
        let mean = |rider: bool| {
            let rounds: Vec<usize> = done
                .iter()
                .filter(|(r, _)| *r == rider)
                .map(|(_, round)| *round)
                .collect();
            rounds.iter().sum::<usize>() as f64 / rounds.len() as f64
        };
        assert!(
            mean(false) * 1.1 < mean(true),
            "seed {seed}: {:.1} and {:.1} rounds",
            mean(false),
            mean(true)
        );
        let last = done.iter().map(|(_, round)| *round).max().unwrap() as f64;
        assert!(
            last < mean(false) * 3.0,
            "seed {seed}: the last needs {last} rounds"
        );
    }
}
