//! Downloads that find the world changed: a full disk, other holders, other addresses, other files.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::support::{Network, Peer, done_bytes, eventually, text, write_random};

const MIB: usize = 1 << 20;
const SIZE: usize = 16 * MIB;

/// A small disk of its own, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where this user may not mount.
    fn mount(at: &Path, bytes: usize) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={bytes}");
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs", text(at)])
            .output();
        let mounted = mount.is_ok_and(|output| output.status.success());
        mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", text(&self.0)]).status();
    }
}

fn state(peer: &Peer) -> Option<Value> {
    let rows = peer.run(&["downloads"]).rows();
    rows.first().map(|row| row["state"].clone())
}

#[test]
fn a_full_disk_is_waited_for() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let bytes = write_random(&ann.files.join("x"), 12 * MIB, 1);
    let folder = ann.files.join("folder");
    for number in 0..200 {
        write_random(&folder.join(number.to_string()), 50_000, number);
    }
    ann.share(&ann.files.join("x"), "x");
    ann.share(&folder, "folder");
    let small = bob.files.join("small");
    let Some(_disk) = SmallDisk::mount(&small, 26 * MIB) else {
        #[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
        {
            eprintln!("skipped: this user may not mount a small disk");
        }
        return;
    };
    for what in ["x", "folder"] {
        let filler = small.join("filler");
        fs::write(
            &filler,
            vec![1; 20 * MIB - if what == "folder" { 12 * MIB } else { 0 }],
        )
        .unwrap();
        let mut get = bob.begin_get(what, &small);
        get.event(|event| event["state"] == "waiting for space");
        assert_eq!(state(&bob).unwrap(), "waiting for space");
        assert!(!small.join(what).exists());
        fs::remove_file(&filler).unwrap();
        get.finish().done();
    }
    assert!(fs::read(small.join("x")).unwrap() == bytes);
    assert_eq!(fs::read_dir(small.join("folder")).unwrap().count(), 200);
}

/// `x` at each of these, slow to serve it, and its bytes.
fn holders(network: &Network, names: &[&str]) -> (Vec<Peer>, Vec<u8>) {
    let slow = ["--up-rate", "3MiB"];
    let peers: Vec<Peer> = names.iter().map(|name| network.peer_with(name, &slow)).collect();
    let bytes = write_random(&peers[0].files.join("x"), SIZE, 1);
    peers[0].share(&peers[0].files.join("x"), "x");
    for peer in &peers[1..] {
        fs::copy(peers[0].files.join("x"), peer.files.join("x")).unwrap();
        peer.share(&peer.files.join("x"), "x");
    }
    (peers, bytes)
}

#[test]
fn all_holders_may_be_replaced_by_others() {
    let network = Network::start();
    let (mut peers, bytes) = holders(&network, &["ann", "bob"]);
    peers[1].kill();
    let eve = network.peer("eve");
    eve.wait_for_holders("x", 1);
    let mut get = eve.begin_get("x", &eve.files);
    get.progress(4 << 20);
    peers[1].restart();
    eve.wait_for_holders("x", 2);
    peers[0].kill();
    let done = get.finish().done();
    assert!(fs::read(eve.files.join("x")).unwrap() == bytes);
    let from = |name: &str| done["from"][name].as_u64().unwrap_or(0);
    assert!(from("ann") > 0 && from("bob") > 0, "{done}");
    assert_eq!(from("ann") + from("bob"), SIZE as u64);
}

#[test]
fn a_holder_may_change_its_address() {
    let network = Network::start();
    let (mut peers, bytes) = holders(&network, &["ann"]);
    let eve = network.peer("eve");
    let mut get = eve.begin_get("x", &eve.files);
    get.progress(4 << 20);
    let before = peers[0].ready["listen"].as_str().unwrap().to_owned();
    peers[0].kill();
    let _taken = eventually("its port is free", || TcpListener::bind(&before).ok());
    peers[0].restart();
    assert_ne!(peers[0].ready["listen"], before.as_str());
    let done = get.finish().done();
    assert!(fs::read(eve.files.join("x")).unwrap() == bytes);
    assert!(done_bytes(&done) <= (SIZE + 6 * MIB) as u64, "{done}");
}

#[test]
fn a_file_that_changes_on_the_way_is_had_from_others() {
    let network = Network::start();
    let (peers, bytes) = holders(&network, &["ann", "bob"]);
    let eve = network.peer("eve");
    eve.wait_for_holders("x", 2);
    let mut get = eve.begin_get("x", &eve.files);
    get.progress(4 << 20);
    write_random(&peers[0].files.join("x"), SIZE, 2);
    get.finish().done();
    assert!(fs::read(eve.files.join("x")).unwrap() == bytes);
    eventually("it is withdrawn there", || {
        (eve.listed("x")?["holders"] == 2).then_some(())
    });

    // And where there are no others, that is what is said.
    write_random(&eve.files.join("y"), SIZE, 3);
    eve.share(&eve.files.join("y"), "y");
    eve.ask(&["limit", "--up", "3MiB"]);
    let mut get = peers[0].begin_get("y", &peers[0].files);
    get.progress(4 << 20);
    fs::write(eve.files.join("y"), "short").unwrap();
    let refused = get.finish().refused(1, "no_holders");
    let sentence = refused["message"].as_str().unwrap();
    assert!(
        sentence.contains("eve") && sentence.contains("changed"),
        "{sentence}"
    );
    let rows = peers[0].run(&["downloads"]).rows();
    assert_eq!(rows[0]["state"], "failed", "{rows:?}");
    assert!(rows[0]["trouble"].as_str().unwrap().contains("changed"));
}

#[test]
fn what_is_at_the_target_already_is_not_fetched() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let bytes = write_random(&ann.files.join("x"), SIZE, 1);
    ann.share(&ann.files.join("x"), "x");
    // From somewhere else: most of it, with a hole in the middle.
    let mut other = bytes.clone();
    other[5 * MIB..6 * MIB].fill(0);
    other.truncate(12 * MIB);
    let target = bob.files.join("x");
    fs::write(&target, other).unwrap();
    bob.run(&["get", "x", "-o", text(&target)]).refused(1, "exists");
    let done = bob.ask(&["get", "x", "-o", text(&target), "--overwrite"]);
    assert!(fs::read(&target).unwrap() == bytes);
    assert!(done_bytes(&done) <= 6 * MIB as u64, "{done}");
}

#[test]
fn without_holders_a_download_in_the_background_waits() {
    let network = Network::start();
    let (mut peers, bytes) = holders(&network, &["ann"]);
    let eve = network.peer("eve");
    let mut get = eve.begin_get("x", &eve.files);
    get.progress(2 << 20);
    eve.run(&["pause"]).rows();
    peers[0].kill();
    drop(get);
    eve.wait_for_holders("x", 0);
    eve.run(&["resume"]).rows();
    eventually("it waits for holders", || {
        (state(&eve)? == "waiting for holders").then_some(())
    });
    peers[0].restart();
    eventually("it is there", || (state(&eve)? == "done").then_some(()));
    assert!(fs::read(eve.files.join("x")).unwrap() == bytes);
}

#[test]
fn a_part_of_a_folder_is_had_from_who_has_a_part_of_it() {
    let network = Network::start();
    let ann = network.peer_with("ann", &["--up-rate", "4MiB"]);
    let folder = ann.files.join("folder");
    write_random(&folder.join("a"), 30_000, 1);
    let bytes = write_random(&folder.join("large"), 24 * MIB, 2);
    ann.share(&folder, "folder");
    let [bob, eve] = ["bob", "eve"].map(|name| network.peer(name));
    let mut first = bob.begin_get("folder", &bob.files);
    first.progress(6 << 20);
    eventually("one with a part of it is listed", || {
        (eve.listed("folder")?["holders"] == 2).then_some(())
    });
    let second = eve.begin(&["get", "folder/large", "-o", text(&eve.files), "--from", "bob"]);
    let done = second.finish().done();
    first.finish().done();
    assert!(fs::read(eve.files.join("large")).unwrap() == bytes);
    assert_eq!(done["from"], serde_json::json!({ "bob": bytes.len() }));
}
