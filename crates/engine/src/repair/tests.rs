//! What is rebuilt when peers go, come back, fail, and fail in numbers.

use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const PACK: PackId = PackId([9; 32]);

fn settings() -> Settings {
    Settings {
        repair_after: 24 * HOUR,
        urgent_after: Duration::ZERO,
        settle: MINUTE,
        patience: HOUR,
        rebuilds: 2,
        bytes_per_s: None,
    }
}

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn pack(n: u8) -> PackId {
    PackId([n; 32])
}

fn scheme(text: &str) -> Scheme {
    text.parse().unwrap()
}

/// Peers 0 to 9 are there, and shard `n` of the pack is on peer `n`. It is an hour after the start.
fn repair(settings: Settings, text: &str) -> Repair {
    let mut repair = Repair::new(Duration::ZERO, settings);
    (0..10).for_each(|n| repair.online(Duration::ZERO, peer(n)));
    repair.keep(PACK, scheme(text), 100);
    for shard in 0..u8::try_from(scheme(text).shards()).unwrap() {
        repair.hold(PACK, shard, peer(shard));
    }
    assert_eq!(repair.next(HOUR), None);
    repair
}

fn level(repair: &Repair) -> (Level, usize, usize, usize) {
    let health = repair.health(&PACK).unwrap();
    (health.level, health.survives, health.reachable, health.missing)
}

#[test]
fn who_is_away_has_failed_after_a_day() {
    let mut repair = repair(settings(), "3+3");
    repair.offline(HOUR, peer(1));
    assert_eq!(level(&repair), (Level::Whole, 3, 5, 0));
    assert_eq!(repair.next_wakeup(), Some(25 * HOUR));
    assert_eq!(repair.next(25 * HOUR - MINUTE), None);
    let need = repair.next(25 * HOUR).unwrap();
    assert_eq!((need.pack, need.shard, need.shard_bytes), (PACK, 1, 100));
    assert_eq!(need.sources.len(), 5);
    assert!(need.holders.contains(&peer(1)) && !need.sources.contains(&(1, peer(1))));
    assert_eq!(level(&repair), (Level::Degraded, 2, 5, 1));

    repair.begin(25 * HOUR, &need, peer(7));
    assert_eq!((repair.next(25 * HOUR), repair.rebuilds_of(&peer(7))), (None, 1));
    repair.hold(PACK, 1, peer(7));
    assert_eq!((repair.next(26 * HOUR), repair.rebuilds_of(&peer(7))), (None, 0));
    assert_eq!(level(&repair), (Level::Whole, 3, 6, 0));
}

#[test]
fn who_comes_back_counts_again_and_leaves_a_surplus() {
    let mut repair = repair(settings(), "3+3");
    repair.failed(HOUR, peer(1));
    repair.hold(PACK, 1, peer(7));
    assert!(!repair.can_spare(&PACK, &peer(7)));
    repair.online(2 * HOUR, peer(1));
    assert!(repair.can_spare(&PACK, &peer(1)) && repair.can_spare(&PACK, &peer(7)));
    assert!(!repair.can_spare(&PACK, &peer(2)));
    assert_eq!(level(&repair), (Level::Whole, 3, 6, 0));
    // Who is not there now, or wants to be rid of it, is not relied on.
    repair.offline(2 * HOUR, peer(1));
    assert!(!repair.can_spare(&PACK, &peer(7)) && repair.can_spare(&PACK, &peer(1)));
    repair.online(2 * HOUR, peer(1));
    repair.release(&PACK, peer(7), true);
    assert!(!repair.can_spare(&PACK, &peer(1)) && repair.can_spare(&PACK, &peer(7)));
    // The copies of replicas are all alike.
    repair.keep(pack(1), scheme("2x"), 100);
    (0..2).for_each(|n| repair.hold(pack(1), 0, peer(n)));
    assert!(!repair.can_spare(&pack(1), &peer(0)));
    repair.hold(pack(1), 0, peer(2));
    assert!((0..3).all(|n| repair.can_spare(&pack(1), &peer(n))));
    assert!(!repair.can_spare(&pack(9), &peer(0)));
}

#[test]
fn at_one_more_than_it_takes_nobody_waits() {
    for (text, gone) in [("3x", 1), ("4+2", 1), ("3+3", 2), ("2x", 1)] {
        let mut repair = repair(settings(), text);
        for n in 0..gone {
            assert_eq!(repair.next(HOUR), None, "{text}");
            repair.offline(HOUR, peer(n));
        }
        assert_eq!(repair.next(HOUR).unwrap().shard, 0, "{text}");
        // Who is away has not failed for all that.
        assert_eq!(repair.health(&PACK).unwrap().level, Level::Whole, "{text}");
    }
}

#[test]
fn urgency_can_be_told_to_wait_for_a_reboot() {
    let mut repair = repair(
        Settings {
            urgent_after: 10 * MINUTE,
            ..settings()
        },
        "3x",
    );
    repair.offline(HOUR, peer(0));
    assert_eq!(repair.next(HOUR + 9 * MINUTE), None);
    assert_eq!(repair.next_wakeup(), Some(HOUR + 10 * MINUTE));
    assert!(repair.next(HOUR + 10 * MINUTE).is_some());
    repair.online(HOUR + 11 * MINUTE, peer(0));
    assert_eq!(repair.next(HOUR + 11 * MINUTE), None);
}

#[test]
fn when_most_are_away_the_time_stops() {
    let mut repair = repair(settings(), "3+3");
    (4..10).for_each(|n| repair.offline(HOUR, peer(n)));
    assert_eq!(repair.next_wakeup(), None);
    // One to spare: nothing is copied, for days.
    assert_eq!(repair.next(100 * HOUR), None);
    assert_eq!(repair.health(&PACK).unwrap().level, Level::Whole);
    // None to spare: it is.
    repair.offline(100 * HOUR, peer(0));
    assert_eq!(repair.next(100 * HOUR).unwrap().shard, 0);
    // They come back, but for one: its day begins now.
    (0..9).for_each(|n| repair.online(101 * HOUR, peer(n)));
    assert_eq!(repair.next(124 * HOUR), None);
    repair.advance(125 * HOUR);
    assert_eq!(repair.attendance.standing(&peer(9)), presence::Standing::Failed);
}

#[test]
fn who_left_for_good_is_no_holder_any_more() {
    let mut repair = repair(settings(), "3+3");
    repair.gone(HOUR, &peer(1));
    assert_eq!(level(&repair), (Level::Degraded, 2, 5, 1));
    let need = repair.next(HOUR).unwrap();
    assert!(need.shard == 1 && !need.holders.contains(&peer(1)));
    repair.gone(HOUR, &peer(99));
}

#[test]
fn after_a_start_peers_have_time_to_come() {
    let mut repair = Repair::new(Duration::ZERO, settings());
    repair.keep(PACK, scheme("3x"), 100);
    (0..3).for_each(|n| repair.hold(PACK, n, peer(n)));
    repair.online(Duration::from_secs(1), peer(0));
    assert_eq!(repair.next(Duration::from_secs(2)), None);
    (1..3).for_each(|n| repair.online(Duration::from_secs(30), peer(n)));
    assert_eq!((repair.next(MINUTE), repair.next(HOUR)), (None, None));
}

#[test]
fn what_has_fewest_left_comes_first() {
    let mut repair = Repair::new(Duration::ZERO, settings());
    (0..10).for_each(|n| repair.online(Duration::ZERO, peer(n)));
    for n in 1..4 {
        repair.keep(pack(n), scheme("4x"), 100);
        (0..4).for_each(|shard| repair.hold(pack(n), shard, peer(shard)));
    }
    repair.lose(&pack(1), 3, &peer(3));
    repair.lose(&pack(3), 1, &peer(1));
    (1..4).for_each(|shard| repair.lose(&pack(2), shard, &peer(shard)));
    repair.lose(&pack(3), 2, &peer(2));
    let mut order = Vec::new();
    while let Some(need) = repair.next(HOUR) {
        order.push((need.pack, need.shard));
        repair.postpone(HOUR, need.pack);
    }
    assert_eq!(order, [(pack(2), 1), (pack(3), 1), (pack(1), 3)]);
    // What could not be placed is tried again.
    assert_eq!(repair.next(2 * HOUR).unwrap().pack, pack(2));
    assert_eq!(repair.forget(&pack(2)), [(0, peer(0))]);
    assert_eq!(repair.next(2 * HOUR).unwrap().pack, pack(3));
}

#[test]
fn so_many_at_a_time_and_so_many_bytes_a_second() {
    let limited = Settings {
        bytes_per_s: Some(10),
        ..settings()
    };
    let mut repair = repair(limited, "2x");
    repair.keep(pack(1), scheme("2x"), 100);
    repair.hold(pack(1), 0, peer(0));
    repair.lose(&PACK, 1, &peer(1));
    let need = repair.next(HOUR).unwrap();
    repair.begin(HOUR, &need, peer(5));
    let later = repair.next_wakeup().unwrap();
    assert!((HOUR + Duration::from_secs(9)..=HOUR + Duration::from_secs(10)).contains(&later));
    assert_eq!(repair.next(later - MINUTE / 60), None);
    let need = repair.next(later).unwrap();
    repair.begin(later, &need, peer(6));
    repair.keep(pack(2), scheme("2x"), 100);
    repair.hold(pack(2), 0, peer(0));
    assert_eq!(repair.next(later + MINUTE), None, "two are under way");
    // One gives up, and is in line again a little later.
    repair.gave_up(later, &need.pack, &peer(6));
    assert!(repair.next(later + MINUTE).is_some());
}

#[test]
fn a_rebuild_that_failed_is_tried_again_soon_and_ever_later() {
    let mut repair = repair(settings(), "2x");
    repair.lose(&PACK, 1, &peer(1));
    let mut now = HOUR;
    for pause in [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4] {
        let need = repair.next(now).unwrap();
        repair.begin(now, &need, peer(5));
        // Somebody else's failure is none of this.
        repair.gave_up(now, &PACK, &peer(6));
        assert_eq!(repair.next(now + pause), None);
        repair.gave_up(now, &PACK, &peer(5));
        assert_eq!(repair.next(now + pause / 2), None);
        now += pause;
        assert!(repair.next(now).is_some());
    }
}

#[test]
fn a_rebuild_that_failed_is_tried_again_when_somebody_comes() {
    let mut repair = repair(settings(), "2x");
    repair.lose(&PACK, 1, &peer(1));
    let need = repair.next(HOUR).unwrap();
    repair.begin(HOUR, &need, peer(5));
    repair.gave_up(HOUR, &PACK, &peer(5));
    assert_eq!(repair.next(HOUR), None);
    repair.online(HOUR, peer(6));
    assert_eq!(repair.next(HOUR), Some(need));
}

#[test]
fn a_rebuild_that_hangs_is_given_to_another() {
    let mut repair = repair(settings(), "2x");
    repair.lose(&PACK, 1, &peer(1));
    let need = repair.next(HOUR).unwrap();
    repair.begin(HOUR, &need, peer(5));
    assert_eq!(repair.next(2 * HOUR - MINUTE), None);
    assert_eq!(repair.next(2 * HOUR), Some(need));
}

#[test]
fn a_rebuild_whose_target_went_away_is_given_to_another_at_once() {
    let mut repair = repair(settings(), "3x");
    repair.failed(HOUR, peer(0));
    let need = repair.next(HOUR).unwrap();
    repair.begin(HOUR, &need, peer(7));
    assert_eq!(repair.next(HOUR), None);
    repair.offline(HOUR, peer(7));
    assert!(repair.next(HOUR).is_some());
    repair.postpone(HOUR, PACK);
    assert_eq!(repair.next(HOUR), None, "nobody can take it");
    repair.online(HOUR, peer(7));
    assert!(repair.next(HOUR).is_some(), "now somebody can");
}

#[test]
fn below_what_it_takes_there_is_nothing_to_rebuild_from() {
    let mut repair = repair(settings(), "4+2");
    (0..3).for_each(|n| repair.failed(HOUR, peer(n)));
    assert_eq!(level(&repair), (Level::Lost, 0, 3, 3));
    assert_eq!(repair.next(HOUR), None);
    repair.online(2 * HOUR, peer(0));
    assert_eq!(level(&repair), (Level::AtRisk, 0, 4, 2));
    assert_eq!(repair.next(2 * HOUR).unwrap().shard, 1);
}

proptest! {
    /// Whatever happens: the queue is what a fresh look at every pack gives.
    #[test]
    fn the_queue_is_always_up_to_date(steps in prop::collection::vec((0u8..7, 0u8..5, 0u8..8, 0u8..6, 0u64..40), 0..120)) {
        let mut repair = Repair::new(Duration::ZERO, Settings { urgent_after: HOUR, ..settings() });
        let mut now = Duration::ZERO;
        for (what, p, n, shard, hours) in steps {
            now += HOUR * u32::try_from(hours).unwrap();
            match what {
                0 => repair.online(now, peer(n)),
                1 => repair.offline(now, peer(n)),
                2 => repair.failed(now, peer(n)),
                3 => repair.lose(&pack(p), shard, &peer(n)),
                4 => drop(repair.next(now)),
                5 => repair.gone(now, &peer(n)),
                _ => {
                    repair.keep(pack(p), scheme(["2x", "3x", "2+1", "4+2", "1x"][usize::from(p)]), 10);
                    repair.hold(pack(p), shard, peer(n));
                }
            }
            let fresh: BTreeSet<_> = repair.packs.keys()
                .filter_map(|pack| Some((repair.place_in_queue(pack)?, *pack))).collect();
            prop_assert_eq!(&repair.queue, &fresh);
            for (_, pack) in &fresh {
                let need = repair.need(pack);
                prop_assert!(need.is_some_and(|need| need.sources.len() >= need.scheme.data()));
            }
        }
    }
}
