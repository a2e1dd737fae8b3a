//! What was acknowledged is there after a restart, and what peers have is reconciled.

use super::*;

/// Ada shares a and b, bob has both; then the coordinator restarts.
fn restarted() -> (Net, Peer, Peer) {
    let mut net = Net::new();
    let (mut ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
    for n in 1..=2 {
        net.publish(&mut ada, &format!("s{n}"), blob(n));
        bob.has.insert(blob(n));
    }
    assert_eq!(net.hold(&bob, &[blob(1), blob(2)]), []);
    net.restart();
    (net, ada, bob)
}

#[test]
fn peers_shares_and_holders_are_there_once_they_are_online() {
    let (mut net, mut ada, mut bob) = restarted();
    let summary = net.index.summary();
    assert_eq!(
        (summary.peers, summary.online, summary.shares, summary.holdings),
        (2, 0, 2, 4)
    );
    net.connect(&mut ada);
    let welcome = net.attend(&ada);
    assert!(welcome.returning && welcome.holdings_known);
    assert_eq!(net.find(&ada, Query::All).len(), 2);
    assert_eq!(net.lookup(&ada, blob(1)), [], "bob is not online yet");
    net.connect(&mut bob);
    assert!(net.attend(&bob).holdings_known);
    assert_eq!(net.lookup_ids(&ada, blob(1)), [bob.id()]);
    assert_eq!(net.lookup_ids(&bob, blob(2)), [ada.id()]);
}

#[test]
fn after_a_restart_newcomers_are_verified_with_fresh_triples() {
    let (mut net, mut ada, _) = restarted();
    net.connect(&mut ada);
    net.attend(&ada);
    let mut eve = net.join(3, "eve");
    eve.has.insert(blob(1));
    let request = net.send(&eve, hold(&[blob(1)]));
    net.deposit();
    let reply = net.reply(&eve, request).expect("ada was asked for triples");
    assert_eq!(net.prove(&eve, reply), []);
}

/// Triples do not outlive a restart, and who could give fresh ones may never come back.
#[test]
fn where_nobody_can_ask_those_known_before_are_believed_and_nobody_else() {
    let (mut net, _, mut bob) = restarted();
    let (mut eve, mut mallory) = (net.join(3, "eve"), net.join(4, "mallory"));
    net.connect(&mut eve);
    net.attend(&eve);
    assert_eq!(net.hold(&mallory, &[blob(1)]), [], "there is no question");
    assert_eq!(net.lookup(&eve, blob(1)), [], "nor is it believed");
    mallory.has.insert(blob(1));
    net.publish(&mut mallory, "mine", blob(1));
    assert_eq!(net.hold(&mallory, &[blob(1)]), []);
    assert_eq!(net.lookup_ids(&eve, blob(1)), [mallory.id()], "a publisher");
    bob.has.insert(blob(3));
    net.connect(&mut bob);
    assert!(!net.attend(&bob).holdings_known);
    assert_eq!(net.hold(&bob, &[blob(2)]), []);
    assert_eq!(
        net.lookup_ids(&eve, blob(2)),
        [bob.id()],
        "proven before the restart"
    );
}

#[test]
fn another_digest_doubts_everything_until_it_is_said_again() {
    let (mut net, mut ada, mut bob) = restarted();
    bob.has.remove(&blob(2));
    net.connect(&mut ada);
    net.attend(&ada);
    net.connect(&mut bob);
    assert!(!net.attend(&bob).holdings_known);
    assert_eq!(net.lookup(&ada, blob(1)), []);
    let reply = net.ask(&bob, hold(&[blob(1)]));
    assert!(
        matches!(reply, Reply::Questions(questions) if questions.questions.is_empty()),
        "proven before"
    );
    assert_eq!(net.lookup_ids(&ada, blob(1)), [bob.id()]);
    assert_eq!(net.lookup(&ada, blob(2)), []);

    net.disconnect(&bob);
    assert_eq!(
        net.index.summary().holdings,
        3,
        "what was not said again is forgotten"
    );
    net.connect(&mut bob);
    assert!(net.attend(&bob).holdings_known);
}

#[test]
fn a_doubted_whole_may_be_a_part_now() {
    let (mut net, mut ada, mut bob) = restarted();
    net.connect(&mut ada);
    net.attend(&ada);
    bob.has.remove(&blob(2));
    net.connect(&mut bob);
    net.attend(&bob);
    let holdings = vec![Holding {
        content: blob(2),
        complete: false,
    }];
    bob.has.insert(blob(2));
    let request = net.send(&bob, Request::Hold(Hold { holdings }));
    net.deposit();
    let reply = net.reply(&bob, request).unwrap();
    assert_eq!(net.prove(&bob, reply), []);
    let holders = net.lookup(&ada, blob(2));
    assert_eq!((holders.len(), holders[0].complete), (1, false));
    assert_eq!(net.index.summary().holdings, 3);
}

#[test]
fn a_publisher_is_believed_when_nobody_else_is_left() {
    let mut net = Net::new();
    let mut ada = net.join(1, "ada");
    net.publish(&mut ada, "a", blob(1));
    let had = std::mem::take(&mut ada.has);
    net.connect(&mut ada);
    net.attend(&ada);
    net.disconnect(&ada);
    assert_eq!(net.index.summary().holdings, 0);
    ada.has = had;
    net.connect(&mut ada);
    net.attend(&ada);
    assert_eq!(net.hold(&ada, &[blob(1)]), []);
    assert_eq!(net.index.summary().holdings, 1);
}

#[test]
fn leftovers_of_a_batch_committed_in_part_are_removed() {
    let (mut net, _, bob) = restarted();
    let holding = facts::Fact::Holding(bob.id(), blob(7)).set();
    let orphan = facts::Fact::Holding(PeerId([9; 32]), blob(1)).set();
    for change in [&holding, &orphan] {
        net.facts
            .insert(change.key.clone(), change.value.clone().unwrap());
    }
    net.restart();
    assert_eq!(net.index.next_wakeup(), Some(Duration::ZERO));
    net.poll();
    assert!(!net.facts.contains_key(&holding.key) && !net.facts.contains_key(&orphan.key));
    assert_eq!(net.index.summary().holdings, 4);
}

#[test]
fn damaged_disordered_and_foreign_facts_are_errors() {
    let (net, ..) = restarted();
    let restore = |config, facts: Vec<(Vec<u8>, Vec<u8>)>| {
        let restored = Index::restore(config, [0; 32], net.now, facts);
        restored.err().map(|error| error.problem)
    };
    let facts: Vec<_> = net.facts.clone().into_iter().collect();
    assert_eq!(restore(config(9), facts.clone()), None);
    for at in 0..facts.len() {
        let mut cut = facts.clone();
        cut[at].1.pop();
        assert!(restore(config(9), cut).is_some());
    }
    let disordered = facts.iter().rev().cloned().collect();
    assert_eq!(restore(config(9), disordered), Some("it is out of order"));
    let foreign = Config {
        network_key: Arc::new(SigningKey::from_seed([3; 32])),
        ..config(9)
    };
    assert_eq!(restore(foreign, facts), Some("it belongs to another network"));
}
