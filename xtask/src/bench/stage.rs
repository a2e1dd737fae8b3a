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
    ground::{Ground, Host, Lan},
    interrupt,
    process::{Process, ProcessTable},
    report::Cost,
    warm,
};
use crate::Outcome;

/// How long a server may take until it is ready.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// How long one download or publication may take.
const FETCH_LIMIT: Duration = Duration::from_secs(3600);
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
    // In this order: the processes end before their network and their folder go.
    processes: Vec<Staying>,
    lan: Option<Lan>,
    folder: TempDir,
}

/// A process that runs until the end of the case.
struct Staying {
    name: String,
    side: Side,
    process: Process,
}

/// The command of one receiver while it runs.
struct Receiving {
    name: String,
    process: Process,
    /// Once it has ended.
    wall_s: Option<f64>,
}

impl Stage {
    /// An empty stage beneath `parent`.
    pub(super) fn new(parent: &Path) -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("skep-bench-")
            .tempdir_in(parent)?;
        Ok(Self {
            processes: Vec::new(),
            lan: None,
            folder,
        })
    }

    /// Ends its processes: all at once, so that they end side by side; each is then waited for. Its folder stays.
    pub(super) fn stop(&mut self) {
        self.processes
            .iter()
            .for_each(|staying| staying.process.terminate());
        self.processes.clear();
    }

    /// From now on the hosts are those of `ground`, with so many holders.
    pub(super) fn lay(&mut self, ground: &Ground, holders: usize) -> Outcome {
        self.lan = ground.lay(holders, self.folder.path())?;
        Ok(())
    }

    /// Where the process `name` runs.
    pub(super) fn host(&self, name: &str) -> Outcome<Host> {
        self.lan
            .as_ref()
            .map_or_else(|| Ok(Host::loopback()), |lan| lan.host(name))
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
        let name = name.to_owned();
        self.processes.push(Staying { name, side, process });
        Ok(())
    }

    /// Waits until the process `name`, which stays, is ready by its own word.
    pub(super) fn wait_printed<T>(&self, name: &str, ready: impl Fn(&str) -> Option<T>) -> Outcome<T> {
        wait_ready(name, || {
            let answer = ready(&self.printed(name)?);
            let process = self.processes.iter().find(|process| process.name == name);
            match process.is_some_and(|staying| staying.process.has_ended()) {
                true if answer.is_none() => Err(format!("{name} ended: {}", self.last_words(name)?).into()),
                _ => Ok(answer),
            }
        })
    }

    /// Runs a command to its end and returns what it printed.
    pub(super) fn run(&self, name: &str, command: &mut Command) -> Outcome<String> {
        Ok(String::from_utf8(self.run_for_bytes(name, command)?)?)
    }

    /// Runs a command to its end and returns what it printed, which need not be text.
    pub(super) fn run_for_bytes(&self, name: &str, command: &mut Command) -> Outcome<Vec<u8>> {
        let mut process = self.start_logged(name, command)?;
        wait_for(name, FETCH_LIMIT, || Ok(process.has_ended().then_some(())))?;
        self.expect_success(name, &mut process)?;
        Ok(fs::read(self.log(name))?)
    }

    /// What the process `name` printed so far.
    pub(super) fn printed(&self, name: &str) -> Outcome<String> {
        Ok(fs::read_to_string(self.log(name))?)
    }

    /// Runs the receiver's command to its end and measures it and the processes that stay.
    pub(super) fn fetch(&mut self, command: &mut Command) -> Outcome<Cost> {
        Ok(self.fetch_all(vec![("receiver".into(), command)])?.0)
    }

    /// Runs the receivers' commands at the same time and measures them together and the processes that stay;
    /// also tells how many seconds each took.
    pub(super) fn fetch_all(&mut self, commands: Vec<(String, &mut Command)>) -> Outcome<(Cost, Vec<f64>)> {
        warm::memory()?;
        let before = ProcessTable::read()?;
        let start = Instant::now();
        let mut receivers = Vec::new();
        for (name, command) in commands {
            let process = self.start_logged(&name, command)?;
            receivers.push(Receiving {
                name,
                process,
                wall_s: None,
            });
        }
        let peak_rss_kib = self.watch(start, &mut receivers)?;
        let after = ProcessTable::read()?;
        let spent = |side| self.cpu_seconds(side, &after) - self.cpu_seconds(side, &before);
        let own = |receiver: &Receiving| after.cpu_seconds(receiver.process.id());
        let seconds: Vec<f64> = receivers.iter().filter_map(|receiver| receiver.wall_s).collect();
        let cost = Cost {
            wall_s: seconds.iter().copied().fold(0.0, f64::max),
            durable_s: None,
            sender_cpu_s: spent(Side::Sender),
            receiver_cpu_s: spent(Side::Receiver) + receivers.iter().map(own).sum::<f64>(),
            peak_rss_kib: peak_rss_kib.max(self.peak_rss_kib(&receivers)?),
        };
        for receiver in &mut receivers {
            self.expect_success(&receiver.name, &mut receiver.process)?;
        }
        Ok((cost, seconds))
    }

    /// Until all have ended; takes note of when, and returns the largest resident set on the way.
    fn watch(&self, start: Instant, receivers: &mut [Receiving]) -> Outcome<u64> {
        let mut peak_rss_kib = 0;
        let mut next_look = start;
        loop {
            interrupt::check()?;
            for receiver in receivers.iter_mut().filter(|receiver| receiver.wall_s.is_none()) {
                let ended = receiver.process.has_ended();
                receiver.wall_s = ended.then(|| start.elapsed().as_secs_f64());
            }
            if receivers.iter().all(|receiver| receiver.wall_s.is_some()) {
                return Ok(peak_rss_kib);
            }
            if start.elapsed() > FETCH_LIMIT {
                return Err("the receiver does not come to an end".into());
            }
            if Instant::now() >= next_look {
                peak_rss_kib = peak_rss_kib.max(self.peak_rss_kib(receivers)?);
                next_look = Instant::now() + MEMORY_INTERVAL;
            }
            thread::sleep(END_INTERVAL);
        }
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
        Err(format!("{name} failed ({status}): {}", self.last_words(name)?).into())
    }

    fn last_words(&self, name: &str) -> Outcome<String> {
        let printed = fs::read(self.log(name))?;
        let errors = fs::read_to_string(self.path(format!("{name}.err")))?;
        let all = errors + &String::from_utf8_lossy(&printed);
        let last = all.lines().rfind(|line| !line.trim().is_empty());
        Ok(last.unwrap_or("it said nothing").to_owned())
    }

    fn cpu_seconds(&self, side: Side, table: &ProcessTable) -> f64 {
        let chosen = self.processes.iter().filter(|staying| staying.side == side);
        chosen
            .map(|staying| table.cpu_seconds(staying.process.id()))
            .sum()
    }

    /// Kills a process that stays.
    pub(super) fn kill(&mut self, name: &str) {
        let found = self.processes.iter().position(|staying| staying.name == name);
        if let Some(place) = found {
            self.processes.remove(place).process.kill();
        }
    }

    /// The largest resident set, so far, of a process that stays.
    pub(super) fn peak_rss_kib_of(&self, name: &str) -> Outcome<u64> {
        let found = self.processes.iter().find(|staying| staying.name == name);
        let staying = found.ok_or_else(|| format!("there is no process {name}"))?;
        Ok(ProcessTable::read()?.peak_rss_kib(staying.process.id()))
    }

    /// The largest resident set, so far, of any process that stays.
    pub(super) fn staying_peak_rss_kib(&self) -> Outcome<u64> {
        self.peak_rss_kib(&[])
    }

    fn peak_rss_kib(&self, receivers: &[Receiving]) -> Outcome<u64> {
        let table = ProcessTable::read()?;
        let staying = self.processes.iter().map(|staying| &staying.process);
        let all = staying.chain(receivers.iter().map(|receiver| &receiver.process));
        Ok(all
            .map(|process| table.peak_rss_kib(process.id()))
            .max()
            .unwrap_or(0))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop();
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
