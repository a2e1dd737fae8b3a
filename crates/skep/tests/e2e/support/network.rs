//! A coordinator and its peers, each a process with a home of its own, in one temporary folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    eventually,
    process::{Outcome, Process, Signal, skep},
    text,
};

/// A running coordinator. Peers are ended before it is dropped, or find that out themselves.
pub(crate) struct Network {
    folder: TempDir,
    options: Vec<String>,
    /// Where it listens.
    pub(crate) listen: String,
    /// Its key, as the `ready` event shows it.
    pub(crate) id: String,
    coordinator: Process,
}

/// A peer that has joined.
pub(crate) struct Peer {
    pub(crate) name: String,
    /// A folder for its files, beside its home.
    pub(crate) files: PathBuf,
    pub(crate) home: PathBuf,
    options: Vec<String>,
    /// What its `ready` event said last.
    pub(crate) ready: Value,
    process: Process,
}

impl Network {
    /// A new network. Heartbeats are short, so that the silent are noticed soon.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A new network, its coordinator with more options.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self::at("127.0.0.1:0", options)
    }

    /// A new network, its coordinator at this address.
    pub(crate) fn at(listen: &str, options: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("skep-").tempdir().unwrap();
        let options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
        let (coordinator, ready) = start_coordinator(folder.path(), listen, &options);
        Self {
            folder,
            options,
            listen: ready["listen"].as_str().unwrap().to_owned(),
            id: ready["network"].as_str().unwrap().to_owned(),
            coordinator,
        }
    }

    /// The folder of all homes.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command where the coordinator runs.
    pub(crate) fn admin(&self, words: &[&str]) -> Outcome {
        let words = [&["--json"], words].concat();
        Process::start(skep(&self.folder.path().join("coordinator"), &words)).finish()
    }

    /// A ticket.
    pub(crate) fn invite(&self, options: &[&str]) -> String {
        let done = self.admin(&[&["invite"], options].concat()).done();
        done["ticket"].as_str().unwrap().to_owned()
    }

    /// A peer of that name.
    pub(crate) fn peer(&self, name: &str) -> Peer {
        self.peer_with(name, &[])
    }

    /// A peer of that name, started with more options.
    pub(crate) fn peer_with(&self, name: &str, options: &[&str]) -> Peer {
        self.joining(name, &self.invite(&[]), options).joined()
    }

    /// A peer that tries to join with this ticket; whether it may is seen later.
    pub(crate) fn joining(&self, name: &str, ticket: &str, options: &[&str]) -> Joining {
        self.joining_as(Some(name), name, ticket, options)
    }

    /// The same with a home that is not called like the peer, which may have no name at all.
    pub(crate) fn joining_as(
        &self,
        name: Option<&str>,
        home: &str,
        ticket: &str,
        options: &[&str],
    ) -> Joining {
        let folder = self.folder.path().join(home);
        fs::create_dir_all(folder.join("files")).unwrap();
        Joining::start(name, &folder, ticket, options)
    }

    /// Ends the coordinator at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.coordinator.kill();
    }

    /// Sends the coordinator a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.coordinator.signal(signal);
    }

    /// The coordinator's process.
    pub(crate) fn coordinator(&mut self) -> &mut Process {
        &mut self.coordinator
    }

    /// Starts a coordinator that has ended again, in its home and at its port.
    pub(crate) fn restart(&mut self) {
        let (coordinator, ready) = start_coordinator(self.folder.path(), &self.listen, &self.options);
        assert_eq!(ready["network"], self.id.as_str());
        self.coordinator = coordinator;
    }
}

fn start_coordinator(folder: &Path, listen: &str, options: &[String]) -> (Process, Value) {
    let mut words = vec!["--json", "coordinator", "--listen", listen, "--heartbeat", "1s"];
    words.extend(options.iter().map(String::as_str));
    let mut process = Process::start(skep(&folder.join("coordinator"), &words));
    let ready = process.ready();
    (process, ready)
}

/// A peer that was started with a ticket.
pub(crate) struct Joining {
    folder: PathBuf,
    options: Vec<String>,
    process: Process,
}

impl Joining {
    fn start(name: Option<&str>, folder: &Path, ticket: &str, options: &[&str]) -> Self {
        // A ticket is a secret: it does not belong into the list of processes.
        let file = folder.join("ticket");
        fs::write(&file, ticket).unwrap();
        let join = format!("@{}", text(&file));
        let options: Vec<String> = options.iter().map(|&o| o.to_owned()).collect();
        let mut first = vec!["--join", &join];
        first.extend(name.into_iter().flat_map(|name| ["--name", name]));
        let process = start_peer(folder, &first, &options);
        Self {
            folder: folder.to_owned(),
            options,
            process,
        }
    }

    /// The peer, which has been let in.
    pub(crate) fn joined(mut self) -> Peer {
        let ready = self.process.ready();
        Peer {
            name: ready["name"].as_str().unwrap().to_owned(),
            files: self.folder.join("files"),
            home: self.folder.join("home"),
            options: self.options,
            ready,
            process: self.process,
        }
    }

    /// How it ended, if it was not let in.
    pub(crate) fn outcome(self) -> Outcome {
        self.process.finish()
    }
}

fn start_peer(folder: &Path, first: &[&str], options: &[String]) -> Process {
    let mut words = vec!["--json", "up", "--listen", "127.0.0.1:0", "--capacity", "1GiB"];
    words.extend(first);
    words.extend(options.iter().map(String::as_str));
    Process::start(skep(&folder.join("home"), &words))
}

impl Peer {
    /// Starts a command against it.
    pub(crate) fn begin(&self, words: &[&str]) -> Process {
        Process::start(skep(&self.home, &[&["--json"], words].concat()))
    }

    /// Runs a command against it.
    pub(crate) fn run(&self, words: &[&str]) -> Outcome {
        self.begin(words).finish()
    }

    /// Runs a command that has to go well, and returns its last event.
    pub(crate) fn ask(&self, words: &[&str]) -> Value {
        self.run(words).done()
    }

    /// Shares `path` under `name`.
    pub(crate) fn share(&self, path: &Path, name: &str) -> Value {
        self.ask(&["share", text(path), "--name", name])
    }

    /// Gets `what` to `target`.
    pub(crate) fn get(&self, what: &str, target: &Path) -> Value {
        self.ask(&["get", what, "-o", text(target)])
    }

    /// Starts to get `what` to `target`.
    pub(crate) fn begin_get(&self, what: &str, target: &Path) -> Process {
        self.begin(&["get", what, "-o", text(target)])
    }

    /// The row of a share in its list, if it is there.
    pub(crate) fn listed(&self, share: &str) -> Option<Value> {
        let mut rows = self.run(&["ls"]).rows();
        rows.retain(|row| row["name"] == share);
        assert!(rows.len() < 2, "listed twice: {rows:?}");
        rows.pop()
    }

    /// Waits until so many hold the share.
    pub(crate) fn wait_for_holders(&self, share: &str, count: u64) {
        eventually(&format!("{count} hold {share}"), || {
            (self.listed(share)?["holders"].as_u64()? == count).then_some(())
        });
    }

    /// The row of a peer in its list, if it is there.
    pub(crate) fn sees(&self, peer: &str) -> Option<Value> {
        let rows = self.run(&["peers"]).rows();
        rows.into_iter().find(|row| row["name"] == peer)
    }

    /// Waits until it is connected to its coordinator.
    pub(crate) fn wait_until_connected(&self) {
        eventually(&format!("{} is connected", self.name), || {
            (self.ask(&["status"])["connected"] == true).then_some(())
        });
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Its process.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Starts it again after it has ended: nothing is said to it but where its home is.
    pub(crate) fn restart(&mut self) {
        self.process = self.start_again();
        self.ready = self.process.ready();
    }

    /// The same, with other options than before.
    pub(crate) fn restart_with(mut self, options: &[&str]) -> Self {
        self.options = options.iter().map(|&o| o.to_owned()).collect();
        self.restart();
        self
    }

    /// The same, where it may not come up.
    pub(crate) fn start_again(&self) -> Process {
        start_peer(self.home.parent().unwrap(), &[], &self.options)
    }
}

/// The bytes that crossed the network for a download.
pub(crate) fn done_bytes(done: &Value) -> u64 {
    assert_eq!(done["event"], "done");
    done["fetched"].as_u64().unwrap()
}
