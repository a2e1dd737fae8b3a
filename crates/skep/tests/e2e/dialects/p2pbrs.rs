//! Document 000, sections 2.1 to 2.5 in order, and its assumptions: a network of our own processes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::program::{Program, arg, raw};
use crate::support::{eventually, write_random};

/// A server and the folders of its peers.
pub(super) struct Town {
    pub(super) folder: TempDir,
    pub(super) server: Program,
    options: Vec<String>,
}

impl Town {
    /// A server with these options.
    pub(super) fn new(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let server = start_server(folder.path(), "127.0.0.1:0", &options);
        Self {
            folder,
            server,
            options,
        }
    }

    pub(super) fn address(&self) -> String {
        self.server.address()
    }

    pub(super) fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("dir-{name}"))
    }

    /// A peer of ours.
    pub(super) fn peer(&self, name: &str, role: &str, options: &[&str]) -> Program {
        let dir = self.dir(name);
        fs::create_dir_all(&dir).unwrap();
        let (home, server) = (self.folder.path().join(name), self.address());
        let words = [
            "p2pbrs",
            "peer",
            "--server",
            &server,
            "--name",
            name,
            "--role",
            role,
            "--dir",
            arg(&dir),
        ];
        let words: Vec<&str> = words.iter().chain(options).copied().collect();
        Program::skep(&home, &words)
    }

    /// A partner of ours in Python, as a peer.
    pub(super) fn partner(&self, name: &str, role: &str, options: &[&str]) -> Program {
        let dir = self.dir(name);
        fs::create_dir_all(&dir).unwrap();
        let server = self.address();
        let words = [
            "peer",
            "--server",
            &server,
            "--name",
            name,
            "--role",
            role,
            "--dir",
            arg(&dir),
            "--heartbeat",
            "1",
        ];
        let words: Vec<&str> = words.iter().chain(options).copied().collect();
        Program::python("p2pbrs", &words)
    }

    /// SIGKILL to the server, and the same again.
    pub(super) fn crash_server(&mut self) {
        let address = self.address();
        self.server.process.kill();
        self.server = start_server(self.folder.path(), &address, &self.options);
    }

    /// Sends datagrams from one address; the answers.
    pub(super) fn say(&self, from: &str, texts: &[&str]) -> Vec<String> {
        let address = self.address();
        let words = ["--to", &address, "--from", from, "--wait", "5", "--replies"];
        let count = texts.len().to_string();
        let words: Vec<&str> = words
            .iter()
            .chain(&[count.as_str()])
            .chain(texts)
            .copied()
            .collect();
        raw("p2pbrs", &words)
    }
}

fn start_server(folder: &Path, listen: &str, options: &[String]) -> Program {
    let words = ["p2pbrs", "server", "--listen", listen, "--acks"];
    let words: Vec<&str> = words
        .into_iter()
        .chain(options.iter().map(String::as_str))
        .collect();
    Program::skep(&folder.join("server"), &words)
}

#[test]
fn the_document_from_registration_to_recovery() {
    let mut town = Town::new(&["--replicas", "2", "--heartbeat", "1s", "--ack-timeout", "3s"]);

    // 2.1 Registration and de-registration.
    let mut alice = town.peer("Alice", "OWNER", &["--heartbeat", "300ms"]);
    let mut storage: Vec<Program> = ["B", "C", "D"]
        .iter()
        .map(|name| town.peer(name, "STORAGE", &["--capacity", "64MB", "--heartbeat", "300ms"]))
        .collect();
    let taken = town.say(
        "127.0.0.1:0",
        &["REGISTER 01 Alice BOTH 127.0.0.1 5001 6001 1024MB"],
    );
    assert_eq!(taken, ["REGISTER-DENIED 01 Name_In_Use"]);
    let mut eve = town.peer("Eve", "BOTH", &[]);
    eve.must("deregister");
    eventually("Eve is gone", || {
        (town.server.said("DE-REGISTERED") > 0).then_some(())
    });

    // 2.2 Backup announcement and chunk distribution.
    let photo = town.dir("Alice").join("my photo.bin");
    let bytes = write_random(&photo, 1_000_000, 1);
    let done = alice.must("backup 'my photo.bin' 65536");
    assert_eq!(
        (done["chunks"].as_u64(), done["file"].as_str()),
        (Some(16), Some("my%20photo.bin"))
    );
    eventually("every chunk is held twice", || {
        (town.server.said("<- udp") > 0 && acks(&town) >= 32).then_some(())
    });

    // 2.4 File recovery and reconstruction.
    fs::remove_file(&photo).unwrap();
    alice.must("restore 'my photo.bin'");
    assert!(fs::read(&photo).unwrap() == bytes);

    // 2.3 and 2.5 Heartbeats stop; what the failed peer held is copied to the others.
    let first = storage.remove(0);
    drop(first);
    eventually("B is missed", || {
        (town.server.said("B has failed") > 0).then_some(())
    });
    eventually("B's chunks are copied", || (acks(&town) >= 32 + 10).then_some(()));
    let second = storage.remove(0);
    drop(second);
    fs::remove_file(&photo).unwrap();
    eventually("C is missed", || {
        (town.server.said("C has failed") > 0).then_some(())
    });
    alice.must("restore 'my photo.bin'");
    assert!(fs::read(&photo).unwrap() == bytes, "D has everything by now");

    // 3 The server's information is persistent.
    town.crash_server();
    fs::remove_file(&photo).unwrap();
    alice.must("restore 'my photo.bin'");
    assert!(fs::read(&photo).unwrap() == bytes);
}

/// How many different acknowledgements the server has had.
fn acks(town: &Town) -> usize {
    let log = format!("{:?}", town.server.process);
    let of =
        |line: &str| Some(line.split_once("<- udp ")?.1.to_owned()).filter(|it| it.contains("STORE_ACK"));
    let mut all: Vec<String> = log.lines().filter_map(of).collect();
    let key = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0].to_owned(), words[3].to_owned(), words[4].to_owned())
    };
    all.sort_by_key(key);
    all.dedup_by_key(|line| key(line));
    all.len()
}

#[test]
fn every_denial_has_its_reason() {
    let town = Town::new(&["--max-peers", "2"]);
    let unknown = town.say("127.0.0.1:0", &["BACKUP_REQ 1 f 10 0"]);
    assert_eq!(unknown, ["BACKUP-DENIED 1 Not_Registered"]);
    let mut alice = town.peer("Alice", "BOTH", &[]);
    let mut bob = town.peer("Bob", "STORAGE", &["--capacity", "1MB"]);
    let full = town.say(
        "127.0.0.1:0",
        &["REGISTER 01 Carl BOTH 127.0.0.1 5001 6001 1024MB"],
    );
    assert_eq!(full, ["REGISTER-DENIED 01 Server_Full"]);
    write_random(&town.dir("Alice").join("large"), 2_000_000, 1);
    write_random(&town.dir("Bob").join("f"), 10, 1);
    assert!(alice.refused("backup large").contains("No_Storage"));
    assert!(alice.refused("restore large").contains("No_Such_File"));
    assert!(bob.refused("backup f").contains("Storage_Role"));
    assert!(alice.refused("backup ../Bob/missing").contains("missing"));
    assert!(alice.refused("fly").contains("no command"));
}

#[test]
fn chunks_that_nobody_announced_are_refused() {
    let town = Town::new(&[]);
    let bob = town.peer("Bob", "STORAGE", &[]);
    let tcp = bob.ready["tcp"].as_str().unwrap();
    let body = town.folder.path().join("body");
    fs::write(&body, b"data").unwrap();
    let words = ["--tcp", "--to", tcp, "--wait", "10"];
    // Whether its bytes come or not.
    for bytes in [&[][..], &["--body", arg(&body)]] {
        let words = [&words, bytes, &["SEND_CHUNK 24 photo.jpg 0 4 adf3f363"]].concat();
        assert_eq!(raw("p2pbrs", &words), ["CHUNK_ERROR 24 photo.jpg 0 Not_Expected"]);
    }
}

#[test]
fn all_checksums_and_an_empty_file_and_files_of_any_name() {
    let town = Town::new(&["--peer-list", "at"]);
    let _bob = town.peer("Bob", "STORAGE", &[]);
    let _carl = town.peer("Carl", "STORAGE", &[]);
    for (name, checksum) in [("M", "md5"), ("S", "sha1"), ("K", "crc32")] {
        let mut peer = town.peer(name, "OWNER", &["--checksum", checksum]);
        for (file, size) in [("empty", 0), ("one", 1), ("odd 100%.bin", 30_001), ("even", 8192)] {
            let file = format!("{name}-{file}");
            let path = town.dir(name).join(&file);
            let bytes = write_random(&path, size, 7);
            peer.must(&format!("backup '{file}'"));
            fs::remove_file(&path).unwrap();
            peer.must(&format!("restore '{file}'"));
            assert!(fs::read(&path).unwrap() == bytes, "{file}");
        }
        let listed = peer.must("list");
        assert_eq!(listed["files"].as_array().unwrap().len(), 4);
    }
}

#[test]
fn a_local_file_that_differs_is_kept_beside_the_restored_one() {
    let town = Town::new(&[]);
    let _bob = town.peer("Bob", "STORAGE", &[]);
    let mut alice = town.peer("Alice", "OWNER", &[]);
    let path = town.dir("Alice").join("notes");
    fs::write(&path, "first").unwrap();
    alice.must("backup notes");
    fs::write(&path, "second").unwrap();
    alice.must("restore notes");
    assert_eq!(fs::read_to_string(&path).unwrap(), "first");
    let aside = town.dir("Alice").join("notes.before-restore-1");
    assert_eq!(fs::read_to_string(aside).unwrap(), "second");
}
