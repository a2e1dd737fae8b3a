//! What is kept, against the calendar; what is swept, against the rules.

use proptest::prelude::*;

use super::*;

/// 2024-01-01 00:00 UTC, a Monday.
const NEW_YEAR: u64 = 1_704_067_200;
const DAY: u64 = 86_400;

fn kept(policy: Policy, taken: &[u64]) -> Vec<usize> {
    let judged = judge(&policy, taken, 0).unwrap();
    (0..taken.len())
        .filter(|index| !judged[*index].is_empty())
        .collect()
}

#[test]
fn the_newest_of_each_period_stays() {
    // Twice a day for 100 days, the older first.
    let taken: Vec<u64> = (0..200).map(|half| NEW_YEAR + half * DAY / 2).collect();
    let policy = Policy {
        last: 3,
        ..Policy::default()
    };
    assert_eq!(kept(policy, &taken), [197, 198, 199]);
    let policy = Policy {
        daily: 3,
        ..Policy::default()
    };
    assert_eq!(kept(policy, &taken), [195, 197, 199]);
    // The last day is 2024-04-09, a Tuesday; Sundays before are days 97, 90.
    let policy = Policy {
        weekly: 3,
        ..Policy::default()
    };
    assert_eq!(kept(policy, &taken), [90 * 2 + 1, 97 * 2 + 1, 199]);
    // The ends of January (31 days) and February (29).
    let policy = Policy {
        monthly: 9,
        ..Policy::default()
    };
    assert_eq!(kept(policy, &taken), [30 * 2 + 1, 59 * 2 + 1, 90 * 2 + 1, 199]);
    let policy = Policy {
        yearly: 2,
        ..Policy::default()
    };
    assert_eq!(kept(policy, &taken), [199]);
}

#[test]
fn periods_without_snapshots_do_not_count() {
    let taken = [NEW_YEAR, NEW_YEAR + 100 * DAY, NEW_YEAR + 900 * DAY];
    let policy = Policy {
        daily: 2,
        ..Policy::default()
    };
    assert_eq!(kept(policy, &taken), [1, 2]);
}

#[test]
fn days_begin_where_the_owner_lives() {
    let taken = [NEW_YEAR - 3600, NEW_YEAR];
    let policy = Policy {
        yearly: 5,
        ..Policy::default()
    };
    assert_eq!(kept(policy, &taken), [0, 1]);
    let judged = judge(&policy, &taken, 3600).unwrap();
    assert_eq!(judged, [vec![], vec![Because::Yearly]]);
}

#[test]
fn a_policy_that_keeps_nothing_is_refused() {
    assert_eq!(judge(&Policy::default(), &[NEW_YEAR], 0), Err(KeepsNothing));
}

#[test]
fn months_of_days() {
    // 1970-01-01, 1999-12-31, 2000-02-29, 2000-03-01, 2100-02-28, 2100-03-01, 0000-03-01.
    for (day, year, month_of_year) in [
        (0, 1970, 1),
        (10_956, 1999, 12),
        (11_016, 2000, 2),
        (11_017, 2000, 3),
        (47_540, 2100, 2),
        (47_541, 2100, 3),
        (-719_468, 0, 3),
    ] {
        assert_eq!(month(day), year * 12 + month_of_year - 1, "{day}");
    }
    // Every month of 400 years has 28 to 31 days, and they follow each other.
    let mut days = 0;
    for day in 0..146_097 {
        days += 1;
        let step = month(day + 1) - month(day);
        assert!(step == 0 || step == 1 && (28..=31).contains(&days), "{day}");
        if step == 1 {
            days = 0;
        }
    }
}

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn id(n: u8) -> PackId {
    PackId([n; 32])
}

/// A pack of 100 bytes with pieces of 10 bytes.
fn pack(n: u8, sealed_by: u8, pieces: &[u32]) -> Pack<u32> {
    Pack {
        id: id(n),
        sealed_by: peer(sealed_by),
        bytes: 100,
        listed: true,
        pieces: pieces.iter().map(|piece| (*piece, 10)).collect(),
    }
}

/// Device 1 prunes; 3 is retired; pack 9 is needed by device 2.
fn swept(packs: &[Pack<u32>], live: &[u32]) -> Sweep<u32> {
    let terms = Terms {
        device: peer(1),
        retired: &BTreeSet::from([peer(3)]),
        needed_by_others: &BTreeSet::from([id(9)]),
        repack_below_permille: 300,
    };
    sweep(packs, &terms, |piece| live.contains(piece))
}

#[test]
fn dead_packs_are_condemned_and_sparse_ones_packed_anew() {
    let packs = [
        pack(1, 1, &[1, 2, 3]),
        pack(2, 1, &[4, 5, 6]),
        pack(3, 1, &[7, 8]),
    ];
    let swept = swept(&packs, &[1, 2, 3, 4]);
    assert_eq!(swept.keep, [id(1)]);
    assert_eq!(swept.rescue, [(4, id(2))]);
    assert_eq!((swept.condemn, swept.condemned_bytes), (vec![id(2), id(3)], 200));
}

#[test]
fn what_others_seal_or_need_is_left_alone() {
    let packs = [
        pack(1, 2, &[1]),
        pack(9, 1, &[2]),
        pack(2, 2, &[]),
        pack(3, 3, &[]),
        pack(4, 3, &[3]),
    ];
    let swept = swept(&packs, &[1, 2, 3]);
    // Sparse as they are, those of others are kept; those of the retired are ours.
    assert_eq!(swept.keep, [id(1), id(9)]);
    assert_eq!(
        (swept.rescue, swept.condemn),
        (vec![(3, id(4))], vec![id(3), id(4)])
    );
}

#[test]
fn nothing_is_built_on_a_pack_that_no_head_of_ours_lists() {
    let mut packs = [
        pack(1, 1, &[1, 2, 3]),
        pack(9, 2, &[1, 2, 3]),
        pack(2, 1, &[1, 2, 3]),
    ];
    (packs[0].listed, packs[1].listed) = (false, false);
    let swept = swept(&packs, &[1, 2, 3]);
    assert_eq!((swept.keep, swept.condemn), (vec![id(2)], vec![id(1)]));
}

#[test]
fn a_piece_in_two_packs_is_needed_in_one() {
    let packs = [
        pack(1, 1, &[1, 2, 3]),
        pack(2, 1, &[1, 2, 3]),
        pack(9, 2, &[3, 4, 5]),
    ];
    let swept = swept(&packs, &[1, 2, 3]);
    // Piece 3 counts where others need it anyway.
    assert_eq!(swept.keep, [id(9)]);
    assert_eq!(swept.rescue, [(1, id(1)), (2, id(1))]);
    assert_eq!(swept.condemn, [id(1), id(2)]);
}

proptest! {
    #[test]
    fn every_live_piece_is_kept_or_rescued_once(
        packs in prop::collection::vec((1u8..4, prop::collection::btree_set(0u32..30, 0..10), any::<bool>()), 0..15),
        live in prop::collection::btree_set(0u32..30, 0..30), below in 0u16..1001,
    ) {
        let needed: BTreeSet<PackId> = (0u8..).zip(&packs).filter(|(_, pack)| pack.2).map(|(n, _)| id(n)).collect();
        let packs: Vec<Pack<u32>> = (0u8..).zip(&packs)
            .map(|(n, (by, pieces, _))| pack(n, *by, &pieces.iter().copied().collect::<Vec<_>>())).collect();
        let terms = Terms {
            device: peer(1),
            retired: &BTreeSet::from([peer(3)]),
            needed_by_others: &needed,
            repack_below_permille: below,
        };
        let swept = sweep(&packs, &terms, |piece| live.contains(piece));
        for piece in &live {
            let homes: Vec<_> = packs.iter().filter(|pack| pack.pieces.iter().any(|(p, _)| p == piece)).collect();
            let kept = homes.iter().filter(|pack| swept.keep.contains(&pack.id)).count();
            let rescued = swept.rescue.iter().filter(|(p, _)| p == piece).count();
            prop_assert!(rescued <= 1);
            prop_assert!(homes.is_empty() || kept + rescued > 0);
        }
        for id in &swept.condemn {
            let pack = packs.iter().find(|pack| pack.id == *id).unwrap();
            prop_assert!(pack.sealed_by != peer(2) && !needed.contains(id) && !swept.keep.contains(id));
        }
    }
}
