//! The life of a peer: join, attend, share, be found, be silent, come back, leave.

use skep_wire::message::{Endpoint, Heartbeat, Introduce, Leave, ListPeers, PeerRow, Presence};

use super::*;

fn rows(net: &mut Net, peer: &Peer) -> Vec<PeerRow> {
    match net.ask(peer, Request::ListPeers(ListPeers { after: None })) {
        Reply::Peers(peers) => peers.peers,
        other => panic!("{other:?}"),
    }
}

fn presence(net: &mut Net, asker: &Peer, of: &Peer) -> Presence {
    let rows = rows(net, asker);
    rows.iter().find(|row| row.peer == of.id()).unwrap().presence
}

fn beat(net: &mut Net, peer: &Peer) {
    net.ask(peer, Request::Heartbeat(Heartbeat { used_bytes: 11 }));
}

#[test]
fn share_and_find() {
    let mut net = Net::new();
    let (mut ada, bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "notes.txt", blob(1));
    let found = net.find(&bob, Query::Words(vec!["NOTES".into(), "ad".into()]));
    assert_eq!((found.len(), found[0].holders), (1, 1));
    assert_eq!(found[0].publisher, name("ada"));
    let said = found[0].record.open(&ada.id().0).unwrap();
    assert_eq!(net.lookup_ids(&bob, said.content.id), [ada.id()]);
    assert_eq!(net.find(&bob, Query::Words(vec!["other".into()])), []);
}

#[test]
fn a_name_published_again_means_the_new_content_only() {
    let mut net = Net::new();
    let (mut ada, bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "a", blob(1));
    net.publish(&mut ada, "a", blob(2));
    let lookup = Request::Lookup(Lookup { content: blob(1) });
    assert_eq!(net.denied(&bob, lookup), Reason::NotFound);
    assert_eq!(net.lookup_ids(&bob, blob(2)), [ada.id()]);
    assert_eq!(net.find(&bob, Query::Id(blob(1))), []);
    assert_eq!(net.find(&bob, Query::Id(blob(2))).len(), 1);
    assert_eq!(net.index.summary().holdings, 1);
}

#[test]
fn a_name_published_again_with_the_same_content_keeps_its_holders() {
    let mut net = Net::new();
    let (mut ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "a", blob(1));
    bob.has.insert(blob(1));
    net.hold(&bob, &[blob(1)]);
    net.publish(&mut ada, "a", blob(1));
    assert_eq!(net.lookup_ids(&ada, blob(1)), [bob.id()]);
    assert_eq!(net.index.summary().holdings, 2);
}

#[test]
fn a_withdrawn_share_is_gone_but_not_that_of_another_publisher() {
    let mut net = Net::new();
    let (mut ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "same", blob(1));
    net.publish(&mut bob, "same", blob(1));
    let by_name = |publisher: Option<&str>| Query::Name {
        publisher: publisher.map(name),
        name: share_name("same"),
    };
    assert_eq!(net.find(&ada, by_name(None)).len(), 2);
    assert_eq!(net.find(&ada, by_name(Some("bob"))).len(), 1);

    let mut withdrawal = ada.record("same", blob(1));
    withdrawal.withdrawn = true;
    net.done(&ada, publish(&ada, &withdrawal, 0));
    let left = net.find(&ada, Query::All);
    assert_eq!((left.len(), &left[0].publisher), (1, &name("bob")));
    assert_eq!(
        net.lookup_ids(&bob, blob(1)),
        [ada.id()],
        "it still has the bytes"
    );
}

#[test]
fn a_share_for_some_is_invisible_to_others() {
    let mut net = Net::new();
    let (mut ada, bob, eve) = (net.join(1, "ada"), net.join(2, "bob"), net.join(3, "eve"));
    let mut record = ada.record("secret", blob(1));
    record.audience = Audience::Peers(vec![bob.id()]);
    net.done(&ada, publish(&ada, &record, 8));
    let queries = [
        Query::All,
        Query::Id(blob(1)),
        Query::Words(vec!["secret".into()]),
        Query::Name {
            publisher: None,
            name: share_name("secret"),
        },
    ];
    for query in queries {
        assert_eq!(net.find(&bob, query.clone()).len(), 1);
        assert_eq!(net.find(&ada, query.clone()).len(), 1);
        assert_eq!(net.find(&eve, query), []);
    }
    let lookup = Request::Lookup(Lookup { content: blob(1) });
    assert_eq!(net.denied(&eve, lookup), Reason::NotFound);
    assert_eq!(net.lookup_ids(&bob, blob(1)), [ada.id()]);
    let reply = net.ask(&eve, hold(&[blob(1)]));
    assert!(matches!(reply, Reply::Questions(questions) if questions.questions.is_empty()));
}

#[test]
fn pages_hold_every_share_once_in_order() {
    let mut net = Net::new();
    let mut peers = [net.join(1, "zoe"), net.join(2, "ada")];
    for n in 0..450 {
        let peer = &mut peers[usize::from(n % 2)];
        net.publish(peer, &format!("share {n:03}"), blob(n));
    }
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let find = Find {
            query: Query::All,
            after: after.clone(),
        };
        let Reply::Shares(page) = net.ask(&peers[0], Request::Find(find)) else {
            panic!("no page");
        };
        assert!(page.shares.len() <= 200);
        assert!(skep_wire::message::Message::encode(&page).len() <= 256 * 1024);
        seen.extend(
            page.shares
                .iter()
                .map(|share| (share.publisher.clone(), share.record.peek().unwrap().name)),
        );
        after = seen.last().cloned();
        pages += 1;
        if !page.more {
            break;
        }
    }
    assert_eq!((seen.len(), pages), (450, 3));
    assert!(seen.is_sorted_by(|a, b| a < b));
}

#[test]
fn a_page_of_long_records_fits_its_message() {
    let mut net = Net::new();
    let mut ada = net.join(1, "ada");
    for n in 0..60 {
        let mut record = ada.record(&format!("share {n}"), blob(n));
        record.audience = Audience::Peers(vec![PeerId([7; 32]); 256]);
        net.done(&ada, publish(&ada, &record, 0));
    }
    let find = Find {
        query: Query::All,
        after: None,
    };
    let Reply::Shares(page) = net.ask(&ada, Request::Find(find)) else {
        panic!("no page");
    };
    assert!(page.more && page.shares.len() > 20);
    assert!(skep_wire::message::Message::encode(&page).len() <= 256 * 1024);
}

#[test]
fn three_missed_heartbeats_are_offline_and_much_later_failed() {
    let mut net = Net::new();
    let (mut ada, bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "a", blob(1));
    for _ in 0..2 {
        net.pass(HEARTBEAT);
        beat(&mut net, &bob);
        assert_eq!(presence(&mut net, &bob, &ada), Presence::Online);
    }
    net.pass(HEARTBEAT);
    assert_eq!(presence(&mut net, &bob, &ada), Presence::Offline);
    assert_eq!(net.lookup(&bob, blob(1)), []);
    assert_eq!(net.find(&bob, Query::All)[0].holders, 0);
    net.pass(Duration::from_secs(3600));
    assert_eq!(presence(&mut net, &bob, &ada), Presence::Failed);

    beat(&mut net, &ada);
    assert_eq!(presence(&mut net, &bob, &ada), Presence::Online);
    assert_eq!(net.lookup_ids(&bob, blob(1)), [ada.id()]);
}

#[test]
fn the_wakeup_comes_when_the_silent_peer_is_due() {
    let mut net = Net::new();
    let ada = net.join(1, "ada");
    net.pass(HEARTBEAT);
    beat(&mut net, &ada);
    let mut wakeups = 0;
    while net.index.summary().online > 0 {
        let at = net.index.next_wakeup().unwrap();
        assert!(at >= net.now.mono);
        net.pass(at - net.now.mono);
        wakeups += 1;
    }
    assert_eq!(
        (net.now.mono, wakeups),
        (Duration::from_secs(50) + HEARTBEAT * 4, 2)
    );
    let row = &rows(&mut net, &ada)[0];
    assert_eq!(
        row.last_seen_unix_s,
        1_000_010 + 30,
        "the question itself was heard"
    );
}

#[test]
fn a_closed_connection_is_offline_at_once() {
    let mut net = Net::new();
    let (mut ada, bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "a", blob(1));
    net.disconnect(&ada);
    assert_eq!(presence(&mut net, &bob, &ada), Presence::Offline);
    assert_eq!(net.lookup(&bob, blob(1)), []);
}

#[test]
fn a_newer_connection_replaces_the_older() {
    let mut net = Net::new();
    let mut ada = net.join(1, "ada");
    let old = ada.session;
    net.connect(&mut ada);
    assert!(net.attend(&ada).returning);
    let new = std::mem::replace(&mut ada.session, old);
    assert_eq!(net.closed(&ada), Some(Reason::Changed));
    net.disconnect(&ada);
    ada.session = new;
    assert_eq!(net.index.summary().online, 1);
}

#[test]
fn an_address_is_given_out_only_after_it_was_reached() {
    let mut net = Net::new();
    let (mut ada, bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "a", blob(1));
    let address = Endpoint {
        host: "127.0.0.1".into(),
        port: 7000,
    };
    let dial = Output::DialBack {
        session: ada.session,
        address: address.clone(),
    };
    assert!(net.out.contains(&dial));
    assert_eq!(net.lookup(&bob, blob(1))[0].address, None);

    let session = ada.session;
    net.event(Event::DialedBack {
        session,
        reached: true,
    });
    assert_eq!(net.lookup(&bob, blob(1))[0].address, Some(address));
    let seen = net.ask(&ada, Request::Heartbeat(Heartbeat { used_bytes: 0 }));
    assert!(matches!(seen, Reply::HeartbeatSeen(seen) if seen.reachable == Some(true)));
    assert!(rows(&mut net, &bob)[0].reachable);

    let mut elsewhere = attend(&ada);
    elsewhere.advertise = Some("ada.example".into());
    net.ask(&ada, Request::Attend(elsewhere));
    assert_eq!(
        net.lookup(&bob, blob(1))[0].address,
        None,
        "the new address is not proven"
    );
}

#[test]
fn who_cannot_be_dialled_is_introduced() {
    let mut net = Net::new();
    let (ada, bob) = (net.join(1, "ada"), net.join(2, "bob"));
    let introduce = |peer: &Peer| Request::Introduce(Introduce { peer: peer.id() });
    assert_eq!(
        net.denied(&ada, introduce(&bob)),
        Reason::BadRequest,
        "ada cannot be dialled"
    );
    let session = ada.session;
    net.event(Event::DialedBack {
        session,
        reached: true,
    });
    net.done(&ada, introduce(&bob));
    let orders = net.take_orders();
    assert_eq!(orders.len(), 1);
    assert_eq!(orders[0].0, bob.session);
    assert!(matches!(&orders[0].2, Order::Dial(dial) if dial.peer == ada.id() && dial.address.port == 7000));

    for _ in 1..64 {
        net.done(&ada, introduce(&bob));
    }
    assert_eq!(net.denied(&ada, introduce(&bob)), Reason::Busy);
    let (session, order, _) = orders[0];
    let reply = OrderReply::Done;
    net.event(Event::Answered {
        session,
        order,
        reply,
    });
    net.done(&ada, introduce(&bob));
    net.disconnect(&bob);
    assert_eq!(net.denied(&ada, introduce(&bob)), Reason::NotFound);
}

#[test]
fn who_leaves_takes_everything_along_and_keeps_the_name() {
    let mut net = Net::new();
    let (mut ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "a", blob(1));
    net.publish(&mut bob, "b", blob(2));
    ada.has.insert(blob(2));
    assert_eq!(net.hold(&ada, &[blob(2)]), []);
    net.done(&ada, Request::Leave(Leave {}));
    assert_eq!(net.find(&bob, Query::All).len(), 1);
    assert_eq!(net.lookup_ids(&bob, blob(2)), []);
    assert_eq!(rows(&mut net, &bob).len(), 1);
    let summary = net.index.summary();
    assert_eq!(
        (summary.peers, summary.shares, summary.contents, summary.holdings),
        (1, 1, 1, 1)
    );
    assert!(
        net.out
            .iter()
            .any(|output| matches!(output, Output::Notice { session, .. } if *session == bob.session))
    );
    let lookup = Request::Lookup(Lookup { content: blob(2) });
    assert_eq!(net.denied(&ada, lookup), Reason::NotAllowed);

    net.invite(1, Role::Both, 1);
    let Reply::Joined(joined) = net.ask(&ada, join(1, Some("other"), None)) else {
        panic!("not joined");
    };
    assert!(joined.returning);
    let grant = joined.grant.open(&network_key().public()).unwrap();
    assert_eq!(grant.name, name("ada"));
    ada.grant = Some(joined.grant);
    net.connect(&mut ada);
    assert!(net.attend(&ada).returning);
}

#[test]
fn a_lost_reply_to_join_is_given_again_and_counts_once() {
    let mut net = Net::new();
    net.invite(1, Role::Both, 2);
    let mut ada = Peer::new(1);
    net.connect(&mut ada);
    let first = net.ask(&ada, join(1, Some("ada"), None));
    net.disconnect(&ada);
    net.connect(&mut ada);
    assert_eq!(net.ask(&ada, join(1, Some("ada"), None)), first);
    net.restart();
    net.connect(&mut ada);
    assert_eq!(net.ask(&ada, join(1, Some("ada"), None)), first);
    let invitations = net.administer(Command::ListInvitations).unwrap();
    assert!(matches!(&invitations, CommandReply::Invitations(rows) if rows[0].uses_left == 1));
}

#[test]
fn new_revocations_reach_those_who_know_fewer() {
    let mut net = Net::new();
    let (ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
    let told = |net: &Net, peer: &Peer| {
        let notices = net
            .out
            .iter()
            .filter(|output| matches!(output, Output::Notice { session, .. } if *session == peer.session));
        notices.count()
    };
    net.administer(Command::Revoke { name: name("ada") }).unwrap();
    assert_eq!(net.closed(&ada), Some(Reason::Revoked));
    assert_eq!(told(&net, &bob), 1);
    net.connect(&mut bob);
    assert_eq!(told(&net, &bob), 1, "its hello knew of none");
}
