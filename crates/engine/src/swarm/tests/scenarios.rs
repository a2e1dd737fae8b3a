//! What the scheduler achieves in the simulated world.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::SmallRng};
use roaring::RoaringTreemap;

use super::{
    MIB, ms,
    world::{Manners, World, duplicates_allowed},
};
use crate::swarm::{Outcome, Reason};

const HOUR: Duration = Duration::from_secs(3_600);

/// Seconds for one downloader of `chunks` MiB in a world that `build` fills with holders.
fn time(chunks: u64, build: impl Fn(&mut World)) -> f64 {
    let mut world = World::new(chunks * MIB, 7);
    build(&mut world);
    let who = world.downloader(MIB, ms(0), 11);
    world.run(HOUR);
    assert_eq!(world.outcome(who), Outcome::Complete);
    let duplicates = world.duplicates(who);
    assert!(
        duplicates <= duplicates_allowed(world.size()),
        "{duplicates} duplicate bytes"
    );
    world.done_at(who)
}

#[test]
fn five_equal_holders_are_nearly_five_times_as_fast() {
    for latency in [0, 1, 20] {
        let one = time(480, |world| world.holders(1, 40 * MIB, ms(latency)));
        let five = time(480, |world| world.holders(5, 40 * MIB, ms(latency)));
        assert!(one / five >= 4.7, "{:.2} times with {latency} ms", one / five);
    }
}

#[test]
fn one_holder_fills_its_uplink() {
    for (rate, latency) in [(1_000, 0), (100, 10), (50, 100), (10, 1)] {
        let seconds = time(256, |world| world.holders(1, rate * MIB, ms(latency)));
        let ideal = 256.0 / rate as f64 + latency as f64 / 500.0;
        assert!(
            seconds <= ideal * 1.1 + 1.0,
            "{seconds:.2} s, ideal is {ideal:.2} at {rate} MiB/s, {latency} ms"
        );
    }
}

#[test]
fn one_crawling_holder_of_five_costs_little() {
    for rate in [10, 40, 200] {
        let without = time(480, |world| world.holders(4, rate * MIB, ms(2)));
        let with = time(480, |world| {
            world.holders(4, rate * MIB, ms(2));
            world.holders(1, 1 << 10, ms(2));
        });
        assert!(
            with <= without * 1.1,
            "{with:.2} s instead of {without:.2} at {rate} MiB/s"
        );
    }
}

#[test]
fn the_nearer_and_the_faster_give_more() {
    let mut world = World::new(400 * MIB, 3);
    world.holders(1, 80 * MIB, ms(1));
    world.holders(1, 20 * MIB, ms(1));
    let who = world.downloader(MIB, ms(0), 5);
    world.run(HOUR);
    let stats = world.swarm(who).holders(world.now);
    assert!(
        stats[0].share > 0.75 && stats[0].share < 0.85,
        "{}",
        stats[0].share
    );
    assert!(world.done_at(who) < 400.0 / 100.0 * 1.06);
}

#[test]
fn ten_downloaders_feed_each_other() {
    let (rate, size) = (20 * MIB, 128 * MIB);
    for seed in 0..8 {
        let mut world = World::new(size, seed);
        world.sociable = true;
        world.holders(1, rate, ms(1));
        let all: Vec<usize> = (0..10)
            .map(|number| world.downloader(200 * MIB, ms(1), seed * 100 + number))
            .collect();
        world.run(HOUR);
        let last = all.iter().map(|&who| world.done_at(who)).fold(0.0, f64::max);
        let alone = size as f64 / rate as f64;
        assert!(last <= alone * 1.25, "seed {seed}: {:.2} times", last / alone);
    }
}

#[test]
fn many_slow_holders_do_not_take_the_memory_from_the_fast() {
    let fast = time(512, |world| world.holders(4, 50 * MIB, ms(5)));
    let mixed = time(512, |world| {
        world.holders(40, 16 << 10, ms(5));
        world.holders(4, 50 * MIB, ms(5));
    });
    assert!(mixed <= fast * 1.25, "{mixed:.2} s instead of {fast:.2}");
}

#[test]
fn says_who_is_to_blame_when_nobody_can_go_on() {
    let mut world = World::new(20 * MIB, 1);
    world.holder(
        10 * MIB,
        ms(1),
        Manners {
            lies: 1.0,
            ..Manners::default()
        },
        None,
    );
    world.holder(
        10 * MIB,
        ms(1),
        Manners {
            leaves: Some((ms(3), HOUR)),
            ..Manners::default()
        },
        None,
    );
    world.holder(
        10 * MIB,
        ms(1),
        Manners::default(),
        Some(RoaringTreemap::from_iter([3])),
    );
    world.holder(
        10 * MIB,
        ms(1),
        Manners {
            freezes: Some(ms(0)),
            ..Manners::default()
        },
        None,
    );
    let who = world.downloader(MIB, ms(1), 1);
    world.run(HOUR / 2);
    let Outcome::Stuck { reasons } = world.outcome(who) else {
        panic!("{:?}", world.outcome(who))
    };
    let reasons: Vec<Reason> = reasons.into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons[..3], [Reason::Lied, Reason::Gone, Reason::HasNoneOfIt]);
    assert!(matches!(reasons[3], Reason::Exhausted(_)), "{reasons:?}");
    assert!(world.now < Duration::from_secs(600), "{:?}", world.now);
}

#[test]
fn finishes_if_one_honest_holder_is_left() {
    for seed in 0..500 {
        bad_company(seed);
    }
}

/// One honest holder among others of all sorts.
fn bad_company(seed: u64) {
    let mut rng = SmallRng::seed_from_u64(seed);
    let size = rng.random_range(0..60 * MIB);
    let mut world = World::new(size, seed);
    world.strict = size < 20 * MIB;
    let chunks = size.div_ceil(MIB).max(1);
    let honest = rng.random_range(0..6);
    for number in 0..6 {
        let latency = ms(rng.random_range(0..150));
        if number == honest {
            world.holders(1, rng.random_range(MIB..50 * MIB), latency);
        } else {
            let some = rng
                .random_bool(0.4)
                .then(|| (0..chunks).filter(|_| rng.random_bool(0.5)).collect());
            world.holder(
                10 << rng.random_range(10..23),
                latency,
                bad_manners(&mut rng),
                some,
            );
        }
    }
    let who = world.downloader(MIB, ms(1), seed);
    world.run(HOUR);
    assert_eq!(world.outcome(who), Outcome::Complete, "seed {seed}");
    world.swarm(who).check();
    let duplicates = world.duplicates(who);
    assert!(
        duplicates <= duplicates_allowed(size),
        "seed {seed}: {duplicates} duplicate bytes of {size}"
    );
    assert!(
        world.done_at(who) < 180.0,
        "seed {seed}: {} s",
        world.done_at(who)
    );
}

fn bad_manners(rng: &mut SmallRng) -> Manners {
    let sometimes = |rng: &mut SmallRng| {
        if rng.random_bool(0.3) {
            rng.random_range(0.0..1.0)
        } else {
            0.0
        }
    };
    let soon = |rng: &mut SmallRng| ms(rng.random_range(0..5_000));
    Manners {
        refuses: sometimes(rng),
        lies: sometimes(rng),
        ignores: sometimes(rng),
        leaves: rng.random_bool(0.3).then(|| (soon(rng), soon(rng))),
        freezes: rng.random_bool(0.2).then(|| soon(rng)),
    }
}

#[test]
fn the_same_seed_gives_the_same_course() {
    let course = |seed| {
        let mut world = World::new(50 * MIB, seed);
        world.holder(
            5 * MIB,
            ms(3),
            Manners {
                refuses: 0.3,
                ..Manners::default()
            },
            None,
        );
        world.holders(3, 5 * MIB, ms(3));
        let who = world.downloader(MIB, ms(1), seed);
        world.run(HOUR);
        (world.done_at(who), world.swarm(who).holders(world.now))
    };
    assert_eq!(course(4), course(4));
}
