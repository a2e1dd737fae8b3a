//! The processes of the demo, each with a home of its own in one temporary folder.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time,
};

use crate::failure::Failure;

/// How long a process has to become ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// The folder and the coordinator. Peers end when they are dropped; so does this.
pub(super) struct Stage {
    folder: TempDir,
    coordinator: Option<Child>,
}

/// A running peer.
pub(super) struct Peer {
    name: String,
    home: PathBuf,
    child: Child,
}

impl Stage {
    pub(super) fn open() -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("skep-demo-").tempdir();
        let folder = folder.map_err(|e| {
            Failure::new(
                "not_writable",
                format!("no temporary folder can be made: {e}"),
                "",
            )
        })?;
        Ok(Self {
            folder,
            coordinator: None,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) async fn coordinator(&mut self) -> Result<(), Failure> {
        let home = self.folder.path().join("coordinator");
        // Whoever is away for seconds counts as lost, so that there is something to see.
        let words = [
            "coordinator",
            "--listen",
            "127.0.0.1:0",
            "--heartbeat",
            "1s",
            "--repair-after",
            "4s",
        ];
        self.coordinator = Some(start(&home, &words).await?);
        Ok(())
    }

    /// A ticket for one machine.
    pub(super) async fn invite(&self) -> Result<String, Failure> {
        let answer = ask(&self.folder.path().join("coordinator"), &["invite"]).await?;
        Ok(answer["ticket"].as_str().unwrap_or_default().to_owned())
    }

    /// Starts a peer that joins.
    pub(super) async fn peer(&self, name: &str, more: &[&str]) -> Result<Peer, Failure> {
        let ticket = self.invite().await?;
        let home = self.folder.path().join(name);
        std::fs::create_dir_all(&home).map_err(|e| Failure::new("not_writable", e, ""))?;
        // A ticket is a secret: it does not belong into the list of processes.
        let file = home.join("ticket");
        std::fs::write(&file, ticket).map_err(|e| Failure::new("not_writable", e, ""))?;
        let join = format!("@{}", file.display());
        let words = [
            "up",
            "--join",
            &join,
            "--name",
            name,
            "--listen",
            "127.0.0.1:0",
            "--capacity",
            "1GiB",
        ];
        let child = start(&home, &[&words[..], more].concat()).await?;
        Ok(Peer {
            name: name.to_owned(),
            home,
            child,
        })
    }

    /// Stops the coordinator and removes the folder.
    pub(super) async fn close(mut self) {
        if let Some(mut coordinator) = self.coordinator.take() {
            let _ = coordinator.kill().await;
        }
    }
}

impl Peer {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn folder(&self) -> &Path {
        &self.home
    }

    /// Runs a command against it and returns its result.
    pub(super) async fn ask(&self, words: &[&str]) -> Result<Value, Failure> {
        ask(&self.home, words).await
    }

    /// Ends it at once, as a crash would.
    pub(super) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }

    /// Waits until it has ended.
    pub(super) async fn wait(&mut self) {
        let _ = time::timeout(PATIENCE, self.child.wait()).await;
    }
}

fn command(home: &Path, words: &[&str]) -> Result<Command, Failure> {
    let program = std::env::current_exe()
        .map_err(|e| Failure::new("internal", format!("this program cannot be found: {e}"), ""))?;
    let mut command = Command::new(program);
    command.arg("--home").arg(home).arg("--json").args(words);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    Ok(command)
}

/// Starts a process and waits for its `ready`.
async fn start(home: &Path, words: &[&str]) -> Result<Child, Failure> {
    let failed = |e: &dyn std::fmt::Display| {
        Failure::new("not_started", format!("skep {} did not start: {e}", words[0]), "")
    };
    let mut child = command(home, words)?.spawn().map_err(|e| failed(&e))?;
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let first = time::timeout(PATIENCE, lines.next_line()).await;
    let first = first
        .map_err(|_| failed(&"it took too long"))?
        .map_err(|e| failed(&e))?
        .unwrap_or_default();
    let event: Value = serde_json::from_str(&first).unwrap_or_default();
    if event["event"] == "ready" {
        Ok(child)
    } else {
        Err(failed(&event["message"].as_str().unwrap_or("it ended")))
    }
}

/// Runs a command to its end and returns its last event.
async fn ask(home: &Path, words: &[&str]) -> Result<Value, Failure> {
    let failed =
        |e: &dyn std::fmt::Display| Failure::new("failed", format!("skep {} failed: {e}", words[0]), "");
    let output = command(home, words)?.output().await.map_err(|e| failed(&e))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let last: Value = serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_default();
    if output.status.success() {
        Ok(last)
    } else {
        Err(failed(&last["message"].as_str().unwrap_or("it ended")))
    }
}
