//! A role of a dialect as a process, ours or a partner in Python: commands in, events out.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{Process, skep, text};

/// A program that takes one command per line and answers each with `done` or `error`.
pub(crate) struct Program {
    pub(crate) process: Process,
    /// What it said when it was ready.
    pub(crate) ready: Value,
}

impl Program {
    /// `skep gateway WORDS...` with a home of its own, ready.
    pub(crate) fn skep(home: &Path, words: &[&str]) -> Self {
        let words: Vec<&str> = ["--json", "-v", "gateway"].iter().chain(words).copied().collect();
        Self::start(skep(home, &words))
    }

    /// A partner in tests/dialects, ready.
    pub(crate) fn python(dialect: &str, words: &[&str]) -> Self {
        let script = partners().join(format!("{dialect}.py"));
        let mut command = Command::new("python3");
        command.arg(script).args(words);
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::piped());
        let mut process = Process::start(command);
        let ready = process.event(|event| event["event"] == "ready" || event["event"] == "error");
        assert_eq!(ready["event"], "ready", "{ready} {process:?}");
        Self { process, ready }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        self.ready["listen"].as_str().unwrap().to_owned()
    }

    /// Gives a command and waits for what comes of it.
    pub(crate) fn command(&mut self, line: &str) -> Value {
        self.give(line);
        self.answer()
    }

    /// Gives a command and does not wait.
    pub(crate) fn give(&mut self, line: &str) {
        self.process.tell(line);
    }

    /// What came of the oldest command that was only given.
    pub(crate) fn answer(&mut self) -> Value {
        self.process
            .event(|event| event["event"] == "done" || event["event"] == "error")
    }

    /// A command that must succeed.
    pub(crate) fn must(&mut self, line: &str) -> Value {
        let event = self.command(line);
        assert_eq!(event["event"], "done", "{line}: {event} {:?}", self.process);
        event
    }

    /// A command that must fail; what it says.
    pub(crate) fn refused(&mut self, line: &str) -> String {
        let event = self.command(line);
        assert_eq!(event["event"], "error", "{line}: {event}");
        let message = event["message"].as_str().or(event["reason"].as_str());
        message.unwrap().to_owned()
    }

    /// How often a text was in its messages.
    pub(crate) fn said(&self, what: &str) -> usize {
        format!("{:?}", self.process).matches(what).count()
    }
}

/// Where the partners lie.
fn partners() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dialects")
}

/// One datagram or connection by hand, from an address of this test's choice; the answers.
pub(crate) fn raw(dialect: &str, words: &[&str]) -> Vec<String> {
    let script = partners().join(format!("{dialect}.py"));
    let output = Command::new("python3")
        .arg(script)
        .arg("raw")
        .args(words)
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let last: Value = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();
    let replies = last["replies"].as_array().unwrap_or_else(|| panic!("{stdout}"));
    replies
        .iter()
        .map(|reply| reply.as_str().unwrap_or_default().to_owned())
        .collect()
}

/// A path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    text(path)
}
