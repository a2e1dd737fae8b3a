//! `skep completions`: for shells.

use std::io;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{Skep, exit::Exit, failure::Failure};

/// Print a completion script: `skep completions bash > /etc/bash_completion.d/skep`
#[derive(clap::Args)]
pub(crate) struct Args {
    /// For which shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    clap_complete::generate(args.shell, &mut Skep::command(), "skep", &mut io::stdout());
    Ok(Exit::Done)
}
