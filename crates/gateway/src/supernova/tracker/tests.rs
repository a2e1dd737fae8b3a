//! The tracker against the document's sections, and against those who misbehave.

use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn file(text: &str) -> FileName {
    FileName::parse(text).unwrap()
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

fn listening(last: u8, port: u16) -> Message {
    let host = Host(ip(last));
    Message::Listening { host, port }
}

fn hello(text: &str) -> Message {
    Message::Hello(Some(name(text)))
}

/// The reply to a message.
fn say(tracker: &mut Tracker, session: u64, message: Message) -> Message {
    let mut out = Vec::new();
    tracker.handle(Session(session), Ok(message), &mut out);
    match out.pop() {
        Some(Effect::Reply(to, reply)) if to == Session(session) => reply,
        other => panic!("{other:?}"),
    }
}

/// A peer that has said everything it has to; its session and host have the same number.
fn join(tracker: &mut Tracker, number: u8, text: &str, files: &[&str]) {
    let session = u64::from(number);
    tracker.connected(Session(session), ip(number));
    assert_eq!(
        say(tracker, session, Message::IWant(name(text))),
        Message::Welcome(name(text))
    );
    assert_eq!(say(tracker, session, listening(number, 7000)), Message::Ok);
    let files = files.iter().map(|text| file(text)).collect();
    assert_eq!(say(tracker, session, Message::List(files)), Message::Ok);
}

fn visible(tracker: &mut Tracker, session: u64) -> Vec<(Name, FileName)> {
    match say(tracker, session, Message::SendList) {
        Message::FullList(files) => files,
        other => panic!("{other}"),
    }
}

fn is_error(message: &Message) -> bool {
    matches!(message, Message::Error(_))
}

#[test]
fn a_new_peer_is_offered_a_name_and_may_take_another() {
    let tracker = &mut Tracker::default();
    tracker.connected(Session(1), ip(1));
    let offer = Message::Available(name("peer_1"));
    assert_eq!(say(tracker, 1, Message::Hello(None)), offer);
    assert_eq!(say(tracker, 1, hello("Ann")), offer);
    assert_eq!(
        say(tracker, 1, Message::IWant(name("Ann"))),
        Message::Welcome(name("Ann"))
    );
    tracker.connected(Session(2), ip(2));
    assert_eq!(
        say(tracker, 2, Message::IWant(name("peer_1"))),
        Message::Welcome(name("peer_1"))
    );
    tracker.connected(Session(3), ip(3));
    assert_eq!(
        say(tracker, 3, Message::Hello(None)),
        Message::Available(name("peer_2"))
    );
}

#[test]
fn a_returning_peer_is_welcome_and_a_connected_name_is_not_given_twice() {
    let tracker = &mut Tracker::default();
    join(tracker, 1, "Ann", &["a"]);
    tracker.connected(Session(2), ip(2));
    assert_eq!(say(tracker, 2, hello("Ann")), Message::Available(name("peer_1")));
    assert_eq!(
        say(tracker, 2, Message::IWant(name("Ann"))),
        Message::Available(name("peer_1"))
    );
    tracker.closed(Session(1));
    assert_eq!(say(tracker, 2, hello("Ann")), Message::Welcome(name("Ann")));
    assert_eq!(
        say(tracker, 2, hello("Ann")),
        Message::Welcome(name("Ann")),
        "its own"
    );
}

#[test]
fn a_peer_is_seen_while_it_is_connected_and_answers() {
    let tracker = &mut Tracker::default();
    join(tracker, 1, "Ann", &["a", "b c"]);
    join(tracker, 2, "Bob", &["a"]);
    let all = [("Ann", "a"), ("Ann", "b c"), ("Bob", "a")].map(|(peer, text)| (name(peer), file(text)));
    assert_eq!(visible(tracker, 1), all);
    let at = SocketAddr::new(ip(1), 7000);
    let known = Message::At {
        host: Host(ip(1)),
        port: 7000,
    };
    assert_eq!(say(tracker, 2, Message::Where(name("Ann"))), known);

    assert!(tracker.probed(&name("Ann"), at, false));
    assert_eq!(visible(tracker, 2), all[2..]);
    assert!(is_error(&say(tracker, 2, Message::Where(name("Ann")))));
    assert!(tracker.probed(&name("Ann"), at, true));
    assert!(!tracker.probed(&name("Ann"), at, true));
    assert_eq!(visible(tracker, 2), all);

    tracker.closed(Session(1));
    assert_eq!(visible(tracker, 2), all[2..]);
    tracker.connected(Session(3), ip(1));
    assert_eq!(say(tracker, 3, hello("Ann")), Message::Welcome(name("Ann")));
    assert_eq!(visible(tracker, 2), all, "it is back, with what it shared");
}

#[test]
fn connected_peers_are_probed_now_and_then() {
    let tracker = &mut Tracker::default();
    join(tracker, 1, "Ann", &[]);
    join(tracker, 2, "Bob", &[]);
    tracker.closed(Session(2));
    let mut out = Vec::new();
    tracker.poll(PROBE_EVERY, &mut out);
    tracker.poll(PROBE_EVERY + Duration::from_secs(1), &mut out);
    assert_eq!(out, [Effect::Probe(name("Ann"), SocketAddr::new(ip(1), 7000))]);
    tracker.poll(2 * PROBE_EVERY, &mut out);
    assert_eq!(out.len(), 2);
    // Whoever is new is tried at once, and alone.
    join(tracker, 3, "Eve", &[]);
    tracker.poll(2 * PROBE_EVERY + Duration::from_secs(1), &mut out);
    assert_eq!(
        out[2..],
        [Effect::Probe(name("Eve"), SocketAddr::new(ip(3), 7000))]
    );
}

#[test]
fn strangers_and_other_addresses_are_refused() {
    let tracker = &mut Tracker::default();
    tracker.connected(Session(1), ip(1));
    for message in [
        Message::SendList,
        Message::List(vec![]),
        Message::Where(name("Ann")),
        listening(1, 1),
    ] {
        assert!(is_error(&say(tracker, 1, message)), "nobody has said HELLO");
    }
    join(tracker, 2, "Bob", &[]);
    assert!(is_error(&say(tracker, 2, listening(1, 7000))));
    assert!(is_error(&say(tracker, 2, Message::Thanks)));
    let mut out = Vec::new();
    tracker.handle(Session(2), Err(BadMessage::Word), &mut out);
    assert!(matches!(&out[..], [Effect::Reply(_, Message::Error(_))]));
    tracker.handle(Session(99), Ok(Message::SendList), &mut out);
    assert_eq!(out.len(), 1, "a connection that has ended gets nothing");
}

#[test]
fn what_is_known_outlives_a_restart() {
    let tracker = &mut Tracker::default();
    join(tracker, 1, "Ann", &["a"]);
    let kept: Vec<_> = tracker.records().map(|(n, r)| (n.clone(), r.clone())).collect();
    let tracker = &mut Tracker::new(kept, false);
    tracker.connected(Session(1), ip(1));
    assert_eq!(say(tracker, 1, hello("Ann")), Message::Welcome(name("Ann")));
    assert_eq!(visible(tracker, 1), [(name("Ann"), file("a"))]);
}

#[test]
fn a_flood_of_names_is_bounded_and_pushes_out_only_the_idle() {
    let tracker = &mut Tracker::default();
    join(tracker, 1, "Ann", &["a"]);
    tracker.closed(Session(1));
    tracker.connected(Session(2), ip(2));
    for n in 0..2 * MAX_PEERS {
        say(tracker, 2, Message::IWant(name(&format!("n{n}"))));
    }
    assert_eq!(tracker.peers.len(), MAX_PEERS);
    assert_eq!(say(tracker, 2, hello("Ann")), Message::Welcome(name("Ann")));
}
