//! Mixed networks with the partner in Python: our server with its peers, its server with ours.

use std::fs;

use super::{
    p2pbrs::Town,
    program::{Program, arg},
};
use crate::support::{eventually, write_random};

/// Backs up and restores a file of some chunks; other bytes are other files.
fn there_and_back(town: &Town, name: &str, owner: &mut Program) {
    let file = format!("{name}.bin");
    let path = town.dir(name).join(&file);
    let bytes = write_random(&path, 100_001, 3);
    owner.must(&format!("backup {file}"));
    fs::remove_file(&path).unwrap();
    owner.must(&format!("restore {file}"));
    assert!(fs::read(&path).unwrap() == bytes, "{name}");
}

#[test]
fn our_server_with_their_peers_in_every_form() {
    let town = Town::new(&["--replicas", "2"]);
    let _storage = [
        town.partner("Tcp", "STORAGE", &["--answer", "tcp"]),
        town.partner("Udp", "STORAGE", &["--answer", "udp"]),
        town.peer("Ours", "STORAGE", &[]),
    ];
    for (name, options) in [
        ("Plain", vec!["--replicas", "2"]),
        ("Bare", vec!["--no-keyword"]),
        ("Unsummed", vec!["--no-checksum"]),
        ("Sha", vec!["--checksum", "sha1", "--acks"]),
    ] {
        let mut owner = town.partner(name, "OWNER", &options);
        there_and_back(&town, name, &mut owner);
    }
    let mut ours = town.peer("Us", "BOTH", &[]);
    there_and_back(&town, "Us", &mut ours);
}

#[test]
fn their_server_with_our_peers() {
    for list in ["colon", "at"] {
        let server = Program::python(
            "p2pbrs",
            &["server", "--listen", "127.0.0.1:0", "--peer-list", list],
        );
        let folder = tempfile::tempdir().unwrap();
        let peer = |name: &str, role: &str| {
            let (home, dir) = (
                folder.path().join(name),
                folder.path().join(format!("dir-{name}")),
            );
            fs::create_dir_all(&dir).unwrap();
            let address = server.address();
            Program::skep(
                &home,
                &[
                    "p2pbrs",
                    "peer",
                    "--server",
                    &address,
                    "--name",
                    name,
                    "--role",
                    role,
                    "--dir",
                    arg(&dir),
                ],
            )
        };
        let (_b, _c, mut alice) = (peer("B", "STORAGE"), peer("C", "STORAGE"), peer("Alice", "BOTH"));
        let path = folder.path().join("dir-Alice/f");
        let bytes = write_random(&path, 100_001, 3);
        alice.must("backup f");
        fs::remove_file(&path).unwrap();
        alice.must("restore f");
        assert!(fs::read(&path).unwrap() == bytes, "{list}");
    }
}

#[test]
fn a_copy_goes_between_their_peers_and_ours() {
    let town = Town::new(&["--replicas", "2", "--heartbeat", "2s", "--ack-timeout", "3s"]);
    let theirs = town.partner("Theirs", "STORAGE", &[]);
    let _first = town.peer("First", "STORAGE", &[]);
    let mut alice = town.peer("Alice", "OWNER", &[]);
    let path = town.dir("Alice").join("f");
    let bytes = write_random(&path, 50_000, 1);
    alice.must("backup f");
    let second = town.partner("Second", "STORAGE", &[]);
    drop(theirs);
    // All 13 chunks: it and ours are the only ones left.
    eventually("what it held is copied", || {
        (second.said("STORE_ACK") >= 13).then_some(())
    });
    fs::remove_file(&path).unwrap();
    alice.must("restore f");
    assert!(fs::read(&path).unwrap() == bytes);
}
