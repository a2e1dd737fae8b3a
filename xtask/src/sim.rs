//! `cargo xtask sim`: the simulation, by seed. The work is done in `crates/sim`.

use crate::{Outcome, workspace};

/// Run the simulation with many seeds, or one seed again, or simulate how backups are lost.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Another simulation, instead of whole networks
    #[arg(value_enum, conflicts_with_all = ["seeds", "seed"])]
    other: Option<Other>,
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// Run this seed alone, as a failed run printed it
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
}

/// What else is simulated.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Other {
    /// How many packs 500 peers lose that come and go, beside what a closed formula says
    Durability,
}

/// Builds and runs the simulation.
pub(crate) fn run(args: &Args) -> Outcome {
    let words = match (args.other, args.seed) {
        (Some(Other::Durability), _) => vec!["--durability".to_owned()],
        (None, Some(seed)) => vec!["--seed".to_owned(), seed.to_string()],
        (None, None) => vec!["--seeds".to_owned(), args.seeds.to_string()],
    };
    let mut simulation = workspace::cargo(&["run", "--quiet"]);
    simulation.args(["--profile=simulation", "--package=skep-sim", "--"]);
    workspace::run(simulation.args(words))
}

/// The first `seeds` seeds.
pub(crate) fn run_seeds(seeds: u64) -> Outcome {
    run(&Args {
        other: None,
        seeds,
        seed: None,
    })
}
