//! The command line. The only crate that prints, reads the environment or exits.
//!
//! Each command is a file in [`commands`]: its arguments, whose comments are the help text, and
//! one function. Errors become sentences, hints and exit codes in [`failure`].

mod client;
mod commands;
mod detach;
mod exit;
mod failure;
mod globals;
mod logging;
mod output;
mod parse;
mod progress;
mod runtime;
mod verbose;
mod words;

use std::process::ExitCode;

use clap::Parser;

/// Share, back up and sync files directly between your machines.
///
/// One machine runs `skep coordinator`; every other one joins with a ticket from `skep invite`.
/// See `skep demo` for the whole story on one machine.
#[derive(Parser)]
#[command(
    name = "skep",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
struct Skep {
    #[command(flatten)]
    globals: globals::Globals,
    #[command(subcommand)]
    command: commands::Command,
}

fn main() -> ExitCode {
    let Skep { globals, command } = Skep::parse();
    let out = output::Output::new(&globals);
    match commands::run(command, &globals, &out) {
        Ok(exit) => exit.into(),
        Err(failure) => out.fail(&failure).into(),
    }
}
