//! What a person would use instead of Skep, as they would use it: one function per tool.
//!
//! Each moves the file from some holders to [`Stage::target`]; whoever calls compares the bytes.

mod bittorrent;
mod direct;

pub(super) use direct::rsync_folder;

use std::process::Command;

use super::{material::Material, report::Cost, stage::Stage};
use crate::{Outcome, workspace};

/// Debian's Python: the one that Debian's libtorrent is for.
const PYTHON: &str = "/usr/bin/python3";

/// A tool and how it moves a file.
pub(super) struct Tool {
    /// As shown in the table.
    pub(super) name: &'static str,
    /// Programs without which it does not run.
    pub(super) needs: &'static [&'static str],
    /// From how many holders at once it can fetch.
    pub(super) max_holders: usize,
    /// Sets the stage with so many holders and lets one receiver fetch the file.
    pub(super) fetch: fn(&mut Stage, &Material, usize) -> Outcome<Cost>,
}

/// All of them; [`BASELINE`] is what the others are compared with.
pub(super) const ALL: &[Tool] = &[
    Tool {
        name: "cp",
        needs: &["cp"],
        max_holders: 1,
        fetch: direct::cp,
    },
    Tool {
        name: BASELINE,
        needs: &["nginx", "curl"],
        max_holders: 1,
        fetch: direct::nginx_curl,
    },
    Tool {
        name: "rsync daemon",
        needs: &["rsync"],
        max_holders: 1,
        fetch: direct::rsync,
    },
    Tool {
        name: SENDME,
        needs: &["sendme"],
        max_holders: 1,
        fetch: direct::sendme,
    },
    Tool {
        name: "aria2",
        needs: &["aria2c"],
        max_holders: usize::MAX,
        fetch: bittorrent::aria2,
    },
    Tool {
        name: "libtorrent",
        needs: &[],
        max_holders: usize::MAX,
        fetch: bittorrent::libtorrent,
    },
    Tool {
        name: RQBIT,
        needs: &["rqbit"],
        max_holders: usize::MAX,
        fetch: bittorrent::rqbit,
    },
];

/// Plain HTTP, unencrypted and unverified: how fast this machine moves a file at all.
pub(super) const BASELINE: &str = "nginx + curl";

/// BitTorrent in Rust.
pub(super) const RQBIT: &str = "rqbit";

/// BLAKE3 streams over QUIC.
pub(super) const SENDME: &str = "sendme (iroh)";

/// What other suites need beside the tools: links that are slow, and how fast a path is at all.
const PROGRAMS: [(&str, &str); 6] = [
    ("tc", "iproute2"),
    ("ethtool", "ethtool"),
    ("iperf3", "iperf3"),
    ("sysctl", "procps"),
    ("restic", "restic"),
    ("borg", "borgbackup"),
];

/// What of a tool is not installed.
pub(super) fn missing(tool: &Tool) -> Option<String> {
    if tool.name == "libtorrent" {
        let imports = Command::new(PYTHON).args(["-c", "import libtorrent"]).output();
        return (!imports.is_ok_and(|o| o.status.success())).then(|| "python3-libtorrent".into());
    }
    let missing = tool
        .needs
        .iter()
        .find(|program| workspace::find_program(program).is_none());
    missing.map(ToString::to_string)
}

/// Installs what is missing: as root with apt-get, the others with cargo.
pub(super) fn install() -> Outcome {
    let programs: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|(program, _)| workspace::find_program(program).is_none())
        .map(|(_, package)| package)
        .collect();
    if !programs.is_empty() {
        workspace::install_packages(&programs)?;
    }
    if ALL.iter().all(|tool| missing(tool).is_none()) {
        return Ok(());
    }
    workspace::install_packages(&["nginx-light", "curl", "rsync", "aria2", "python3-libtorrent"])?;
    workspace::run(&mut workspace::cargo(&["install", "--locked", "rqbit", "sendme"]))
}
