//! `cargo run -p skep-sim -- --seeds N`: runs the simulation with many seeds, and prints those that fail.

// This is a program for people.
#![allow(clippy::print_stdout)]

use std::{
    process::ExitCode,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use skep_sim::{
    Failure, Report,
    durability::{self, Setting},
    run, run_twice,
};
use tracing_subscriber::{
    EnvFilter,
    fmt::{format::Writer, time::FormatTime},
};

/// One of so many seeds is run twice, to see that it does the same again.
const TWICE: u64 = 10;
/// A seed that takes longer does not end at all.
const HANGS: Duration = Duration::from_secs(180);

/// Runs simulated networks, one for each seed, and tells which break a promise.
#[derive(Parser)]
struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of these seeds
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run this seed alone, twice (once with --log), and tell its story
    #[arg(long, conflicts_with_all = ["seeds", "first"])]
    seed: Option<u64>,
    /// Instead: how many packs 500 peers lose, beside what a formula says
    #[arg(long, conflicts_with_all = ["seeds", "first", "seed"])]
    durability: bool,
    /// With --seed: what to log, as RUST_LOG has it, e.g. `skep_node=debug`
    #[arg(long, requires = "seed")]
    log: Option<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let failed = match args.seed {
        None if args.durability => compare_losses(),
        Some(seed) => tell(seed, args.log.as_deref()),
        None => run_many(args.first..args.first + args.seeds),
    };
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints a table. Returns whether any row is off by more than a factor of two.
fn compare_losses() -> bool {
    let mut failed = false;
    println!("{}", durability::HEAD);
    for (scheme, packs) in [("2x", 200), ("3x", 800), ("4+2", 200)] {
        let Ok(scheme) = scheme.parse() else { continue };
        let setting = Setting::fast(scheme, packs, 120);
        let settings = [setting, setting.with_sites(true), setting.with_sites(false)];
        for outcome in settings.map(durability::compare) {
            println!("{outcome}");
            failed |= !(0.5..2.0).contains(&outcome.ratio());
        }
    }
    failed
}

/// Runs one seed and prints all that is known of it. Returns whether it failed.
fn tell(seed: u64, log: Option<&str>) -> bool {
    let outcome = match log {
        Some(filter) => {
            let format = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(filter));
            format.with_timer(Simulated(OnceLock::new())).init();
            run(seed)
        }
        None => run_twice(seed),
    };
    let (Ok(Report { story, .. }) | Err(Failure { story, .. })) = &outcome;
    story.iter().for_each(|line| println!("{line}"));
    print(seed, &outcome);
    outcome.is_err()
}

/// The time in logs: seconds of the simulation.
struct Simulated(OnceLock<tokio::time::Instant>);

impl FormatTime for Simulated {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        let now = tokio::time::Instant::now();
        write!(
            writer,
            "{:9.3}",
            now.duration_since(*self.0.get_or_init(|| now)).as_secs_f64()
        )
    }
}

fn print(seed: u64, outcome: &Result<Report, Failure>) {
    match outcome {
        Ok(report) => println!(
            "seed {seed}: {} events, {} downloads, {:.0?} simulated",
            report.events, report.downloads, report.lasted
        ),
        Err(failure) => {
            println!("seed {seed} FAILED {}", failure.what);
            println!("again: cargo run -p skep-sim -- --seed {seed}");
        }
    }
}

/// The seeds that are running, and since when.
type Running = Mutex<Vec<(u64, Instant)>>;

/// Runs these seeds on all cores. Returns whether any failed.
fn run_many(seeds: std::ops::Range<u64>) -> bool {
    let began = Instant::now();
    let (next, failed, running) = (AtomicU64::new(seeds.start), AtomicU64::new(0), Running::default());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| work(&next, seeds.end, &failed, &running)))
            .collect();
        while !workers.iter().all(thread::ScopedJoinHandle::is_finished) {
            end_if_hanging(&running);
            thread::sleep(Duration::from_millis(100));
        }
    });
    let failed = failed.into_inner();
    println!(
        "{} seeds in {:.1?}, {failed} failed",
        seeds.end - seeds.start,
        began.elapsed()
    );
    failed > 0
}

fn work(next: &AtomicU64, end: u64, failed: &AtomicU64, running: &Running) {
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            return;
        }
        running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((seed, Instant::now()));
        let outcome = if seed.is_multiple_of(TWICE) {
            run_twice(seed)
        } else {
            run(seed)
        };
        running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(other, _)| *other != seed);
        if outcome.is_err() {
            failed.fetch_add(1, Ordering::Relaxed);
            print(seed, &outcome);
        }
    }
}

/// A loop without end in simulated time cannot be stopped from outside.
fn end_if_hanging(running: &Running) {
    let running = running.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((seed, _)) = running.iter().find(|(_, began)| began.elapsed() > HANGS) {
        println!("seed {seed} FAILED: it does not end");
        println!("again: cargo run -p skep-sim -- --seed {seed}");
        std::process::exit(1);
    }
}
