//! Downloads under command: paused, resumed, cancelled, limited, and remembered.

use std::fs;

use serde_json::Value;

use crate::support::{Network, Peer, Signal, done_bytes, eventually, text, write_random};

const MIB: usize = 1 << 20;
const SIZE: usize = 12 * MIB;
/// So that there is a middle.
const SLOW: [&str; 2] = ["--down-rate", "2MiB"];

/// One who shares `x`, one who gets it slowly, and the bytes.
fn pair(network: &Network) -> (Peer, Peer, Vec<u8>) {
    let ann = network.peer("ann");
    let bob = network.peer_with("bob", &SLOW);
    let bytes = write_random(&ann.files.join("x"), SIZE, 1);
    ann.share(&ann.files.join("x"), "x");
    (ann, bob, bytes)
}

/// The only download there is.
fn only_download(peer: &Peer) -> Option<Value> {
    let mut rows = peer.run(&["downloads"]).rows();
    assert!(rows.len() < 2, "{rows:?}");
    rows.pop()
}

fn wait_for_state(peer: &Peer, state: &str) -> Value {
    eventually(&format!("the download is {state}"), || {
        only_download(peer).filter(|row| row["state"] == state)
    })
}

fn bytes_of(row: &Value) -> u64 {
    row["progress"]["bytes"].as_u64().unwrap()
}

#[test]
fn a_paused_download_stands_still_and_goes_on() {
    let network = Network::start();
    let (_ann, bob, bytes) = pair(&network);
    let mut get = bob.begin_get("x", &bob.files);
    get.progress(2 << 20);
    let rows = bob.run(&["pause", "x"]).rows();
    assert_eq!(rows[0]["state"], "paused", "{rows:?}");
    // What is under way is let in; after that nothing comes.
    let paused = get.event(|event| event["state"] == "paused" && event["rate"] == 0);
    let mut standing = paused["bytes"].as_u64().unwrap();
    eventually("nothing more comes", || {
        let now = get.event(|event| event["event"] == "progress")["bytes"]
            .as_u64()
            .unwrap();
        let before = std::mem::replace(&mut standing, now);
        (before == now).then_some(())
    });
    assert!(standing < SIZE as u64);
    assert_eq!(bob.ask(&["limit", "--down", "none"])["down"], Value::Null);
    assert_eq!(wait_for_state(&bob, "paused")["number"], 1);
    bob.run(&["resume", "1"]).rows();
    get.finish().done();
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
    assert!(only_download(&bob).is_none());
}

#[test]
fn an_interrupted_get_is_paused_and_resumed_in_the_background() {
    let network = Network::start();
    let (_ann, bob, bytes) = pair(&network);
    let mut get = bob.begin_get("x", &bob.files);
    get.progress(2 << 20);
    get.signal(Signal::INT);
    assert_eq!(get.finish().code, Some(130));
    wait_for_state(&bob, "paused");
    bob.ask(&["limit", "--down", "none"]);
    bob.run(&["resume"]).rows();
    let row = wait_for_state(&bob, "done");
    assert_eq!(bytes_of(&row), SIZE as u64);
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
    // The same command again is told how it ended; then, that it is all there.
    let done = bob.get("x", &bob.files);
    assert!(done_bytes(&done) > 0);
    assert!(only_download(&bob).is_none());
    let done = bob.get("x", &bob.files);
    assert_eq!(done_bytes(&done), 0);
    // Unless somebody has changed it.
    fs::write(bob.files.join("x"), "mine").unwrap();
    bob.run(&["get", "x", "-o", text(&bob.files)])
        .refused(1, "exists");
}

#[test]
fn a_restarted_peer_goes_on_with_what_was_running() {
    let network = Network::start();
    let (ann, mut bob, bytes) = pair(&network);
    let mut get = bob.begin_get("x", &bob.files);
    get.progress(4 << 20);
    bob.kill();
    get.finish().refused(1, "not_running");
    bob.restart();
    eventually("it is there", || bob.files.join("x").exists().then_some(()));
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
    ann.wait_for_holders("x", 2);
}

#[test]
fn a_restarted_peer_leaves_alone_what_was_paused() {
    let network = Network::start();
    let (ann, mut bob, bytes) = pair(&network);
    let mut get = bob.begin_get("x", &bob.files);
    get.progress(4 << 20);
    bob.run(&["pause"]).rows();
    bob.kill();
    drop(get);
    bob.restart();
    bob.wait_until_connected();
    let row = only_download(&bob).unwrap();
    assert_eq!(row["state"], "paused");
    // Others come and go meanwhile.
    write_random(&ann.files.join("y"), MIB, 2);
    ann.share(&ann.files.join("y"), "y");
    bob.get("y", &bob.files);
    assert!(!bob.files.join("x").exists());
    assert_eq!(wait_for_state(&bob, "paused")["number"], row["number"]);
    let done = bob.get("x", &bob.files);
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
    assert!(done_bytes(&done) <= SIZE as u64 - 2 * MIB as u64, "{done}");
}

#[test]
fn a_cancelled_download_leaves_nothing() {
    let network = Network::start();
    let (_ann, mut bob, _) = pair(&network);
    let mut get = bob.begin_get("x", &bob.files);
    get.progress(2 << 20);
    assert!(
        fs::read_dir(&bob.files).unwrap().next().is_some(),
        "a hidden file"
    );
    bob.run(&["cancel", "x"]).rows();
    get.finish().refused(1, "cancelled");
    assert!(only_download(&bob).is_none());
    assert!(fs::read_dir(&bob.files).unwrap().next().is_none());

    // Also after a restart, when nobody has looked at it yet.
    drop(bob.begin_get("x", &bob.files));
    let mut get = bob.begin_get("x", &bob.files);
    get.progress(2 << 20);
    bob.run(&["pause", "x"]).rows();
    bob.kill();
    bob.restart();
    bob.run(&["cancel", "--all"]).rows();
    assert!(fs::read_dir(&bob.files).unwrap().next().is_none());
    bob.kill();
    bob.restart();
    assert!(only_download(&bob).is_none());
}

#[test]
fn limits_change_while_transfers_run() {
    let network = Network::start();
    let ann = network.peer_with("ann", &["--up-rate", "1MiB"]);
    let bob = network.peer("bob");
    let bytes = write_random(&ann.files.join("x"), 60 * MIB, 1);
    ann.share(&ann.files.join("x"), "x");
    assert_eq!(ann.ask(&["limit"])["up"], MIB);
    let mut get = bob.begin_get("x", &bob.files);
    get.progress(1 << 20);
    bob.run(&["limit", "x", "--down", "512KiB"]).rows();
    let row = only_download(&bob).unwrap();
    assert_eq!(row["down_limit"], MIB / 2);
    bob.run(&["limit", "x", "--down", "none"]).rows();
    // At this rate it would take a minute.
    let limits = ann.ask(&["limit", "--up", "none"]);
    assert_eq!(limits["up"], Value::Null);
    get.finish().done();
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
    ann.run(&["limit", "x", "--up", "1MiB"]).rows();
    bob.run(&["limit", "--up", "1MiB", "nothing of that name"])
        .refused(1, "not_found");
}

#[test]
fn what_is_not_downloaded_cannot_be_commanded() {
    let network = Network::start();
    let bob = network.peer("bob");
    for command in ["pause", "resume", "cancel"] {
        bob.run(&[command, "nothing"]).refused(1, "not_found");
        assert_eq!(
            bob.run(&[command, "--all"]).code,
            Some(if command == "cancel" { 0 } else { 2 })
        );
    }
    assert_eq!(bob.run(&["cancel"]).code, Some(2));
    assert_eq!(bob.run(&["pause"]).rows(), Vec::<Value>::new());
    bob.run(&["limit", "x"]).refused(2, "usage");
    assert_eq!(bob.run(&["limit", "--up", "fast"]).code, Some(2));
}
