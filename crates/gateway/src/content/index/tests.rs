//! The index against the document's sections, and against those who misbehave.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn host(last: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, last), 5000)
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn key(peer: &str, content: &str) -> Key {
    Key {
        content: name(content),
        peer: name(peer),
    }
}

fn register(peer: &str, content: &str, port: u16) -> Request {
    let Key { content, peer } = key(peer, content);
    Request::Register { peer, content, port }
}

fn deregister(peer: &str, content: &str) -> Request {
    let Key { content, peer } = key(peer, content);
    Request::Deregister { peer, content }
}

fn search(content: &str) -> Request {
    let Key { content, peer } = key("Jeff", content);
    Request::Search { peer, content }
}

fn say(index: &mut Index, from: SocketAddrV4, request: &Request) -> Vec<Effect> {
    let mut out = Vec::new();
    index.handle(from, &request.encode(), false, &mut out);
    out
}

/// The one answer to a request.
fn ask(index: &mut Index, from: SocketAddrV4, request: &Request) -> Answer {
    match say(index, from, request).pop() {
        Some(Effect::Answer { to, mut answers }) if to == from && answers.len() == 1 => answers.remove(0),
        other => panic!("{request}: {other:?}"),
    }
}

fn accepts(index: &mut Index, from: SocketAddrV4, request: &Request) -> bool {
    matches!(ask(index, from, request), Answer::Done(_))
}

fn provider(index: &mut Index, content: &str) -> Option<u16> {
    match ask(index, host(9), &search(content)) {
        Answer::Provider { port, .. } => Some(port),
        _ => None,
    }
}

/// The names that a trusted address sees.
fn listed(index: &mut Index) -> Vec<String> {
    let mut out = Vec::new();
    index.handle(host(9), &Request::List.encode(), true, &mut out);
    let Some(Effect::Answer { answers, .. }) = out.pop() else {
        panic!("no answer")
    };
    let text = |answer| match answer {
        Answer::Listed(text) => text,
        other => panic!("{other}"),
    };
    let mut texts: Vec<String> = answers.into_iter().map(text).collect();
    assert_eq!(texts.remove(0), texts.len().to_string());
    texts
}

#[test]
fn the_documents_story() {
    let index = &mut Index::default();
    assert!(accepts(index, host(1), &register("Mai", "lorem", 49279)));
    assert_eq!(listed(index), ["lorem"]);
    assert_eq!(provider(index, "lorem"), Some(49279));
    assert!(accepts(index, host(2), &register("Jeff", "lorem", 42741)));
    assert!(accepts(index, host(3), &register("Hamzah", "shrek", 1000)));
    assert_eq!(listed(index), ["lorem", "shrek"]);
    assert!(accepts(index, host(3), &deregister("Hamzah", "shrek")));
    assert!(accepts(index, host(2), &deregister("Jeff", "lorem")));
    assert_eq!(listed(index), ["lorem"], "Mai still hosts it");
    assert_eq!(provider(index, "shrek"), None);
}

#[test]
fn registrations_are_refused_with_a_reason() {
    let index = &mut Index::default();
    assert!(accepts(index, host(1), &register("Mai", "lorem", 1000)));
    let again = ask(index, host(1), &register("Mai", "lorem", 1000));
    assert_eq!(again, Answer::Error("Mai already provides lorem".into()));
    let other = ask(index, host(2), &register("Mai", "shrek", 1000));
    assert_eq!(
        other,
        Answer::Error("the name Mai is in use by another host".into())
    );
    assert!(!accepts(index, host(2), &deregister("Mai", "lorem")));
    assert!(!accepts(index, host(1), &deregister("Mai", "shrek")));
    assert!(!accepts(
        index,
        host(1),
        &Request::Download {
            peer: None,
            content: name("lorem")
        }
    ));
    // With its last content a name is free again.
    assert!(accepts(index, host(1), &deregister("Mai", "lorem")));
    assert!(accepts(index, host(2), &register("Mai", "shrek", 1000)));
}

#[test]
fn whoever_was_handed_out_least_recently_is_next() {
    let index = &mut Index::default();
    for port in 1..=3 {
        assert!(accepts(
            index,
            host(1),
            &register(&format!("peer{port}"), "lorem", port)
        ));
    }
    let turns = (0..5).map(|_| provider(index, "lorem").unwrap());
    assert_eq!(turns.collect::<Vec<_>>(), [1, 2, 3, 1, 2]);
    assert!(accepts(index, host(1), &register("peer4", "lorem", 4)));
    let turns = (0..4).map(|_| provider(index, "lorem").unwrap());
    assert_eq!(
        turns.collect::<Vec<_>>(),
        [3, 1, 2, 4],
        "newcomers wait at the back"
    );
}

#[test]
fn strangers_do_not_see_the_list() {
    let index = &mut Index::default();
    assert!(matches!(ask(index, host(1), &Request::List), Answer::Error(_)));
    assert!(accepts(index, host(1), &register("Mai", "lorem", 1000)));
    assert!(matches!(ask(index, host(2), &Request::List), Answer::Error(_)));
    assert_eq!(say(index, host(1), &Request::List).len(), 1);
}

#[test]
fn providers_that_take_no_connection_are_dropped() {
    let index = &mut Index::default();
    for (peer, port) in [("Mai", 1), ("Jeff", 2), ("Hamzah", 3)] {
        assert!(accepts(index, host(1), &register(peer, "lorem", port)));
    }
    let mut out = Vec::new();
    index.poll(SECOND, 2, &mut out);
    assert_eq!(out, [], "it is not time yet");
    index.poll(PROBE_EVERY, 2, &mut out);
    index.poll(PROBE_EVERY, 2, &mut out);
    index.poll(PROBE_EVERY, 2, &mut out);
    let probes: Vec<Listing> = out
        .drain(..)
        .map(|effect| match effect {
            Effect::Probe(listing) => listing,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(probes.len(), 3, "each once in a round");
    index.probed(&probes[0], false, &mut out);
    index.probed(&probes[1], true, &mut out);
    assert_eq!(out, [Effect::Dropped(probes[0].key.clone())]);
    assert_eq!(index.at.len(), 2);
}

#[test]
fn a_returning_peer_gets_its_content_back_if_its_former_port_is_dead() {
    let index = &mut Index::default();
    assert!(accepts(index, host(1), &register("Mai", "lorem", 1000)));
    let mut effects = say(index, host(1), &register("Mai", "lorem", 2000));
    let Some(Effect::Probe(former)) = effects.pop() else {
        panic!("the former port is tried")
    };
    assert_eq!(former.at.port(), 1000);
    assert_eq!(say(index, host(1), &register("Mai", "lorem", 2000)), [], "once");
    let mut out = Vec::new();
    index.probed(&former, false, &mut out);
    assert!(matches!(&out[2], Effect::Answer { answers, .. } if matches!(answers[..], [Answer::Done(_)])));
    assert_eq!(provider(index, "lorem"), Some(2000));

    say(index, host(1), &register("Mai", "lorem", 3000));
    out.clear();
    let at = SocketAddrV4::new(*host(1).ip(), 2000);
    let key = key("Mai", "lorem");
    index.probed(&Listing { key, at }, true, &mut out);
    assert!(
        matches!(&out[..], [Effect::Answer { answers, .. }] if matches!(answers[..], [Answer::Error(_)]))
    );
    assert_eq!(provider(index, "lorem"), Some(2000));
}

#[test]
fn what_was_listed_is_there_after_a_restart() {
    let index = &mut Index::default();
    let effects = say(index, host(1), &register("Mai", "lorem", 1000));
    let Some(Effect::Listed(listing)) = effects.first() else {
        panic!("it is to be kept")
    };
    let index = &mut Index::default();
    index.restore([listing.clone()]);
    assert_eq!(provider(index, "lorem"), Some(1000));
    assert!(accepts(index, host(1), &deregister("Mai", "lorem")));
}

#[test]
fn a_flood_is_bounded() {
    let index = &mut Index::default();
    for n in 0..20_000 {
        say(index, host(1), &register("Mai", &format!("c{n}"), 1000));
    }
    assert_eq!(index.at.len(), MAX_LISTINGS);
}
