//! Other people's protocols: networks of our roles, of programs in Python that share no code with
//! them, and of both.

mod bridge;
mod content;
mod napster;
mod p2pbrs;
mod p2pbrs_faults;
mod p2pbrs_mixed;
mod program;
mod supernova;
mod terminal;

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, skep, text, write_random};

/// Who plays a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Skep,
    Python,
}

const BOTH: [By; 2] = [By::Skep, By::Python];

/// A folder for everything of one test.
struct Stage(TempDir);

impl Stage {
    fn new() -> Self {
        Self(
            tempfile::Builder::new()
                .prefix("skep-dialect-")
                .tempdir()
                .unwrap(),
        )
    }

    /// A path on it.
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A folder on it.
    fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Starts a role of ours, with a home called `name`.
    fn skep(&self, name: &str, words: &[&str]) -> Role {
        let words = [&["--json", "-v", "gateway"], words].concat();
        Role::start(skep(&self.path(name), &words))
    }

    /// Starts one of ours, or the partner's: `words` begin with the dialect and the role.
    fn role(&self, by: By, name: &str, words: &[&str]) -> Role {
        match by {
            By::Skep => self.skep(name, words),
            By::Python => python(words),
        }
    }

    /// A peer's folder with a file of so many random bytes, whose path and bytes are returned.
    fn file(&self, peer: &str, file: &str, bytes: usize) -> (PathBuf, Vec<u8>) {
        let path = self.folder(peer).join(file);
        let bytes = write_random(&path, bytes, 7);
        (path, bytes)
    }
}

/// Starts a role of the partners.
fn python(words: &[&str]) -> Role {
    let partners = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dialects");
    let mut command = Command::new("python3");
    command
        .arg("-B")
        .arg(partners.join(format!("{}.py", words[0])))
        .args(&words[1..]);
    Role::start(command)
}

/// A running role that takes commands.
struct Role {
    process: Process,
    ready: Value,
}

impl Role {
    fn start(mut command: Command) -> Self {
        let mut process = Process::start({
            command.stdin(Stdio::piped());
            command
        });
        let ready = process.ready();
        Self { process, ready }
    }

    /// Where it listens.
    fn listen(&self) -> &str {
        self.ready["listen"].as_str().unwrap()
    }

    /// Gives a command and waits for its end, good or bad.
    fn command(&mut self, line: &str) -> Value {
        self.process.tell(line);
        self.process
            .event(|event| matches!(event["event"].as_str(), Some("done" | "error")))
    }

    /// Gives a command that has to go well.
    fn does(&mut self, line: &str) -> Value {
        let end = self.command(line);
        assert_eq!(end["event"], "done", "{line}: {end} {:?}", self.process);
        end
    }

    /// Gives a command that has to fail.
    fn fails(&mut self, line: &str) -> Value {
        let end = self.command(line);
        assert_eq!(end["event"], "error", "{line}: {end}");
        end
    }

    /// The rows before the `done` of a list of ours.
    fn rows(&mut self, line: &str) -> Vec<Value> {
        self.process.tell(line);
        let mut rows = Vec::new();
        loop {
            let row: Value = serde_json::from_str(&self.process.line()).unwrap();
            match row["event"].as_str() {
                None => rows.push(row),
                Some("done") => return rows,
                Some(_) => panic!("{line}: {row}"),
            }
        }
    }

    fn kill(&mut self) {
        self.process.kill();
    }
}

/// A name in a row.
fn field<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().unwrap_or_else(|| panic!("no {name} in {row}"))
}

/// `--dir` and its path.
fn dir(folder: &Path) -> [&str; 2] {
    ["--dir", text(folder)]
}
