//! `cargo xtask chaos`: real processes of `skep` that are killed, and whose disks fail, at chosen system calls.
//!
//! The calls of each scenario are counted first, so that the chosen ones lie within what happens. After each
//! fault everything must open again, nothing that was acknowledged may be lost, no copy may have other bytes
//! than its source, and what was interrupted must succeed when it is repeated. kill -9 leaves what was written
//! in the kernel's cache: a missing fsync is found by the simulated disk (`crates/world`), and not here.

mod draw;
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
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use rand::{SeedableRng, rngs::SmallRng};

use self::{
    draw::Point,
    fault::{Counts, Fault},
    play::{Played, play},
    scenario::{Scenario, Scene},
    tally::Tally,
    town::Town,
};
use crate::{Outcome, interrupt, workspace};

/// After so many rounds everything is checked, and a new town is founded.
const ROUNDS_PER_TOWN: u32 = 15;
/// How often a fault is drawn until one happens: not every call is made each time.
const DRAWS: usize = 4;

/// Kill real processes, and break their disks, at chosen system calls.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many points to try: a kill, a full or a failing disk, as the seed says
    #[arg(long, default_value_t = 30)]
    points: u32,
    /// Before them, so many kills of an owner, of a holder and of the coordinator each
    #[arg(long, default_value_t = 0)]
    kills_each: u32,
    /// Before them, so many full or failing disks
    #[arg(long, default_value_t = 0)]
    errors: u32,
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

/// What all threads share.
struct Chaos<'a> {
    args: &'a Args,
    binary: PathBuf,
    folder: PathBuf,
    points: Vec<Point>,
    next: AtomicUsize,
    counts: Mutex<BTreeMap<String, Counts>>,
    tally: Mutex<Tally>,
}

/// Breaks, checks, and prints the table.
pub(crate) fn run(args: &Args) -> Outcome {
    interrupt::listen()?;
    if workspace::find_program("strace").is_none() {
        workspace::install_packages(&["strace"])?;
    }
    let scenarios = draw::chosen(args.only.as_deref())?;
    let chaos = Chaos {
        args,
        binary: binary(args)?,
        folder: fs::canonicalize(workspace::target_dir())?,
        points: draw::points(args, &scenarios)?,
        next: AtomicUsize::new(0),
        counts: Mutex::default(),
        tally: Mutex::default(),
    };
    println!("{} points by seed {}", chaos.points.len(), args.seed);
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
        0 => tally.expect_kills(args.kills_each, &scenarios),
        failures => Err(format!("{failures} of {} points broke a promise", chaos.points.len()).into()),
    }
}

/// Ten kills of an owner, a holder and the coordinator each, and some errors, with the first seed and the program as the
/// tests have built it: alone it would be built once more, with other features.
pub(crate) fn run_ci() -> Outcome {
    workspace::run(&mut workspace::cargo(&[
        "test",
        "--quiet",
        "--workspace",
        "--no-run",
    ]))?;
    run(&Args {
        kills_each: 10,
        errors: 6,
        binary: Some(workspace::debug_binary()),
        ..Args::of_points(0)
    })
}

impl Args {
    /// So many points of all scenarios, with the first seed.
    fn of_points(points: u32) -> Self {
        Self {
            points,
            kills_each: 0,
            errors: 0,
            seed: 1,
            only: None,
            fault: None,
            towns: 2,
            keep: false,
            binary: None,
        }
    }
}

fn binary(args: &Args) -> Outcome<PathBuf> {
    if let Some(binary) = &args.binary {
        return Ok(fs::canonicalize(binary)?);
    }
    workspace::debug_skep()
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
            let title = point.scenario(0).title();
            let began = Instant::now();
            if let Err(error) = self.point(&mut scene, point) {
                self.complain(&title, None, &error.to_string(), scene.take());
            }
            lock(&self.tally).took(&title, began.elapsed());
            if scene.as_ref().is_some_and(|scene| scene.round >= ROUNDS_PER_TOWN) {
                self.close(scene.take());
            }
        }
        self.close(scene);
    }

    fn next_point(&self) -> Option<&Point> {
        self.points.get(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Strikes once: another fault is drawn where one did not happen.
    fn point(&self, scene: &mut Option<Scene>, point: &Point) -> Outcome {
        let draws = if point.fault.is_some() { 1 } else { DRAWS };
        for attempt in 0..draws {
            if self.strike(scene, point, attempt)? {
                break;
            }
        }
        Ok(())
    }

    /// Strikes: sooner, where the first choice was too late. Returns whether there is nothing more to try.
    fn strike(&self, scene: &mut Option<Scene>, point: &Point, attempt: usize) -> Outcome<bool> {
        if scene.is_none() {
            *scene = Some(Scene::new(Town::found(&self.binary, &self.folder)?));
        }
        let Some(town) = scene else {
            return Ok(true);
        };
        let scenario = point.scenario(attempt);
        let mut fault = self.fault(town, point, attempt)?;
        while let Some(now) = fault {
            let outcome = play(town, scenario, Some(&now));
            if interrupt::check().is_err() {
                return Ok(true);
            }
            match outcome {
                Ok(played) => {
                    self.tell(scenario, &now, &played);
                    if played.has_struck {
                        return Ok(true);
                    }
                    fault = now.sooner();
                }
                Err(error) => {
                    let title = scenario.title();
                    self.complain(&title, Some(&now), &error.to_string(), scene.take());
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// The fault of a point: the one that was asked for, or one of those that can happen.
    fn fault(&self, scene: &mut Scene, point: &Point, attempt: usize) -> Outcome<Option<Fault>> {
        if point.fault.is_some() {
            return Ok(point.fault.clone());
        }
        let scenario = point.scenario(attempt);
        let title = scenario.title();
        let known = lock(&self.counts).get(&title).cloned();
        let counts = match known {
            Some(counts) => counts,
            None => {
                let counts = play(scene, scenario, None)?.counts;
                // Who had nothing to do this time may have next time.
                if !counts.is_empty() {
                    lock(&self.counts).insert(title, counts.clone());
                }
                counts
            }
        };
        let mut chance = SmallRng::seed_from_u64(point.seed ^ (attempt as u64) << 48);
        Ok(Fault::draw(&counts, point.wanted, &mut chance))
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
