//! A peer in the middle of messages in the right and the wrong order.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const HASH: FileHash = FileHash([7; 32]);

fn at(host: u8) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), 9000)
}

fn lorem() -> FileName {
    FileName::parse("lorem").unwrap()
}

fn known() -> Known {
    Known {
        file_size: 20,
        hash: HASH,
    }
}

/// A peer at 10.0.0.2 of the index at 10.0.0.1, with segments of 8 bytes.
struct Play {
    peer: Peer,
    now: Duration,
}

impl Play {
    fn new() -> Self {
        Self {
            peer: Peer::new(at(1), at(2), 8, false),
            now: SECOND,
        }
    }

    fn say(&mut self, from: u8, message: Message<'_>) -> Vec<Effect> {
        let mut out = Vec::new();
        self.peer.handle(self.now, *at(from).ip(), message, &mut out);
        out
    }

    fn get(&mut self) -> Vec<Effect> {
        let mut out = Vec::new();
        assert!(self.peer.get(self.now, &lorem(), &mut out));
        out
    }

    fn found(&mut self, seeder: u8) -> Vec<Effect> {
        let (name, seeder) = (lorem(), at(seeder));
        self.say(
            1,
            Message::Found {
                name,
                seeder,
                hash: HASH,
            },
        )
    }

    fn data(&mut self, from: u8, number: u32) -> (Option<u64>, Vec<Effect>) {
        let segment = segment(from, number);
        let mut out = Vec::new();
        let taken = self.peer.data(self.now, *at(from).ip(), &segment, &mut out);
        let at = match taken {
            Taken::Write(at, _) => Some(at),
            Taken::Nothing => None,
        };
        if at.is_some() {
            self.peer.wrote(&lorem(), &mut out);
        }
        (at, out)
    }

    fn checked(&mut self, is_right: bool) -> Vec<Effect> {
        let mut out = Vec::new();
        self.peer.checked(self.now, &lorem(), is_right, &mut out);
        out
    }

    fn pass(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        let mut out = Vec::new();
        self.peer.poll(self.now, &mut out);
        out
    }
}

fn segment(from: u8, number: u32) -> Segment<'static> {
    Segment {
        of: listing(&lorem(), known(), at(from)),
        number,
        segment_size: if number == 2 { 4 } else { 8 },
        data: &[1; 8],
    }
}

fn request(to: u8) -> Effect {
    let (name, leecher) = (lorem(), at(2));
    send(at(to), Message::Request { name, leecher })
}

fn confirm() -> Message<'static> {
    Message::Confirm {
        file_size: 20,
        name: lorem(),
        index: at(1),
    }
}

fn is_ignored(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Ignored(_)])
}

#[test]
fn a_registration_ends_when_the_index_has_asked_back() {
    let mut play = Play::new();
    let mut out = Vec::new();
    play.peer.register(play.now, lorem(), known(), &mut out);
    let listing = listing(&lorem(), known(), at(2));
    assert_eq!(out, [send(at(1), Message::Register(listing.clone()))]);
    assert!(is_ignored(&play.say(9, confirm())), "not from the index");
    assert_eq!(play.say(1, confirm()), [Effect::Hash(lorem())]);
    assert_eq!(play.say(1, confirm()), [], "it is being hashed");
    out.clear();
    play.peer.hashed(&lorem(), Some(known()), &mut out);
    let answer = Message::Acknowledge(listing);
    assert_eq!(out, [send(at(1), answer.clone())]);
    out.clear();
    play.peer.delivered(&answer, &mut out);
    assert_eq!(out, [Effect::Registered(lorem())]);
}

#[test]
fn a_silent_index_ends_a_registration_and_a_download() {
    let mut play = Play::new();
    play.peer.register(play.now, lorem(), known(), &mut Vec::new());
    let silent = Effect::Failed(lorem(), Failure::IndexSilent);
    assert_eq!(play.pass(ANSWER_WITHIN), std::slice::from_ref(&silent));
    play.get();
    assert_eq!(play.pass(ANSWER_WITHIN), [silent]);
    let Effect::Send { to, message } = play.get().remove(0) else {
        panic!("the index is asked")
    };
    let mut out = Vec::new();
    play.peer.undelivered(play.now, to, &message, &mut out);
    assert_eq!(out, [Effect::Failed(lorem(), Failure::IndexDown)]);
}

#[test]
fn a_download_takes_segments_in_any_order_and_then_answers_for_the_file() {
    let mut play = Play::new();
    assert_eq!(play.get(), [request(1)]);
    assert_eq!(play.found(3), [Effect::Restart(lorem()), request(3)]);
    assert_eq!(play.data(3, 2), (Some(16), vec![]));
    assert_eq!(play.data(3, 2), (None, vec![]), "twice");
    assert!(is_ignored(&play.data(9, 0).1), "from somebody else");
    assert_eq!(play.data(3, 0), (Some(0), vec![]));
    assert_eq!(play.data(3, 1), (Some(8), vec![Effect::Check(lorem(), HASH)]));
    assert!(is_ignored(&play.data(3, 1).1));
    assert_eq!(
        play.say(1, confirm()),
        [],
        "the index may ask before the check is done"
    );
    let got = Effect::Got(lorem(), at(3), known());
    assert_eq!(play.checked(true), [got, Effect::Hash(lorem())]);
    assert_eq!(play.peer.files().count(), 1);
}

#[test]
fn a_wrong_hash_leads_to_the_next_seeder() {
    let mut play = Play::new();
    play.get();
    play.found(3);
    (0..3).for_each(|number| drop(play.data(3, number)));
    assert_eq!(play.checked(false), [request(1)]);
    assert_eq!(play.peer.files().count(), 0);
    assert_eq!(play.found(3), [request(1)], "it is not tried again");
    assert_eq!(play.found(4), [Effect::Restart(lorem()), request(4)]);
}

#[test]
fn seeders_that_stop_lie_or_are_down_are_given_up() {
    let mut play = Play::new();
    play.get();
    play.found(3);
    play.data(3, 0);
    assert_eq!(play.pass(STALLED_AFTER), [request(1)], "it stopped");
    play.found(4);
    let mut other = segment(4, 0);
    other.of.hash = FileHash([8; 32]);
    let mut out = Vec::new();
    let taken = play.peer.data(play.now, *at(4).ip(), &other, &mut out);
    assert_eq!((taken, out), (Taken::Nothing, vec![request(1)]), "another file");
    play.found(5);
    let mut misfit = segment(5, 0);
    misfit.segment_size = 1;
    let mut out = Vec::new();
    play.peer.data(play.now, *at(5).ip(), &misfit, &mut out);
    assert_eq!(out, [request(1)]);
    play.found(6);
    assert_eq!(play.say(6, Message::NotFound), [request(1)], "it has it not");
    play.found(7);
    let Effect::Send { to, message } = request(7) else {
        panic!("a request is sent")
    };
    let mut out = Vec::new();
    play.peer.undelivered(play.now, to, &message, &mut out);
    assert_eq!(out, [request(1)], "it is down");
    let why = Failure::Seeders("it takes no connection");
    assert_eq!(play.say(1, Message::NotFound), [Effect::Failed(lorem(), why)]);
}

#[test]
fn one_bad_seeder_is_not_asked_for_ever() {
    let mut play = Play::new();
    play.get();
    play.found(3);
    let mut effects = play.say(3, Message::NotFound);
    let mut asks = 1;
    while effects == [request(1)] {
        asks += 1;
        effects = play.found(3);
    }
    assert_eq!(asks, MAX_ASKS);
    let why = Failure::Seeders("it does not have the file");
    assert_eq!(effects, [Effect::Failed(lorem(), why)]);
}

#[test]
fn what_nobody_has_is_not_found() {
    let mut play = Play::new();
    assert!(is_ignored(&play.say(1, Message::NotFound)));
    play.get();
    assert!(is_ignored(&play.say(9, Message::NotFound)));
    let failed = Effect::Failed(lorem(), Failure::NotFound);
    assert_eq!(play.say(1, Message::NotFound), [failed]);
}

#[test]
fn a_file_is_served_to_who_asks_and_then_its_leecher_is_registered() {
    let mut play = Play::new();
    let ask = |leecher: u8| Message::Request {
        name: lorem(),
        leecher: at(leecher),
    };
    assert_eq!(play.say(3, ask(3)), [send(at(3), Message::NotFound)]);
    play.peer.register(play.now, lorem(), known(), &mut Vec::new());
    assert!(is_ignored(&play.say(9, ask(3))), "the address of somebody else");
    let listing = listing(&lorem(), known(), at(2));
    let serve = Effect::Serve {
        listing: listing.clone(),
        to: at(3),
    };
    assert_eq!(play.say(3, ask(3)), std::slice::from_ref(&serve));
    assert_eq!(play.say(3, ask(3)), [], "once at a time");
    let mut out = Vec::new();
    play.peer.served(&listing, at(3), false, &mut out);
    assert_eq!(out, []);
    assert_eq!(play.say(3, ask(3)), [serve]);
    play.peer.served(&listing, at(3), true, &mut out);
    let leecher = Listing {
        seeder: at(3),
        ..listing
    };
    assert_eq!(out, [send(at(1), Message::Register(leecher))]);
}

#[test]
fn a_file_that_is_gone_is_not_answered_for() {
    let mut play = Play::new();
    play.peer.register(play.now, lorem(), known(), &mut Vec::new());
    play.say(1, confirm());
    let mut out = Vec::new();
    play.peer.hashed(&lorem(), None, &mut out);
    assert_eq!(out, []);
    assert!(is_ignored(&play.say(1, confirm())));
}

#[test]
fn a_full_disk_ends_a_download() {
    let mut play = Play::new();
    play.get();
    play.found(3);
    play.peer
        .data(play.now, *at(3).ip(), &segment(3, 0), &mut Vec::new());
    let mut out = Vec::new();
    play.peer.write_failed(&lorem(), "no space".into(), &mut out);
    assert_eq!(out, [Effect::Failed(lorem(), Failure::Write("no space".into()))]);
    assert!(is_ignored(&play.data(3, 1).1));
}
