//! The depot by itself: whatever happens, what is in the ledger is what it knows, and lost facts come back.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use skep_wire::{
    BlobId, SigningKey,
    backup::{Cancelation, Condemnation, Device, Head, PackList, Retired, Roster},
    message::{Health, Level, ListCondemned, ListPacks, Locate, NewPack, Plan, Sentence, WhoKeeps},
    record::Role,
};

use super::*;
use crate::placement::Candidate;

const NOW: Moment = Moment {
    mono: Duration::from_secs(1000),
    unix_s: 1_000_000,
};
const PEERS: u8 = 4;
const PACKS: u8 = 5;

fn settings() -> Settings {
    Settings::new(Duration::from_secs(10), Duration::from_secs(3600))
}

fn owner_key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

fn device_key() -> SigningKey {
    SigningKey::from_seed([2; 32])
}

fn owner() -> OwnerId {
    OwnerId(owner_key().public())
}

fn device() -> PeerId {
    device_key().peer_id()
}

fn peer(n: u8) -> PeerId {
    PeerId([100 + n; 32])
}

fn roster(number: u64, retired: bool) -> Signed<Roster> {
    let listed = Device {
        peer: device(),
        sealing: [0; 32],
        rights: Rights::ALL,
        keys: vec![],
    };
    let gone = Retired {
        peer: device(),
        last_head: 1,
    };
    let roster = Roster {
        owner: owner(),
        number,
        epoch: 1,
        devices: if retired { vec![] } else { vec![listed] },
        retired: if retired { vec![gone] } else { vec![] },
    };
    Signed::new(&roster, &owner_key())
}

/// The second roster: another device may do everything, too.
fn roster_with(key: &SigningKey) -> Signed<Roster> {
    let mut two = roster(1, false).peek().unwrap();
    two.number = 2;
    let first = two.devices[0].clone();
    two.devices.push(Device {
        peer: key.peer_id(),
        ..first
    });
    Signed::new(&two, &owner_key())
}

fn head(number: u64) -> Signed<Head> {
    let head = Head {
        owner: owner(),
        device: device(),
        number,
        previous: [0; 32],
        roster: 1,
        made_unix_s: 0,
        epoch: 1,
        salt: [0; 32],
        sealed: vec![],
        packs: PackList {
            id: BlobId([0; 32]),
            size: 0,
        },
    };
    Signed::new(&head, &device_key())
}

fn pack(n: u8) -> PackId {
    PackId([n; 32])
}

fn held(n: u8, shard: u8) -> HeldShard {
    let scheme = Scheme::new(2, 1).unwrap();
    let record = PackRecord {
        owner: owner(),
        device: device(),
        pack: pack(n),
        size: 1000,
        epoch: 1,
        scheme,
        shards: vec![BlobId([n; 32]); 3],
    };
    let record = Signed::new(&record, &device_key());
    HeldShard { record, shard }
}

fn condemned(number: u64, packs: &[u8]) -> Word {
    let word = Condemnation {
        owner: owner(),
        device: device(),
        number,
        made_unix_s: 0,
        packs: packs.iter().map(|n| pack(*n)).collect(),
    };
    Word::Condemned(Signed::new(&word, &device_key()))
}

fn pardoned(up_to: u64) -> Word {
    let word = Cancelation {
        owner: owner(),
        device: device(),
        condemned_by: device(),
        up_to,
        packs: vec![],
    };
    Word::Pardoned(Signed::new(&word, &device_key()))
}

/// A depot and its ledger.
struct Town {
    depot: Depot,
    facts: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Town {
    fn new() -> Self {
        let mut town = Self {
            depot: Depot::new(NOW, settings(), [1; 32]),
            facts: BTreeMap::new(),
        };
        town.change(|depot, changes| depot.keep_roster(roster(1, false), changes))
            .unwrap();
        town
    }

    fn change<T>(&mut self, act: impl FnOnce(&mut Depot, &mut Vec<Change>) -> T) -> T {
        let mut changes = Vec::new();
        let out = act(&mut self.depot, &mut changes);
        for Change { key, value } in changes {
            assert!(is_fact(&key) && key.len() < 600);
            match value {
                Some(value) => self.facts.insert(key, value),
                None => self.facts.remove(&key),
            };
        }
        out
    }

    fn keep(&mut self, n: u8, shard: u8, at: u8) {
        self.change(|depot, changes| depot.held(NOW, peer(at), held(n, shard), changes))
            .unwrap();
    }

    fn restored(&self) -> Depot {
        let mut depot = Depot::new(NOW, settings(), [1; 32]);
        for (key, value) in &self.facts {
            assert_eq!(depot.restore(key, value), Ok(true), "{key:?}");
        }
        depot
    }
}

/// All that can be seen from outside.
fn view(depot: &Depot) -> impl PartialEq + std::fmt::Debug {
    let all = (0..PACKS).map(pack).collect();
    let locate = Locate {
        owner: owner(),
        packs: all,
    };
    let list = ListPacks {
        owner: owner(),
        after: None,
    };
    (
        depot.locate(&device(), &locate),
        depot.list_packs(&device(), &list),
        depot.sentences(&device(), &condemned_ones()),
        depot.owner_state(&owner()),
        depot.next_word(&peer(9), &owner()),
        (0..PEERS)
            .map(|n| depot.keepers.digest(&peer(n)))
            .collect::<Vec<_>>(),
        (0..PACKS)
            .map(|n| depot.packs.get(&pack(n)).map(|pack| pack.dying))
            .collect::<Vec<_>>(),
    )
}

fn condemned_ones() -> ListCondemned {
    ListCondemned {
        owner: owner(),
        after: None,
    }
}

#[derive(Debug, Clone)]
enum Act {
    Keep(u8, u8, u8),
    Lose(u8, u8, u8),
    Report(u8, Vec<(u8, u8)>),
    Gone(u8),
    Condemn(Vec<u8>),
    Pardon(u64),
    Head(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let shard = || (0..PACKS, 0..3u8);
    let act = prop_oneof![
        6 => (shard(), 0..PEERS).prop_map(|((n, shard), at)| Act::Keep(n, shard, at)),
        2 => (shard(), 0..PEERS).prop_map(|((n, shard), at)| Act::Lose(n, shard, at)),
        1 => (0..PEERS, prop::collection::vec(shard(), 0..4)).prop_map(|(at, all)| Act::Report(at, all)),
        1 => (0..PEERS).prop_map(Act::Gone),
        1 => prop::collection::vec(0..PACKS, 1..4).prop_map(Act::Condemn),
        1 => (0..6u64).prop_map(Act::Pardon),
        1 => (1..5u64).prop_map(Act::Head),
    ];
    prop::collection::vec(act, 0..60)
}

fn play(town: &mut Town, number: &mut u64, act: Act) {
    town.change(|depot, changes| match act {
        Act::Keep(n, shard, at) => depot.held(NOW, peer(at), held(n, shard), changes).unwrap(),
        Act::Lose(n, shard, at) => {
            let pack = pack(n);
            depot.lost(peer(at), ShardName { pack, shard }, changes);
        }
        Act::Report(at, all) => {
            depot.returned(peer(at), &[0; 32]);
            for (n, shard) in all {
                depot.held(NOW, peer(at), held(n, shard), changes).unwrap();
            }
            depot.reported(peer(at), changes);
        }
        Act::Gone(at) => depot.gone(NOW, peer(at), changes),
        Act::Condemn(packs) => {
            *number += 1;
            depot.keep_word(condemned(*number, &packs), changes).unwrap();
        }
        Act::Pardon(up_to) => {
            depot.keep_word(pardoned(up_to), changes).unwrap();
        }
        // An old one is refused.
        Act::Head(number) => {
            let _ = depot.keep_head(head(number), changes);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn after_a_restart_everything_is_known_as_before(acts in acts()) {
        let (mut town, mut number) = (Town::new(), 0);
        for act in acts {
            play(&mut town, &mut number, act);
        }
        prop_assert_eq!(format!("{:?}", view(&town.depot)), format!("{:?}", view(&town.restored())));
    }
}

#[test]
fn a_coordinator_that_lost_everything_learns_it_from_the_holders() {
    let mut town = Town::new();
    for at in 0..3 {
        town.keep(1, at, at);
        town.keep(2, at, at);
    }
    town.change(|depot, changes| depot.keep_head(head(7), changes))
        .unwrap();
    let mut fresh = Town {
        depot: Depot::new(NOW, settings(), [2; 32]),
        facts: BTreeMap::new(),
    };
    for at in 0..3 {
        let digest = town.depot.keepers.digest(&peer(at));
        assert!(town.depot.returned(peer(at), &digest));
        assert!(!fresh.depot.returned(peer(at), &digest));
        fresh.change(|depot, changes| {
            depot.keep_roster(roster(1, false), changes).unwrap();
            depot.keep_head(head(7), changes).unwrap();
            for name in town.depot.keepers.of(&peer(at)) {
                depot
                    .held(NOW, peer(at), held(name.pack.0[0], name.shard), changes)
                    .unwrap();
            }
            depot.reported(peer(at), changes);
        });
        assert!(fresh.depot.returned(peer(at), &digest));
    }
    assert_eq!(
        format!("{:?}", view(&fresh.depot)),
        format!("{:?}", view(&town.depot))
    );
}

#[test]
fn what_is_not_signed_by_a_listed_device_is_not_noted() {
    let mut depot = Depot::new(NOW, settings(), [1; 32]);
    let changes = &mut Vec::new();
    let reason = |outcome: Result<(), Denial>| outcome.unwrap_err().reason;
    assert_eq!(
        reason(depot.held(NOW, peer(1), held(1, 0), changes)),
        Reason::NotFound
    );
    depot.keep_roster(roster(2, true), changes).unwrap();
    assert_eq!(reason(depot.keep_head(head(2), changes)), Reason::NotAllowed);
    depot.keep_head(head(1), changes).unwrap();
    assert_eq!(
        reason(depot.keep_word(condemned(1, &[1]), changes).map(drop)),
        Reason::NotAllowed
    );
    assert_eq!(
        reason(depot.keep_roster(roster(1, false), changes).map(drop)),
        Reason::Stale
    );
    let mut forged = held(1, 0);
    forged.record = Signed::new(&forged.record.peek().unwrap(), &owner_key());
    assert_eq!(
        reason(depot.held(NOW, peer(1), forged, changes)),
        Reason::NotAllowed
    );
    assert_eq!(
        reason(depot.held(NOW, peer(1), held(1, 3), changes)),
        Reason::BadRequest
    );
    depot.keep_roster(roster(3, false), changes).unwrap();
    depot.keep_head(head(5), changes).unwrap();
    assert_eq!(reason(depot.keep_head(head(4), changes)), Reason::Stale);
}

#[test]
fn a_condemned_pack_is_not_rebuilt_and_forgotten_with_its_last_shard() {
    let mut town = Town::new();
    (0..3).for_each(|at| town.keep(1, at, at));
    (0..3).for_each(|at| town.depot.online(NOW, peer(at)));
    let later = NOW.later(Duration::from_secs(600));
    let missing = |depot: &mut Depot| depot.next_rebuild(later, |_| Vec::new(), 0).is_some();
    let name = |shard| ShardName { pack: pack(1), shard };
    town.change(|depot, changes| depot.keep_word(condemned(1, &[1]), changes))
        .unwrap();
    town.change(|depot, changes| depot.lost(peer(0), name(0), changes));
    assert!(!missing(&mut town.depot), "it is dying");
    assert!(!missing(&mut town.restored()), "and does not forget that");
    town.change(|depot, changes| depot.keep_word(pardoned(1), changes))
        .unwrap();
    assert!(missing(&mut town.depot), "it may live");
    town.change(|depot, changes| depot.keep_word(condemned(2, &[1]), changes))
        .unwrap();
    for at in 1..3 {
        town.change(|depot, changes| depot.lost(peer(at), name(at), changes));
    }
    assert_eq!(town.facts.len(), 1, "only the roster is left");
}

#[test]
fn what_is_too_much_is_given_up_by_one_after_the_other_and_never_what_is_needed() {
    let mut town = Town::new();
    (0..3).for_each(|at| town.keep(1, at, at));
    (0..5).for_each(|at| town.depot.online(NOW, peer(at)));
    let give_up = |town: &mut Town, at| {
        let given = town.change(|depot, changes| depot.give_up(&peer(at), &pack(1), changes));
        given.map_err(|denial| denial.reason)
    };
    for at in 0..3 {
        assert_eq!(give_up(&mut town, at), Err(Reason::Busy));
    }
    // The first two shards are kept twice.
    town.keep(1, 0, 3);
    town.keep(1, 1, 4);
    assert_eq!(give_up(&mut town, 2), Err(Reason::Busy));
    assert_eq!(give_up(&mut town, 0), Ok(()));
    assert_eq!(give_up(&mut town, 3), Err(Reason::Busy), "it is the only one now");
    town.depot.offline(NOW, peer(1));
    assert_eq!(
        give_up(&mut town, 4),
        Err(Reason::Busy),
        "the other one is not there"
    );
    town.depot.online(NOW, peer(1));
    assert_eq!(give_up(&mut town, 4), Ok(()));
    let who = WhoKeeps {
        owner: owner(),
        packs: vec![pack(1)],
    };
    let keepers = town.restored().who_keeps(&device(), &who).unwrap();
    assert_eq!(keepers, [1, 2, 3].map(peer).into(), "nor after a restart");
}

#[test]
fn health_says_what_is_missing() {
    let mut town = Town::new();
    for n in 1..3 {
        (0..3).for_each(|at| town.keep(n, at, at));
    }
    (0..3).for_each(|at| town.depot.online(NOW, peer(at)));
    let ask = |depot: &Depot, packs: Vec<PackId>| {
        let owner = owner();
        depot.health(&device(), &Health { owner, packs }).unwrap()
    };
    let health = ask(&town.depot, vec![]);
    assert_eq!(
        (health.level, health.survives, health.packs),
        (Level::Whole, 1, 2)
    );
    town.change(|depot, changes| depot.gone(NOW, peer(0), changes));
    let health = ask(&town.depot, vec![]);
    assert_eq!(
        (health.level, health.survives, health.reachable),
        (Level::AtRisk, 0, 2)
    );
    assert_eq!(health.missing_bytes, 2 * 512);
    town.change(|depot, changes| depot.gone(NOW, peer(1), changes));
    let health = ask(&town.depot, vec![pack(1), pack(9)]);
    assert_eq!((health.level, health.lost), (Level::Lost, vec![pack(1), pack(9)]));
    let who = |packs| WhoKeeps {
        owner: owner(),
        packs,
    };
    let keepers = |packs| town.depot.who_keeps(&device(), &who(packs)).unwrap();
    assert_eq!(keepers(vec![pack(2)]), [peer(2)].into());
    assert_eq!(
        (keepers(vec![]), keepers(vec![pack(9)])),
        ([peer(2)].into(), [].into())
    );
    let denied = town.depot.who_keeps(&peer(1), &who(vec![]));
    assert_eq!(denied.unwrap_err().reason, Reason::NotAllowed);
    let stranger = Health {
        owner: owner(),
        packs: vec![],
    };
    assert_eq!(
        town.depot.health(&peer(1), &stranger).unwrap_err().reason,
        Reason::NotAllowed
    );
}

#[test]
fn a_peer_without_room_does_not_count_for_the_scheme() {
    let candidate = |n: u8, free_bytes| Candidate {
        peer: peer(n),
        role: Role::Storage,
        site: None,
        online: true,
        free_bytes,
        availability_permille: 1000,
    };
    let plan = Plan {
        owner: owner(),
        scheme: None,
        packs: vec![NewPack {
            pack: pack(1),
            size: 1000,
        }],
    };
    for (last, shards) in [(1, 3), (0, 2)] {
        let mut candidates: Vec<_> = (0..3).map(|n| candidate(n, 1 << 20)).collect();
        candidates.push(candidate(3, last));
        let placed = Town::new()
            .depot
            .plan(NOW, &device(), &plan, candidates, 1)
            .unwrap();
        assert_eq!(placed.scheme.shards(), shards, "{last} bytes free on the fourth");
    }
}

#[test]
fn what_is_condemned_is_told_until_it_is_canceled() {
    let mut town = Town::new();
    (1..4).for_each(|n| town.keep(n, 0, 0));
    let told = |town: &Town| {
        let told = town.depot.sentences(&device(), &condemned_ones()).unwrap();
        let one = |sentence: &Sentence| (sentence.pack, sentence.number);
        told.sentences.iter().map(one).collect::<Vec<_>>()
    };
    for (number, packs) in [(1, vec![1, 2, 9]), (2, vec![2, 3])] {
        town.change(|depot, changes| depot.keep_word(condemned(number, &packs), changes))
            .unwrap();
    }
    assert_eq!(told(&town), [(pack(1), 1), (pack(2), 2), (pack(3), 2)]);
    for number in 1..=3 {
        let next = town.depot.next_word(&peer(0), &owner());
        assert_eq!(next.map(|(number, _)| number), (number < 3).then_some(number));
        town.depot.told_word(peer(0), owner(), number);
    }
    let rest = ListCondemned {
        after: Some(pack(2)),
        ..condemned_ones()
    };
    let rest = town.depot.sentences(&device(), &rest).unwrap();
    assert_eq!((rest.sentences.len(), rest.more), (1, false));
    town.change(|depot, changes| depot.keep_word(pardoned(1), changes))
        .unwrap();
    assert_eq!(told(&town), [(pack(2), 2), (pack(3), 2)]);
    assert!(town.depot.sentences(&peer(1), &condemned_ones()).is_err());
}

#[test]
fn what_is_condemned_is_told_a_page_at_a_time() {
    let mut town = Town::new();
    let packs: Vec<_> = (0..4100_u32)
        .map(|n| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            PackId(id)
        })
        .collect();
    for id in &packs {
        let HeldShard { record, shard } = held(1, 0);
        let pack = PackRecord {
            pack: *id,
            ..record.peek().unwrap()
        };
        let record = Signed::new(&pack, &device_key());
        town.change(|depot, changes| depot.held(NOW, peer(0), HeldShard { record, shard }, changes))
            .unwrap();
    }
    let condemn = |town: &mut Town, key: &SigningKey, packs: &[PackId]| {
        for (number, packs) in (1..).zip(packs.chunks(1000)) {
            let word = Condemnation {
                owner: owner(),
                device: key.peer_id(),
                number,
                made_unix_s: 0,
                packs: packs.to_vec(),
            };
            let word = Word::Condemned(Signed::new(&word, key));
            town.change(|depot, changes| depot.keep_word(word, changes))
                .unwrap();
        }
    };
    let pages = |town: &Town| {
        let (mut pages, mut list, mut more) = (Vec::new(), condemned_ones(), true);
        while more {
            let page = town.depot.sentences(&device(), &list).unwrap();
            list.after = page.sentences.last().map(|sentence| sentence.pack);
            more = page.more;
            pages.push(page.sentences);
        }
        let told = pages.iter().flatten().map(|sentence| sentence.pack);
        assert_eq!(told.collect::<BTreeSet<_>>(), packs.iter().copied().collect());
        pages.iter().map(Vec::len).collect::<Vec<_>>()
    };
    condemn(&mut town, &device_key(), &packs);
    assert_eq!(pages(&town), [4065, 35]);
    // Another device condemns all but the first: those have two sentences, and they are on one page.
    let other = SigningKey::from_seed([3; 32]);
    town.change(|depot, changes| depot.keep_roster(roster_with(&other), changes))
        .unwrap();
    condemn(&mut town, &other, &packs[1..]);
    assert_eq!(pages(&town), [4065, 4066, 68]);
}
