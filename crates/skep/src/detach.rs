//! `skep up --detach`: the same command again, in the background.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use crate::{exit::Exit, failure::Failure, output::Output};

const LOG: &str = "log";

/// Starts this program again without `--detach`, waits until it is ready, and leaves it.
pub(crate) fn start(home: &Path, out: &Output) -> Result<Exit, Failure> {
    let failed =
        |e: std::io::Error| Failure::new("internal", format!("it cannot go to the background: {e}"), "");
    fs::create_dir_all(home).map_err(failed)?;
    let log_path = home.join(LOG);
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let words = std::env::args_os()
        .skip(1)
        .filter(|word| word != "--detach" && word != "--json");
    let mut child = Command::new(program)
        .args(words)
        .arg("--json")
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let mut first = String::new();
    let stdout = child.stdout.take().expect("it was piped");
    BufReader::new(stdout).read_line(&mut first).map_err(failed)?;
    let event: serde_json::Value = serde_json::from_str(&first).unwrap_or_default();
    if event["event"] == "ready" {
        let text = format!(
            "{} runs in the background and listens on {}.",
            text(&event["name"]),
            text(&event["listen"])
        );
        out.event("ready", &event, text);
        return Ok(Exit::Done);
    }
    let _ = child.wait();
    let hint = match text(&event["hint"]) {
        "" => format!("its log is {}", log_path.display()),
        hint => hint.to_owned(),
    };
    let message = match text(&event["message"]) {
        "" => "the peer did not start",
        message => message,
    };
    let kind = if event["kind"].is_string() {
        text(&event["kind"])
    } else {
        "not_started"
    };
    Err(Failure::new(kind, message, hint))
}

fn text(value: &serde_json::Value) -> &str {
    value.as_str().unwrap_or_default()
}
