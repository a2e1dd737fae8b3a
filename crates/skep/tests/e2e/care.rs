//! What people see of their backups, and how they look after them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{Network, Peer, Tree, eventually, text, write_random};

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

#[test]
fn scheduled_backups_are_made_listed_and_removed_and_survive_a_restart() {
    let network = Network::start();
    let storage = network.peer_with("storage", &["--role", "storage"]);
    let mut owner = network.peer_with("owner", &["--role", "owner"]);
    let folder = files(&owner);
    fs::write(folder.join("x.tmp"), "not this").unwrap();
    let refused =
        |words: &[&str], code, kind| owner.run(&[&["schedule"], words].concat()).refused(code, kind);
    refused(&["sometimes", text(&folder)], 2, "usage");
    refused(&["daily 02:00", "/no/such/path"], 2, "usage");
    refused(
        &["daily 02:00", text(&folder), "--redundancy", "much"],
        2,
        "usage",
    );
    refused(&["--remove", "7"], 1, "not_found");
    let words = ["schedule", "daily 2:00", text(&folder), "--exclude", "*.tmp"];
    let made = owner.ask(&words);
    assert_eq!(
        (&made["number"], &made["when"]),
        (&1.into(), &"daily 02:00".into())
    );
    assert_eq!(made["last"], Value::Null);
    assert!(owner.run(&["snapshots"]).refused(1, "no_backups")["message"].is_string());

    // The machine is off when it is due, five times.
    owner.kill();
    let book = owner.home.join("schedules");
    let mut kept: Value = serde_json::from_slice(&fs::read(&book).unwrap()).unwrap();
    let since = kept["schedules"][0]["since"].as_u64().unwrap();
    kept["schedules"][0]["since"] = (since - 5 * 24 * 3600).into();
    fs::write(&book, serde_json::to_vec(&kept).unwrap()).unwrap();
    owner.restart();
    let line = eventually("what was missed is made up for", || {
        let line = owner.run(&["schedule"]).rows().remove(0);
        (!line["last"].is_null()).then_some(line)
    });
    assert_eq!(line["last"]["error"], Value::Null, "{line}");
    assert_eq!(
        (&line["last"]["files"], &line["waiting"]),
        (&2.into(), &false.into())
    );
    let snapshots = owner.run(&["snapshots"]).rows();
    assert_eq!(snapshots.len(), 1, "once, and not five times");
    assert_eq!(snapshots[0]["id"], line["last"]["snapshot"]);
    assert_eq!(owner.ask(&["status"])["schedules"][0], line);

    owner.ask(&["schedule", "--remove", "1"]);
    assert_eq!(owner.run(&["schedule"]).rows(), [Value::Null; 0]);
    drop(storage);
}

#[test]
fn a_lost_device_is_revoked_with_the_words_and_its_snapshots_stay() {
    let network = Network::start();
    let _storage = [
        network.peer_with("storage-1", &["--role", "storage"]),
        network.peer_with("storage-2", &["--role", "storage"]),
    ];
    let desk = network.peer_with("desk", &["--role", "owner"]);
    let laptop = network.peer_with("laptop", &["--role", "owner"]);
    desk.ask(&["backup", text(&files(&desk))]);
    let words = desk.ask(&["recovery-phrase"])["phrase"]
        .as_str()
        .unwrap()
        .to_owned();
    let file = desk.files.join("words");
    fs::write(&file, &words).unwrap();
    laptop.ask(&["recover", "--phrase-file", text(&file)]);
    let of_laptop = files(&laptop);
    write_random(&of_laptop.join("only-here"), 100_000, 5);
    let lost = laptop.ask(&["backup", text(&of_laptop)]);

    let wrong = desk.files.join("wrong");
    fs::write(&wrong, "abandon ".repeat(23) + "art").unwrap();
    let revoke = |words: &[&str]| desk.run(&[&["peers", "revoke"], words].concat());
    revoke(&["laptop"]).refused(2, "usage");
    revoke(&["tablet"]).refused(1, "not_found");
    revoke(&["laptop", "--phrase-file", text(&wrong)]).refused(1, "wrong_phrase");
    revoke(&["tablet", "--phrase-file", text(&file)]).refused(1, "not_found");
    revoke(&["desk", "--phrase-file", text(&file)]).refused(2, "usage");
    laptop.ask(&["backup", text(&of_laptop)]);
    let done = revoke(&["laptop", "--phrase-file", text(&file)]).done();
    assert_eq!(
        (&done["network"], &done["backups"]["epoch"]),
        (&false.into(), &2.into())
    );

    // Whoever has it now reads and writes nothing more.
    laptop
        .run(&["backup", text(&of_laptop)])
        .refused(1, "not_allowed");
    laptop.run(&["snapshots"]).refused(1, "not_allowed");
    laptop
        .run(&["recover", "--phrase-file", text(&file)])
        .refused(1, "not_allowed");
    // What it had backed up is there, and the desk goes on.
    let new = write_random(&desk.files.join("work/new"), 300_000, 6);
    let after = desk.ask(&["backup", text(&desk.files.join("work"))]);
    assert_eq!(after["new_bytes"], new.len());
    assert_eq!(desk.run(&["snapshots"]).rows().len(), 4);
    let target = desk.files.join("restored");
    desk.ask(&[
        "restore",
        lost["snapshot"].as_str().unwrap(),
        "--to",
        text(&target),
    ]);
    let full = fs::canonicalize(&of_laptop).unwrap();
    let copy = target.join(full.strip_prefix("/").unwrap());
    assert_eq!(Tree::read(&copy), Tree::read(&of_laptop));
    desk.ask(&["check", "--read-data"]);
}

#[test]
fn the_words_leave_the_machine_when_they_are_shown_to_be_elsewhere() {
    let network = Network::start();
    let _storage = network.peer_with("storage", &["--role", "storage"]);
    let owner = network.peer_with("owner", &["--role", "owner"]);
    owner.ask(&["backup", text(&files(&owner))]);
    let words = owner.ask(&["recovery-phrase"])["phrase"]
        .as_str()
        .unwrap()
        .to_owned();
    let (right, wrong) = (owner.files.join("right"), owner.files.join("wrong"));
    fs::write(&right, &words).unwrap();
    fs::write(&wrong, "abandon ".repeat(23) + "art").unwrap();
    let remove = |file| owner.run(&["recovery-phrase", "--remove", "--phrase-file", text(file)]);
    remove(&wrong).refused(1, "wrong_phrase");
    assert_eq!(owner.ask(&["recovery-phrase"])["phrase"], words.as_str());
    remove(&right).done();
    owner.run(&["recovery-phrase"]).refused(1, "no_phrase");
    assert!(!contains(
        &owner.home,
        words.split(' ').take(3).collect::<Vec<_>>().join(" ").as_bytes()
    ));
    owner.ask(&["backup", text(&files(&owner))]);
    owner.ask(&["restore", "latest", "--verify"]);
}

#[test]
fn neither_names_nor_bytes_of_files_reach_a_holder_or_the_coordinator() {
    let network = Network::start();
    let storage = network.peer_with("storage", &["--role", "storage"]);
    let owner = network.peer_with("owner", &["--role", "owner"]);
    let folder = owner.files.join("a-telling-folder");
    let bytes = write_random(&folder.join("a-telling-name"), 300_000, 3);
    fs::write(folder.join("note"), "a telling sentence").unwrap();
    owner.ask(&["backup", text(&folder)]);
    assert!(
        contains(&folder, b"a telling sentence"),
        "the search finds what is there"
    );
    for home in [&storage.home, &network.folder().join("coordinator")] {
        for secret in [&b"a-telling"[..], b"a telling sentence", &bytes[1000..1032]] {
            assert!(!contains(home, secret), "{} has {secret:?}", home.display());
        }
    }
}

/// Whether a file beneath a folder, or its name, contains these bytes.
fn contains(folder: &Path, bytes: &[u8]) -> bool {
    let has = |all: &[u8]| all.windows(bytes.len()).any(|part| part == bytes);
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        let inside =
            kind.is_dir() && contains(&path, bytes) || kind.is_file() && has(&fs::read(&path).unwrap());
        inside || has(path.file_name().unwrap().as_encoded_bytes())
    })
}
