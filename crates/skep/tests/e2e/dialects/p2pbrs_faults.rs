//! What goes wrong: damaged and broken transfers, peers that are silent or die, servers that are killed.

use std::fs;

use super::p2pbrs::Town;
use crate::support::{Signal, eventually, write_random};

#[test]
fn a_damaged_chunk_is_sent_again_and_after_three_attempts_elsewhere() {
    let town = Town::new(&[]);
    let _bad = town.partner(
        "Bad",
        "STORAGE",
        &["--refuse", "Checksum_Mismatch", "--capacity", "2000MB"],
    );
    let _good = town.partner("Good", "STORAGE", &[]);
    let mut alice = town.peer("Alice", "OWNER", &[]);
    write_random(&town.dir("Alice").join("f"), 10_000, 1);
    alice.must("backup f");
    assert!(alice.said("<- tcp") >= 3 && alice.said("Checksum_Mismatch") >= 3);
    fs::remove_file(town.dir("Alice").join("f")).unwrap();
    alice.must("restore f");
}

#[test]
fn chunks_damaged_on_the_way_are_refused_and_come_again() {
    let town = Town::new(&[]);
    let bob = town.peer("Bob", "STORAGE", &[]);
    let mut alice = town.partner("Alice", "OWNER", &["--corrupt", "--faults", "2"]);
    write_random(&town.dir("Alice").join("f"), 10_000, 1);
    alice.must("backup f");
    assert!(bob.said("CHUNK_ERROR") >= 2);
    let mut broken = town.partner("Broken", "OWNER", &["--break-after", "100", "--faults", "1"]);
    write_random(&town.dir("Broken").join("g"), 10_000, 1);
    broken.must("backup g");
}

#[test]
fn nobody_takes_a_chunk_and_the_person_is_told() {
    let town = Town::new(&[]);
    let _bad = town.partner("Bad", "STORAGE", &["--refuse", "No_Space"]);
    let mut alice = town.peer("Alice", "OWNER", &[]);
    write_random(&town.dir("Alice").join("f"), 10_000, 1);
    assert!(alice.refused("backup f").contains("3 of 3 chunks"));
    assert_eq!(alice.said("BACKUP_DONE"), 0);
    assert!(alice.refused("restore f").contains("the server denies it"));
}

#[test]
fn a_chunk_that_is_not_acknowledged_is_brought_elsewhere() {
    let town = Town::new(&["--ack-timeout", "2s"]);
    let _quiet = town.partner("Quiet", "STORAGE", &["--no-ack"]);
    let mut alice = town.peer("Alice", "OWNER", &[]);
    write_random(&town.dir("Alice").join("f"), 10_000, 1);
    alice.must("backup f");
    let other = town.peer("Other", "STORAGE", &[]);
    eventually("the other one has it", || {
        (other.said("CHUNK_OK") >= 3).then_some(())
    });
    fs::remove_file(town.dir("Alice").join("f")).unwrap();
    alice.must("restore f");
}

#[test]
fn a_dead_holder_is_passed_over_and_what_only_it_had_fails() {
    let town = Town::new(&["--replicas", "2"]);
    let mut bob = town.peer("Bob", "STORAGE", &[]);
    let mut carl = town.peer("Carl", "STORAGE", &[]);
    let mut alice = town.peer("Alice", "OWNER", &[]);
    let path = town.dir("Alice").join("f");
    write_random(&path, 50_000, 1);
    alice.must("backup f");
    let held = |peer: &mut super::program::Program| peer.must("list")["chunks"].as_u64().unwrap();
    eventually("both hold it", || {
        (held(&mut bob) == 13 && held(&mut carl) == 13).then_some(())
    });
    bob.process.kill();
    fs::remove_file(&path).unwrap();
    alice.must("restore f");
    carl.process.kill();
    fs::remove_file(&path).unwrap();
    assert!(alice.refused("restore f").contains("nobody who can be reached"));
    assert!(!path.exists());
    eventually("the server is told", || {
        (town.server.said("RESTORE_FAIL") > 0).then_some(())
    });
}

#[test]
fn a_storage_peer_comes_back_with_what_it_held() {
    let town = Town::new(&[]);
    let mut bob = town.peer("Bob", "STORAGE", &[]);
    let mut alice = town.peer("Alice", "OWNER", &[]);
    let path = town.dir("Alice").join("f");
    write_random(&path, 50_000, 1);
    alice.must("backup f");
    let before = bob.ready["listen"].clone();
    bob.process.kill();
    let mut bob = town.peer("Bob", "STORAGE", &[]);
    assert_eq!(bob.ready["listen"], before, "it keeps its ports");
    assert_eq!(bob.must("list")["chunks"], 13);
    fs::remove_file(&path).unwrap();
    alice.must("restore f");
}

#[test]
fn a_server_killed_in_the_middle_of_everything_goes_on() {
    let mut town = Town::new(&["--ack-timeout", "3s"]);
    let _storage: Vec<_> = ["B", "C"]
        .iter()
        .map(|name| town.peer(name, "STORAGE", &[]))
        .collect();
    let mut alice = town.peer("Alice", "OWNER", &[]);
    let path = town.dir("Alice").join("f");
    for round in 0..3 {
        let bytes = write_random(&path, 400_000, round);
        alice.give("backup f");
        eventually("it is under way", || {
            (town.server.said("STORE_ACK") > 5).then_some(())
        });
        town.crash_server();
        let done = alice.answer();
        assert_eq!(done["event"], "done", "{done}");
        fs::remove_file(&path).unwrap();
        // What nobody acknowledged to the server is placed anew first; until then the former backup counts.
        eventually("the newest can be restored", || {
            // Nothing is written over.
            let _ = fs::remove_file(&path);
            let restored = alice.command("restore f");
            (restored["event"] == "done" && fs::read(&path).unwrap() == bytes).then_some(())
        });
    }
}

#[test]
fn a_stalled_storage_peer_does_not_stop_the_backup() {
    let town = Town::new(&["--heartbeat", "1s", "--ack-timeout", "2s"]);
    let stalled = town.peer("Stalled", "STORAGE", &["--capacity", "2GB"]);
    let mut alice = town.peer("Alice", "OWNER", &["--heartbeat", "500ms"]);
    let good = town.peer("Good", "STORAGE", &["--heartbeat", "500ms"]);
    write_random(&town.dir("Alice").join("f"), 20_000, 1);
    stalled.process.signal(Signal::STOP);
    alice.give("backup f");
    eventually("the other one takes over", || {
        (good.said("CHUNK_OK") >= 5).then_some(())
    });
    stalled.process.signal(Signal::CONT);
    assert_eq!(alice.answer()["event"], "done");
}
