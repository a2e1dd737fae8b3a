//! `cargo xtask sim`: the simulation, by seed. The work is done in `crates/sim`.

use crate::{Outcome, workspace};

/// Run the simulation with many seeds, or one seed again.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Run this seed alone, as a failed run printed it
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
}

/// Builds and runs the simulation.
pub(crate) fn run(args: &Args) -> Outcome {
    let (flag, number) = match args.seed {
        Some(seed) => ("--seed", seed),
        None => ("--seeds", args.seeds),
    };
    workspace::run(&mut workspace::cargo(&[
        "run",
        "--quiet",
        "--package=skep-sim",
        "--",
        flag,
        &number.to_string(),
    ]))
}

/// The first `seeds` seeds.
pub(crate) fn run_seeds(seeds: u64) -> Outcome {
    run(&Args { seeds, seed: None })
}
