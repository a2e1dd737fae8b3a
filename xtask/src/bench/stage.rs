//! Where one case plays: a folder and processes of its own, both gone at the end however it ends.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{
    interrupt,
    process::{Process, ProcessTable},
    report::Cost,
};
use crate::Outcome;

/// How long a server may take until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// How long one download may take.
const FETCH_LIMIT: Duration = Duration::from_secs(1800);
/// How often the resident memory of all processes is looked at: seldom, as it costs CPU time.
const MEMORY_INTERVAL: Duration = Duration::from_millis(50);
/// How exactly the end of a download is seen.
const END_INTERVAL: Duration = Duration::from_millis(2);

/// Whose CPU time a process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// It has the file.
    Sender,
    /// It wants it.
    Receiver,
    /// It only helps them to meet.
    Neither,
}

/// A folder and the processes that play in it.
pub(super) struct Stage {
    // In this order: the processes end before their folder goes.
    processes: Vec<(Side, Process)>,
    folder: TempDir,
}

impl Stage {
    /// An empty stage beneath `parent`.
    pub(super) fn new(parent: &Path) -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("skep-bench-")
            .tempdir_in(parent)?;
        Ok(Self {
            processes: Vec::new(),
            folder,
        })
    }

    /// `name` in its folder.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The folder `name` in its folder, made where missing.
    pub(super) fn folder(&self, name: &str) -> Outcome<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Where the receiver must put the file.
    pub(super) fn target(&self) -> Outcome<PathBuf> {
        Ok(self.folder("out")?.join("payload"))
    }

    /// Starts a process that stays; what it prints goes to the file `NAME.log`.
    pub(super) fn start(&mut self, side: Side, name: &str, command: &mut Command) -> Outcome {
        let process = self.start_logged(name, command)?;
        self.processes.push((side, process));
        Ok(())
    }

    /// Runs a command to its end and returns what it printed.
    pub(super) fn run(&self, name: &str, command: &mut Command) -> Outcome<String> {
        let mut process = self.start_logged(name, command)?;
        wait_for(name, FETCH_LIMIT, || Ok(process.has_ended().then_some(())))?;
        self.expect_success(name, &mut process)?;
        self.printed(name)
    }

    /// What the process `name` printed so far.
    pub(super) fn printed(&self, name: &str) -> Outcome<String> {
        Ok(fs::read_to_string(self.log(name))?)
    }

    /// Runs the receiver's command to its end and measures it and the processes that stay.
    pub(super) fn fetch(&mut self, command: &mut Command) -> Outcome<Cost> {
        let before = ProcessTable::read()?;
        let start = Instant::now();
        let mut receiver = self.start_logged("receiver", command)?;
        let mut peak_rss_kib = 0;
        let mut next_look = start;
        while !receiver.has_ended() {
            interrupt::check()?;
            if start.elapsed() > FETCH_LIMIT {
                return Err("the receiver does not come to an end".into());
            }
            if Instant::now() >= next_look {
                peak_rss_kib = peak_rss_kib.max(self.peak_rss_kib(&receiver)?);
                next_look = Instant::now() + MEMORY_INTERVAL;
            }
            thread::sleep(END_INTERVAL);
        }
        let wall_s = start.elapsed().as_secs_f64();
        let after = ProcessTable::read()?;
        let spent = |side| self.cpu_seconds(side, &after) - self.cpu_seconds(side, &before);
        let cost = Cost {
            wall_s,
            durable_s: None,
            sender_cpu_s: spent(Side::Sender),
            receiver_cpu_s: spent(Side::Receiver) + after.cpu_seconds(receiver.id()),
            peak_rss_kib: peak_rss_kib.max(self.peak_rss_kib(&receiver)?),
        };
        self.expect_success("receiver", &mut receiver)?;
        Ok(cost)
    }

    fn start_logged(&self, name: &str, command: &mut Command) -> Outcome<Process> {
        let errors = File::create(self.path(format!("{name}.err")))?;
        command
            .stdin(Stdio::null())
            .stdout(File::create(self.log(name))?)
            .stderr(errors);
        Process::start(command)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.path(format!("{name}.log"))
    }

    fn expect_success(&self, name: &str, process: &mut Process) -> Outcome {
        let status = process.finish()?;
        if status.success() {
            return Ok(());
        }
        let printed = fs::read_to_string(self.path(format!("{name}.err")))? + &self.printed(name)?;
        let last = printed
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("it said nothing");
        Err(format!("{name} failed ({status}): {last}").into())
    }

    fn cpu_seconds(&self, side: Side, table: &ProcessTable) -> f64 {
        let chosen = self.processes.iter().filter(|(of, _)| *of == side);
        chosen.map(|(_, process)| table.cpu_seconds(process.id())).sum()
    }

    fn peak_rss_kib(&self, receiver: &Process) -> Outcome<u64> {
        let table = ProcessTable::read()?;
        let all = self
            .processes
            .iter()
            .map(|(_, process)| process)
            .chain([receiver]);
        Ok(all
            .map(|process| table.peak_rss_kib(process.id()))
            .max()
            .unwrap_or(0))
    }
}

impl Drop for Stage {
    /// All at once, so that they end side by side; each then waits for its own.
    fn drop(&mut self) {
        self.processes.iter().for_each(|(_, process)| process.terminate());
    }
}

/// Asks until there is an answer; `what` is named when there is none in time.
pub(super) fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut ask: impl FnMut() -> Outcome<Option<T>>,
) -> Outcome<T> {
    let deadline = Instant::now() + limit;
    loop {
        interrupt::check()?;
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() > deadline {
            return Err(format!("waited {} s in vain for {what}", limit.as_secs()).into());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until a server is ready, by its own word.
pub(super) fn wait_ready<T>(what: &str, ask: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    wait_for(what, READY_LIMIT, ask)
}

/// Waits until somebody listens on the TCP port.
pub(super) fn wait_listening(port: u16) -> Outcome {
    wait_ready(&format!("a server on port {port}"), || {
        Ok(TcpStream::connect(("127.0.0.1", port)).ok().map(drop))
    })
}

/// A port that was free a moment ago, for programs that cannot be given port 0.
pub(super) fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// `program` with `args`.
pub(super) fn command<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}
