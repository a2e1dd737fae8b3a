//! kill -9 of everything, at rest and in the middle of downloads.

use std::{fs, path::Path};

use crate::support::{Network, Peer, Tree, done_bytes, eventually, text, write_random};

const MIB: usize = 1 << 20;
const SIZE: usize = 16 * MIB;
/// So that there is a middle: four seconds for all of it.
const SLOW: [&str; 2] = ["--down-rate", "4MiB"];
const A_PART: u64 = 4 << 20;

/// What one download may cost twice: chunks that were under way.
const UNDER_WAY: u64 = 4 << 20;

/// `count` peers that hold a file called `big`, and its bytes.
fn holders(network: &Network, count: usize, options: &[&str]) -> (Vec<Peer>, Vec<u8>) {
    let peers: Vec<Peer> = (0..count)
        .map(|number| network.peer_with(&format!("holder-{number}"), options))
        .collect();
    let bytes = write_random(&peers[0].files.join("big"), SIZE, 1);
    peers[0].share(&peers[0].files.join("big"), "big");
    for peer in &peers[1..] {
        peer.get("big", &peer.files);
    }
    peers[0].wait_for_holders("big", count as u64);
    (peers, bytes)
}

fn only_file(folder: &Path) -> Vec<u8> {
    let names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names, ["big"], "partial files are removed at the end");
    fs::read(folder.join("big")).unwrap()
}

#[test]
fn a_killed_coordinator_forgets_nothing() {
    let mut network = Network::start();
    let (peers, _) = holders(&network, 3, &[]);
    let away = network.peer("away");
    write_random(&peers[1].files.join("second"), 5000, 2);
    peers[1].share(&peers[1].files.join("second"), "a second share");
    let before = peers[0].run(&["peers"]).rows();
    drop(away);

    network.kill();
    eventually("a peer notices", || {
        (peers[0].ask(&["status"])["connected"] == false).then_some(())
    });
    network.restart();
    for peer in &peers {
        peer.wait_until_connected();
    }
    for share in ["big", "a second share"] {
        assert!(peers[2].listed(share).is_some(), "{share}");
    }
    peers[2].wait_for_holders("big", 3);
    peers[2].wait_for_holders("a second share", 1);
    let after = peers[0].run(&["peers"]).rows();
    let who = |rows: &[serde_json::Value]| -> Vec<_> {
        rows.iter()
            .map(|r| (r["name"].clone(), r["id"].clone(), r["role"].clone()))
            .collect()
    };
    assert_eq!(who(&before), who(&after));
    assert_eq!(peers[0].sees("away").unwrap()["state"], "offline");
}

#[test]
fn the_coordinator_dies_during_a_download() {
    let mut network = Network::start();
    let (peers, bytes) = holders(&network, 2, &[]);
    let getter = network.peer_with("getter", &SLOW);
    let mut get = getter.begin_get("big", &getter.files);
    get.progress(A_PART);
    network.kill();
    get.finish().done();
    assert!(
        only_file(&getter.files) == bytes,
        "peers need no coordinator for what has begun"
    );
    network.restart();
    peers[0].wait_until_connected();
    peers[0].wait_for_holders("big", 3);
}

#[test]
fn a_killed_getter_fetches_only_what_is_missing() {
    let network = Network::start();
    let (_peers, bytes) = holders(&network, 2, &[]);
    let mut getter = network.peer_with("getter", &SLOW);
    let mut get = getter.begin_get("big", &getter.files);
    let had = get.progress(2 * A_PART);
    getter.kill();
    get.finish().refused(1, "not_running");
    assert!(
        !getter.files.join("big").exists(),
        "nothing unfinished under the final name"
    );

    getter.restart();
    assert_eq!(getter.ready["returning"], true);
    let done = getter.get("big", &getter.files);
    assert!(only_file(&getter.files) == bytes);
    let fetched = done_bytes(&done);
    let missing = SIZE as u64 - had;
    assert!(
        fetched <= missing + UNDER_WAY,
        "{fetched} for {missing} missing bytes"
    );
    getter.wait_for_holders("big", 3);
}

#[test]
fn a_folder_goes_on_after_a_kill_too() {
    let network = Network::start();
    let ann = network.peer("ann");
    let folder = ann.files.join("folder");
    for number in 0..300 {
        write_random(&folder.join(format!("small/{number}")), 20_000, number);
    }
    write_random(&folder.join("large"), 8 * MIB, 999);
    let shared = ann.share(&folder, "folder");
    let mut getter = network.peer_with("getter", &SLOW);
    let mut get = getter.begin_get("folder", &getter.files);
    let had = get.progress(2 * A_PART);
    getter.kill();
    drop(get);
    getter.restart();
    let done = getter.get("folder", &getter.files);
    assert_eq!(Tree::read(&getter.files), Tree::read(&ann.files));
    let missing = shared["bytes"].as_u64().unwrap() - had;
    assert!(
        done_bytes(&done) <= missing + UNDER_WAY,
        "{missing} were missing: {done}"
    );
}

#[test]
fn a_holder_dies_during_a_download() {
    let network = Network::start();
    let (mut peers, bytes) = holders(&network, 3, &[]);
    let getter = network.peer_with("getter", &SLOW);
    let mut get = getter.begin_get("big", &getter.files);
    get.progress(A_PART);
    peers[1].kill();
    let done = get.finish().done();
    assert!(only_file(&getter.files) == bytes);
    assert!(done["from"]["holder-0"].as_u64() > Some(0), "{done}");
    eventually("the dead one is offline and not counted", || {
        let offline = getter.sees("holder-1")?["state"] == "offline";
        (offline && getter.listed("big")?["holders"] == 3).then_some(())
    });
}

#[test]
fn the_only_holder_dies_and_comes_back() {
    let network = Network::start();
    let (mut peers, bytes) = holders(&network, 1, &[]);
    let getter = network.peer_with("getter", &SLOW);
    let mut get = getter.begin_get("big", &getter.files);
    let had = get.progress(2 * A_PART);
    peers[0].kill();
    get.finish().refused(1, "no_holders");
    assert!(
        !getter.files.join("big").exists(),
        "nothing unfinished under the final name"
    );
    peers[0].restart();
    getter.wait_for_holders("big", 1);
    let done = getter.get("big", &getter.files);
    assert!(only_file(&getter.files) == bytes);
    assert!(
        done_bytes(&done) <= SIZE as u64 - had + UNDER_WAY,
        "{had} were there: {done}"
    );
}

#[test]
fn a_holder_that_comes_back_is_a_holder_at_once() {
    let network = Network::start();
    let (mut peers, _) = holders(&network, 2, &[]);
    let (name, listen) = (peers[1].ready["name"].clone(), peers[1].ready["listen"].clone());
    peers[1].kill();
    peers[0].wait_for_holders("big", 1);
    peers[1].restart();
    assert_eq!(
        (&peers[1].ready["name"], &peers[1].ready["listen"]),
        (&name, &listen)
    );
    peers[0].wait_for_holders("big", 2);
}

#[test]
fn everybody_dies_at_once_and_the_download_ends_well() {
    let mut network = Network::start();
    let (mut peers, bytes) = holders(&network, 1, &[]);
    let mut getter = network.peer_with("getter", &SLOW);
    let mut get = getter.begin_get("big", &getter.files);
    get.progress(A_PART);
    network.kill();
    peers[0].kill();
    getter.kill();
    drop(get);
    network.restart();
    getter.restart();
    peers[0].restart();
    getter.wait_for_holders("big", 1);
    getter.ask(&["get", "big", "-o", text(&getter.files)]);
    assert!(only_file(&getter.files) == bytes);
}
