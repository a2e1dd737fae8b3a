//! Child processes that never outlive their owner, and what `/proc` tells of them. Linux only.

use std::{
    collections::BTreeMap,
    fs,
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    param::clock_ticks_per_second,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid},
};

use crate::Outcome;

/// How long a process may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// A running child; dropping it ends it.
pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Starts `command`.
    pub(super) fn start(command: &mut Command) -> Outcome<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|e| format!("cannot start {name}: {e}"))?;
        Ok(Self { child })
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended. It stays in `/proc` until [`Self::finish`], so its figures can be read.
    pub(super) fn has_ended(&self) -> bool {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid()), how), Ok(None))
    }

    /// Waits for its end.
    pub(super) fn finish(&mut self) -> Outcome<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        // An error: it has ended already.
        let _ = kill_process(self.pid(), Signal::TERM);
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        // An error: it has ended already.
        let _ = self.child.kill();
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.terminate();
        let deadline = Instant::now() + GRACE;
        while !self.has_ended() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        // Errors: it has ended already, or was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All processes of the machine at one moment.
pub(super) struct ProcessTable(BTreeMap<u32, Row>);

struct Row {
    parent: u32,
    /// Of itself and of the children that it has waited for.
    cpu_ticks: u64,
}

impl ProcessTable {
    /// Reads `/proc`.
    pub(super) fn read() -> Outcome<Self> {
        let mut rows = BTreeMap::new();
        for entry in fs::read_dir("/proc")? {
            let Some(id) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue; // not a process
            };
            // One that ended meanwhile has no row.
            if let Some(row) = fs::read_to_string(format!("/proc/{id}/stat"))
                .ok()
                .and_then(|s| parse_stat(&s))
            {
                rows.insert(id, row);
            }
        }
        Ok(Self(rows))
    }

    /// CPU seconds, user and system, of `id` and everything that it started.
    pub(super) fn cpu_seconds(&self, id: u32) -> f64 {
        let ticks: u64 = self
            .family(id)
            .iter()
            .filter_map(|id| self.0.get(id))
            .map(|row| row.cpu_ticks)
            .sum();
        ticks as f64 / clock_ticks_per_second() as f64
    }

    /// The largest resident set, so far, of `id` or of one of those that it started.
    pub(super) fn peak_rss_kib(&self, id: u32) -> u64 {
        self.family(id)
            .into_iter()
            .filter_map(peak_rss_kib)
            .max()
            .unwrap_or(0)
    }

    /// `id`, its children, theirs, and so on.
    fn family(&self, id: u32) -> Vec<u32> {
        let mut family = vec![id];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(
                self.0
                    .iter()
                    .filter(|(_, row)| row.parent == parent)
                    .map(|(id, _)| *id),
            );
            next += 1;
        }
        family
    }
}

/// `/proc/PID/stat`, see proc(5). The name in brackets may itself hold brackets and blanks.
fn parse_stat(stat: &str) -> Option<Row> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let cpu_ticks = number(11)? + number(12)? + number(13)? + number(14)?;
    Some(Row {
        parent: u32::try_from(number(1)?).ok()?,
        cpu_ticks,
    })
}

fn peak_rss_kib(id: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    value.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let row = parse_stat("7 (a) b (c) S 3 7 7 0 -1 0 0 0 0 0 10 20 30 40 20 0 1 0").unwrap();
        assert_eq!((row.parent, row.cpu_ticks), (3, 100));
        assert!(parse_stat("7 (cut) S 3 7").is_none());
    }

    #[test]
    fn the_figures_of_an_ended_family_can_be_read() {
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sh -c 'exit 3'; exit 4";
        let mut process = Process::start(Command::new("sh").args(["-c", script])).unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !process.has_ended() {
            assert!(Instant::now() < deadline, "the shell did not end");
            thread::sleep(Duration::from_millis(1));
        }
        assert!(ProcessTable::read().unwrap().cpu_seconds(process.id()) > 0.0);
        assert_eq!(process.finish().unwrap().code(), Some(4));
    }

    #[test]
    fn a_dropped_process_has_ended() {
        let process = Process::start(Command::new("sleep").arg("1000")).unwrap();
        let id = process.id();
        drop(process);
        assert!(fs::metadata(format!("/proc/{id}")).is_err());
    }
}
