//! `skep man`: the manual, as pages for `man`.

use std::{fs, io, path::PathBuf};

use clap::CommandFactory;

use crate::{Skep, exit::Exit, failure::Failure};

/// Write manual pages, one per command, or print the main one
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder to write them to: skep.1, skep-get.1, ...
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    let result = match &args.dir {
        None => clap_mangen::Man::new(Skep::command()).render(&mut io::stdout()),
        Some(dir) => fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Skep::command(), dir)),
    };
    result.map_err(|e| Failure::new("not_writable", format!("the manual cannot be written: {e}"), ""))?;
    Ok(Exit::Done)
}
