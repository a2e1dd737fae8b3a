//! Document 004: its transcript line by line, and what its sections 2 and 3 say besides.

use std::{fs, io::Write, net::TcpStream, process::Stdio};

use serde_json::Value;

use super::{BOTH, By, Role, Stage, dir, field};
use crate::support::{Process, eventually, skep, text};

/// Not a multiple of a PDU, and more than one piece.
const BYTES: usize = 300_007;

struct Net {
    stage: Stage,
    index: Role,
}

impl Net {
    fn new(index: By) -> Self {
        let stage = Stage::new();
        let index = stage.role(index, "index", &["content", "index", "--listen", "127.0.0.1:0"]);
        Self { stage, index }
    }

    fn peer(&self, by: By, name: &str, options: &[&str]) -> Role {
        let folder = self.stage.folder(name);
        let server = ["content", "peer", "--name", name, "--server", self.index.listen()];
        let words = [&server[..], &dir(&folder), options].concat();
        self.stage.role(by, &format!("{name}-home"), &words)
    }

    /// A peer whose user looks at text.
    fn person(&self, name: &str) -> Process {
        let folder = self.stage.folder(name);
        let server = [
            "gateway",
            "content",
            "peer",
            "--name",
            name,
            "--server",
            self.index.listen(),
        ];
        let words = [&server[..], &dir(&folder)].concat();
        let mut command = skep(&self.stage.path(&format!("{name}-home")), &words);
        command.stdin(Stdio::piped());
        let mut person = Process::start(command);
        assert!(person.line().starts_with(&format!("The peer {name} asks from ")));
        person
    }

    fn got(&self, name: &str, file: &str) -> Vec<u8> {
        fs::read(self.stage.path(name).join(file)).unwrap()
    }
}

/// Says lines, and expects lines; `PORT` stands for any port, and the last one is returned.
fn dialogue(person: &mut Process, says: &[&str], expects: &[&str]) -> String {
    says.iter().for_each(|line| person.tell(line));
    let mut port = String::new();
    for expected in expects {
        let line = person.line();
        let Some((before, after)) = expected.split_once("PORT") else {
            assert_eq!(&line, expected);
            continue;
        };
        let rest = line
            .strip_prefix(before)
            .unwrap_or_else(|| panic!("{line}, not {expected}"));
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        port = rest[..digits].to_owned();
        assert!(
            digits > 0 && rest[digits..].starts_with(after),
            "{line}, not {expected}"
        );
    }
    port
}

const REGISTER: &str = "Enter a valid content name, 9 characters or less:";
const DOWNLOAD: &str = "Enter the name of the content you would like to download:";
const REGISTERED: &str = "The following content has been successfully registered:";
const LISTED: &str = "The Index Server contains the following:";

#[test]
fn the_transcript_of_section_3() {
    let net = Net::new(By::Skep);
    let (_, lorem) = net.stage.file("Mai", "lorem", 1234);
    net.stage.file("Hamzah", "shrek", 55);
    let mut mai = net.person("Mai");
    // Figures 3.2 to 3.5.
    let missing = "Error: File shrek does not exist locally";
    dialogue(&mut mai, &["R", "shrek"], &[REGISTER, missing]);
    let mine = [
        "    Peer Name: Mai",
        "    Content Name: lorem",
        "    Host: 127.0.0.1",
        "    Port: PORT",
    ];
    let expects = [&[REGISTER, REGISTERED][..], &mine].concat();
    let port = dialogue(&mut mai, &["R", "lorem"], &expects);
    dialogue(&mut mai, &["O"], &[LISTED, "    0: lorem"]);
    let row = format!("0 lorem {port} PORT");
    let head = [
        "List of names of the locally registered content:",
        "Number Name Port Socket",
    ];
    dialogue(&mut mai, &["L"], &[head[0], head[1], &row]);
    // Figure 3.6: from the address that was registered.
    let mut jeff = net.person("Jeff");
    let (host, at) = ("    Host: 127.0.0.1", format!("    Port: {port}"));
    let trying = "Trying to download content from the following address:";
    let downloaded = ["Successfully downloaded content:", "    Content Name: lorem", ""];
    let his = [
        "    Peer Name: Jeff",
        "    Content Name: lorem",
        host,
        "    Port: PORT",
    ];
    let expects = [
        &[DOWNLOAD, "", trying, host, &at, ""][..],
        &downloaded,
        &[REGISTERED],
        &his,
    ]
    .concat();
    let second = dialogue(&mut jeff, &["D", "lorem"], &expects);
    assert_ne!(second, port);
    assert_eq!(net.got("Jeff", "lorem"), lorem);
    // Figure 3.7, and what follows it.
    let mut hamzah = net.person("Hamzah");
    let name = [
        "    Peer Name: Hamzah",
        "    Content Name: shrek",
        host,
        "    Port: PORT",
    ];
    dialogue(
        &mut hamzah,
        &["R", "shrek"],
        &[&[REGISTER, REGISTERED][..], &name].concat(),
    );
    dialogue(&mut jeff, &["O"], &[LISTED, "    0: lorem", "    1: shrek"]);
    hamzah.tell("Q");
    assert_eq!(hamzah.finish().code, Some(0));
    dialogue(&mut jeff, &["O"], &[LISTED, "    0: lorem"]);
    jeff.tell("Q");
    assert_eq!(jeff.finish().code, Some(0));
    dialogue(&mut mai, &["O"], &[LISTED, "    0: lorem"]);
}

#[test]
fn everybody_in_every_role() {
    for index in BOTH {
        for provider in BOTH {
            for client in BOTH {
                story(index, provider, client);
            }
        }
    }
}

fn story(index: By, provider: By, client: By) {
    let net = Net::new(index);
    let (_, lorem) = net.stage.file("Mai", "lorem", BYTES);
    let mut mai = net.peer(provider, "Mai", &[]);
    let mut jeff = net.peer(client, "Jeff", &[]);
    jeff.fails("D lorem");
    mai.does("R lorem");
    mai.fails("R shrek");
    assert_eq!(names(client, &mut jeff), ["lorem"]);
    let done = jeff.does("D lorem");
    assert!(done["registered"].is_u64(), "{done}");
    assert_eq!(net.got("Jeff", "lorem"), lorem);
    mai.does("T lorem");
    assert_eq!(names(provider, &mut mai), ["lorem"], "Jeff provides it");
    jeff.does("Q");
    eventually("nothing is left", || {
        names(provider, &mut mai).is_empty().then_some(())
    });
}

/// What `O` lists.
fn names(by: By, peer: &mut Role) -> Vec<String> {
    let own = |value: &Value| value.as_str().unwrap().to_owned();
    match by {
        By::Skep => peer.rows("O").iter().map(|row| own(&row["name"])).collect(),
        By::Python => peer.does("O")["names"]
            .as_array()
            .unwrap()
            .iter()
            .map(own)
            .collect(),
    }
}

#[test]
fn every_form_of_a_download_is_understood() {
    for (provider, client) in [
        (&["--end-mark"][..], &[][..]),
        (&["--content-first"], &["--content-first"]),
        (&["--end-mark"], &["--content-first", "--end-mark"]),
    ] {
        for (by, other) in [
            (By::Skep, By::Python),
            (By::Python, By::Skep),
            (By::Skep, By::Skep),
        ] {
            let net = Net::new(By::Skep);
            let mut mai = net.peer(by, "Mai", provider);
            let mut jeff = net.peer(other, "Jeff", client);
            for bytes in [1, 99, 100, 101, 250] {
                let name = format!("c{bytes}");
                let (_, content) = net.stage.file("Mai", &name, bytes);
                mai.does(&format!("R {name}"));
                jeff.does(&format!("D {name}"));
                assert_eq!(net.got("Jeff", &name), content, "{by:?} {provider:?} {client:?}");
            }
        }
    }
}

#[test]
fn providers_take_turns_and_newcomers_wait() {
    let net = Net::new(By::Skep);
    let mut peers = Vec::new();
    for name in ["Mai", "Jeff", "Hamzah"] {
        net.stage.file(name, "lorem", 10);
        let mut peer = net.peer(By::Skep, name, &[]);
        let port = peer.does("R lorem")["port"].clone();
        peers.push((peer, port));
    }
    let mut asker = net.peer(By::Skep, "asker", &[]);
    let mut ask = || {
        let port = asker.does("D lorem")["port"].clone();
        asker.does("T lorem");
        fs::remove_file(net.stage.path("asker").join("lorem")).unwrap();
        port
    };
    let turns: Vec<Value> = (0..4).map(|_| ask()).collect();
    let expected = [0, 1, 2, 0].map(|peer: usize| peers[peer].1.clone());
    assert_eq!(turns, expected);
}

#[test]
fn a_provider_that_is_gone_is_passed_over_and_may_come_back() {
    let net = Net::new(By::Skep);
    let (_, lorem) = net.stage.file("gone", "lorem", 1000);
    net.stage.file("here", "lorem", 1000);
    let mut gone = net.peer(By::Skep, "gone", &[]);
    gone.does("R lorem");
    let mut here = net.peer(By::Skep, "here", &[]);
    here.does("R lorem");
    gone.kill();
    let mut jeff = net.peer(By::Skep, "Jeff", &[]);
    jeff.does("D lorem");
    assert_eq!(net.got("Jeff", "lorem"), lorem);
    // Its name and content are still listed, at a port that is dead.
    let mut gone = net.peer(By::Skep, "gone", &[]);
    gone.does("R lorem");
    here.does("Q");
    jeff.does("Q");
    let mut late = net.peer(By::Skep, "late", &[]);
    late.does("D lorem");
}

#[test]
fn an_index_that_was_killed_remembers() {
    let mut net = Net::new(By::Skep);
    let (_, lorem) = net.stage.file("Mai", "lorem", 1000);
    let mut mai = net.peer(By::Skep, "Mai", &[]);
    mai.does("R lorem");
    let at = net.index.listen().to_owned();
    net.index.kill();
    net.index = net.stage.skep("index", &["content", "index", "--listen", &at]);
    let mut jeff = net.peer(By::Skep, "Jeff", &[]);
    jeff.does("D lorem");
    assert_eq!(net.got("Jeff", "lorem"), lorem);
    mai.does("T lorem");
}

#[test]
fn a_provider_that_refuses_or_talks_nonsense_leaves_nothing() {
    let net = Net::new(By::Skep);
    net.stage.file("Mai", "lorem", 1000);
    let mut mai = net.peer(By::Skep, "Mai", &[]);
    let port = mai.does("R lorem")["port"].clone();
    fs::remove_file(net.stage.path("Mai").join("lorem")).unwrap();
    let mut jeff = net.peer(By::Skep, "Jeff", &[]);
    let error = jeff.fails("D lorem");
    assert_eq!(field(&error, "message"), "the provider refuses: lorem is gone");
    assert_eq!(fs::read_dir(net.stage.path("Jeff")).unwrap().count(), 0);
    for said in [&b"D"[..], &[b'D'; 101], &[0; 1000]] {
        let mut stream =
            TcpStream::connect(("127.0.0.1", u16::try_from(port.as_u64().unwrap()).unwrap())).unwrap();
        stream.write_all(said).unwrap();
    }
    mai.does("T lorem");
}

#[test]
fn what_cannot_be_done_is_said() {
    let net = Net::new(By::Skep);
    net.stage.file("Mai", "lorem", 10);
    net.stage.file("other", "lorem", 10);
    let mut mai = net.peer(By::Skep, "Mai", &[]);
    mai.does("R lorem");
    for (command, kind) in [
        ("R lorem", "exists"),
        ("R 1234567890", "name"),
        ("R ..", "name"),
        ("R nothing", "not_found"),
        ("T nothing", "not_found"),
        ("D lorem", "exists"),
        ("D nothing", "refused"),
        ("X", "usage"),
    ] {
        assert_eq!(mai.fails(command)["kind"], kind, "{command}");
    }
    // Another program under the same name, on the same host.
    let folder = net.stage.path("other");
    let server = [
        "content",
        "peer",
        "--name",
        "Mai",
        "--server",
        net.index.listen(),
        "--dir",
    ];
    let mut other = net
        .stage
        .skep("other-home", &[&server[..], &[text(&folder)]].concat());
    let error = other.fails("R lorem");
    assert_eq!(field(&error, "message"), "Mai already provides lorem");
}
