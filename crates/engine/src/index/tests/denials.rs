//! Every denial, and its reason.

use skep_wire::message::{Drop, Heartbeat, Leave, Ping, Revoke};

use super::*;

fn stranger(net: &mut Net, n: u16) -> Peer {
    let mut peer = Peer::new(n);
    net.connect(&mut peer);
    peer
}

#[test]
fn tickets() {
    let mut net = Net::new();
    let ada = stranger(&mut net, 1);
    assert_eq!(net.denied(&ada, join(1, None, None)), Reason::BadTicket, "forged");
    net.invite(1, Role::Owner, 1);
    assert_eq!(
        net.denied(&ada, join(1, None, Some(Role::Both))),
        Reason::RoleTooWide
    );
    assert_eq!(
        net.denied(&ada, join(1, None, Some(Role::Storage))),
        Reason::RoleTooWide
    );
    net.now.unix_s += 600;
    assert_eq!(net.denied(&ada, join(1, None, None)), Reason::Expired);
    net.now.unix_s -= 1;
    assert!(matches!(net.ask(&ada, join(1, None, None)), Reply::Joined(_)));
    let bob = stranger(&mut net, 2);
    assert_eq!(
        net.denied(&bob, join(1, None, None)),
        Reason::BadTicket,
        "used up"
    );
}

#[test]
fn a_denied_join_uses_nothing_up() {
    let mut net = Net::with(config(2));
    let ada = net.join(1, "ada");
    net.invite(1, Role::Both, 1);
    let bob = stranger(&mut net, 2);
    assert_eq!(net.denied(&bob, join(1, Some("ada"), None)), Reason::NameInUse);
    assert!(matches!(
        net.ask(&bob, join(1, Some("bob"), None)),
        Reply::Joined(_)
    ));
    net.invite(2, Role::Both, 1);
    let eve = stranger(&mut net, 3);
    assert_eq!(net.denied(&eve, join(2, Some("eve"), None)), Reason::Full);
    net.done(&ada, Request::Leave(Leave {}));
    assert!(matches!(
        net.ask(&eve, join(2, Some("eve"), None)),
        Reply::Joined(_)
    ));
}

#[test]
fn strangers_may_only_join() {
    let mut net = Net::new();
    let mut ada = net.join(1, "ada");
    net.publish(&mut ada, "a", blob(1));
    let eve = stranger(&mut net, 2);
    let record = Peer::new(2).record("x", blob(2));
    let requests = [
        Request::Ping(Ping {}),
        Request::Attend(attend(&eve)),
        Request::Heartbeat(Heartbeat { used_bytes: 0 }),
        publish(&eve, &record, 1),
        hold(&[blob(1)]),
        Request::Answers(Answers { answers: vec![] }),
        Request::Drop(Drop { contents: vec![] }),
        Request::Lookup(Lookup { content: blob(1) }),
        Request::Find(Find {
            query: Query::All,
            after: None,
        }),
        Request::ListPeers(skep_wire::message::ListPeers { after: None }),
        Request::Introduce(skep_wire::message::Introduce { peer: ada.id() }),
        Request::Leave(Leave {}),
        Request::Revoke(Revoke { name: name("ada") }),
    ];
    let facts = net.facts.clone();
    for request in requests {
        assert_eq!(net.denied(&eve, request), Reason::NotAllowed);
    }
    assert_eq!(net.facts, facts);
}

#[test]
fn a_bad_grant_closes_the_connection() {
    let mut net = Net::new();
    let ada = net.join(1, "ada");
    let mut eve = Peer::new(2);
    eve.grant = ada.grant.clone();
    net.connect(&mut eve);
    assert_eq!(net.closed(&eve), Some(Reason::NotAllowed));
    net.send(&eve, Request::Ping(Ping {}));
    assert!(
        !net.out
            .iter()
            .any(|output| matches!(output, Output::Reply { session, .. } if *session == eve.session))
    );
}

#[test]
fn the_revoked_stay_out() {
    let mut net = Net::new();
    let mut ada = net.join(1, "ada");
    net.publish(&mut ada, "a", blob(1));
    net.administer(Command::Revoke { name: name("ada") }).unwrap();
    assert_eq!(net.closed(&ada), Some(Reason::Revoked));
    net.connect(&mut ada);
    assert_eq!(net.closed(&ada), Some(Reason::Revoked));
    ada.grant = None;
    net.connect(&mut ada);
    net.invite(1, Role::Both, 1);
    assert_eq!(net.denied(&ada, join(1, None, None)), Reason::Revoked);
    assert_eq!(
        net.denied(&ada, join(200, None, None)),
        Reason::Revoked,
        "its own old ticket"
    );
    let summary = net.index.summary();
    assert_eq!(
        (summary.peers, summary.online, summary.shares, summary.holdings),
        (0, 0, 0, 0)
    );
    let denial = net.administer(Command::Revoke { name: name("ada") }).unwrap_err();
    assert_eq!(denial.reason, Reason::NotFound);
}

#[test]
fn peers_revoke_nobody() {
    let mut net = Net::new();
    let (ada, _bob) = (net.join(1, "ada"), net.join(2, "bob"));
    let revoke = Request::Revoke(Revoke { name: name("bob") });
    assert_eq!(net.denied(&ada, revoke), Reason::NotAllowed);
    assert_eq!(net.index.summary().peers, 2);
}

#[test]
fn records() {
    let mut net = Net::new();
    let (mut ada, eve) = (net.join(1, "ada"), net.join(2, "eve"));
    let record = ada.record("a", blob(1));
    assert_eq!(
        net.denied(&eve, publish(&ada, &record, 1)),
        Reason::NotAllowed,
        "of another"
    );
    assert_eq!(
        net.denied(&ada, publish(&eve, &record, 1)),
        Reason::NotAllowed,
        "forged"
    );
    let foreign = ShareRecord {
        network: NetworkId([3; 32]),
        ..record.clone()
    };
    assert_eq!(net.denied(&ada, publish(&ada, &foreign, 1)), Reason::NotAllowed);
    let crowded = ShareRecord {
        audience: Audience::Peers(vec![eve.id(); 257]),
        ..record.clone()
    };
    assert_eq!(net.denied(&ada, publish(&ada, &crowded, 1)), Reason::BadRequest);
    let zeroth = ShareRecord {
        sequence: 0,
        ..record.clone()
    };
    assert_eq!(net.denied(&ada, publish(&ada, &zeroth, 1)), Reason::BadRequest);
    assert_eq!(
        net.denied(&ada, publish(&ada, &record, 9)),
        Reason::BadRequest,
        "too many triples"
    );
    net.done(&ada, publish(&ada, &record, 8));
    assert_eq!(net.index.summary().shares, 1);
}

#[test]
fn stale_sequences() {
    let mut net = Net::new();
    let mut ada = net.join(1, "ada");
    let first = ada.record("a", blob(1));
    let second = ada.record("a", blob(2));
    let withdrawal = ShareRecord {
        withdrawn: true,
        ..ada.record("a", blob(2))
    };
    net.done(&ada, publish(&ada, &second, 1));
    net.done(&ada, publish(&ada, &second, 1));
    assert_eq!(net.denied(&ada, publish(&ada, &first, 1)), Reason::Stale);
    let rival = ShareRecord {
        bytes: 6,
        ..second.clone()
    };
    assert_eq!(net.denied(&ada, publish(&ada, &rival, 1)), Reason::Stale);
    net.done(&ada, publish(&ada, &withdrawal, 0));
    net.restart();
    net.connect(&mut ada);
    assert_eq!(
        net.denied(&ada, publish(&ada, &second, 1)),
        Reason::Stale,
        "withdrawn stays withdrawn"
    );
}

#[test]
fn a_storage_peer_publishes_nothing() {
    let mut net = Net::new();
    net.invite(1, Role::Both, 1);
    let mut ada = stranger(&mut net, 1);
    net.ask(&ada, join(1, None, Some(Role::Storage)));
    let record = ada.record("a", blob(1));
    assert_eq!(net.denied(&ada, publish(&ada, &record, 1)), Reason::NotAllowed);
}

#[test]
fn oversized_and_senseless_requests() {
    let mut net = Net::new();
    let ada = net.join(1, "ada");
    let many: Vec<BlobId> = (0..1025).map(blob).collect();
    assert_eq!(net.denied(&ada, hold(&many)), Reason::BadRequest);
    let drop = Request::Drop(Drop { contents: many });
    assert_eq!(net.denied(&ada, drop), Reason::BadRequest);
    for words in [vec![String::from("w"); 17], vec!["w".repeat(256)]] {
        let find = Find {
            query: Query::Words(words),
            after: None,
        };
        assert_eq!(net.denied(&ada, Request::Find(find)), Reason::BadRequest);
    }
    for advertise in ["", "a b", "a/../b", "ä", &"a".repeat(256)] {
        let mut attend = attend(&ada);
        attend.advertise = Some(advertise.to_owned());
        assert_eq!(net.denied(&ada, Request::Attend(attend)), Reason::BadRequest);
    }
    let mut attend = attend(&ada);
    attend.site = Some("s".repeat(65));
    assert_eq!(net.denied(&ada, Request::Attend(attend)), Reason::BadRequest);
}

#[test]
fn a_heartbeat_needs_attendance_on_its_connection() {
    let mut net = Net::new();
    let mut ada = net.join(1, "ada");
    net.connect(&mut ada);
    let heartbeat = Request::Heartbeat(Heartbeat { used_bytes: 0 });
    assert_eq!(net.denied(&ada, heartbeat), Reason::BadRequest);
}

#[test]
fn every_request_decodes_from_its_frame_and_others_do_not() {
    use skep_wire::message::Message;
    let lookup = Lookup { content: blob(1) };
    let body = lookup.encode();
    assert_eq!(Request::decode(Lookup::KIND, &body), Ok(Request::Lookup(lookup)));
    let unsupported = RequestError::Unsupported { kind: 0x0200 };
    assert_eq!(Request::decode(0x0200, &body), Err(unsupported));
    assert!(matches!(
        Request::decode(Lookup::KIND, &body[1..]),
        Err(RequestError::Malformed(_))
    ));
}
