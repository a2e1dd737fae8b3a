//! Who is chosen, who is not, and what becomes of plans.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;
use skep_wire::PackId;

use super::{
    plans::{Confirmed, Failed},
    *,
};

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn candidate(n: u8) -> Candidate {
    Candidate {
        peer: peer(n),
        role: Role::Storage,
        site: None,
        online: true,
        free_bytes: 1 << 30,
        availability_permille: 1000,
    }
}

fn at(n: u8, site: &str) -> Candidate {
    Candidate {
        site: Some(site.into()),
        ..candidate(n)
    }
}

fn wish(count: usize, seed: u64) -> Wish<'static> {
    Wish {
        scheme: Scheme::copies(3).unwrap(),
        count,
        shard_bytes: 1 << 20,
        never: &[],
        holders: &[],
        seed,
    }
}

/// How often each candidate is chosen, of 1,000 times one.
fn tally(candidates: &[Candidate]) -> Vec<usize> {
    let chosen: Vec<PeerId> = (0..1000)
        .flat_map(|seed| choose(&wish(1, seed), candidates).unwrap())
        .collect();
    let count = |candidate: &Candidate| chosen.iter().filter(|peer| **peer == candidate.peer).count();
    candidates.iter().map(count).collect()
}

#[test]
fn auto_goes_by_the_number_of_storage_peers() {
    let text = |peers, earlier| auto(peers, earlier).map(|auto| (auto.scheme.to_string(), auto.is_fragile));
    let expected = ["", "1x", "2x", "2x", "3x", "3x", "3x", "4+2", "4+2"];
    assert_eq!(text(0, None), Err(Denied::NoStorage));
    for (peers, scheme) in expected.iter().enumerate().skip(1) {
        assert_eq!(text(peers, None), Ok(((*scheme).to_owned(), peers == 1)));
    }
    assert_eq!(text(9, Scheme::copies(3)), Ok(("3x".into(), false)));
    assert_eq!(text(9, Scheme::new(3, 0)), Ok(("3+0".into(), true)));
}

#[test]
fn sites_are_spread_over_first() {
    let candidates = [at(1, "a"), at(2, "a"), at(3, "a"), at(4, "b"), at(5, "c")];
    for seed in 0..100 {
        let chosen: BTreeSet<_> = choose(&wish(3, seed), &candidates).unwrap().into_iter().collect();
        assert!(
            chosen.contains(&peer(4)) && chosen.contains(&peer(5)),
            "{chosen:?}"
        );
    }
    // Sites of those who have a shard already count.
    let holders = [peer(4), peer(5)];
    let more = Wish {
        holders: &holders,
        ..wish(1, 7)
    };
    assert!(choose(&more, &candidates).unwrap()[0] <= peer(3));
    // Who says nothing is a site of its own.
    let candidates = [at(1, "a"), candidate(2), candidate(3), at(4, "a")];
    for seed in 0..100 {
        let chosen = choose(&wish(3, seed), &candidates).unwrap();
        assert!(
            chosen.contains(&peer(2)) && chosen.contains(&peer(3)),
            "{chosen:?}"
        );
    }
}

#[test]
fn room_time_online_and_role_give_a_better_chance_and_no_certainty() {
    let mut candidates = [candidate(1), candidate(2)];
    candidates[1].free_bytes *= 4;
    let tallied = tally(&candidates);
    assert!((120..280).contains(&tallied[0]), "{tallied:?}");
    let mut candidates = [candidate(1), candidate(2)];
    candidates[0].availability_permille = 500;
    let tallied = tally(&candidates);
    assert!((120..280).contains(&tallied[0]), "{tallied:?}");
    let mut candidates = [candidate(1), candidate(2)];
    candidates[0].role = Role::Both;
    let tallied = tally(&candidates);
    assert!((250..420).contains(&tallied[0]), "{tallied:?}");
}

#[test]
fn the_extremes_of_weight() {
    let mut candidates = [candidate(1), candidate(2), candidate(3)];
    for candidate in &mut candidates {
        candidate.free_bytes = u64::MAX;
    }
    candidates[0].availability_permille = 0;
    let none = Wish {
        shard_bytes: 0,
        ..wish(3, 1)
    };
    assert_eq!(choose(&none, &candidates).map(|chosen| chosen.len()), Ok(3));
    assert_eq!(choose(&wish(0, 1), &[]), Ok(vec![]));
}

#[test]
fn a_denial_says_what_would_help() {
    let mut candidates = vec![candidate(1), candidate(2), candidate(3)];
    candidates[2].online = false;
    let denied = choose(&wish(3, 0), &candidates).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "3x takes 3 more storage peers other than the owner's own, and 2 are online (1 are offline); \
         bring more of them online, let 1 more join, or choose a smaller scheme"
    );
    candidates[2].online = true;
    candidates[1].free_bytes = 0;
    let denied = choose(&wish(3, 0), &candidates).unwrap_err();
    assert_eq!(
        denied,
        Denied::TooLittleSpace {
            scheme: Scheme::copies(3).unwrap(),
            need: 3,
            have: 2,
            online: 3,
            shard_bytes: 1 << 20
        }
    );
}

proptest! {
    #[test]
    fn never_twice_never_the_owner_never_who_cannot(
        rows in prop::collection::vec((0u8..3, 0u8..4, any::<bool>(), 0u64..3 << 20, 0u16..=1000), 0..30),
        count in 0usize..10, seed: u64,
    ) {
        let candidates: Vec<Candidate> = (0u8..).zip(&rows).map(|(n, (role, site, online, free, availability))| Candidate {
            peer: peer(n),
            role: [Role::Owner, Role::Storage, Role::Both][usize::from(*role)],
            site: (*site > 0).then(|| site.to_string().into()),
            online: *online,
            free_bytes: *free,
            availability_permille: *availability,
        }).collect();
        let (never, holders) = ([peer(0), peer(1)], [peer(2)]);
        let wish = Wish { never: &never, holders: &holders, ..wish(count, seed) };
        let fits = |candidate: &&Candidate| candidate.role != Role::Owner && candidate.online
            && candidate.free_bytes >= 1 << 20 && candidate.peer > peer(2);
        let fitting: BTreeSet<PeerId> = candidates.iter().filter(fits).map(|candidate| candidate.peer).collect();
        match choose(&wish, &candidates) {
            Ok(chosen) => {
                let distinct: BTreeSet<PeerId> = chosen.iter().copied().collect();
                prop_assert_eq!(distinct.len(), count);
                prop_assert!(distinct.is_subset(&fitting));
                prop_assert_eq!(Ok(chosen), choose(&wish, &candidates));
            }
            Err(_) => prop_assert!(fitting.len() < count),
        }
    }
}

const PACK: PackId = PackId([9; 32]);
const MINUTE: Duration = Duration::from_secs(60);

/// A plan of 10 bytes on peers 1, 2 and 3.
fn plans() -> Plans {
    let mut plans = Plans::new(MINUTE);
    plans.open(Duration::ZERO, PACK, 10, &[peer(1), peer(2), peer(3)]);
    plans
}

#[test]
fn a_plan_reserves_room_until_all_have_confirmed() {
    let mut plans = plans();
    assert_eq!((plans.reserved(&peer(1)), plans.reserved(&peer(4))), (10, 0));
    assert_eq!(plans.confirmed((PACK, 0), &peer(1)), Confirmed::Kept);
    assert_eq!(plans.confirmed((PACK, 0), &peer(1)), Confirmed::Kept);
    assert_eq!(plans.reserved(&peer(1)), 0);
    assert_eq!(plans.confirmed((PACK, 0), &peer(2)), Confirmed::Unknown);
    assert_eq!(plans.confirmed((PACK, 1), &peer(2)), Confirmed::Kept);
    assert_eq!(plans.confirmed((PACK, 2), &peer(3)), Confirmed::Complete);
    assert_eq!(plans.next_wakeup(), None);
    assert_eq!(plans.confirmed((PACK, 2), &peer(3)), Confirmed::Unknown);
}

#[test]
fn three_failures_and_another_is_planned() {
    let mut plans = plans();
    for expected in [Failed::Retry, Failed::Retry, Failed::Replace, Failed::Ignored] {
        assert_eq!(plans.failed((PACK, 1), &peer(2)), expected);
    }
    assert_eq!(plans.failed((PACK, 1), &peer(3)), Failed::Ignored);
    assert_eq!(plans.reserved(&peer(2)), 0);
    plans.replace(MINUTE, (PACK, 1), peer(4));
    assert_eq!(plans.reserved(&peer(4)), 10);
    assert_eq!(plans.holders(&PACK), [peer(1), peer(2), peer(4), peer(3)]);
    assert_eq!(plans.failed((PACK, 1), &peer(4)), Failed::Retry);
}

#[test]
fn who_does_not_confirm_loses_its_place_once() {
    let mut plans = plans();
    assert_eq!(plans.confirmed((PACK, 0), &peer(1)), Confirmed::Kept);
    assert_eq!(plans.overdue(MINUTE - Duration::from_nanos(1)), []);
    assert_eq!(plans.next_wakeup(), Some(MINUTE));
    let overdue = plans.overdue(MINUTE);
    assert_eq!(overdue, [((PACK, 1), peer(2)), ((PACK, 2), peer(3))]);
    assert_eq!((plans.overdue(MINUTE), plans.next_wakeup()), (vec![], None));
}

#[test]
fn a_late_confirmation_counts_while_the_place_is_open_and_is_a_surplus_after() {
    let mut plans = plans();
    plans.overdue(MINUTE);
    // Nobody else was chosen yet.
    assert_eq!(plans.confirmed((PACK, 0), &peer(1)), Confirmed::Kept);
    // Another was chosen, but has not confirmed.
    plans.replace(MINUTE, (PACK, 1), peer(4));
    let instead = Confirmed::KeptInstead {
        of: peer(4),
        complete: false,
    };
    assert_eq!(plans.confirmed((PACK, 1), &peer(2)), instead);
    assert_eq!(plans.reserved(&peer(4)), 0);
    // Another was chosen and has confirmed.
    plans.replace(MINUTE, (PACK, 2), peer(5));
    assert_eq!(plans.confirmed((PACK, 2), &peer(5)), Confirmed::Complete);
    assert_eq!(plans.confirmed((PACK, 2), &peer(3)), Confirmed::Surplus);
    plans.forget_complete();
    assert_eq!(plans.confirmed((PACK, 2), &peer(3)), Confirmed::Unknown);
}

#[test]
fn a_plan_that_is_given_up_reserves_nothing() {
    let mut plans = plans();
    assert_eq!(plans.cancel(&PACK).len(), 3);
    for n in 1..=3 {
        assert_eq!(plans.reserved(&peer(n)), 0);
    }
    assert_eq!(plans.overdue(MINUTE * 9), []);
    plans.replace(MINUTE, (PACK, 1), peer(4));
    assert_eq!(plans.reserved(&peer(4)), 0);
}

proptest! {
    /// Whatever happens in whatever order, what is reserved is what is waited for.
    #[test]
    fn reservations_balance(steps in prop::collection::vec((0u8..5, 0u8..3, 0u8..8, 0u64..200), 0..80)) {
        let mut plans = Plans::new(MINUTE);
        let mut now = Duration::ZERO;
        for (what, shard, n, seconds) in steps {
            now += Duration::from_secs(seconds);
            let slot = (PACK, shard);
            match what {
                0 => plans.open(now, PACK, 10, &[peer(n), peer(n + 8), peer(n + 16)]),
                1 => { plans.confirmed(slot, &peer(n)); }
                2 => { plans.failed(slot, &peer(n)); }
                3 => plans.replace(now, slot, peer(n)),
                _ => { plans.overdue(now); }
            }
        }
        plans.cancel(&PACK);
        for n in 0..=u8::MAX {
            prop_assert_eq!(plans.reserved(&peer(n)), 0);
        }
        prop_assert_eq!(plans.next_wakeup(), None);
    }
}
