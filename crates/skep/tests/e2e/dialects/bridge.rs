//! `--expose`: what the native network shares with everyone, had by clients of the dialects.

use std::fs;

use serde_json::Value;

use super::{BOTH, By, Role, Stage, dir};
use crate::support::{Network, Peer, eventually, skep, text, write_random};

const BYTES: usize = 300_007;
/// Too long for two of the dialects.
const LONG: &str = "a-long-summer-holiday.mp4";

/// Ann publishes; the gateway is Bob, for whom there is a secret, too.
struct Native {
    _network: Network,
    ann: Peer,
    bob: Peer,
    lorem: Vec<u8>,
    long: Vec<u8>,
}

impl Native {
    fn new() -> Self {
        let network = Network::start();
        let (ann, bob) = (network.peer("ann"), network.peer("bob"));
        let file = |name: &str, seed| write_random(&ann.files.join(name), BYTES, seed);
        let (lorem, long) = (file("lorem", 1), file(LONG, 2));
        file("secret", 3);
        fs::create_dir(ann.files.join("folder")).unwrap();
        file("folder/inside", 4);
        for name in ["lorem", LONG, "folder"] {
            ann.share(&ann.files.join(name), name);
        }
        ann.ask(&["share", text(&ann.files.join("secret")), "--to", "bob"]);
        assert!(
            bob.listed("secret").is_some(),
            "Bob may have it, but not the dialects"
        );
        Self {
            _network: network,
            ann,
            bob,
            lorem,
            long,
        }
    }

    /// A role of the gateway in Bob's home.
    fn gateway(&self, words: &[&str]) -> Role {
        let words = [&["--json", "-v", "gateway"], words, &["--expose"]].concat();
        Role::start(skep(&self.bob.home, &words))
    }
}

/// Waits for the events that name both names.
fn exposed(gateway: &mut Role, short: &str) {
    let mut names = [(); 2].map(|()| {
        let event = gateway.process.event(|event| event["event"] == "exposed");
        let of = |field: &str| event[field].as_str().unwrap().to_owned();
        (of("share"), of("name"), of("publisher"))
    });
    names.sort();
    let triple = |share: &str, name: &str| (share.to_owned(), name.to_owned(), "ann".to_owned());
    assert_eq!(names, [triple(LONG, short), triple("lorem", "lorem")]);
}

fn got(stage: &Stage, name: &str, file: &str) -> Vec<u8> {
    fs::read(stage.path(name).join(file)).unwrap()
}

/// One network for all: starting it takes longest.
#[test]
fn open_shares_are_had_by_every_dialect_and_nothing_else_is() {
    let native = Native::new();
    content(&native);
    napster(&native);
    supernova(&native);
}

fn content(native: &Native) {
    let stage = Stage::new();
    let mut index = native.gateway(&["content", "index", "--listen", "127.0.0.1:0"]);
    exposed(&mut index, "a-l~1.mp4");
    for by in BOTH {
        let name = format!("{by:?}");
        let folder = stage.folder(&name);
        let words = ["content", "peer", "--name", &name, "--server", index.listen()];
        let mut client = stage.role(by, &format!("{name}-home"), &[&words[..], &dir(&folder)].concat());
        for (file, bytes) in [("lorem", &native.lorem), ("a-l~1.mp4", &native.long)] {
            client.does(&format!("D {file}"));
            assert!(got(&stage, &name, file) == *bytes, "{by:?} {file}");
        }
        for hidden in ["secret", "folder", "inside"] {
            client.fails(&format!("D {hidden}"));
        }
        client.does("T lorem");
    }
}

fn napster(native: &Native) {
    let (stage, short) = (Stage::new(), "a-long-summer-~1.mp4");
    // A bridge into an index of somebody else.
    let index = stage.role(By::Python, "", &["napster", "index", "--listen", "127.0.0.1:0"]);
    let files = stage.folder("files");
    let words = ["napster", "peer", "--server", index.listen()];
    let mut bridge = native.gateway(&[&words[..], &dir(&files)].concat());
    exposed(&mut bridge, short);
    for by in BOTH {
        let name = format!("{by:?}");
        let folder = stage.folder(&name);
        let mut client = stage.role(by, &format!("{name}-home"), &[&words[..], &dir(&folder)].concat());
        for (file, bytes) in [("lorem", &native.lorem), (short, &native.long)] {
            eventually("it is listed", || {
                (client.command(&format!("get {file}"))["event"] == "done").then_some(())
            });
            assert!(got(&stage, &name, file) == *bytes, "{by:?} {file}");
        }
        client.fails("get secret");
    }
}

fn supernova(native: &Native) {
    let stage = Stage::new();
    let mut tracker = native.gateway(&["supernova", "tracker", "--listen", "127.0.0.1:0"]);
    exposed(&mut tracker, LONG);
    let folder = stage.folder("Ben");
    let words = ["supernova", "peer", "--name", "Ben", "--server", tracker.listen()];
    let mut ben = stage.skep("Ben-home", &[&words[..], &dir(&folder)].concat());
    let mut listed = || -> Vec<String> {
        let own = |row: &Value| row["file"].as_str().unwrap().to_owned();
        ben.rows("list").iter().map(own).collect()
    };
    eventually("it is listed", || (listed() == [LONG, "lorem"]).then_some(()));
    ben.does(&format!("get gateway {LONG}"));
    assert!(got(&stage, "Ben", LONG) == native.long);
    for hidden in ["secret", "folder", "inside", "../key", "folder/inside"] {
        ben.fails(&format!("get gateway {hidden}"));
    }
    // What is taken back is gone here, too.
    native.ann.ask(&["unshare", "lorem"]);
    eventually("it is gone", || {
        (ben.command("get gateway lorem")["event"] == "error").then_some(())
    });
}

#[test]
fn without_a_native_peer_there_is_nothing_to_expose() {
    let stage = Stage::new();
    let words = [
        "--json",
        "gateway",
        "content",
        "index",
        "--listen",
        "127.0.0.1:0",
        "--expose",
    ];
    let process = crate::support::Process::start(skep(&stage.path("home"), &words));
    process.finish().refused(1, "not_running");
}
