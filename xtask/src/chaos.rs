//! `cargo xtask chaos`: real processes of `skep` that are killed, and whose disks fail, at chosen system calls.
//!
//! The calls of each scenario are counted first, so that the chosen ones lie within what happens. After each
//! fault everything must open again, nothing that was acknowledged may be lost, no copy may have other bytes
//! than its source, and what was interrupted must succeed when it is repeated. kill -9 leaves what was written
//! in the kernel's cache: a missing fsync is found by the simulated disk (`crates/world`), and not here.

mod fault;
mod play;
pub(crate) mod program;
pub(crate) mod promises;
mod scenario;
mod tally;
mod town;
mod tracer;

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Instant,
};

use rand::{SeedableRng, rngs::SmallRng};

use self::{
    fault::{Counts, Fault},
    play::{Played, play},
    scenario::{Scenario, Scene},
    tally::Tally,
    town::Town,
};
use crate::{Outcome, interrupt, workspace};

/// What once broke a promise: tried before anything is drawn.
const KEPT: &[(&str, &str)] = &[("get/holder", "kill:renameat:2")];
/// After so many rounds everything is checked, and a new town is founded.
const ROUNDS_PER_TOWN: u32 = 15;

/// Kill real processes, and break their disks, at chosen system calls.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many points to try
    #[arg(long, default_value_t = 30)]
    points: u32,
    /// What the points are drawn from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only scenarios whose name holds one of these, separated by commas, like `backup/owner`
    #[arg(long)]
    only: Option<String>,
    /// Only this fault, as a failed run printed it, like `kill:fsync:3`; with --only
    #[arg(long, requires = "only")]
    fault: Option<Fault>,
    /// How many towns at the same time
    #[arg(long, default_value_t = 2)]
    towns: usize,
    /// Leave the folder of a town in which something failed
    #[arg(long)]
    keep: bool,
    /// The program to break; the debug build of this checkout if not given
    #[arg(long)]
    binary: Option<PathBuf>,
}

/// What is to be tried; a fault that is not said is drawn.
#[derive(Clone)]
struct Point {
    scenario: &'static Scenario,
    fault: Option<Fault>,
    seed: u64,
}

/// What all threads share.
struct Chaos<'a> {
    args: &'a Args,
    binary: PathBuf,
    folder: PathBuf,
    scenarios: Vec<&'static Scenario>,
    kept: Vec<Point>,
    next: AtomicU32,
    counts: Mutex<BTreeMap<String, Counts>>,
    tally: Mutex<Tally>,
}

/// Breaks, checks, and prints the table.
pub(crate) fn run(args: &Args) -> Outcome {
    interrupt::listen()?;
    if workspace::find_program("strace").is_none() {
        workspace::install_packages(&["strace"])?;
    }
    let chaos = Chaos {
        args,
        binary: binary(args)?,
        folder: fs::canonicalize(workspace::target_dir())?,
        scenarios: chosen(args)?,
        kept: kept(args)?,
        next: AtomicU32::new(0),
        counts: Mutex::default(),
        tally: Mutex::default(),
    };
    println!(
        "{} points by seed {}, and {} kept ones",
        args.points,
        args.seed,
        chaos.kept.len()
    );
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..args.towns.max(1) {
            scope.spawn(|| chaos.work());
        }
    });
    interrupt::check()?;
    let tally = lock(&chaos.tally);
    println!("\n{}\n{:.0} s", tally.table(), began.elapsed().as_secs_f64());
    match tally.failures() {
        0 => Ok(()),
        failures => Err(format!("{failures} of {} points broke a promise", args.points).into()),
    }
}

/// So many points of all scenarios, with the first seed and the program as the tests have built it: alone it would
/// be built once more, with other features.
pub(crate) fn run_points(points: u32) -> Outcome {
    workspace::run(&mut workspace::cargo(&[
        "test",
        "--quiet",
        "--workspace",
        "--no-run",
    ]))?;
    run(&Args {
        points,
        seed: 1,
        only: None,
        fault: None,
        towns: 2,
        keep: false,
        binary: Some(workspace::debug_binary()),
    })
}

fn binary(args: &Args) -> Outcome<PathBuf> {
    if let Some(binary) = &args.binary {
        return Ok(fs::canonicalize(binary)?);
    }
    workspace::debug_skep()
}

fn chosen(args: &Args) -> Outcome<Vec<&'static Scenario>> {
    let wanted = |scenario: &&Scenario| {
        let title = scenario.title();
        args.only
            .as_deref()
            .is_none_or(|parts| parts.split(',').any(|part| title.contains(part)))
    };
    let scenarios: Vec<_> = scenario::ALL.iter().filter(wanted).collect();
    match scenarios.is_empty() {
        false => Ok(scenarios),
        true => {
            let all: Vec<_> = scenario::ALL.iter().map(Scenario::title).collect();
            Err(format!("no such scenario; there are {}", all.join(", ")).into())
        }
    }
}

/// Those of the kept ones that are among the chosen.
fn kept(args: &Args) -> Outcome<Vec<Point>> {
    let mut points = Vec::new();
    for scenario in chosen(args)? {
        let title = scenario.title();
        let of_it = KEPT
            .iter()
            .filter(|(kept, _)| *kept == title && args.fault.is_none());
        for (_, fault) in of_it {
            points.push(Point {
                scenario,
                fault: Some(fault.parse()?),
                seed: 0,
            });
        }
    }
    Ok(points)
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Chaos<'_> {
    /// Takes points until none is left, in a town that is a new one now and then.
    fn work(&self) {
        let mut scene = None;
        while interrupt::check().is_ok() {
            let Some(point) = self.next_point() else { break };
            let title = point.scenario.title();
            let began = Instant::now();
            if let Err(error) = self.point(&mut scene, &point) {
                self.complain(&title, None, &error.to_string(), scene.take());
            }
            lock(&self.tally).took(&title, began.elapsed());
            if scene.as_ref().is_some_and(|scene| scene.round >= ROUNDS_PER_TOWN) {
                self.close(scene.take());
            }
        }
        self.close(scene);
    }

    /// Kept ones first, then the scenarios in turn.
    fn next_point(&self) -> Option<Point> {
        let number = self.next.fetch_add(1, Ordering::Relaxed) as usize;
        if let Some(point) = self.kept.get(number) {
            return Some(point.clone());
        }
        let number = number - self.kept.len();
        (number < self.args.points as usize).then(|| Point {
            scenario: self.scenarios
                [(number + usize::try_from(self.args.seed).unwrap_or(0)) % self.scenarios.len()],
            fault: self.args.fault.clone(),
            seed: self.args.seed << 32 | number as u64,
        })
    }

    /// Strikes once: sooner, where the first choice was too late.
    fn point(&self, scene: &mut Option<Scene>, point: &Point) -> Outcome {
        if scene.is_none() {
            *scene = Some(Scene::new(Town::found(&self.binary, &self.folder)?));
        }
        let Some(town) = scene else {
            return Ok(());
        };
        let mut fault = self.fault(town, point)?;
        while let Some(now) = fault {
            let outcome = play(town, point.scenario, Some(&now));
            if interrupt::check().is_err() {
                return Ok(());
            }
            match outcome {
                Ok(played) => {
                    self.tell(point.scenario, &now, &played);
                    fault = (!played.has_struck).then(|| now.sooner()).flatten();
                }
                Err(error) => {
                    let title = point.scenario.title();
                    self.complain(&title, Some(&now), &error.to_string(), scene.take());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The fault of a point: the one that was asked for, or one of those that can happen.
    fn fault(&self, scene: &mut Scene, point: &Point) -> Outcome<Option<Fault>> {
        if point.fault.is_some() {
            return Ok(point.fault.clone());
        }
        let title = point.scenario.title();
        let known = lock(&self.counts).get(&title).cloned();
        let counts = match known {
            Some(counts) => counts,
            None => {
                let counts = play(scene, point.scenario, None)?.counts;
                // Who had nothing to do this time may have next time.
                if !counts.is_empty() {
                    lock(&self.counts).insert(title, counts.clone());
                }
                counts
            }
        };
        Ok(Fault::draw(&counts, &mut SmallRng::seed_from_u64(point.seed)))
    }

    fn tell(&self, scenario: &Scenario, fault: &Fault, played: &Played) {
        let how = match (played.has_struck, played.was_restarted) {
            (false, _) => "did not happen",
            (true, false) => "survived",
            (true, true) => "survived, restarted by hand",
        };
        println!("{} {fault}: {how}", scenario.title());
        lock(&self.tally).played(&scenario.title(), fault, played);
    }

    fn complain(&self, title: &str, fault: Option<&Fault>, error: &str, scene: Option<Scene>) {
        if interrupt::check().is_err() {
            return;
        }
        let fault_text = fault.map_or("without a fault".into(), ToString::to_string);
        println!("{title} {fault_text}: FAILED: {error}");
        if let Some(fault) = fault {
            println!("again: cargo xtask chaos --points 1 --only {title} --fault {fault} --keep");
        }
        if let Some(mut scene) = scene.filter(|_| self.args.keep) {
            println!("kept: {}", scene.town.path("").display());
            scene.town.keep();
        }
        lock(&self.tally).failed(title, fault);
    }

    /// Everything that was promised in a town is had once more.
    fn close(&self, scene: Option<Scene>) {
        let Some(scene) = scene else { return };
        if let Err(error) = scene.promises.check_all(&scene.town) {
            self.complain("in the end", None, &error.to_string(), Some(scene));
        }
    }
}
