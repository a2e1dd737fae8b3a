//! The project's own commands: `cargo xtask tidy`, `test`, `sim`, `fuzz`, `mutants`, `coverage`, `chaos`, `soak`, `bench`.
//!
//! One file per command: an `Args` whose doc comments are the help text, and one `run`.
//! Nothing here is part of the product, and no crate of the product depends on it.

// A command for a person at a terminal: printing is its work.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod chaos;
mod coverage;
mod fuzz;
mod interrupt;
mod mutants;
mod sim;
mod soak;
mod test;
mod tidy;
mod workspace;

use std::{error::Error, process::ExitCode};

use clap::Parser;

/// What every command returns; the error is one sentence for a person.
type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The commands that look after this repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Command {
    Tidy(tidy::Args),
    Test(test::Args),
    Sim(sim::Args),
    Fuzz(fuzz::Args),
    Mutants(mutants::Args),
    Coverage(coverage::Args),
    Chaos(chaos::Args),
    Soak(soak::Args),
    Bench(bench::Args),
    #[command(hide = true)]
    Delay(bench::delay::Args),
}

fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Tidy(args) => tidy::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Mutants(args) => mutants::run(&args),
        Command::Coverage(args) => coverage::run(&args),
        Command::Chaos(args) => chaos::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Delay(args) => bench::delay::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
