//! Document 003: the index that verifies, seeders, leechers, and those of them that lie or go away.

use std::{fs, io::Write, net::TcpStream};

use super::{BOTH, By, Role, Stage, dir};
use crate::support::{eventually, text};

/// Not a multiple of a segment.
const BYTES: usize = 100_003;

/// An index and what its peers need.
struct Net {
    stage: Stage,
    index: Role,
}

impl Net {
    fn new(index: By, options: &[&str]) -> Self {
        let stage = Stage::new();
        let words = [&["napster", "index", "--listen", "127.0.0.1:0"], options].concat();
        let index = stage.role(index, "index", &words);
        Self { stage, index }
    }

    fn peer(&self, by: By, name: &str, options: &[&str]) -> Role {
        let folder = self.stage.folder(name);
        let server = ["napster", "peer", "--server", self.index.listen()];
        let words = [&server[..], &dir(&folder), options].concat();
        self.stage.role(by, &format!("{name}-home"), &words)
    }

    fn got(&self, name: &str, file: &str) -> Vec<u8> {
        fs::read(self.stage.path(name).join(file)).unwrap()
    }

    /// Waits until a leecher finds who was registered for it.
    fn gets(&self, peer: &mut Role, name: &str, file: &str) -> Vec<u8> {
        eventually("somebody has the file", || {
            (peer.command(&format!("get {file}"))["event"] == "done").then_some(())
        });
        self.got(name, file)
    }
}

#[test]
fn the_document_in_order_with_everybody_in_every_role() {
    for index in BOTH {
        for seeder in BOTH {
            for leecher in BOTH {
                story(index, seeder, leecher);
            }
        }
    }
}

/// REGISTER, REGISTER_CONF, REGISTER_ACK; REQ_FILE, FILE_FOUND; REQ_FILE, DATA; REGISTER of the leecher.
fn story(index: By, seeder: By, leecher: By) {
    let net = Net::new(index, &[]);
    let (_, bytes) = net.stage.file("seeder", "song.mp3", BYTES);
    let mut seeder = net.peer(seeder, "seeder", &[]);
    let mut second = net.peer(leecher, "second", &[]);
    second.fails("get song.mp3");
    seeder.does("register song.mp3");
    assert_eq!(net.gets(&mut second, "second", "song.mp3"), bytes);
    // Whoever has downloaded is a seeder: the first one is not needed any more.
    let mut third = net.peer(seeder_of(leecher), "third", &[]);
    eventually("the leecher is registered", || {
        let done = third.command("get song.mp3");
        if done["event"] == "done" && done["seeder"] == second.listen() {
            return Some(());
        }
        let _ = fs::remove_file(net.stage.path("third").join("song.mp3"));
        None
    });
    assert_eq!(net.got("third", "song.mp3"), bytes);
}

/// Somebody else than the leecher.
fn seeder_of(by: By) -> By {
    match by {
        By::Skep => By::Python,
        By::Python => By::Skep,
    }
}

#[test]
fn sizes_around_a_segment_arrive_exactly() {
    let net = Net::new(By::Skep, &[]);
    let mut seeder = net.peer(By::Skep, "seeder", &[]);
    let mut leecher = net.peer(By::Skep, "leecher", &[]);
    for bytes in [0, 1, 8191, 8192, 8193, 16384] {
        let name = format!("f{bytes}");
        let (_, content) = net.stage.file("seeder", &name, bytes);
        seeder.does(&format!("register {name}"));
        leecher.does(&format!("get {name}"));
        assert_eq!(net.got("leecher", &name), content);
    }
    let files = leecher.rows("list");
    assert_eq!(files.len(), 6);
}

#[test]
fn segments_of_another_size_order_and_number_are_understood() {
    let net = Net::new(By::Skep, &["--segment", "8000"]);
    let (_, bytes) = net.stage.file("seeder", "song.mp3", BYTES);
    let forms = [
        "--segment",
        "8000",
        "--shuffle",
        "--full-segment-size",
        "--one-connection",
    ];
    let mut seeder = net.peer(By::Python, "seeder", &forms);
    seeder.does("register song.mp3");
    let mut leecher = net.peer(By::Skep, "leecher", &["--segment", "8000"]);
    leecher.does("get song.mp3");
    assert_eq!(net.got("leecher", "song.mp3"), bytes);
}

#[test]
fn a_seeder_that_lies_is_not_listed() {
    let net = Net::new(By::Skep, &[]);
    net.stage.file("liar", "song.mp3", BYTES);
    let mut liar = net.peer(By::Python, "liar", &["--lie-hash"]);
    liar.command("register song.mp3");
    let mut leecher = net.peer(By::Skep, "leecher", &[]);
    assert_eq!(leecher.fails("get song.mp3")["kind"], "not_found");
}

#[test]
fn bad_seeders_are_passed_over_and_leave_nothing_under_the_name() {
    for fault in [&["--corrupt"][..], &["--break-after", "3"]] {
        let net = Net::new(By::Skep, &["--pick", "round-robin"]);
        let (_, bytes) = net.stage.file("honest", "song.mp3", BYTES);
        net.stage.file("bad", "song.mp3", BYTES);
        let mut bad = net.peer(By::Python, "bad", fault);
        bad.does("register song.mp3");
        let mut leecher = net.peer(By::Skep, "leecher", &[]);
        assert_eq!(leecher.fails("get song.mp3")["kind"], "failed");
        let left: Vec<_> = fs::read_dir(net.stage.path("leecher")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        let mut honest = net.peer(By::Skep, "honest", &[]);
        honest.does("register song.mp3");
        let done = leecher.does("get song.mp3");
        assert_eq!(done["seeder"], honest.listen(), "{fault:?}");
        assert_eq!(net.got("leecher", "song.mp3"), bytes);
    }
}

#[test]
fn a_seeder_that_is_down_is_passed_over() {
    let net = Net::new(By::Skep, &["--pick", "round-robin"]);
    let (_, bytes) = net.stage.file("gone", "song.mp3", BYTES);
    net.stage.file("here", "song.mp3", BYTES);
    let mut gone = net.peer(By::Skep, "gone", &[]);
    gone.does("register song.mp3");
    let mut here = net.peer(By::Skep, "here", &[]);
    here.does("register song.mp3");
    gone.kill();
    let mut leecher = net.peer(By::Skep, "leecher", &[]);
    for turn in 0..2 {
        leecher.does("get song.mp3");
        assert_eq!(net.got("leecher", "song.mp3"), bytes, "turn {turn}");
        fs::remove_file(net.stage.path("leecher").join("song.mp3")).unwrap();
    }
}

#[test]
fn an_index_that_was_killed_remembers_and_asks_again() {
    let mut net = Net::new(By::Skep, &[]);
    let (_, bytes) = net.stage.file("seeder", "song.mp3", BYTES);
    net.stage.file("gone", "other.mp3", BYTES);
    let mut seeder = net.peer(By::Skep, "seeder", &[]);
    let mut gone = net.peer(By::Skep, "gone", &[]);
    seeder.does("register song.mp3");
    gone.does("register other.mp3");
    let at = net.index.listen().to_owned();
    // Nothing waits for a listing to be durable: it is so soon after.
    let listed = || net.index.process.errors().matches("listed: ").count();
    eventually("both are listed", || (listed() == 2).then_some(()));
    let mut leecher = net.peer(By::Skep, "leecher", &[]);
    leecher.does("get song.mp3");
    net.index.kill();
    gone.kill();
    net.index = net.stage.skep("index", &["napster", "index", "--listen", &at]);
    let mut next = net.peer(By::Skep, "next", &[]);
    assert_eq!(net.gets(&mut next, "next", "song.mp3"), bytes);
    assert_eq!(next.fails("get other.mp3")["kind"], "not_found");
}

#[test]
fn nonsense_and_silence_disturb_nobody() {
    let net = Net::new(By::Skep, &[]);
    let (_, bytes) = net.stage.file("seeder", "song.mp3", BYTES);
    let mut seeder = net.peer(By::Skep, "seeder", &[]);
    let mut held = Vec::new();
    for at in [net.index.listen(), seeder.listen()].repeat(400) {
        let mut stream = TcpStream::connect(at).unwrap();
        // One byte of a REGISTER, or a type that does not exist.
        let said: &[u8] = if held.len() % 2 == 0 { &[0] } else { &[0xff; 300] };
        let _ = stream.write_all(said);
        held.push(stream);
    }
    seeder.does("register song.mp3");
    let mut leecher = net.peer(By::Skep, "leecher", &[]);
    leecher.does("get song.mp3");
    assert_eq!(net.got("leecher", "song.mp3"), bytes);
}

#[test]
fn what_cannot_be_done_is_said() {
    let net = Net::new(By::Skep, &[]);
    net.stage.file("peer", "a name that is far too long.mp3", 1);
    net.stage.file("peer", "here", 1);
    let big = fs::File::create(net.stage.path("peer").join("big")).unwrap();
    big.set_len(1 << 32).unwrap();
    let mut peer = net.peer(By::Skep, "peer", &[]);
    for (command, kind) in [
        ("register 'a name that is far too long.mp3'", "name"),
        ("register ../index/ledger", "name"),
        ("register nothing", "not_found"),
        ("register big", "too_large"),
        ("get here", "exists"),
        ("get nothing", "not_found"),
        ("sing", "usage"),
        ("get", "usage"),
    ] {
        assert_eq!(peer.fails(command)["kind"], kind, "{command}");
    }
}

#[test]
fn every_message_is_written_down() {
    let stage = Stage::new();
    let log = stage.path("log");
    let words = ["napster", "index", "--listen", "127.0.0.1:0", "--log", text(&log)];
    let index = stage.skep("index", &words);
    let net = Net { stage, index };
    net.stage.file("seeder", "song.mp3", BYTES);
    let mut seeder = net.peer(By::Skep, "seeder", &[]);
    seeder.does("register song.mp3");
    let journal = || fs::read_to_string(&log).unwrap();
    let words = [
        "<- tcp",
        "REGISTER song.mp3",
        "-> tcp",
        "REGISTER_CONF song.mp3",
        "REGISTER_ACK song.mp3",
    ];
    eventually("the journal has all of it", || {
        words.iter().all(|word| journal().contains(word)).then_some(())
    });
}
