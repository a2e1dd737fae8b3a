//! The command line as a contract: exit codes, sentences, signals, what goes to stdout.

use std::{fs, path::Path, time::Duration};

use crate::support::{
    Network, Outcome, PATIENCE, Process, Signal, done_bytes, eventually, skep, text, write_random,
};

const MIB: usize = 1 << 20;
/// What the contract gives a process that is told to end.
const END: Duration = Duration::from_secs(5);

fn run(home: &Path, words: &[&str]) -> Outcome {
    Process::start(skep(home, words)).finish()
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let wrong: [&[&str]; 9] = [
        &[],
        &["fly"],
        &["get"],
        &["share"],
        &["search"],
        &["up", "--listen", "nowhere"],
        &["up", "--down-rate", "12 parsecs"],
        &["invite", "--expires", "never"],
        &["coordinator", "--max-peers", "-1"],
    ];
    for words in wrong {
        let outcome = run(folder.path(), words);
        assert_eq!(outcome.code, Some(2), "{words:?}: {outcome:?}");
        assert!(
            outcome.stdout.is_empty() && !outcome.stderr.is_empty(),
            "{outcome:?}"
        );
    }
    run(folder.path(), &["--json", "up", "--join", "@/no/such/file"]).refused(2, "usage");
    run(folder.path(), &["--json", "up", "--share", "/etc/passwd"]).refused(2, "usage");
}

#[test]
fn help_completions_and_man_pages_are_there() {
    let folder = tempfile::tempdir().unwrap();
    for words in [
        &["--help"][..],
        &["get", "--help"],
        &["completions", "bash"],
        &["--version"],
    ] {
        let outcome = run(folder.path(), words);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stdout.contains("skep"), "{words:?}");
    }
    let man = folder.path().join("man");
    assert_eq!(run(folder.path(), &["man", "--dir", text(&man)]).code, Some(0));
    assert!(fs::read_dir(&man).unwrap().count() > 10);
}

#[test]
fn without_a_running_peer_there_is_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    for words in [
        &["ls"][..],
        &["peers"],
        &["status"],
        &["get", "x"],
        &["share", "/tmp"],
        &["down"],
    ] {
        let refused = run(folder.path(), &[&["--json"], words].concat()).refused(1, "not_running");
        assert!(refused["hint"].as_str().unwrap().contains("skep up"), "{refused}");
    }
    let plain = run(folder.path(), &["ls"]);
    assert_eq!((plain.code, plain.stdout.as_str()), (Some(1), ""));
    assert!(
        plain.stderr.contains("error: ") && plain.stderr.contains("hint: "),
        "{plain:?}"
    );
    run(folder.path(), &["--json", "invite"]).refused(1, "not_running");
}

#[test]
fn nothing_is_written_over_unasked() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let bytes = write_random(&ann.files.join("x"), 2000, 1);
    ann.share(&ann.files.join("x"), "x");
    let mine = bob.files.join("x");
    fs::write(&mine, "mine").unwrap();
    for target in [&bob.files, &mine] {
        let refused = bob.run(&["get", "x", "-o", text(target)]).refused(1, "exists");
        assert!(refused["hint"].as_str().unwrap().contains("--overwrite"));
        assert_eq!(fs::read(&mine).unwrap(), b"mine");
    }
    bob.ask(&["get", "x", "-o", text(&mine), "--overwrite"]);
    assert!(fs::read(&mine).unwrap() == bytes);
    let nowhere = bob.files.join("no/such/folder/x");
    bob.run(&["get", "x", "-o", text(&nowhere)])
        .refused(1, "not_writable");
    ann.run(&["share", text(&ann.files.join("nothing"))])
        .refused(1, "not_readable");
}

#[test]
fn no_output_is_the_current_folder() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let bytes = write_random(&ann.files.join("x"), 2000, 1);
    ann.share(&ann.files.join("x"), "x");
    let mut command = skep(&bob.home, &["get", "x"]);
    command.current_dir(&bob.files);
    assert_eq!(Process::start(command).finish().code, Some(0));
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
}

#[test]
fn what_is_piped_is_plain_text() {
    let network = Network::start();
    let ann = network.peer("ann");
    let bob = network.peer_with("bob", &["--down-rate", "4MiB"]);
    write_random(&ann.files.join("x"), 4 * MIB, 1);
    let plain = |peer: &crate::support::Peer, words: &[&str]| {
        let outcome = run(&peer.home, words);
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        let all = outcome.stdout.clone() + &outcome.stderr;
        assert!(!all.contains(['\r', '\u{1b}']), "{words:?}: {all:?}");
        outcome.stdout
    };
    let shared = plain(&ann, &["share", text(&ann.files.join("x"))]);
    assert!(shared.contains("skep-link-1:"), "{shared}");
    let got = plain(&bob, &["get", "x", "-o", text(&bob.files)]);
    assert_eq!(got.lines().count(), 1, "stdout has the result only: {got}");
    assert!(got.contains("verified"), "{got}");
    assert!(plain(&bob, &["ls"]).trim_start().starts_with("NAME"));
    assert!(plain(&bob, &["peers"]).contains("ann"));
    assert!(plain(&bob, &["status"]).contains("connected"));
    assert!(plain(&bob, &["ls", "--long", "--local"]).contains("x"));
    let ticket = run(&network.folder().join("coordinator"), &["invite"]).stdout;
    assert!(ticket.starts_with("skep-ticket-1:") && ticket.lines().count() == 1);
}

#[test]
fn an_interrupted_get_goes_on_where_it_was() {
    let network = Network::start();
    let ann = network.peer("ann");
    let bob = network.peer_with("bob", &["--down-rate", "4MiB"]);
    let bytes = write_random(&ann.files.join("x"), 12 * MIB, 1);
    ann.share(&ann.files.join("x"), "x");
    let mut get = bob.begin_get("x", &bob.files);
    let had = get.progress(6 << 20);
    get.signal(Signal::INT);
    assert_eq!(get.finish().code, Some(130));
    eventually("the peer has stopped downloading", || {
        let rows = bob.run(&["downloads"]).rows();
        (rows[0]["state"] == "paused").then_some(())
    });
    assert!(!bob.files.join("x").exists());
    let done = bob.get("x", &bob.files);
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
    let missing = bytes.len() as u64 - had;
    assert!(
        done_bytes(&done) <= missing + (4 << 20),
        "{missing} were missing: {done}"
    );
}

#[test]
fn a_signal_ends_everything_cleanly_and_soon() {
    let mut network = Network::start();
    let mut ann = network.peer("ann");
    let mut bob = network.peer_with("bob", &["--down-rate", "1MiB"]);
    let bytes = write_random(&ann.files.join("x"), 20 * MIB, 1);
    ann.share(&ann.files.join("x"), "x");
    let mut get = bob.begin_get("x", &bob.files);
    let had = get.progress(2 << 20);
    bob.signal(Signal::TERM);
    assert_eq!(bob.process().wait(END).code(), Some(0));
    get.finish().refused(1, "stopping");
    ann.signal(Signal::INT);
    assert_eq!(ann.process().wait(END).code(), Some(0));
    network.signal(Signal::TERM);
    assert_eq!(network.coordinator().wait(END).code(), Some(0));

    network.restart();
    ann.restart();
    let bob = bob.restart_with(&[]);
    bob.wait_for_holders("x", 1);
    let done = bob.get("x", &bob.files);
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
    assert!(
        done_bytes(&done) <= bytes.len() as u64 - had + (4 << 20),
        "{had} were there: {done}"
    );
}

#[test]
fn a_detached_peer_runs_until_it_is_told_to_stop() {
    let network = Network::start();
    let ann = network.folder().join("detached");
    let ticket = network.invite(&[]);
    fs::create_dir(&ann).unwrap();
    fs::write(ann.join("ticket"), ticket).unwrap();
    let join = format!("@{}", text(&ann.join("ticket")));
    let words = [
        "--json",
        "up",
        "--detach",
        "--listen",
        "127.0.0.1:0",
        "--join",
        &join,
    ];
    assert_eq!(run(&ann, &words).done()["event"], "ready");
    assert_eq!(run(&ann, &["--json", "status"]).done()["connected"], true);
    assert_eq!(run(&ann, &["--json", "down"]).done()["event"], "done");
    run(&ann, &["--json", "status"]).refused(1, "not_running");
}

#[test]
fn every_control_message_is_shown_to_who_wants_it() {
    let network = Network::start();
    let mut ann = network.peer_with("ann", &["-v"]);
    write_random(&ann.files.join("x"), 2000, 1);
    ann.share(&ann.files.join("x"), "x");
    for message in ["Attend", "Welcome", "Heartbeat", "Publish"] {
        eventually(message, || {
            let heard = format!("{:?}", ann.process());
            let mut lines = heard.lines();
            lines
                .find(|line| line.contains(message) && line.contains("peer="))
                .map(drop)
        });
    }
}

#[test]
fn the_demo_tells_its_story_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("small");
    write_random(&path, 2 * MIB, 1);
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let mut command = skep(&folder.path().join("home"), &["--json", "demo", text(&path)]);
    command.env("TMPDIR", &temporary);
    let mut demo = Process::start(command);
    demo.wait(PATIENCE * 4);
    let rows = demo.finish().rows();
    assert_eq!(
        rows.len(),
        9,
        "one to five holders, one that is killed; backed up, repaired, recovered: {rows:?}"
    );
    assert_eq!(rows[8]["step"], "recovered");
    assert!(rows.iter().all(|row| row["verified"] == true), "{rows:?}");
    assert!(rows[2]["from"].as_object().unwrap().len() <= 3);
    assert!(
        fs::read_dir(&temporary).unwrap().next().is_none(),
        "files are left behind"
    );
    assert_eq!(processes_with(text(&temporary)), Vec::<String>::new());
}

/// Command lines of processes that name `folder`.
fn processes_with(folder: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap();
    let lines = all.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(folder) && !line.contains(" demo "))
        .collect()
}
