//! Holders that stand still, files that change after they were shared, nobody left to ask.

use std::{fs, time::Duration};

use crate::support::{Network, Peer, Signal, eventually, text, within, write_random};

const MIB: usize = 1 << 20;

#[test]
fn a_holder_that_stands_still_is_left_behind() {
    let network = Network::start();
    let peers: Vec<Peer> = ["ann", "bob", "cem"].map(|name| network.peer(name)).into();
    let bytes = write_random(&peers[0].files.join("big"), 16 * MIB, 1);
    peers[0].share(&peers[0].files.join("big"), "big");
    for peer in &peers[1..] {
        peer.get("big", &peer.files);
    }
    peers[0].wait_for_holders("big", 3);

    let getter = network.peer_with("getter", &["--down-rate", "4MiB"]);
    let mut get = getter.begin_get("big", &getter.files);
    get.progress(4 << 20);
    peers[1].signal(Signal::STOP);
    get.finish().done();
    assert!(fs::read(getter.files.join("big")).unwrap() == bytes);
    eventually("the silent one is offline", || {
        (getter.sees("bob")?["state"] == "offline").then_some(())
    });
    peers[1].signal(Signal::CONT);
    eventually("and is back when it goes on", || {
        (getter.sees("bob")?["state"] == "online").then_some(())
    });
}

#[test]
fn a_coordinator_that_stood_still_hears_all_that_it_missed() {
    let network = Network::start();
    let ann = network.peer("ann");
    let bob = network.peer_with("bob", &["--down-rate", "4MiB"]);
    let bytes = write_random(&ann.files.join("x"), 8 * MIB, 1);
    ann.share(&ann.files.join("x"), "x");
    let mut get = bob.begin_get("x", &bob.files);
    get.progress(2 << 20);
    network.signal(Signal::STOP);
    eventually("both give the connection up", || {
        let connected = |peer: &Peer| peer.ask(&["status"])["connected"] == true;
        (!connected(&ann) && !connected(&bob)).then_some(())
    });
    get.finish().done();
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
    network.signal(Signal::CONT);
    ann.wait_for_holders("x", 2);
    assert_eq!(ann.sees("bob").unwrap()["state"], "online");
}

#[test]
fn a_file_that_changed_is_had_from_those_who_have_the_old_one() {
    let network = Network::start();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| network.peer(name));
    let path = ann.files.join("x");
    let bytes = write_random(&path, 5 * MIB, 1);
    ann.share(&path, "x");
    bob.get("x", &bob.files);
    eve.wait_for_holders("x", 2);
    write_random(&path, 5 * MIB, 2);
    let done = eve.ask(&["get", "x", "-o", text(&eve.files)]);
    assert!(
        fs::read(eve.files.join("x")).unwrap() == bytes,
        "what was shared, byte for byte"
    );
    assert_eq!(done["from"], serde_json::json!({ "bob": bytes.len() }));
    eventually("the one whose file changed is no holder any more", || {
        (eve.listed("x")?["holders"] == 2).then_some(())
    });
}

#[test]
fn a_file_that_changed_and_that_nobody_else_has_is_said_to_be_so() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let path = ann.files.join("x");
    write_random(&path, 5 * MIB, 1);
    ann.share(&path, "x");
    fs::write(&path, "short").unwrap();
    let refused = bob
        .run(&["get", "x", "-o", text(&bob.files)])
        .refused(1, "no_holders");
    let sentence = refused["message"].as_str().unwrap();
    assert!(
        sentence.contains("ann") && sentence.contains("changed"),
        "{sentence}"
    );
    assert!(!bob.files.join("x").exists());

    ann.share(&path, "x");
    bob.get("x", &bob.files);
    assert_eq!(fs::read(bob.files.join("x")).unwrap(), b"short");
}

#[test]
fn a_download_without_holders_says_so_and_works_when_one_is_back() {
    let network = Network::start();
    let mut ann = network.peer("ann");
    let bob = network.peer("bob");
    let bytes = write_random(&ann.files.join("x"), 3 * MIB, 1);
    ann.share(&ann.files.join("x"), "x");
    ann.kill();
    bob.wait_for_holders("x", 0);
    bob.run(&["get", "x", "-o", text(&bob.files)])
        .refused(1, "no_holders");
    ann.restart();
    bob.wait_for_holders("x", 1);
    bob.get("x", &bob.files);
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
}

#[test]
fn a_peer_that_cannot_be_dialled_serves_by_dialling() {
    let network = Network::start();
    // Where it does not listen.
    let ann = network.peer_with("ann", &["--advertise", "127.255.255.254"]);
    let bob = network.peer("bob");
    within(
        Duration::from_secs(30),
        "the coordinator has tried to dial back",
        || (ann.ask(&["status"])["reachable"] == false).then_some(()),
    );
    let bytes = write_random(&ann.files.join("x"), 3 * MIB, 1);
    ann.share(&ann.files.join("x"), "x");
    bob.get("x", &bob.files);
    assert!(fs::read(bob.files.join("x")).unwrap() == bytes);
}
