//! One process of `skep`: started, heard, and ended at the latest when it is dropped.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::Path,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, Resource, Rlimit, kill_process, prlimit};
use serde_json::Value;

use super::{PATIENCE, within};

/// The command `skep --home HOME WORDS...`, with nothing of the user's environment in it.
pub(crate) fn skep(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command
        .arg("--home")
        .arg(home)
        .args(words)
        .env_remove("SKEP_HOME")
        .env("XDG_DATA_HOME", home)
        .stdin(Stdio::null());
    command
}

/// A process that is running.
pub(crate) struct Process {
    what: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stdout: String,
    stderr: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

/// How a process ended, and what it said.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// None: it was killed.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Process {
    /// Starts it; both of its outputs are read all the time.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let out = thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(line) = line else { return };
                let _ = sender.send(line);
            }
        });
        let heard = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().unwrap();
        let err = thread::spawn({
            let heard = heard.clone();
            move || listen(stderr, &heard)
        });
        Self {
            what: format!("{:?}", command.get_args().skip(2).collect::<Vec<_>>()),
            stdin: child.stdin.take(),
            child,
            lines,
            stdout: String::new(),
            stderr: heard,
            readers: vec![out, err],
        }
    }

    /// Says a line to it, if it was started with a pipe as its standard input.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it listens");
        writeln!(stdin, "{line}").unwrap();
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        self.line_before(Instant::now() + PATIENCE)
    }

    fn line_before(&mut self, deadline: Instant) -> String {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => {
                self.stdout += &(line.clone() + "\n");
                line
            }
            Err(RecvTimeoutError::Timeout) => panic!("{} says nothing more: {self:?}", self.what),
            Err(RecvTimeoutError::Disconnected) => panic!("{} ended too early: {self:?}", self.what),
        }
    }

    /// The next event that is wanted; the others are passed over.
    pub(crate) fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.line_before(deadline);
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if wanted(&event) {
                return event;
            }
        }
    }

    /// What it has said on its error stream so far.
    pub(crate) fn errors(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// The `ready` event.
    pub(crate) fn ready(&mut self) -> Value {
        self.event(|event| event["event"] == "ready")
    }

    /// Waits until that many bytes of a download are here, and says how many exactly.
    pub(crate) fn progress(&mut self, at_least: u64) -> u64 {
        let bytes = |event: &Value| event["bytes"].as_u64().unwrap_or(0);
        let event = self.event(|event| {
            assert_ne!(event["event"], "done", "it was over before its middle: {event}");
            event["event"] == "progress" && bytes(event) >= at_least
        });
        bytes(&event)
    }

    /// What it has used of the processors so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // Behind the name, which may have spaces in it: 11 fields, then user and system time.
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks: u64 = fields.skip(11).take(2).map(|n| n.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Its memory.
    pub(crate) fn resident_mib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    }

    /// From now on it may open so many files and connections, those that are open included.
    pub(crate) fn limit_descriptors(&self, most: u64) {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).unwrap();
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let Self { child, what, .. } = self;
        within(limit, &format!("{what} has ended"), || child.try_wait().unwrap())
    }

    /// Waits until it has ended by itself, and tells what it said.
    pub(crate) fn finish(mut self) -> Outcome {
        let status = self.wait(PATIENCE);
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        let rest: Vec<String> = self.lines.try_iter().map(|line| line + "\n").collect();
        Outcome {
            code: status.code(),
            stdout: std::mem::take(&mut self.stdout) + &rest.concat(),
            stderr: self.stderr.lock().unwrap().clone(),
        }
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\n{}{}", self.stdout, self.stderr.lock().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            let stderr = self.stderr.lock().map(|s| s.clone()).unwrap_or_default();
            #[expect(clippy::print_stderr, reason = "what a person needs who sees the test fail")]
            if !stderr.is_empty() {
                eprintln!("--- {} said:\n{stderr}", self.what);
            }
        }
    }
}

fn listen(mut stream: impl Read, heard: &Mutex<String>) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        *heard.lock().unwrap() += &String::from_utf8_lossy(&buffer[..n]);
    }
}

impl Outcome {
    /// What it printed, one JSON object per line.
    pub(crate) fn rows(&self) -> Vec<Value> {
        assert_eq!(self.code, Some(0), "{self:?}");
        let rows = self.stdout.lines().map(serde_json::from_str);
        rows.collect::<Result<_, _>>().unwrap()
    }

    /// The last event of a command that went well.
    pub(crate) fn done(&self) -> Value {
        self.rows().pop().unwrap_or_default()
    }

    /// The error of a command that failed as the contract says: its exit code, a kind, a sentence
    /// for a person, and what to do next.
    pub(crate) fn refused(&self, code: i32, kind: &str) -> Value {
        assert_eq!(self.code, Some(code), "{self:?}");
        let last = self.stdout.lines().last().unwrap_or_default();
        let event: Value = serde_json::from_str(last).unwrap_or_default();
        assert_eq!(
            (&event["event"], &event["kind"]),
            (&"error".into(), &kind.into()),
            "{self:?}"
        );
        for part in ["message", "hint"] {
            let sentence = event[part].as_str().unwrap_or_default();
            assert!(sentence.len() > 8, "no {part} to speak of: {event}");
            let debugged = ["Error {", "Some(", "Os {", "panicked", "Custom {"];
            assert!(
                !debugged.iter().any(|d| sentence.contains(d)),
                "for programmers: {event}"
            );
        }
        event
    }
}
