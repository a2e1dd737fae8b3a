//! The simulation: whole networks in one thread, on a simulated world, by seed.
//!
//! A seed gives a [`Scenario`]: machines, files, and what happens to them. [`run`] plays it with the
//! real coordinator and the real peers, checks throughout that they keep their promises, and gives
//! the hash of all that happened: the same seed gives the same hash. For tests only.

pub mod durability;
mod inspector;
mod item;
mod owner;
mod play;
pub mod scenario;
mod town;
mod truth;
mod version1;

use std::{
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

pub use play::{Failure, Report};
pub use scenario::Scenario;
use skep_world::simulated::Trace;
use tokio::runtime::Builder;

thread_local! {
    /// What panicked on this thread; tokio keeps the panics of tasks to itself.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Runs one seed.
///
/// # Errors
/// [`Failure`] when a promise was broken, or something panicked.
pub fn run(seed: u64) -> Result<Report, Failure> {
    run_traced(seed, Trace::default())
}

/// Runs one seed twice, and compares what happened.
///
/// # Errors
/// [`Failure`] as [`run`], and when the two differ.
pub fn run_twice(seed: u64) -> Result<Report, Failure> {
    let (first, second) = (run(seed)?, run(seed)?);
    if first.trace == second.trace {
        return Ok(first);
    }
    let traces = [Trace::keeping_lines(), Trace::keeping_lines()];
    for trace in &traces {
        run_traced(seed, trace.clone())?;
    }
    let what = format!(
        "two runs differ: {}",
        first_difference(&traces[0].lines(), &traces[1].lines())
    );
    Err(Failure {
        what,
        story: first.story,
    })
}

fn first_difference(one: &[String], other: &[String]) -> String {
    match one.iter().zip(other).position(|(one, other)| one != other) {
        Some(n) => format!("event {n} is {:?} or {:?}", one[n], other[n]),
        None => format!(
            "one has {} events, the other {}; their bytes may differ",
            one.len(),
            other.len()
        ),
    }
}

fn run_traced(seed: u64, trace: Trace) -> Result<Report, Failure> {
    hear_panics();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime without I/O takes nothing from the system");
    let scenario = Scenario::of(seed);
    let played = panic::catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(play::play(&scenario, trace))
    }));
    drop(runtime);
    let panics = PANICS.take();
    match played {
        Ok(Ok(report)) if !panics.is_empty() => Err(Failure {
            what: format!("panicked: {}", panics.join("; ")),
            story: report.story,
        }),
        Ok(outcome) => outcome,
        Err(_) => Err(Failure {
            what: format!("panicked: {}", panics.join("; ")),
            story: Vec::new(),
        }),
    }
}

/// Notes panics besides printing them.
fn hear_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            print(info);
        }));
    });
}
