//! The main job: one shares, others find it, get it from all who have it, and have it too.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use serde_json::Value;

use crate::support::{Network, Tree, done_bytes, eventually, text, write_random};

const MIB: usize = 1 << 20;

/// A folder with all that a folder may have.
fn make_folder(root: &Path) {
    write_random(&root.join("deep/er/still/large.bin"), 3 * MIB + 17, 1);
    write_random(&root.join("Übung 7 – größer.txt"), 1000, 2);
    write_random(&root.join("日本語/猫 🐈.txt"), 70_000, 3);
    for number in 0..40 {
        write_random(
            &root.join(format!("many/{number}.bin")),
            997 * number,
            number as u64,
        );
    }
    fs::create_dir_all(root.join("nothing/in/here")).unwrap();
    fs::write(root.join("empty"), "").unwrap();
    fs::write(root.join("run.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(root.join(".hidden"), "not shared").unwrap();
}

#[test]
fn a_file_goes_from_one_to_all_and_all_hold_it() {
    let network = Network::start();
    // So slow that one alone is not done before the other is asked too.
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer_with(name, &["--up-rate", "8MiB"]));
    let eve = network.peer("eve");
    let path = ann.files.join("talk.bin");
    let bytes = write_random(&path, 9 * MIB + 1234, 1);
    let shared = ann.ask(&["share", text(&path)]);
    assert_eq!(
        (&shared["name"], &shared["bytes"]),
        (&"talk.bin".into(), &bytes.len().into())
    );

    let listed = bob.listed("talk.bin").unwrap();
    assert_eq!(listed["id"], shared["id"]);
    assert_eq!(
        (&listed["publisher"], &listed["kind"]),
        (&"ann".into(), &"file".into())
    );
    ann.wait_for_holders("talk.bin", 1);

    let got = bob.get("talk.bin", &bob.files);
    assert!(fs::read(bob.files.join("talk.bin")).unwrap() == bytes);
    assert_eq!(got["path"], text(&bob.files.join("talk.bin")));
    assert_eq!((&got["id"], &got["bytes"]), (&shared["id"], &bytes.len().into()));
    assert_eq!(got["from"]["ann"], bytes.len());
    let (verified, durable) = (got["verified_seconds"].as_f64(), got["seconds"].as_f64());
    assert!(verified > Some(0.0) && durable >= verified, "{got}");
    eve.wait_for_holders("talk.bin", 2);

    let got = eve.get("talk.bin", &eve.files.join("other name"));
    assert!(fs::read(eve.files.join("other name")).unwrap() == bytes);
    let from = |name: &str| got["from"][name].as_u64().unwrap_or(0);
    assert!(from("ann") > 0 && from("bob") > 0, "both had it: {got}");
    assert_eq!(from("ann") + from("bob"), bytes.len() as u64);
    ann.wait_for_holders("talk.bin", 3);
    let local = eve.run(&["ls", "--local"]).rows();
    assert_eq!(local[0]["path"], text(&eve.files.join("other name")));
}

#[test]
fn a_folder_arrives_as_it_was() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let folder = ann.files.join("project");
    make_folder(&folder);
    let shared = ann.share(&folder, "Projekt Ünikum");
    let got = bob.get("Projekt Ünikum", &bob.files.join("copy"));
    assert_eq!(got["bytes"], shared["bytes"]);
    assert_eq!(Tree::read(&bob.files.join("copy")), Tree::read(&folder));
    assert!(!bob.files.join("copy/.hidden").exists());
    bob.wait_for_holders("Projekt Ünikum", 2);

    let eve = network.peer("eve");
    let part = eve.files.join("part");
    eve.get("Projekt Ünikum/deep/er", &part);
    assert_eq!(Tree::read(&part), Tree::read(&folder.join("deep/er")));
    let missing = eve.run(&["get", "Projekt Ünikum/shallow", "-o", text(&eve.files)]);
    missing.refused(1, "not_found");
}

#[test]
fn empty_files_and_folders_are_shared_too() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    fs::write(ann.files.join("nothing.txt"), "").unwrap();
    fs::create_dir(ann.files.join("void")).unwrap();
    ann.ask(&["share", text(&ann.files.join("nothing.txt"))]);
    ann.ask(&["share", text(&ann.files.join("void"))]);
    bob.get("nothing.txt", &bob.files);
    bob.get("void", &bob.files);
    assert_eq!(Tree::read(&bob.files), Tree::read(&ann.files));
}

#[test]
fn links_in_a_folder_are_left_out_and_named() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let folder = ann.files.join("mixed");
    write_random(&folder.join("plain.bin"), 1000, 1);
    symlink("/etc/passwd", folder.join("tempting")).unwrap();
    let outcome = ann.run(&["share", text(&folder)]);
    assert_eq!(outcome.code, Some(3), "done in part: {outcome:?}");
    let shared: Value = serde_json::from_str(outcome.stdout.lines().last().unwrap()).unwrap();
    assert_eq!(shared["skipped"][0]["path"], "tempting");
    bob.get("mixed", &bob.files);
    fs::remove_file(folder.join("tempting")).unwrap();
    assert_eq!(Tree::read(&bob.files.join("mixed")), Tree::read(&folder));
}

#[test]
fn a_share_can_be_named_in_every_way() {
    let network = Network::start();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| network.peer(name));
    let ours = write_random(&ann.files.join("a"), 5000, 1);
    let others = write_random(&bob.files.join("b"), 6000, 2);
    let shared = ann.share(&ann.files.join("a"), "notes");
    bob.share(&bob.files.join("b"), "notes");

    let ambiguous = eve
        .run(&["get", "notes", "-o", text(&eve.files)])
        .refused(1, "ambiguous");
    let sentence = ambiguous["message"].as_str().unwrap();
    assert!(
        sentence.contains("ann/notes") && sentence.contains("bob/notes"),
        "{sentence}"
    );
    assert!(fs::read_dir(&eve.files).unwrap().next().is_none());

    let (id, link) = (shared["id"].as_str().unwrap(), shared["link"].as_str().unwrap());
    for (number, what) in ["ann/notes", id, link].into_iter().enumerate() {
        let target = eve.files.join(format!("ann {number}"));
        eve.get(what, &target);
        assert!(fs::read(&target).unwrap() == ours, "{what}");
    }
    let target = eve.files.join("bob");
    eve.get("bob/notes", &target);
    assert!(fs::read(&target).unwrap() == others);
    eve.run(&["get", "zoe/notes", "-o", text(&eve.files)])
        .refused(1, "not_found");
    eve.run(&["get", "../notes", "-o", text(&eve.files)])
        .refused(1, "bad_name");
}

#[test]
fn from_one_peer_alone_if_that_is_wanted() {
    let network = Network::start();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| network.peer(name));
    let bytes = write_random(&ann.files.join("x"), 4 * MIB, 1);
    ann.share(&ann.files.join("x"), "x");
    bob.get("x", &bob.files.join("x"));
    eve.wait_for_holders("x", 2);
    let got = eve.ask(&["get", "x", "-o", text(&eve.files), "--from", "bob"]);
    assert_eq!(got["from"], serde_json::json!({ "bob": bytes.len() }));
    let nobody = eve.run(&["get", "x", "-o", text(&eve.files.join("y")), "--from", "zoe"]);
    nobody.refused(1, "no_such_peer");
}

#[test]
fn a_share_is_found_by_words_and_gone_when_taken_back() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let path = ann.files.join("x");
    write_random(&path, 2000, 1);
    ann.share(&path, "Summer Photos 2024");
    ann.share(&path, "winter tales");
    let found = |words: &[&str]| -> Vec<Value> {
        let rows = bob.run(&[&["search"], words].concat()).rows();
        rows.into_iter().map(|row| row["name"].clone()).collect()
    };
    assert_eq!(found(&["2024", "photos"]), ["Summer Photos 2024"]);
    assert_eq!(found(&["WINTER"]), ["winter tales"]);
    assert!(found(&["photos", "winter"]).is_empty());

    ann.ask(&["unshare", "winter tales"]);
    assert!(found(&["winter"]).is_empty());
    assert!(bob.listed("winter tales").is_none());
    bob.run(&["get", "winter tales", "-o", text(&bob.files)])
        .refused(1, "not_found");
    ann.run(&["unshare", "winter tales"]).refused(1, "not_found");
    bob.get("Summer Photos 2024", &bob.files.join("x"));
    assert_eq!(Tree::read(&bob.files), Tree::read(&ann.files));
}

#[test]
fn a_name_shared_again_costs_only_what_changed() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let (folder, copy) = (ann.files.join("work"), bob.files.join("work"));
    for number in 0..6 {
        write_random(&folder.join(format!("{number}.bin")), 2 * MIB, number);
    }
    let first = ann.share(&folder, "work");
    assert!(done_bytes(&bob.get("work", &copy)) >= 12 << 20);

    write_random(&folder.join("3.bin"), 2 * MIB, 99);
    write_random(&folder.join("new.bin"), 1000, 98);
    fs::remove_file(folder.join("5.bin")).unwrap();
    let second = ann.share(&folder, "work");
    assert_ne!(first["id"], second["id"]);
    bob.run(&["get", "work", "-o", text(&bob.files)])
        .refused(1, "exists");
    let got = bob.ask(&["get", "work", "-o", text(&bob.files), "--overwrite"]);
    assert!(
        copy.join("5.bin").exists(),
        "what only the old state has is nobody's to delete"
    );
    fs::remove_file(copy.join("5.bin")).unwrap();
    assert_eq!(Tree::read(&copy), Tree::read(&folder));
    assert!(done_bytes(&got) < 3 << 20, "only 2 MiB were new: {got}");
    eventually("the new state alone is listed, held by both", || {
        let row = bob.listed("work")?;
        (row["id"] == second["id"] && row["holders"] == 2).then_some(())
    });
}

#[test]
fn a_large_file_shared_again_costs_only_what_changed() {
    let network = Network::start();
    let [ann, bob] = ["ann", "bob"].map(|name| network.peer(name));
    let path = ann.files.join("disk.img");
    let mut bytes = write_random(&path, 12 * MIB + 5, 1);
    ann.share(&path, "disk.img");
    bob.get("disk.img", &bob.files);
    bytes[5 * MIB..5 * MIB + 100].fill(7);
    fs::write(&path, &bytes).unwrap();
    ann.share(&path, "disk.img");
    let got = bob.ask(&["get", "disk.img", "-o", text(&bob.files), "--overwrite"]);
    assert!(fs::read(bob.files.join("disk.img")).unwrap() == bytes);
    assert!(done_bytes(&got) < 3 << 20, "one chunk was new: {got}");
}

#[test]
fn what_is_for_one_is_not_there_for_others() {
    let network = Network::start();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| network.peer(name));
    let bytes = write_random(&ann.files.join("letter"), 3000, 1);
    let shared = ann.ask(&["share", text(&ann.files.join("letter")), "--to", "bob"]);
    ann.run(&["share", text(&ann.files), "--to", "zoe"])
        .refused(1, "no_such_peer");

    let (id, link) = (shared["id"].as_str().unwrap(), shared["link"].as_str().unwrap());
    let hidden = || {
        assert!(eve.listed("letter").is_none());
        assert!(eve.run(&["search", "letter"]).rows().is_empty());
        for what in ["letter", "ann/letter", "bob/letter", id, link] {
            eve.run(&["get", what, "-o", text(&eve.files)])
                .refused(1, "not_found");
        }
    };
    hidden();
    bob.get("letter", &bob.files);
    assert!(fs::read(bob.files.join("letter")).unwrap() == bytes);
    bob.wait_for_holders("letter", 2);
    hidden();
    assert!(fs::read_dir(&eve.files).unwrap().next().is_none());
}

#[test]
fn those_who_are_getting_it_serve_each_other() {
    let network = Network::start();
    let ann = network.peer_with("ann", &["--up-rate", "4MiB"]);
    let bytes = write_random(&ann.files.join("x"), 24 * MIB, 1);
    ann.share(&ann.files.join("x"), "x");
    let peers = ["bob", "cem", "dee"].map(|name| network.peer(name));
    let gets = peers.each_ref().map(|peer| peer.begin_get("x", &peer.files));
    let done = gets.map(|get| get.finish().done());
    for peer in &peers {
        assert!(fs::read(peer.files.join("x")).unwrap() == bytes, "{}", peer.name);
    }
    let from_ann: u64 = done.iter().filter_map(|done| done["from"]["ann"].as_u64()).sum();
    let all = 3 * bytes.len() as u64;
    assert!(
        from_ann < all * 9 / 10,
        "the one who had it served {from_ann} of {all}: {done:?}"
    );
}

#[test]
fn several_downloads_run_at_the_same_time() {
    let network = Network::start();
    let ann = network.peer("ann");
    let bob = network.peer_with("bob", &["--down-rate", "4MiB"]);
    for name in ["one", "two", "three"] {
        write_random(&ann.files.join(name), 4 * MIB, name.len() as u64);
        ann.share(&ann.files.join(name), name);
    }
    let gets = ["one", "two", "three"].map(|name| bob.begin_get(name, &bob.files));
    eventually("three downloads are listed", || {
        (bob.run(&["downloads"]).rows().len() == 3).then_some(())
    });
    for get in gets {
        get.finish().done();
    }
    assert_eq!(Tree::read(&bob.files), Tree::read(&ann.files));
    assert!(bob.run(&["downloads"]).rows().is_empty());
}
