//! The index against the document's table, and against seeders that lie, are down or flood it.

use rand::{SeedableRng, rngs::SmallRng};

use super::*;

/// An index, the time, and what it did.
struct Play {
    index: Index,
    now: Duration,
    rng: SmallRng,
    out: Vec<Effect>,
}

const SECOND: Duration = Duration::from_secs(1);

fn at(host: u8, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, host), port)
}

fn lorem(seeder: SocketAddrV4) -> Listing {
    Listing {
        file_size: 10,
        name: FileName::parse("lorem").unwrap(),
        seeder,
        hash: FileHash([7; 32]),
    }
}

impl Play {
    fn new(rules: Rules) -> Self {
        Self {
            index: Index::new(at(1, 9000), rules),
            now: SECOND,
            rng: SmallRng::seed_from_u64(1),
            out: Vec::new(),
        }
    }

    fn round_robin() -> Self {
        Self::new(Rules {
            pick: Pick::RoundRobin,
            other_addresses: false,
        })
    }

    fn say(&mut self, from: SocketAddrV4, message: Message<'_>) -> Vec<Effect> {
        self.index
            .handle(self.now, *from.ip(), message, &mut self.rng, &mut self.out);
        std::mem::take(&mut self.out)
    }

    fn pass(&mut self, time: Duration) -> Vec<Effect> {
        self.now += time;
        self.index.poll(self.now, &mut self.rng, &mut self.out);
        std::mem::take(&mut self.out)
    }

    /// Registers and confirms.
    fn seed(&mut self, seeder: SocketAddrV4) {
        assert_eq!(
            self.say(seeder, Message::Register(lorem(seeder))),
            [confirm(seeder)]
        );
        assert_eq!(
            self.say(seeder, Message::Acknowledge(lorem(seeder))),
            [listed(seeder)]
        );
    }

    fn request(&mut self, leecher: SocketAddrV4) -> Vec<Effect> {
        let name = lorem(leecher).name;
        self.say(leecher, Message::Request { name, leecher })
    }
}

fn confirm(seeder: SocketAddrV4) -> Effect {
    let Listing { file_size, name, .. } = lorem(seeder);
    let index = at(1, 9000);
    Effect::Send {
        to: seeder,
        message: Message::Confirm {
            file_size,
            name,
            index,
        },
    }
}

fn found(leecher: SocketAddrV4, seeder: SocketAddrV4) -> Effect {
    let Listing { name, hash, .. } = lorem(seeder);
    Effect::Send {
        to: leecher,
        message: Message::Found { name, seeder, hash },
    }
}

fn not_found(leecher: SocketAddrV4) -> Effect {
    Effect::Send {
        to: leecher,
        message: Message::NotFound,
    }
}

fn listed(seeder: SocketAddrV4) -> Effect {
    Effect::Listed(lorem(seeder))
}

fn dropped(seeder: SocketAddrV4) -> Effect {
    Effect::Dropped(lorem(seeder).name, seeder)
}

fn is_ignored(effects: &[Effect]) -> bool {
    matches!(effects, [Effect::Ignored(_)])
}

#[test]
fn a_seeder_is_listed_once_it_has_confirmed() {
    let mut play = Play::round_robin();
    let (seeder, leecher) = (at(2, 1), at(3, 1));
    assert_eq!(
        play.say(seeder, Message::Register(lorem(seeder))),
        [confirm(seeder)]
    );
    assert_eq!(play.request(leecher), [], "not yet");
    let effects = play.say(seeder, Message::Acknowledge(lorem(seeder)));
    assert_eq!(effects, [listed(seeder), found(leecher, seeder)]);
    assert_eq!(play.request(leecher), [found(leecher, seeder)]);
    assert_eq!(play.index.listings().collect::<Vec<_>>(), [lorem(seeder)]);
}

#[test]
fn a_seeder_that_lies_or_says_nothing_is_not_listed() {
    let mut play = Play::round_robin();
    let (seeder, leecher) = (at(2, 1), at(3, 1));
    play.say(seeder, Message::Register(lorem(seeder)));
    let mut lie = lorem(seeder);
    lie.hash = FileHash([8; 32]);
    assert_eq!(play.say(seeder, Message::Acknowledge(lie)), []);
    assert_eq!(play.request(leecher), [not_found(leecher)]);
    play.say(seeder, Message::Register(lorem(seeder)));
    assert_eq!(play.pass(CONFIRM_WITHIN), []);
    assert!(
        is_ignored(&play.say(seeder, Message::Acknowledge(lorem(seeder)))),
        "too late"
    );
    assert_eq!(play.request(leecher), [not_found(leecher)]);
}

#[test]
fn a_seeder_whose_file_has_changed_is_dropped() {
    let mut play = Play::round_robin();
    let (seeder, leecher) = (at(2, 1), at(3, 1));
    play.seed(seeder);
    play.pass(FRESH_FOR);
    assert_eq!(play.request(leecher), [confirm(seeder)]);
    let mut other = lorem(seeder);
    other.hash = FileHash([8; 32]);
    let effects = play.say(seeder, Message::Acknowledge(other));
    assert_eq!(effects, [dropped(seeder), not_found(leecher)]);
}

#[test]
fn a_silent_seeder_is_asked_first_and_the_next_one_is_taken() {
    let mut play = Play::round_robin();
    let (one, two, leecher) = (at(2, 1), at(3, 1), at(4, 1));
    play.seed(one);
    play.pass(FRESH_FOR);
    play.seed(two);
    play.request(leecher);
    // The next turn is that of the silent one.
    let effects = play.request(leecher);
    assert_eq!(effects, [confirm(one)]);
    assert_eq!(play.pass(CONFIRM_WITHIN), [dropped(one), found(leecher, two)]);
}

#[test]
fn a_seeder_that_takes_no_connection_is_down_at_once() {
    let mut play = Play::round_robin();
    let (seeder, leecher) = (at(2, 1), at(3, 1));
    play.index.restore([lorem(seeder)]);
    let Some(Effect::Send { to, message }) = play.request(leecher).pop() else {
        panic!("a restored seeder is asked first")
    };
    let (now, mut out) = (play.now, Vec::new());
    play.index.undelivered(now, to, &message, &mut play.rng, &mut out);
    assert_eq!(out, [dropped(seeder), not_found(leecher)]);
}

#[test]
fn several_leechers_wait_for_one_answer() {
    let mut play = Play::round_robin();
    let (seeder, a, b) = (at(2, 1), at(3, 1), at(4, 1));
    play.index.restore([lorem(seeder)]);
    assert_eq!(play.request(a), [confirm(seeder)]);
    assert_eq!(play.request(b), [], "it is being asked");
    let effects = play.say(seeder, Message::Acknowledge(lorem(seeder)));
    assert_eq!(effects, [found(a, seeder), found(b, seeder)]);
}

#[test]
fn addresses_of_others_are_not_taken() {
    let mut play = Play::round_robin();
    let (seeder, leecher, stranger) = (at(2, 1), at(3, 1), at(9, 1));
    assert!(is_ignored(&play.say(stranger, Message::Register(lorem(seeder)))));
    let name = lorem(seeder).name;
    let request = Message::Request { name, leecher };
    assert!(is_ignored(&play.say(stranger, request)));
    play.say(seeder, Message::Register(lorem(seeder)));
    assert!(is_ignored(
        &play.say(stranger, Message::Acknowledge(lorem(seeder)))
    ));
    assert!(is_ignored(&play.say(stranger, Message::NotFound)));

    let rules = Rules {
        other_addresses: true,
        ..Rules::default()
    };
    let mut open = Play::new(rules);
    assert_eq!(
        open.say(stranger, Message::Register(lorem(seeder))),
        [confirm(seeder)]
    );
}

#[test]
fn a_seeder_registers_its_leecher_for_ten_minutes_and_gets_credit() {
    let mut play = Play::new(Rules {
        pick: Pick::Credit,
        other_addresses: false,
    });
    let (seeder, leecher, other) = (at(2, 1), at(3, 1), at(4, 1));
    play.seed(seeder);
    play.request(leecher);
    assert_eq!(
        play.say(seeder, Message::Register(lorem(leecher))),
        [confirm(leecher)]
    );
    assert_eq!(
        play.say(leecher, Message::Acknowledge(lorem(leecher))),
        [listed(leecher)]
    );
    // Credit 1 against 0: two of three requests.
    let to_seeder = (0..300)
        .filter(|_| play.request(other) == [found(other, seeder)])
        .count();
    assert!((170..=230).contains(&to_seeder), "{to_seeder}");

    play.request(at(5, 1));
    play.pass(ASKED_WITHIN);
    assert!(is_ignored(&play.say(seeder, Message::Register(lorem(at(5, 1))))));
}

#[test]
fn turns_go_round_and_a_leecher_is_never_sent_to_itself() {
    let mut play = Play::round_robin();
    let (one, two, leecher) = (at(2, 1), at(3, 1), at(4, 1));
    play.seed(one);
    assert_eq!(play.request(one), [not_found(one)]);
    play.seed(two);
    let first = play.request(leecher);
    let second = play.request(leecher);
    assert_ne!(first, second);
    assert_eq!(play.request(leecher), first);
}

#[test]
fn duplicates_change_nothing() {
    let mut play = Play::round_robin();
    let seeder = at(2, 1);
    play.say(seeder, Message::Register(lorem(seeder)));
    assert_eq!(play.say(seeder, Message::Register(lorem(seeder))), []);
    play.say(seeder, Message::Acknowledge(lorem(seeder)));
    assert!(is_ignored(&play.say(seeder, Message::Acknowledge(lorem(seeder)))));
    play.say(seeder, Message::Register(lorem(seeder)));
    assert_eq!(play.say(seeder, Message::Acknowledge(lorem(seeder))), []);
    assert_eq!(play.index.listings().count(), 1);
}

/// Otherwise each of those who wait would be passed on to each of those who lie, again and again.
#[test]
fn a_leecher_waits_for_so_many_seeders_and_no_more() {
    let mut play = Play::round_robin();
    let leecher = at(3, 1);
    let seeders: Vec<SocketAddrV4> = (1..=20).map(|n| at(2, n)).collect();
    for seeder in &seeders {
        play.say(*seeder, Message::Register(lorem(*seeder)));
    }
    assert_eq!(play.request(leecher), []);
    let mut told = 0;
    for seeder in &seeders {
        let lie = Listing {
            file_size: 1,
            ..lorem(*seeder)
        };
        let effects = play.say(*seeder, Message::Acknowledge(lie));
        told += usize::from(!effects.is_empty());
    }
    let search = play.index.searches.values().next().unwrap();
    assert_eq!((told, search.gone), (1, MAX_GONE));
}

#[test]
fn a_flood_is_bounded() {
    let mut play = Play::round_robin();
    for n in 1..=20_000 {
        let seeder = at(2, n);
        play.say(seeder, Message::Register(lorem(seeder)));
        play.request(seeder);
    }
    assert_eq!(play.index.questions.len(), MAX_QUESTIONS);
    assert_eq!(play.index.searches.len(), MAX_SEARCHES);
    // All seeders turn out to have gone at the same time, and all leechers but the first waited for them.
    assert_eq!(play.pass(CONFIRM_WITHIN).len(), MAX_SEARCHES - 1);
    play.pass(ASKED_WITHIN);
    assert!(play.index.questions.is_empty() && play.index.searches.is_empty());
}
