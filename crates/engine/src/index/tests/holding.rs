//! Proving what one has, being listed for it, and taking turns.

use skep_wire::message::Drop;

use super::*;

fn partial(content: BlobId) -> Request {
    let complete = false;
    let holdings = vec![Holding { content, complete }];
    Request::Hold(Hold { holdings })
}

fn questions(reply: Reply) -> Vec<Question> {
    match reply {
        Reply::Questions(questions) => questions.questions,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_newcomer_is_listed_only_after_the_right_answer() {
    let mut net = Net::new();
    let (mut ada, mut bob, eve) = (net.join(1, "ada"), net.join(2, "bob"), net.join(3, "eve"));
    net.publish(&mut ada, "a", blob(1));
    bob.has.insert(blob(1));
    let asked = net.ask(&bob, hold(&[blob(1)]));
    assert_eq!(net.lookup_ids(&eve, blob(1)), [ada.id()]);
    assert_eq!(net.prove(&bob, asked), []);
    assert_eq!(net.lookup_ids(&eve, blob(1)), [bob.id(), ada.id()]);

    assert_eq!(net.hold(&eve, &[blob(1)]), [blob(1)], "it does not have it");
    assert_eq!(net.lookup_ids(&bob, blob(1)).len(), 1);
    assert_eq!(
        questions(net.ask(&bob, hold(&[blob(1)]))),
        [],
        "it is listed already"
    );
}

#[test]
fn answers_to_nothing_list_nothing() {
    let mut net = Net::new();
    let (mut ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "a", blob(1));
    let answer = Answer {
        content: blob(1),
        answer: Some(true_answer(&blob(1), &[0; 32], 0)),
        triples: triples(&blob(1), 4),
    };
    let guess = Request::Answers(Answers {
        answers: vec![answer],
    });
    let Reply::Verdicts(verdicts) = net.ask(&bob, guess.clone()) else {
        panic!("no verdicts");
    };
    assert_eq!(verdicts.refused, [blob(1)]);
    bob.has.insert(blob(1));
    assert_eq!(net.hold(&bob, &[blob(1)]), []);
    let Reply::Verdicts(verdicts) = net.ask(&bob, guess) else {
        panic!("no verdicts");
    };
    assert_eq!(verdicts.refused, [], "it is listed already");
}

#[test]
fn unknown_contents_are_ignored() {
    let mut net = Net::new();
    let ada = net.join(1, "ada");
    assert_eq!(questions(net.ask(&ada, hold(&[blob(9)]))), []);
    net.done(
        &ada,
        Request::Drop(Drop {
            contents: vec![blob(9)],
        }),
    );
    assert_eq!(net.index.summary().contents, 0);
}

#[test]
fn a_second_publisher_has_to_prove_what_it_publishes() {
    let mut net = Net::new();
    let (mut ada, mut bob, eve) = (net.join(1, "ada"), net.join(2, "bob"), net.join(3, "eve"));
    net.publish(&mut ada, "a", blob(1));
    net.publish(&mut bob, "b", blob(1));
    assert_eq!(net.lookup_ids(&eve, blob(1)), [ada.id()]);
    assert_eq!(net.hold(&bob, &[blob(1)]), []);
    assert_eq!(net.lookup_ids(&eve, blob(1)).len(), 2);
}

#[test]
fn each_question_is_asked_once_and_few_triples_bring_fresh_ones() {
    let mut net = Net::new();
    let mut ada = net.join(1, "ada");
    net.publish(&mut ada, "a", blob(1));
    let mut asked = BTreeSet::new();
    for n in 2..6 {
        let peer = net.join(n, &format!("p{n}"));
        let questions = questions(net.ask(&peer, hold(&[blob(1)])));
        assert_eq!(questions.len(), 1);
        assert!(asked.insert(questions[0].nonce), "asked again");
    }
    let orders = net.take_orders();
    assert_eq!(orders.len(), 1, "once is enough");
    assert_eq!(orders[0].0, ada.session);
    assert_eq!(
        orders[0].2,
        Order::WantTriples(skep_wire::message::WantTriples { content: blob(1) })
    );
    let late = net.join(9, "late");
    assert_eq!(
        questions(net.ask(&late, hold(&[blob(1)]))).len(),
        1,
        "the last one stays"
    );
}

#[test]
fn without_triples_the_question_waits_for_some() {
    let mut net = Net::new();
    let (mut ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
    let record = ada.record("a", blob(1));
    net.done(&ada, publish(&ada, &record, 0));
    bob.has.insert(blob(1));
    let request = net.send(&bob, hold(&[blob(1)]));
    assert_eq!(net.reply(&bob, request), None);
    net.deposit();
    let reply = net.reply(&bob, request).expect("the triples came");
    assert_eq!(net.prove(&bob, reply), []);
    assert_eq!(net.lookup_ids(&ada, blob(1)), [bob.id()]);
}

#[test]
fn without_triples_nobody_waits_for_a_witness_that_is_gone() {
    let mut net = Net::new();
    let (mut ada, bob) = (net.join(1, "ada"), net.join(2, "bob"));
    let record = ada.record("a", blob(1));
    net.done(&ada, publish(&ada, &record, 0));
    let request = net.send(&bob, hold(&[blob(1)]));
    assert_eq!(net.reply(&bob, request), None);
    net.disconnect(&ada);
    let reply = net.reply(&bob, request).expect("there is no hope");
    assert_eq!(questions(reply), []);
    assert_eq!(questions(net.ask(&bob, hold(&[blob(1)]))), []);
    assert_eq!(net.index.summary().holdings, 1);
}

#[test]
fn of_many_a_sample_is_asked_and_the_rest_follows() {
    let mut net = Net::new();
    let (mut ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
    let all: Vec<BlobId> = (0..200).map(blob).collect();
    for (n, content) in all.iter().enumerate() {
        net.publish(&mut ada, &format!("s{n}"), *content);
    }
    let reply = net.ask(&bob, hold(&all));
    let Reply::Questions(asked) = &reply else {
        panic!("{reply:?}");
    };
    assert_eq!(asked.questions.len(), 32);
    let sampled: BTreeSet<BlobId> = asked.questions.iter().map(|question| question.content).collect();
    assert!(sampled.iter().any(|id| *id > blob(100)) && sampled.iter().any(|id| *id < blob(100)));

    bob.has = sampled.iter().skip(1).copied().collect();
    let refused = net.prove(&bob, reply);
    assert_eq!(
        refused.len(),
        200 - 31,
        "one wrong answer spoils all that was not asked"
    );
    assert_eq!(net.index.summary().holdings, 200 + 31);

    bob.has = all.iter().copied().collect();
    assert_eq!(net.hold(&bob, &all), []);
    assert_eq!(net.index.summary().holdings, 400);
}

#[test]
fn parts_are_asked_too_and_forgotten_with_the_connection() {
    let mut net = Net::new();
    let (mut ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "a", blob(1));
    let reply = net.ask(&bob, partial(blob(1)));
    assert_eq!(net.prove(&bob, reply), [blob(1)], "it lacked the leaf");
    bob.has.insert(blob(1));
    let reply = net.ask(&bob, partial(blob(1)));
    assert_eq!(net.prove(&bob, reply), []);
    let holders = net.lookup(&ada, blob(1));
    assert_eq!((holders.len(), holders[0].complete), (1, false));
    assert_eq!(
        net.find(&ada, Query::All)[0].holders,
        1,
        "complete ones are counted only"
    );

    assert_eq!(net.hold(&bob, &[blob(1)]), [], "it is complete now");
    let holders = net.lookup(&ada, blob(1));
    assert_eq!((holders.len(), holders[0].complete), (1, true));

    let mut eve = net.join(3, "eve");
    eve.has.insert(blob(1));
    let reply = net.ask(&eve, partial(blob(1)));
    net.prove(&eve, reply);
    assert_eq!(net.lookup(&ada, blob(1)).len(), 2);
    net.disconnect(&eve);
    eve.has.clear();
    net.connect(&mut eve);
    net.attend(&eve);
    assert_eq!(net.lookup(&ada, blob(1)).len(), 1);
}

#[test]
fn answers_about_a_part_and_about_all_may_overtake_each_other() {
    for all_first in [true, false] {
        for has_leaf in [true, false] {
            let mut net = Net::new();
            let (mut ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
            net.publish(&mut ada, "a", blob(1));
            let part = questions(net.ask(&bob, partial(blob(1)))).remove(0);
            let all = questions(net.ask(&bob, hold(&[blob(1)]))).remove(0);
            bob.has.insert(blob(1));
            let mut part = bob.answer(&part);
            if !has_leaf {
                part.answer = None;
            }
            let mut answers = vec![part, bob.answer(&all)];
            if all_first {
                answers.reverse();
            }
            for answer in answers {
                let answers = vec![answer];
                net.ask(&bob, Request::Answers(Answers { answers }));
            }
            let holders = net.lookup(&ada, blob(1));
            assert_eq!(holders.len(), 1, "{all_first} {has_leaf}");
            assert!(holders[0].complete, "{all_first} {has_leaf}");
        }
    }
}

#[test]
fn what_is_dropped_is_not_handed_out_nor_its_triples_asked() {
    let mut net = Net::new();
    let (mut ada, mut bob) = (net.join(1, "ada"), net.join(2, "bob"));
    net.publish(&mut ada, "a", blob(1));
    bob.has.insert(blob(1));
    net.hold(&bob, &[blob(1)]);
    let contents = vec![blob(1)];
    net.done(
        &ada,
        Request::Drop(Drop {
            contents: contents.clone(),
        }),
    );
    assert_eq!(net.lookup(&bob, blob(1)), []);
    net.done(&bob, Request::Drop(Drop { contents }));
    assert!(!net.index.holders.find(&blob(1)).unwrap().has_triples());
    assert_eq!(net.index.summary().holdings, 0);
}

#[test]
fn holders_take_turns_fifty_at_a_time() {
    let mut net = Net::new();
    let mut ada = net.join(1, "ada");
    net.publish(&mut ada, "a", blob(1));
    let mut all = BTreeSet::from([ada.id()]);
    for n in 2..=120 {
        let mut peer = net.join(n, &format!("p{n}"));
        peer.has.insert(blob(1));
        assert_eq!(net.hold(&peer, &[blob(1)]), []);
        net.deposit();
        all.insert(peer.id());
    }
    let asker = net.join(500, "asker");
    let first = net.lookup_ids(&asker, blob(1));
    let second = net.lookup_ids(&asker, blob(1));
    let third = net.lookup_ids(&asker, blob(1));
    assert_eq!((first.len(), second.len(), third.len()), (50, 50, 50));
    assert_eq!(third[20..], first[..30], "least recently handed out first");
    let seen: BTreeSet<PeerId> = [first, second, third].concat().into_iter().collect();
    assert_eq!(seen, all);
}

#[test]
fn few_holders_take_turns_in_being_first() {
    let mut net = Net::new();
    let mut ada = net.join(1, "ada");
    net.publish(&mut ada, "a", blob(1));
    for n in 2..=4 {
        let mut peer = net.join(n, &format!("p{n}"));
        peer.has.insert(blob(1));
        net.hold(&peer, &[blob(1)]);
    }
    let asker = net.join(9, "asker");
    let firsts: BTreeSet<PeerId> = (0..4).map(|_| net.lookup_ids(&asker, blob(1))[0]).collect();
    assert_eq!(firsts.len(), 4);
    assert_eq!(net.lookup_ids(&ada, blob(1)).len(), 3, "nobody is told of itself");
}

#[test]
fn unanswered_claims_are_bounded() {
    let mut net = Net::new();
    let (mut ada, bob) = (net.join(1, "ada"), net.join(2, "bob"));
    for n in 0..17 {
        net.publish(&mut ada, &format!("s{n}"), blob(n));
    }
    for n in 0..16 {
        assert_eq!(questions(net.ask(&bob, hold(&[blob(n)]))).len(), 1);
    }
    assert_eq!(net.denied(&bob, hold(&[blob(16)])), Reason::Busy);
}
