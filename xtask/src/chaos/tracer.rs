//! `strace` at work: on a process that runs already, or around one from its first instruction.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use rustix::process::Signal;

use super::{
    fault::{self, Counts, Fault},
    program::{Program, signal, within},
};
use crate::Outcome;

/// So long it may take to let a process go. Where that process is about to die, `strace` 6.1 may wait for one of its
/// threads for ever; when it is killed, the kernel lets go.
const LETTING_GO: Duration = Duration::from_secs(3);

/// What shall be done to the calls of a process.
pub(super) struct Plan {
    options: Vec<String>,
    trace: PathBuf,
}

/// What was done.
pub(super) struct Trace(String);

/// An `strace` that watches a process which was running before. It lets it go when it is dropped.
pub(super) struct Tracer {
    strace: Program,
    trace: PathBuf,
}

impl Plan {
    /// The fault, or just counting; what is seen is written to `trace`.
    pub(super) fn new(fault: Option<&Fault>, trace: PathBuf) -> Self {
        let options = fault.map_or_else(fault::counting, Fault::options);
        Self { options, trace }
    }

    /// Watches the process `id` from now on, with all of its threads.
    pub(super) fn attach(self, id: u32) -> Outcome<Tracer> {
        let log = self.trace.with_extension("strace");
        let mut command = self.strace();
        command.args(["-p", &id.to_string()]);
        let mut strace = Program::start(&mut command, log)?;
        within("strace to attach itself", || {
            match strace.said().contains(" attached") {
                true => Ok(Some(())),
                false if strace.has_ended() => Err(format!("strace: {}", strace.said().trim()).into()),
                false => Ok(None),
            }
        })?;
        let trace = self.trace;
        Ok(Tracer { strace, trace })
    }

    /// The beginning of a command line that runs a program under watch. Whoever runs it is the parent of `strace`.
    pub(super) fn around(&self) -> Command {
        self.strace()
    }

    /// What was seen, once `strace` has ended.
    pub(super) fn trace(&self) -> Outcome<Trace> {
        Ok(Trace(fs::read_to_string(&self.trace)?))
    }

    fn strace(&self) -> Command {
        let mut command = Command::new("strace");
        command.arg("-f").arg("-o").arg(&self.trace).args(&self.options);
        command
    }
}

impl Tracer {
    /// Lets the process go, if it is still there.
    pub(super) fn stop(mut self) -> Outcome<Trace> {
        signal(self.strace.id(), Signal::TERM);
        if !self.strace.ends_within(LETTING_GO) {
            self.strace.kill();
        }
        Ok(Trace(fs::read_to_string(&self.trace)?))
    }
}

impl Trace {
    /// How often which call was made.
    pub(super) fn counts(&self) -> Counts {
        fault::count(&self.0)
    }

    /// Whether a call was made to fail.
    pub(super) fn has_failed(&self) -> bool {
        self.0.contains("(INJECTED)")
    }
}
