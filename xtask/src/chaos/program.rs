//! One process of `skep`: started, heard through its log, and killed at the latest when it is dropped.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::{Outcome, interrupt};

/// How long anything may take. On a busy machine, and watched by strace, things take long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Of what it said, when something does not come.
const LAST_LINES: usize = 8;
/// How often somebody looks who waits.
const LOOK: Duration = Duration::from_millis(5);

/// A process that is running, or has ended and was not waited for.
pub(crate) struct Program {
    child: Child,
    log: PathBuf,
    /// The child is an `strace`, and the program is its child.
    is_traced: bool,
}

impl Program {
    /// Starts it; what it prints goes to `log`.
    pub(crate) fn start(command: &mut Command, log: PathBuf) -> Outcome<Self> {
        let file = File::create(&log)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = command
            .spawn()
            .map_err(|e| format!("cannot start {}: {e}", command.get_program().display()))?;
        Ok(Self {
            child,
            log,
            is_traced: false,
        })
    }

    /// Starts a program by an `strace` that runs it.
    pub(crate) fn start_traced(command: &mut Command, log: PathBuf) -> Outcome<Self> {
        let mut program = Self::start(command, log)?;
        program.is_traced = true;
        Ok(program)
    }

    /// The process id of the child.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub(crate) fn said(&self) -> String {
        fs::read(&self.log).map_or(String::new(), |said| String::from_utf8_lossy(&said).into_owned())
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end, but not longer than `limit`. Returns whether it has ended.
    pub(crate) fn ends_within(&mut self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.has_ended() {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(LOOK);
        }
        true
    }

    /// Waits for an event of that kind; an error if the process ends without it.
    pub(crate) fn wait_event(&mut self, kind: &str) -> Outcome<Value> {
        let seen = within(kind, || {
            let ended = self.has_ended();
            match last_event(&self.said(), kind) {
                None if ended => Err(self.complaint().into()),
                event => Ok(event),
            }
        });
        seen.map_err(|e| format!("{e}\nlast it said:\n{}", self.last_words()).into())
    }

    /// Waits until it has ended well, and returns the last thing it said.
    pub(crate) fn finish(&mut self) -> Outcome<Value> {
        let status = within("its end", || Ok(self.child.try_wait()?))?;
        let said = self.said();
        match said
            .lines()
            .rev()
            .find_map(|line| serde_json::from_str(line).ok())
        {
            Some(last) if status.success() => Ok(last),
            None if status.success() => Ok(Value::Null),
            _ => Err(self.complaint().into()),
        }
    }

    /// All that it said, one JSON value each.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let said = self.said();
        let rows = said.lines().filter_map(|line| serde_json::from_str(line).ok());
        rows.collect()
    }

    /// SIGKILL, and waits until it is gone. An `strace` that is killed would leave its program alone, so it is the
    /// program that is killed, and `strace` ends by itself.
    pub(crate) fn kill(&mut self) {
        match self.is_traced.then(|| child_of(self.id())).flatten() {
            Some(program) => signal(program, Signal::KILL),
            // An error: it has ended already.
            None => drop(self.child.kill()),
        }
        // An error: it was waited for.
        let _ = self.child.wait();
    }

    fn complaint(&self) -> String {
        let said = self.said();
        let error = last_event(&said, "error").and_then(|event| Some(event["message"].as_str()?.to_owned()));
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        error.unwrap_or_else(|| format!("it ended: {}", last.unwrap_or("it said nothing")))
    }

    fn last_words(&self) -> String {
        let said = self.said();
        let lines: Vec<_> = said.lines().rev().take(LAST_LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last event of that kind among lines of JSON; a line that is cut short is none yet.
fn last_event(said: &str, kind: &str) -> Option<Value> {
    let mut events = said
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    events.rfind(|event| event["event"] == kind)
}

/// Sends a signal; an error would mean that the process has ended already.
pub(crate) fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The first child of a process, as the kernel tells it.
fn child_of(id: u32) -> Option<u32> {
    let path = PathBuf::from(format!("/proc/{id}/task/{id}/children"));
    let children = fs::read_to_string(path).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Looks until there is something to see.
pub(crate) fn within<T>(what: &str, mut look: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        interrupt::check()?;
        if let Some(seen) = look()? {
            return Ok(seen);
        }
        if Instant::now() > deadline {
            return Err(format!("waited {} s in vain for {what}", PATIENCE.as_secs()).into());
        }
        thread::sleep(LOOK);
    }
}

/// The command `program --home HOME --json WORDS...`, with nothing of the user's environment in it.
pub(crate) fn skep(mut start: Command, home: &Path, words: &[String]) -> Command {
    start
        .arg("--home")
        .arg(home)
        .arg("--json")
        .args(words)
        .env_remove("SKEP_HOME")
        .env("XDG_DATA_HOME", home);
    start
}
