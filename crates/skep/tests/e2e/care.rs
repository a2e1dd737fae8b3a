//! What people see of their backups, and how they look after them.

use std::{fs, path::PathBuf};

use serde_json::Value;

use crate::support::{Network, Peer, eventually, text, write_random};

/// A folder with something in it.
fn files(peer: &Peer) -> PathBuf {
    let folder = peer.files.join("work");
    write_random(&folder.join("big"), 2 << 20, 1);
    write_random(&folder.join("sub/small"), 1000, 2);
    folder
}

/// The part of `status` about backups.
fn backups(peer: &Peer) -> Value {
    peer.ask(&["status"])["backups"].clone()
}

#[test]
fn status_tells_what_is_left_what_is_reachable_and_when_it_was_looked_at() {
    let network = Network::with(&["--repair-after", "6s"]);
    let mut storage: Vec<Peer> = (0..3)
        .map(|number| network.peer_with(&format!("storage-{number}"), &["--role", "storage"]))
        .collect();
    let mut owner = network.peer_with("owner", &["--role", "owner"]);
    assert_eq!(backups(&owner), Value::Null);
    let folder = files(&owner);
    let done = owner.ask(&["backup", text(&folder), "--redundancy", "3x"]);

    let status = backups(&owner);
    let snapshot = &status["snapshots"][0];
    assert_eq!(snapshot["id"], done["snapshot"]);
    assert_eq!(
        (&snapshot["state"], &snapshot["survives"]),
        (&"whole".into(), &2.into())
    );
    assert_eq!(
        (&snapshot["holders"], &snapshot["reachable"]),
        (&3.into(), &3.into())
    );
    assert_eq!(
        (&snapshot["last_drill"], &status["last_drill"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(status["last_good"], snapshot["made"]);

    owner.ask(&["restore", "latest", "--verify", "--path", text(&folder)]);
    assert_eq!(backups(&owner)["last_drill"], Value::Null, "a part is no drill");
    owner.ask(&["restore", "latest", "--verify"]);
    let drilled = backups(&owner)["last_drill"].as_u64().expect("a drill");
    owner.kill();
    owner.restart();
    owner.wait_until_connected();
    assert_eq!(backups(&owner)["snapshots"][0]["last_drill"], drilled);

    // A holder is lost, and nobody is there to take its part.
    storage[0].kill();
    eventually("two of three can be reached", || {
        (backups(&owner)["snapshots"][0]["reachable"] == 2).then_some(())
    });
    let degraded = eventually("the third has failed", || {
        let status = backups(&owner);
        (status["snapshots"][0]["state"] == "degraded").then_some(status)
    });
    assert_eq!(degraded["snapshots"][0]["survives"], 1);
    assert_eq!(degraded["snapshots"][0]["restorable"], true);
    assert!(degraded["repair_bytes"].as_u64().unwrap() > 2 << 20);
    let shown = owner.run(&["status"]);
    assert!(shown.stdout.contains("\"degraded\""), "{shown:?}");
}

#[test]
fn a_single_copy_is_at_risk_and_without_it_the_snapshot_is_lost() {
    let network = Network::start();
    let mut storage = network.peer_with("storage", &["--role", "storage"]);
    let owner = network.peer_with("owner", &["--role", "owner"]);
    owner.ask(&["backup", text(&files(&owner))]);
    let status = backups(&owner);
    assert_eq!(status["snapshots"][0]["state"], "at_risk");
    storage.kill();
    fs::remove_dir_all(storage.home.join("shards")).unwrap();
    storage.restart();
    let lost = eventually("the coordinator hears that nothing is left", || {
        let status = backups(&owner);
        (status["snapshots"][0]["state"] == "lost").then_some(status)
    });
    assert_eq!(lost["last_good"], Value::Null);
    assert_eq!(lost["snapshots"][0]["restorable"], false);
}
