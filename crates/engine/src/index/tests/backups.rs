//! Backups over the index: planned, confirmed, rebuilt by others when a holder is gone, audited, and let go.

use skep_wire::{
    OwnerId, PackId,
    backup::{Condemnation, Device, PackRecord, Permit, Rights, Roster, Scheme},
    message::{
        Condemn, Done, Health, HealthIs, Held, HeldShard, KeepRoster, KeptBy, Level, NewPack, Plan, Planned,
        Presence, Rebuild, Release, Returned, ShardFailed, ShardName, ShardProof, WhoKeeps,
    },
};

use super::*;

const FAILED: Duration = Duration::from_secs(3600);

fn owner_key() -> SigningKey {
    SigningKey::from_seed([77; 32])
}

fn owner() -> OwnerId {
    OwnerId(owner_key().public())
}

/// A pack of one byte, kept three times.
fn record(device: &Peer) -> PackRecord {
    let id = *blake3::hash(b"x").as_bytes();
    PackRecord {
        owner: owner(),
        device: device.id(),
        pack: PackId(id),
        size: 1,
        epoch: 1,
        scheme: Scheme::copies(3).unwrap(),
        shards: vec![BlobId(id); 3],
    }
}

/// A device of the owner and five storage peers.
fn town() -> (Net, Peer, Vec<Peer>) {
    let mut net = Net::new();
    let device = net.join(50, "device");
    let roster = Roster {
        owner: owner(),
        number: 1,
        epoch: 1,
        devices: vec![Device {
            peer: device.id(),
            sealing: [0; 32],
            rights: Rights::ALL,
            keys: vec![],
        }],
        retired: vec![],
    };
    let roster = Signed::new(&roster, &owner_key());
    net.done(&device, Request::KeepRoster(KeepRoster { roster }));
    let peers = (1..=5).map(|n| net.join(n, &format!("keeper_{n}"))).collect();
    (net, device, peers)
}

fn plan(net: &mut Net, device: &Peer, scheme: Option<Scheme>) -> Planned {
    let packs = vec![NewPack {
        pack: record(device).pack,
        size: 1,
    }];
    let owner = owner();
    match net.ask(device, Request::Plan(Plan { owner, scheme, packs })) {
        Reply::Planned(planned) => planned,
        other => panic!("{other:?}"),
    }
}

fn held(device: &Peer, shard: u8) -> Request {
    let record = Signed::new(&record(device), &device.key);
    let shards = vec![HeldShard { record, shard }];
    Request::Held(Held { shards })
}

/// Plans the pack and lets its holders confirm it. Returns where they are among the peers.
fn back_up(net: &mut Net, device: &Peer, peers: &[Peer]) -> Vec<usize> {
    let planned = plan(net, device, None);
    assert_eq!(planned.scheme, Scheme::copies(3).unwrap());
    let at = |id: &PeerId| peers.iter().position(|peer| peer.id() == *id).unwrap();
    let holders: Vec<usize> = planned.packs[0].holders.iter().map(at).collect();
    for (shard, holder) in (0..).zip(&holders) {
        net.done(&peers[*holder], held(device, shard));
    }
    holders
}

/// Time passes, in which all of these are heard from.
fn live(net: &mut Net, alive: &[&Peer], time: Duration) {
    let end = net.now.mono + time;
    while net.now.mono < end {
        net.pass(HEARTBEAT);
        for peer in alive {
            net.ask(peer, Request::Ping(skep_wire::message::Ping {}));
        }
    }
}

fn health(net: &mut Net, device: &Peer) -> HealthIs {
    let (owner, packs) = (owner(), vec![]);
    match net.ask(device, Request::Health(Health { owner, packs })) {
        Reply::HealthIs(health) => health,
        other => panic!("{other:?}"),
    }
}

fn keepers(net: &mut Net, device: &Peer) -> Vec<Presence> {
    let (owner, packs) = (owner(), vec![]);
    match net.ask(device, Request::WhoKeeps(WhoKeeps { owner, packs })) {
        Reply::KeptBy(KeptBy { keepers }) => keepers.iter().map(|keeper| keeper.presence).collect(),
        other => panic!("{other:?}"),
    }
}

fn rebuilds(net: &mut Net) -> Vec<(SessionId, OrderId, Rebuild)> {
    let orders = net.take_orders().into_iter();
    orders
        .filter_map(|(session, order, body)| match body {
            Order::Rebuild(rebuild) => Some((session, order, rebuild)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_failed_holder_is_replaced_while_the_owner_is_away() {
    let (mut net, device, peers) = town();
    let holders = back_up(&mut net, &device, &peers);
    assert_eq!(health(&mut net, &device).level, Level::Whole);
    let dead = holders[0];
    net.disconnect(&peers[dead]);
    assert!(keepers(&mut net, &device).contains(&Presence::Offline));
    net.disconnect(&device);
    let alive: Vec<&Peer> = (0..5).filter(|n| *n != dead).map(|n| &peers[n]).collect();
    live(&mut net, &alive, FAILED + HEARTBEAT * 3);
    let (session, order, rebuild) = rebuilds(&mut net).pop().expect("an order");
    let target = alive.iter().find(|peer| peer.session == session).unwrap();
    assert!(!holders.iter().any(|at| peers[*at].id() == target.id()));
    assert_eq!(rebuild.sources.len(), 2);
    let permit: Permit = rebuild
        .permit
        .open(&net.index.config.coordinator_key.public())
        .unwrap();
    assert_eq!((permit.reader, permit.pack), (target.id(), record(&device).pack));
    net.event(Event::Answered {
        session,
        order,
        reply: OrderReply::Done,
    });
    net.done(target, held(&device, rebuild.shard));
    net.restart();
    let mut device = device;
    net.connect(&mut device);
    net.attend(&device);
    let survives = health(&mut net, &device).survives;
    assert_eq!(
        survives, 3,
        "four have it, and after a restart nobody has failed yet"
    );
}

#[test]
fn plans_are_for_devices_and_say_what_is_missing() {
    let (mut net, device, peers) = town();
    let stranger = &peers[0];
    let ask = |scheme: Option<Scheme>| {
        let packs = vec![NewPack {
            pack: PackId([1; 32]),
            size: 64,
        }];
        let owner = owner();
        Request::Plan(Plan { owner, scheme, packs })
    };
    assert_eq!(net.denied(stranger, ask(None)), Reason::NotAllowed);
    assert_eq!(net.denied(&device, ask(Scheme::copies(6))), Reason::NoRoom);
    assert!(matches!(net.ask(&device, ask(None)), Reply::Planned(_)));
    assert_eq!(
        net.denied(&device, ask(Scheme::copies(5))),
        Reason::NoRoom,
        "90 bytes are free, 64 are reserved"
    );
}

#[test]
fn another_holder_is_named_after_three_failures() {
    let (mut net, device, _) = town();
    let planned = plan(&mut net, &device, None);
    let (pack, first) = (planned.packs[0].pack, planned.packs[0].holders[0]);
    let mut instead = first;
    for _ in 0..3 {
        assert_eq!(instead, first);
        let failed = ShardFailed {
            owner: owner(),
            shard: ShardName { pack, shard: 0 },
            holder: first,
        };
        let Reply::Instead(reply) = net.ask(&device, Request::ShardFailed(failed)) else {
            panic!("nobody instead");
        };
        instead = reply.holder.peer;
    }
    assert!(!planned.packs[0].holders.contains(&instead));
}

#[test]
fn what_is_not_confirmed_in_time_is_rebuilt_from_what_is() {
    let (mut net, device, peers) = town();
    let planned = plan(&mut net, &device, None);
    let is = |id: &PeerId| peers.iter().find(|peer| peer.id() == *id).unwrap();
    for shard in 0..2 {
        net.done(
            is(&planned.packs[0].holders[usize::from(shard)]),
            held(&device, shard),
        );
    }
    let all: Vec<&Peer> = peers.iter().collect();
    let late = is(&planned.packs[0].holders[2]);
    live(&mut net, &all, Duration::from_secs(50));
    assert!(rebuilds(&mut net).is_empty(), "the owner has time");
    live(&mut net, &all, Duration::from_secs(20));
    let (session, _, order) = rebuilds(&mut net).pop().expect("an order");
    assert_ne!(session, late.session, "somebody else is asked");
    let target = peers.iter().find(|peer| peer.session == session).unwrap();
    net.done(target, held(&device, order.shard));
    // Who confirms after all has a copy more, which goes with the others.
    net.done(late, held(&device, 2));
    assert_eq!(health(&mut net, &device).survives, 3);
    net.take_orders();
    condemn(&mut net, &device);
    assert_eq!(condemned(&mut net).len(), 4);
}

#[test]
fn a_plan_that_nobody_can_take_over_ends_all_the_same() {
    let (mut net, device, peers) = town();
    let planned = plan(&mut net, &device, Some(Scheme::copies(3).unwrap()));
    let is = |id: &PeerId| peers.iter().find(|peer| peer.id() == *id).unwrap();
    let holders: Vec<&Peer> = planned.packs[0].holders.iter().map(is).collect();
    for peer in peers
        .iter()
        .filter(|peer| holders.iter().all(|it| it.id() != peer.id()))
    {
        net.disconnect(peer);
    }
    (0..)
        .zip(&holders[..2])
        .for_each(|(shard, peer)| net.done(peer, held(&device, shard)));
    let failed = ShardFailed {
        owner: owner(),
        shard: ShardName {
            pack: planned.packs[0].pack,
            shard: 2,
        },
        holder: holders[2].id(),
    };
    for _ in 0..2 {
        net.ask(&device, Request::ShardFailed(failed.clone()));
    }
    assert_eq!(net.denied(&device, Request::ShardFailed(failed)), Reason::NoRoom);
    live(&mut net, &holders, Duration::from_secs(330));
    assert_eq!(
        rebuilds(&mut net).len(),
        1,
        "the holder itself, if there is nobody else"
    );
}

fn condemn(net: &mut Net, device: &Peer) {
    let word = Condemnation {
        owner: owner(),
        device: device.id(),
        number: 1,
        made_unix_s: 0,
        packs: vec![record(device).pack],
    };
    let word = Signed::new(&word, &device.key);
    net.done(device, Request::Condemn(Condemn { word }));
}

/// Who is told of a condemnation.
fn condemned(net: &mut Net) -> Vec<SessionId> {
    let orders = net.take_orders().into_iter();
    orders
        .filter(|(_, _, body)| matches!(body, Order::Condemn(_)))
        .map(|(session, _, _)| session)
        .collect()
}

fn release(net: &mut Net, peer: &Peer, seconds: u32) -> (u64, u64) {
    let owner = Some(owner());
    match net.ask(peer, Request::Release(Release { owner, seconds })) {
        Reply::Releasing(left) => (left.shards, left.bytes),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_wants_to_be_rid_of_a_shard_is_a_source_until_another_has_it() {
    let (mut net, device, peers) = town();
    let holders = back_up(&mut net, &device, &peers);
    let all: Vec<&Peer> = peers.iter().chain([&device]).collect();
    live(&mut net, &all, HEARTBEAT * 7);
    let leaving = &peers[holders[0]];
    assert_eq!(release(&mut net, leaving, 60), (1, 1));
    assert_eq!(
        health(&mut net, &device).survives,
        2,
        "as long as it is there, it counts"
    );
    net.pass(HEARTBEAT);
    let (session, _, order) = rebuilds(&mut net).pop().expect("an order");
    assert!(order.sources.iter().any(|it| it.holder.peer == leaving.id()));
    let target = peers.iter().find(|peer| peer.session == session).unwrap();
    assert!(!holders.iter().any(|at| peers[*at].id() == target.id()));
    net.done(target, held(&device, order.shard));
    assert_eq!(release(&mut net, leaving, 60), (0, 0));
    let planned = plan(&mut net, &device, None);
    assert!(!planned.packs[0].holders.contains(&leaving.id()));
}

#[test]
fn who_does_not_say_so_again_keeps_what_it_has() {
    let (mut net, device, peers) = town();
    let holders = back_up(&mut net, &device, &peers);
    let others: Vec<&Peer> = (0..5)
        .filter(|n| !holders.contains(n))
        .map(|n| &peers[n])
        .collect();
    let keepers: Vec<&Peer> = holders.iter().map(|n| &peers[*n]).chain([&device]).collect();
    // Nobody else is there to take it.
    others.iter().for_each(|peer| net.disconnect(peer));
    release(&mut net, keepers[0], 60);
    live(&mut net, &keepers, HEARTBEAT * 8);
    assert!(rebuilds(&mut net).is_empty());
    let planned = plan(&mut net, &device, Some(Scheme::copies(3).unwrap()));
    assert!(planned.packs[0].holders.contains(&keepers[0].id()));
}

#[test]
fn holders_are_told_of_condemnations_when_they_are_there() {
    let (mut net, device, mut peers) = town();
    let holders = back_up(&mut net, &device, &peers);
    net.disconnect(&peers[holders[0]]);
    condemn(&mut net, &device);
    assert_eq!(condemned(&mut net).len(), 2);
    let late = &mut peers[holders[0]];
    net.connect(late);
    net.attend(late);
    net.ask(late, Request::Returned(Returned { shards: [0; 32] }));
    assert_eq!(condemned(&mut net), [late.session]);
}

#[test]
fn a_wrong_answer_to_an_audit_loses_the_shard() {
    let (mut net, device, peers) = town();
    back_up(&mut net, &device, &peers);
    let all: Vec<&Peer> = peers.iter().chain([&device]).collect();
    let mut asked = Vec::new();
    while asked.is_empty() {
        live(&mut net, &all, HEARTBEAT * 1000);
        let orders = net.take_orders().into_iter();
        asked.extend(orders.filter(|(_, _, body)| matches!(body, Order::ProveShard(_))));
    }
    assert_eq!(asked.len(), 3, "all holders at the same instant");
    for (n, (session, order, _)) in asked.into_iter().enumerate() {
        let proof = ShardProof {
            leaf: if n == 0 { b"y".to_vec() } else { b"x".to_vec() },
            proof: vec![],
            leaves: vec![],
            path: vec![],
        };
        let reply = OrderReply::Proof(proof);
        net.event(Event::Answered {
            session,
            order,
            reply,
        });
    }
    let health = health(&mut net, &device);
    assert_eq!((health.level, health.survives), (Level::Degraded, 1));
    assert_eq!(keepers(&mut net, &device), [Presence::Online; 2]);
    assert_eq!(health.audited_unix_s, net.now.unix_s);
}

#[test]
fn who_answers_audits_with_errors_has_failed_and_does_not_get_rid_of_it_by_coming_back() {
    let (mut net, device, mut peers) = town();
    let holders = back_up(&mut net, &device, &peers);
    let liar = holders[0];
    for _ in 0..12 {
        let question = depot::Question {
            peer: peers[liar].id(),
            owner: owner(),
            shard: ShardName {
                pack: record(&device).pack,
                shard: 0,
            },
            leaf: 0,
        };
        let mut changes = Vec::new();
        net.index
            .depot
            .audited(net.now, &question, depot::Told::Nothing, &mut changes);
        net.done(&peers[liar], held(&device, 0));
    }
    assert_eq!(health(&mut net, &device).survives, 1);
    net.disconnect(&peers[liar]);
    net.connect(&mut peers[liar]);
    net.attend(&peers[liar]);
    net.done(&peers[liar], held(&device, 0));
    assert_eq!(health(&mut net, &device).survives, 1, "it has failed still");
    let planned = plan(&mut net, &device, None);
    assert!(!planned.packs[0].holders.contains(&peers[liar].id()));
}

#[test]
fn done_is_done() {
    let (mut net, device, peers) = town();
    let holders = back_up(&mut net, &device, &peers);
    let again = net.ask(&peers[holders[0]], held(&device, 0));
    assert_eq!(again, Reply::Done(Done {}));
}
