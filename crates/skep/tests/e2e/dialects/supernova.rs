//! Document 002: registration, the shared folder, file sharing, and who is hidden.

use std::{fs, io::Write, net::TcpStream};

use serde_json::Value;

use super::{BOTH, By, Role, Stage, dir};
use crate::support::{eventually, text};

const BYTES: usize = 300_007;

struct Net {
    stage: Stage,
    tracker: Role,
}

impl Net {
    fn new(by: By) -> Self {
        let stage = Stage::new();
        let home = stage.folder("tracker");
        let mut words = vec!["supernova", "tracker", "--listen", "127.0.0.1:0"];
        if by == By::Python {
            words.extend(["--home", text(&home), "--probe", "1"]);
        }
        let tracker = stage.role(by, "tracker", &words);
        Self { stage, tracker }
    }

    fn peer(&self, by: By, name: &str, options: &[&str]) -> Role {
        let folder = self.stage.folder(name);
        let home = self.stage.folder(&format!("{name}-home"));
        let server = [
            "supernova",
            "peer",
            "--name",
            name,
            "--server",
            self.tracker.listen(),
        ];
        let mut words = [&server[..], &dir(&folder), options].concat();
        if by == By::Python {
            words.extend(["--home", text(&home)]);
        }
        self.stage.role(by, &format!("{name}-home"), &words)
    }

    fn got(&self, name: &str, file: &str) -> Vec<u8> {
        fs::read(self.stage.path(name).join(file)).unwrap()
    }

    fn book(&self) -> Value {
        let text = fs::read(self.stage.path("tracker").join("peers.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

/// `peer file`, as `list` shows them.
fn files(by: By, peer: &mut Role) -> Vec<String> {
    let rows = match by {
        By::Skep => peer.rows("list"),
        By::Python => peer.does("list")["files"].as_array().unwrap().clone(),
    };
    let row = |row: &Value| match row {
        Value::String(text) => text.clone(),
        Value::Array(pair) => format!("{} {}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()),
        row => format!(
            "{} {}",
            row["peer"].as_str().unwrap(),
            row["file"].as_str().unwrap()
        ),
    };
    rows.iter().map(row).collect()
}

#[test]
fn everybody_in_every_role() {
    for tracker in BOTH {
        for giver in BOTH {
            for taker in BOTH {
                story(tracker, giver, taker);
            }
        }
    }
}

/// Registration, the menu, file sharing.
fn story(tracker: By, giver: By, taker: By) {
    let net = Net::new(tracker);
    let (_, video) = net.stage.file("Ann", "my video.mov", BYTES);
    net.stage.file("Ann", ".DS_Store", 10);
    let mut ann = net.peer(giver, "Ann", &[]);
    let mut bob = net.peer(taker, "Bob", &[]);
    assert_eq!(files(taker, &mut bob), ["Ann .DS_Store", "Ann my video.mov"]);
    bob.does("get Ann 'my video.mov'");
    assert_eq!(net.got("Bob", "my video.mov"), video);
    bob.fails("get Ann nothing");
    bob.fails("get Eve nothing");
    eventually("Bob's folder is watched", || {
        files(giver, &mut ann)
            .contains(&"Bob my video.mov".to_owned())
            .then_some(())
    });
    // The document's shapes.
    let book = net.book();
    assert!(book["Ann"]["listeningPORT"].is_string(), "{book}");
    assert_eq!(book["Ann"]["files"].as_array().unwrap().len(), 2);
    let config = fs::read(net.stage.path("Bob-home/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(
        (&config["user"], &config["trackerIP"]),
        (&"Bob".into(), &"127.0.0.1".into())
    );
}

#[test]
fn a_peer_is_hidden_while_it_is_away_and_comes_back_under_its_name() {
    let net = Net::new(By::Skep);
    net.stage.file("Ann", "lorem", 10);
    let mut ann = net.peer(By::Skep, "Ann", &[]);
    let mut bob = net.peer(By::Skep, "Bob", &[]);
    ann.kill();
    eventually("Ann is hidden", || {
        files(By::Skep, &mut bob).is_empty().then_some(())
    });
    bob.fails("get Ann lorem");
    // Nothing is said but where the home is: the rest is in config.json.
    let ann = net.stage.skep("Ann-home", &["supernova", "peer"]);
    assert_eq!(ann.ready["name"], "Ann");
    assert_eq!(files(By::Skep, &mut bob), ["Ann lorem"]);
}

#[test]
fn names_are_offered_and_never_given_twice() {
    let net = Net::new(By::Skep);
    let nameless = ["supernova", "peer", "--server", net.tracker.listen()];
    let folder = net.stage.folder("nameless");
    let words = [&nameless[..], &dir(&folder)].concat();
    let one = net.stage.skep("one", &words);
    let two = net.stage.skep("two", &words);
    assert_eq!(
        (&one.ready["name"], &two.ready["name"]),
        (&"peer_1".into(), &"peer_2".into())
    );
    let words = [&words[..], &["--name", "peer_1"]].concat();
    let three = net.stage.skep("three", &words);
    assert_eq!(three.ready["name"], "peer_3");
}

#[test]
fn a_tracker_that_was_killed_has_everybody_back() {
    let mut net = Net::new(By::Skep);
    let (_, lorem) = net.stage.file("Ann", "lorem", BYTES);
    let _ann = net.peer(By::Skep, "Ann", &[]);
    let mut bob = net.peer(By::Skep, "Bob", &[]);
    let at = net.tracker.listen().to_owned();
    net.tracker.kill();
    assert_eq!(net.book()["Ann"]["files"][0], "lorem");
    net.tracker = net
        .stage
        .skep("tracker", &["supernova", "tracker", "--listen", &at]);
    eventually("Ann has come back", || {
        (bob.command("get Ann lorem")["event"] == "done").then_some(())
    });
    assert_eq!(net.got("Bob", "lorem"), lorem);
}

#[test]
fn peers_that_cannot_be_reached_refuse_or_break_off() {
    let net = Net::new(By::Skep);
    for (name, fault) in [("deny", &["--deny"][..]), ("short", &["--short", "5000"])] {
        net.stage.file(name, "lorem", BYTES);
        let _peer = net.peer(By::Python, name, fault);
        let mut bob = net.peer(By::Skep, "Bob", &[]);
        bob.fails(&format!("get {name} lorem"));
        assert_eq!(fs::read_dir(net.stage.path("Bob")).unwrap().count(), 0, "{name}");
    }
    net.stage.file("far", "lorem", 10);
    let _far = net.peer(By::Python, "far", &["--unreachable"]);
    let mut bob = net.peer(By::Skep, "Bob", &[]);
    eventually("the unreachable one is hidden", || {
        let seen = files(By::Skep, &mut bob);
        (!seen.contains(&"far lorem".to_owned())).then_some(())
    });
}

#[test]
fn the_shared_folder_is_watched_and_can_be_changed() {
    let net = Net::new(By::Skep);
    let mut ann = net.peer(By::Skep, "Ann", &[]);
    let mut bob = net.peer(By::Skep, "Bob", &[]);
    net.stage.file("Ann", "new", 10);
    eventually("the new file is listed", || {
        (files(By::Skep, &mut bob) == ["Ann new"]).then_some(())
    });
    let (other, _) = net.stage.file("other", "else", 10);
    ann.does(&format!("dir {}", text(other.parent().unwrap())));
    eventually("the other folder is listed", || {
        (files(By::Skep, &mut bob) == ["Ann else"]).then_some(())
    });
    ann.fails("dir /nowhere/at/all");
}

#[test]
fn nothing_outside_the_folder_is_given() {
    let net = Net::new(By::Skep);
    net.stage.file("Ann", "lorem", 10);
    let ann = net.peer(By::Skep, "Ann", &[]);
    fs::write(net.stage.path("secret"), "secret").unwrap();
    std::os::unix::fs::symlink("../secret", net.stage.path("Ann").join("link")).unwrap();
    for wish in ["../secret", "link", "/etc/passwd", "..", "", "Ann/../../secret"] {
        let mut stream = TcpStream::connect(ann.listen()).unwrap();
        stream.write_all(format!("GIVE {wish}\n\0").as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let answer = std::io::read_to_string(stream).unwrap();
        assert!(
            answer.starts_with("ERROR") && !answer.contains("secret\n\0secret"),
            "{wish}: {answer:?}"
        );
    }
    let mut bob = net.peer(By::Skep, "Bob", &[]);
    bob.fails("get Ann ../secret");
    assert_eq!(files(By::Skep, &mut bob), ["Ann lorem"]);
}
