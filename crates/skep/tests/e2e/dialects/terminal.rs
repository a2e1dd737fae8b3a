//! What a person sees who sits at a terminal: the document's menu, a prompt, and every message.

use std::process::{Command, Stdio};

use super::{By, Stage, dir};
use crate::support::{Process, eventually, skep};

/// A command with a terminal of its own. Both of its outputs are that terminal.
fn on_a_terminal(command: &Command) -> Process {
    let mut outer = Command::new("python3");
    outer
        .args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"])
        .arg(command.get_program())
        .args(command.get_args())
        .stdin(Stdio::piped());
    Process::start(outer)
}

/// Reads lines until one has these words in it.
fn until(person: &mut Process, words: &str) {
    eventually(words, || person.line().contains(words).then_some(()));
}

#[test]
fn the_menu_and_every_message_are_on_the_terminal() {
    let stage = Stage::new();
    let index = stage.role(
        By::Skep,
        "index",
        &["content", "index", "--listen", "127.0.0.1:0"],
    );
    let (_, lorem) = stage.file("Mai", "lorem", 1234);
    let folder = stage.folder("Mai");
    let words = [
        "gateway",
        "content",
        "peer",
        "--name",
        "Mai",
        "--server",
        index.listen(),
    ];
    let words = [&words[..], &dir(&folder)].concat();
    let mut mai = on_a_terminal(&skep(&stage.path("Mai-home"), &words));
    for line in [
        "Choose what to do:",
        "R [NAME]",
        "T [NAME]",
        "L ",
        "O ",
        "D [NAME]",
        "Q ",
    ] {
        until(&mut mai, line);
    }
    mai.tell("R");
    until(&mut mai, "Enter a valid content name");
    mai.tell("lorem");
    // The answer is asked for without the menu.
    until(&mut mai, "> lorem");
    until(&mut mai, "-> udp");
    until(&mut mai, "Peer Name: Mai");
    until(&mut mai, "Choose what to do:");
    let said = format!("{mai:?}");
    assert_eq!(said.matches("Choose what to do:").count(), 2, "{said}");
    assert_eq!(lorem.len(), 1234);
    mai.tell("Q");
    assert_eq!(mai.finish().code, Some(0));
}

#[test]
fn every_peer_has_its_menu() {
    let stage = Stage::new();
    let p2pbrs = ["gateway", "p2pbrs", "peer", "--name", "Ann", "--role", "BOTH"];
    for (dialect, server, words, menu, quit) in [
        (
            "p2pbrs",
            "server",
            &p2pbrs[..],
            "backup FILE [CHUNK_SIZE] |",
            "quit",
        ),
        (
            "napster",
            "index",
            &["gateway", "napster", "peer"],
            "register FILE |",
            "quit",
        ),
        (
            "supernova",
            "tracker",
            &["gateway", "supernova", "peer"],
            "Peers Menu:",
            "exit",
        ),
    ] {
        let role = stage.skep(server, &[dialect, server, "--listen", "127.0.0.1:0"]);
        let folder = stage.folder(dialect);
        let words = [words, &["--server", role.listen()], &dir(&folder)].concat();
        let mut person = on_a_terminal(&skep(&stage.path(&format!("{dialect}-home")), &words));
        until(&mut person, menu);
        person.tell(quit);
        assert_eq!(person.finish().code, Some(0), "{dialect}");
    }
}
