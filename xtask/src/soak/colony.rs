//! A coordinator and many peers, each a process with a home of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    Outcome,
    chaos::program::{Program, signal, skep, within},
};

/// All processes, and the folder that they live in.
pub(super) struct Colony {
    // In this order: the processes end before their folder goes.
    coordinator: Program,
    peers: Vec<Peer>,
    binary: PathBuf,
    folder: TempDir,
    files: u32,
}

struct Peer {
    name: String,
    program: Option<Program>,
}

impl Colony {
    /// Starts a coordinator and so many peers.
    pub(super) fn found(binary: &Path, parent: &Path, peers: u16) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("skep-soak-").tempdir_in(parent)?;
        let words = ["coordinator", "--listen", "127.0.0.1:0", "--heartbeat", "2s"];
        let home = folder.path().join("coordinator");
        let mut start = skep(Command::new(binary), &home, &words.map(str::to_owned));
        let mut coordinator = Program::start(&mut start, folder.path().join("coordinator.log"))?;
        coordinator.wait_event("ready")?;
        let mut colony = Self {
            coordinator,
            peers: Vec::new(),
            binary: binary.to_owned(),
            folder,
            files: 0,
        };
        let uses = peers.to_string();
        let invited = colony
            .start_at("coordinator", &["invite", "--uses", &uses])?
            .finish()?;
        fs::write(
            colony.path("ticket"),
            invited["ticket"].as_str().ok_or("invite gave no ticket")?,
        )?;
        for number in 0..peers {
            let name = format!("peer-{number}");
            colony.peers.push(Peer { name, program: None });
            colony.open(number.into())?;
        }
        Ok(colony)
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// How many peers there are. The first half of them is steady.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Starts a peer that does not run.
    pub(super) fn open(&mut self, peer: usize) -> Outcome {
        let name = self.peers[peer].name.clone();
        let ticket = format!("@{}", self.path("ticket").display());
        let mut words = vec![
            "up",
            "--listen",
            "127.0.0.1:0",
            "--capacity",
            "8GiB",
            "--min-free",
            "0",
        ];
        words.extend(["--grace", "30s", "--name", &name]);
        if !self.path(&name).exists() {
            words.extend(["--join", &ticket]);
        }
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let log = self.file(&format!("{name}.log"));
        let mut start = skep(Command::new(&self.binary), &self.path(&name), &words);
        let mut program = Program::start(&mut start, log)?;
        program.wait_event("ready")?;
        self.peers[peer].program = Some(program);
        Ok(())
    }

    /// Ends a peer: asked to, or by force.
    pub(super) fn close(&mut self, peer: usize, by_force: bool) -> Outcome {
        let Some(mut program) = self.peers[peer].program.take() else {
            return Ok(());
        };
        if by_force {
            program.kill();
            return Ok(());
        }
        signal(program.id(), Signal::TERM);
        within("a peer to stop", || Ok(program.has_ended().then_some(())))
    }

    pub(super) fn is_up(&self, peer: usize) -> bool {
        self.peers[peer].program.is_some()
    }

    /// Starts a command against a peer.
    pub(super) fn start(&mut self, peer: usize, words: &[&str]) -> Outcome<Program> {
        self.start_at(&self.peers[peer].name.clone(), words)
    }

    /// Runs a command against a peer, and returns the last event.
    pub(super) fn ask(&mut self, peer: usize, words: &[&str]) -> Outcome<Value> {
        self.start(peer, words)?.finish()
    }

    fn start_at(&mut self, name: &str, words: &[&str]) -> Outcome<Program> {
        let log = self.file("command");
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Program::start(
            &mut skep(Command::new(&self.binary), &self.path(name), &words),
            log,
        )
    }

    /// The processes that are never started again: the coordinator and the steady half.
    pub(super) fn steady(&self) -> Vec<(&str, u32)> {
        let peers = self.peers.iter().take(self.peers.len() / 2);
        let peers = peers.filter_map(|peer| Some((peer.name.as_str(), peer.program.as_ref()?.id())));
        [("coordinator", self.coordinator.id())]
            .into_iter()
            .chain(peers)
            .collect()
    }

    /// An error if any process has said that it panicked.
    pub(super) fn expect_calm(&self) -> Outcome {
        for entry in fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if !path.is_file() {
                continue;
            }
            let said = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            if let Some(line) = said.lines().find(|line| line.contains("panicked at")) {
                return Err(format!("{}: {line}", path.display()).into());
            }
        }
        Ok(())
    }

    /// A new file for what is printed.
    fn file(&mut self, name: &str) -> PathBuf {
        self.files += 1;
        self.path(format!("{:06}-{name}", self.files))
    }
}
