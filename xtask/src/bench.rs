//! `cargo xtask bench`: Skep and what a person would use instead, on this machine, in one run.
//!
//! The numbers in `docs/performance.md` come from here.

pub(crate) mod delay;
mod dialects;
mod ground;
mod material;
mod process;
pub(crate) mod report;
mod rivals;
mod rounds;
mod skep;
mod sources;
mod stage;
mod suites;
mod torrent;
mod warm;

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::PathBuf,
    thread,
};

use clap::ValueEnum;

use crate::{Outcome, interrupt, workspace};

/// Measure Skep and what a person would use instead, on this machine, in one run.
#[derive(Clone, clap::Args)]
pub(crate) struct Args {
    /// What to measure; everything if nothing is named
    #[arg(value_enum)]
    suites: Vec<Suite>,
    /// Only the tools whose name holds one of these, separated by commas
    #[arg(long)]
    only: Option<String>,
    /// Size of what is moved, instead of each suite's own: for a quick look
    #[arg(long)]
    mib: Option<u64>,
    /// How often each case runs; the table shows medians
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// What the random bytes are made from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the files go; where builds go if not given
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The program to measure; the release build of this checkout if not given
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Install the other tools first (as root; those in Rust with cargo)
    #[arg(long)]
    install: bool,
    /// Append the tables, with the date, to docs/performance.md
    #[arg(long)]
    markdown: bool,
}

/// A question that a table answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Suite {
    /// How fast is one file here, from one holder and from five, and what does it cost?
    Transfer,
    /// Are five slow holders five times as fast as one?
    Limited,
    /// PeerNet's two tables: 200 MiB from one to five holders, on one machine and over limited links
    Tables,
    /// Do ten peers that want the same at the same time feed each other?
    Together,
    /// How fast does a folder of 10,000 small files move?
    Small,
    /// How much of a bad path is used, and does a holder that hardly moves hold up the others?
    Rough,
    /// How much memory does a file of 10 GiB take, and does one of 1 TiB work?
    Memory,
    /// Backups beside restic and borg, beside the bare disk, and how fast losses are repaired
    Backup,
    /// How large and how fast is the index?
    Index,
    /// What do the parts of a download that nobody can do without cost alone?
    Parts,
    /// How fast are other people's protocols, and what do bad messages cost?
    Dialects,
}

/// Measures, prints, and writes it down if asked to.
pub(crate) fn run(args: &Args) -> Outcome {
    interrupt::listen()?;
    if args.install {
        rivals::install()?;
    }
    let suites = if args.suites.is_empty() {
        Suite::value_variants()
    } else {
        &args.suites
    };
    let mut report = heading()?;
    for suite in suites {
        let section = match suite {
            Suite::Transfer => suites::transfer(args)?,
            Suite::Limited => suites::limited(args)?,
            Suite::Tables => suites::tables(args)?,
            Suite::Together => suites::together(args)?,
            Suite::Small => suites::small(args)?,
            Suite::Rough => suites::rough(args)?,
            Suite::Memory => suites::memory(args)?,
            Suite::Backup => suites::backup(args)?,
            Suite::Index => suites::index()?,
            Suite::Parts => suites::parts()?,
            Suite::Dialects => dialects::dialects()? + &suites::p2pbrs()?,
        };
        println!("{section}");
        report.push_str(&section);
    }
    if args.markdown {
        append(&report)?;
    }
    Ok(())
}

impl Args {
    /// Not the system's temporary folder, which may lie in memory.
    fn folder(&self) -> Outcome<PathBuf> {
        let folder = self.dir.clone().unwrap_or_else(workspace::target_dir);
        fs::canonicalize(&folder).map_err(|e| format!("cannot use {}: {e}", folder.display()).into())
    }

    /// The program to measure; builds it if none is given.
    fn binary(&self) -> Outcome<PathBuf> {
        let Some(binary) = &self.binary else {
            return skep::build();
        };
        fs::canonicalize(binary).map_err(|e| format!("cannot use {}: {e}", binary.display()).into())
    }

    fn wants(&self, tool: &str) -> bool {
        self.only
            .as_deref()
            .is_none_or(|parts| parts.split(',').any(|part| tool.contains(part)))
    }
}

/// When, what, and on which machine.
fn heading() -> Outcome<String> {
    let date = workspace::output(&mut workspace::command("date", &["-u", "+%F %H:%M UTC"]))?;
    let commit = workspace::output(&mut workspace::command("git", &["rev-parse", "--short", "HEAD"]))?;
    let system = workspace::output(&mut workspace::command("uname", &["-sr"]))?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(format!(
        "\n## {}, commit {}\n\n{} cores ({}), {}.\n",
        date.trim(),
        commit.trim(),
        thread::available_parallelism()?,
        model.map_or("of an unknown model", |(_, name)| name),
        system.trim()
    ))
}

fn append(report: &str) -> Outcome {
    let path = workspace::root().join("docs/performance.md");
    let mut file = OpenOptions::new().append(true).open(&path)?;
    Ok(file.write_all(report.as_bytes())?)
}
