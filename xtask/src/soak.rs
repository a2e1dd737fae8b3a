//! `cargo xtask soak`: real peers at mixed work for many minutes; nothing may grow, and nothing may be lost.
//!
//! Half of the peers are steady: they share and back up, and are measured. The others come and go, get and keep.
//! There is no count of tasks in a running `skep`: one that is leaked holds memory, a descriptor or a thread, and
//! those are counted.

mod colony;
mod gauge;
mod work;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use self::{colony::Colony, gauge::Gauge, work::Work};
use crate::{Outcome, interrupt, workspace};

/// How often everything is measured.
const MEASURE_EVERY: Duration = Duration::from_secs(5);

/// Before, caches fill and shares become more.
const JUDGED_MINUTES: f64 = 5.0;

/// Let real peers share, get, back up, restore, prune, come and go, and see whether anything grows or is lost.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long they work
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// How many peers
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(4..=200))]
    peers: u16,
    /// What the work is drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The program; the debug build of this checkout if not given
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// Works, verifies, and prints a table.
pub(crate) fn run(args: &Args) -> Outcome {
    interrupt::listen()?;
    let binary = match &args.binary {
        Some(binary) => fs::canonicalize(binary)?,
        None => workspace::debug_skep()?,
    };
    let began = Instant::now();
    let mut colony = Colony::found(&binary, &fs::canonicalize(workspace::target_dir())?, args.peers)?;
    let mut gauge = Gauge::default();
    let mut work = Work::new(args.seed);
    println!(
        "{} peers after {:.0} s",
        args.peers,
        began.elapsed().as_secs_f64()
    );
    let began = Instant::now();
    let end = began + Duration::from_secs_f64(args.minutes * 60.0);
    let mut measured = None::<Instant>;
    while Instant::now() < end {
        interrupt::check()?;
        work.round(&mut colony)?;
        if measured.is_none_or(|at| at.elapsed() >= MEASURE_EVERY) {
            measured = Some(Instant::now());
            gauge.measure(&colony)?;
        }
    }
    println!("{}", gauge.table());
    let verified = work.verify_all(&mut colony)?;
    println!(
        "{}\nverified at the end: {verified}; {:.0} s in all",
        work.told(),
        began.elapsed().as_secs_f64()
    );
    colony.expect_calm()?;
    match args.minutes < JUDGED_MINUTES {
        true => {
            println!("too short to tell what grows for ever from what is not full yet");
            Ok(())
        }
        false => gauge.judge(),
    }
}
