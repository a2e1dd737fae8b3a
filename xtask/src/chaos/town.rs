//! A coordinator and its peers, each a process with a home of its own, that can be killed and started again.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    program::{Program, skep, within},
    tracer::Plan,
};
use crate::Outcome;

/// Whose word it is who is there.
pub(super) const COORDINATOR: &str = "coordinator";
/// Who publishes and backs up.
pub(super) const OWNER: &str = "owner";
/// Who keep shards for others, and get what is shared.
pub(super) const HOLDERS: [&str; 3] = ["holder-1", "holder-2", "holder-3"];

/// Processes in one temporary folder; both are gone when it is dropped.
pub(super) struct Town {
    // In this order: the processes end before their folder goes.
    members: BTreeMap<String, Member>,
    binary: PathBuf,
    folder: TempDir,
    logs: u32,
}

struct Member {
    /// What `skep` is told to start it; nothing while it could not join.
    words: Vec<String>,
    program: Option<Program>,
}

impl Town {
    /// Starts a coordinator, an owner and holders.
    pub(super) fn found(binary: &Path, parent: &Path) -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("skep-chaos-")
            .tempdir_in(parent)?;
        let mut town = Self {
            members: BTreeMap::new(),
            binary: binary.to_owned(),
            folder,
            logs: 0,
        };
        town.add(COORDINATOR, coordinator("127.0.0.1:0"));
        let ready = town.open(COORDINATOR, None)?;
        let listen = ready["listen"]
            .as_str()
            .ok_or("the coordinator says no address")?;
        town.add(COORDINATOR, coordinator(listen));
        town.open(COORDINATOR, None)?;
        for name in [OWNER].into_iter().chain(HOLDERS) {
            let role = if name == OWNER { "owner" } else { "storage" };
            let ticket = town.invite(name)?;
            town.join(name, role, &ticket, None)?;
        }
        Ok(town)
    }

    /// `name` in its folder.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Leaves the folder where it is when the town is dropped.
    pub(super) fn keep(&mut self) {
        self.folder.disable_cleanup(true);
    }

    /// A new ticket in a file, for `name`.
    pub(super) fn invite(&mut self, name: &str) -> Outcome<PathBuf> {
        let done = self.ask(COORDINATOR, &["invite"])?;
        let file = self.path(format!("{name}.ticket"));
        fs::write(&file, done["ticket"].as_str().ok_or("invite gave no ticket")?)?;
        Ok(file)
    }

    /// A peer joins with a ticket, and stays. Watched from its first instruction, if there is a plan for that.
    pub(super) fn join(
        &mut self,
        name: &str,
        role: &str,
        ticket: &Path,
        plan: Option<&Plan>,
    ) -> Outcome<Value> {
        let ticket = format!("@{}", ticket.display());
        let mut words = peer(role);
        words.extend(["--name", name, "--join", &ticket].map(str::to_owned));
        self.add(name, words);
        let ready = self.open(name, plan);
        let joined = ready.is_ok();
        self.member(name)?.words = if joined { peer(role) } else { Vec::new() };
        ready
    }

    /// Starts a member, and waits until it is ready.
    pub(super) fn open(&mut self, name: &str, plan: Option<&Plan>) -> Outcome<Value> {
        let log = self.log(name);
        let home = self.path(name);
        let binary = self.binary.clone();
        let member = self.member(name)?;
        member.program = None;
        let mut program = match plan {
            None => Program::start(&mut skep(Command::new(binary), &home, &member.words), log)?,
            Some(plan) => {
                let mut around = plan.around();
                around.arg(binary);
                Program::start_traced(&mut skep(around, &home, &member.words), log)?
            }
        };
        let ready = program.wait_event("ready");
        member.program = Some(program);
        ready
    }

    /// The process of a member.
    pub(super) fn program(&mut self, name: &str) -> Outcome<&mut Program> {
        let program = self.member(name)?.program.as_mut();
        program.ok_or_else(|| format!("{name} was not started").into())
    }

    /// A member goes away for good.
    pub(super) fn remove(&mut self, name: &str) {
        self.members.remove(name);
    }

    /// Kills a member.
    pub(super) fn kill(&mut self, name: &str) -> Outcome {
        self.program(name)?.kill();
        Ok(())
    }

    /// Starts a command against a member.
    pub(super) fn run(&self, name: &str, words: &[&str]) -> Outcome<Program> {
        let log = self.path("command.out");
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Program::start(
            &mut skep(Command::new(&self.binary), &self.path(name), &words),
            log,
        )
    }

    /// Runs a command against a member, and returns the last event.
    pub(super) fn ask(&self, name: &str, words: &[&str]) -> Outcome<Value> {
        self.run(name, words)?.finish()
    }

    /// Runs a command against a member, and returns all that it lists.
    pub(super) fn list(&self, name: &str, words: &[&str]) -> Outcome<Vec<Value>> {
        let mut program = self.run(name, words)?;
        program.finish()?;
        Ok(program.rows())
    }

    /// Starts again whoever has ended, also those that end only now, and waits until all see each other.
    pub(super) fn revive(&mut self) -> Outcome {
        self.members.retain(|_, member| !member.words.is_empty());
        within("all to be there again", || {
            self.open_ended()?;
            Ok(self.is_whole().then_some(()))
        })
    }

    fn open_ended(&mut self) -> Outcome {
        let ended = |member: &mut Member| member.program.as_mut().is_none_or(Program::has_ended);
        let members = self.members.iter_mut();
        let names: Vec<String> = members
            .filter_map(|(name, member)| ended(member).then(|| name.clone()))
            .collect();
        for name in names {
            self.open(&name, None)
                .map_err(|e| format!("{name} does not open again: {e}"))?;
        }
        Ok(())
    }

    /// Whether all peers are connected, and the holders are seen. Who cannot be asked is not there.
    fn is_whole(&self) -> bool {
        let mut peers = self.members.keys().filter(|name| *name != COORDINATOR);
        let is_connected = |name: &String| {
            self.ask(name, &["status"])
                .is_ok_and(|status| status["connected"] == true)
        };
        if !peers.all(is_connected) {
            return false;
        }
        let rows = self.list(OWNER, &["peers"]).unwrap_or_default();
        let is_online = |name: &&str| {
            rows.iter()
                .any(|row| row["name"] == **name && row["state"] == "online")
        };
        HOLDERS.iter().all(is_online)
    }

    /// An error if any process has said that it panicked.
    pub(super) fn expect_calm(&self) -> Outcome {
        for entry in fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "log") {
                continue;
            }
            let said = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            if let Some(line) = said.lines().find(|line| line.contains("panicked at")) {
                return Err(format!("{}: {line}", path.display()).into());
            }
        }
        Ok(())
    }

    fn add(&mut self, name: &str, words: Vec<String>) {
        let program = None;
        self.members.insert(name.to_owned(), Member { words, program });
    }

    fn member(&mut self, name: &str) -> Outcome<&mut Member> {
        let member = self.members.get_mut(name);
        member.ok_or_else(|| format!("there is no {name}").into())
    }

    /// A new one for each start, so that what was said before a crash can be read after it.
    fn log(&mut self, name: &str) -> PathBuf {
        self.logs += 1;
        self.path(format!("{:04}-{name}.log", self.logs))
    }
}

/// Heartbeats are short, so that the silent are noticed soon, and what they keep is rebuilt soon.
fn coordinator(listen: &str) -> Vec<String> {
    let words = [
        "coordinator",
        "--listen",
        listen,
        "--heartbeat",
        "1s",
        "--repair-after",
        "5s",
    ];
    words.map(str::to_owned).into()
}

fn peer(role: &str) -> Vec<String> {
    let words = [
        "up",
        "--listen",
        "127.0.0.1:0",
        "--capacity",
        "1GiB",
        "--role",
        role,
    ];
    words.map(str::to_owned).into()
}
