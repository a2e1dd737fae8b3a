//! The ways in which a condemnation does not lead to a deletion, and the one in which it does.

use skep_wire::{
    OwnerId,
    backup::{Device, Retired},
};

use super::*;

const OWNER: OwnerId = OwnerId([1; 32]);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
const DAY: Duration = Duration::from_secs(86_400);

fn peer(n: u8) -> PeerId {
    PeerId([n; 32])
}

fn pack(n: u8) -> PackId {
    PackId([n; 32])
}

fn condemnation(device: u8, number: u64, packs: &[u8]) -> Condemnation {
    Condemnation {
        owner: OWNER,
        device: peer(device),
        number,
        made_unix_s: 0,
        packs: packs.iter().map(|n| pack(*n)).collect(),
    }
}

fn cancelation(condemned_by: u8, up_to: u64, packs: &[u8]) -> Cancelation {
    Cancelation {
        owner: OWNER,
        device: peer(9),
        condemned_by: peer(condemned_by),
        up_to,
        packs: packs.iter().map(|n| pack(*n)).collect(),
    }
}

/// Device 1 condemned packs 1 and 2.
fn docket() -> Docket {
    let mut docket = Docket::default();
    docket.condemn(&condemnation(1, 5, &[1, 2]), WEEK, |_| true);
    docket
}

fn due_after_a_week(mut docket: Docket) -> Vec<PackId> {
    docket.served(WEEK);
    docket.due()
}

#[test]
fn the_grace_is_served_here() {
    let mut docket = docket();
    docket.served(WEEK - DAY);
    assert_eq!(docket.due(), []);
    // Saying it again neither prolongs nor shortens it.
    docket.condemn(&condemnation(1, 6, &[1]), WEEK, |_| true);
    docket.served(DAY);
    assert_eq!(docket.due(), [pack(1), pack(2)]);
    docket.deleted(&pack(1));
    assert_eq!(docket.due(), [pack(2)]);
}

#[test]
fn what_is_not_here_yet_is_condemned_too_within_bounds() {
    let mut docket = Docket::default();
    docket.condemn(&condemnation(1, 5, &[1, 2]), WEEK, |id| *id == pack(2));
    for n in [1, 2] {
        let sentences: Vec<_> = docket.condemned(&pack(n)).collect();
        assert_eq!(sentences, [(peer(1), 5, WEEK)]);
    }
    let mut many = condemnation(1, 6, &[]);
    let id = |n: usize| PackId(*blake3::hash(&n.to_be_bytes()).as_bytes());
    many.packs = (0..MAX_ABSENT + 10).map(id).collect();
    docket.condemn(&many, WEEK, |_| false);
    assert_eq!(docket.sentences.len(), MAX_ABSENT);
    docket.condemn(&condemnation(1, 7, &[9]), WEEK, |_| true);
    assert_eq!(docket.condemned(&pack(9)).count(), 1, "what is here always is");
}

#[test]
fn a_cancelation_counts_for_some_or_all_up_to_its_number() {
    let mut some = docket();
    some.cancel(&cancelation(1, 5, &[1]));
    assert_eq!(due_after_a_week(some), [pack(2)]);
    let mut all = docket();
    all.cancel(&cancelation(1, 5, &[]));
    assert_eq!(due_after_a_week(all), []);
    let mut earlier = docket();
    earlier.cancel(&cancelation(1, 4, &[]));
    earlier.cancel(&cancelation(2, 9, &[1]));
    assert_eq!(due_after_a_week(earlier), [pack(1), pack(2)]);
}

#[test]
fn a_cancelation_may_come_first() {
    for packs in [&[1, 2][..], &[]] {
        let mut docket = Docket::default();
        docket.cancel(&cancelation(1, 5, packs));
        docket.condemn(&condemnation(1, 5, &[1, 2]), WEEK, |_| true);
        assert_eq!(due_after_a_week(docket.clone()), []);
        docket.condemn(&condemnation(1, 6, &[1]), WEEK, |_| true);
        assert_eq!(due_after_a_week(docket), [pack(1)]);
    }
}

#[test]
fn a_replay_after_a_cancelation_does_nothing() {
    let mut docket = docket();
    docket.cancel(&cancelation(1, 5, &[1, 2]));
    docket.condemn(&condemnation(1, 5, &[1, 2]), WEEK, |_| true);
    assert_eq!(due_after_a_week(docket), []);
}

#[test]
fn a_head_that_needs_the_pack_saves_it() {
    let mut docket = docket();
    docket.listed(peer(2), 1, &[pack(1)]);
    assert_eq!(due_after_a_week(docket.clone()), [pack(2)]);
    // Condemned again while it is needed, it stays; when it is not needed any more, the sentence stands.
    docket.condemn(&condemnation(1, 6, &[1]), WEEK, |_| true);
    assert_eq!(due_after_a_week(docket.clone()), [pack(2)]);
    docket.listed(peer(2), 2, &[]);
    assert_eq!(due_after_a_week(docket.clone()), [pack(1), pack(2)]);
    // An old list changes nothing.
    docket.listed(peer(2), 1, &[pack(1)]);
    assert_eq!(due_after_a_week(docket), [pack(1), pack(2)]);
}

#[test]
fn without_the_list_of_a_head_nothing_is_deleted() {
    let mut docket = docket();
    docket.served(WEEK);
    docket.head(peer(2), 3);
    assert_eq!(docket.due(), []);
    docket.listed(peer(2), 3, &[pack(1)]);
    assert_eq!(docket.due(), [pack(2)]);
    // After a restart the lists are told again.
    let mut again = Docket::decode(&docket.encode()).unwrap();
    assert_eq!(again.due(), []);
    again.listed(peer(2), 3, &[pack(1)]);
    assert_eq!(again, docket);
}

#[test]
fn revoking_a_device_voids_what_it_condemned() {
    let device = |n, rights| Device {
        peer: peer(n),
        sealing: [0; 32],
        rights,
        keys: vec![],
    };
    let roster = Roster {
        owner: OWNER,
        number: 2,
        epoch: 2,
        devices: vec![device(3, Rights::ALL), device(4, Rights::WRITE)],
        retired: vec![Retired {
            peer: peer(1),
            last_head: 9,
        }],
    };
    let mut docket = docket();
    docket.listed(peer(1), 9, &[pack(3)]);
    docket.condemn(&condemnation(3, 1, &[3]), WEEK, |_| true);
    docket.condemn(&condemnation(4, 1, &[4]), WEEK, |_| true);
    docket.roster(&roster);
    assert_eq!(due_after_a_week(docket), [pack(3)]);
}

fn surplus(number: u64, packs: &[u8]) -> Surplus {
    Surplus {
        owner: OWNER,
        device: peer(1),
        number,
        made_unix_s: 0,
        holder: peer(7),
        packs: packs.iter().map(|n| pack(*n)).collect(),
    }
}

#[test]
fn what_is_too_much_waits_for_its_grace_and_is_forgotten_when_it_is_needed() {
    let mut docket = Docket::default();
    docket.relieve(&surplus(5, &[1, 2, 3]), WEEK, |id| *id != pack(3));
    // A head needs it, and what others have of it is enough.
    docket.listed(peer(2), 1, &[pack(1)]);
    assert!(docket.is_waiting());
    docket.served(WEEK - DAY);
    assert_eq!(docket.due_surplus(), []);
    let mut docket = Docket::decode(&docket.encode()).unwrap();
    docket.listed(peer(2), 1, &[pack(1)]);
    docket.served(DAY);
    assert_eq!(docket.due_surplus(), [pack(1), pack(2)]);
    assert_eq!(docket.due(), [], "nobody has condemned it");
    docket.needed(&pack(1));
    docket.deleted(&pack(2));
    assert!(!docket.is_waiting());
    docket.relieve(&surplus(5, &[1]), WEEK, |_| true);
    assert!(!docket.is_waiting(), "it is a replay");
    docket.relieve(&surplus(6, &[1]), WEEK, |_| true);
    docket.served(WEEK - DAY);
    assert_eq!(docket.due_surplus(), [], "the grace begins anew");
}

#[test]
fn that_something_is_too_much_is_canceled_and_ends_with_the_device() {
    let said = || {
        let mut docket = Docket::default();
        docket.relieve(&surplus(5, &[1, 2]), WEEK, |_| true);
        docket.served(WEEK);
        docket
    };
    let mut docket = said();
    docket.cancel(&cancelation(1, 4, &[]));
    docket.cancel(&cancelation(2, 9, &[]));
    docket.cancel(&cancelation(1, 5, &[1]));
    assert_eq!(docket.due_surplus(), [pack(2)]);
    docket.cancel(&cancelation(1, 5, &[]));
    assert!(!docket.is_waiting());
    let mut docket = said();
    docket.roster(&Roster {
        owner: OWNER,
        number: 2,
        epoch: 2,
        devices: vec![],
        retired: vec![],
    });
    assert!(!docket.is_waiting());
}

#[test]
fn a_docket_of_the_first_form_is_read() {
    let docket = docket();
    let bytes = docket.encode();
    let old = bytes.strip_suffix(&[0, 0]).unwrap();
    assert_eq!(Docket::decode(old), Some(docket));
}
