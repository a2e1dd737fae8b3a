//! `skep check`: whether the backups are whole.

use skep_node::api::types::{CheckDone, CheckRequest};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, progress::Shown,
    runtime,
};

/// Check that every part of every snapshot is where it should be
///
/// Folders are read and verified always, files with --read-data. What is lost or damaged is named, and the exit
/// code is then 3.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fetch and verify everything
    #[arg(long)]
    read_data: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let mut shown = Shown::new(out, "check");
    let request = CheckRequest {
        read_data: args.read_data,
    };
    let done: CheckDone =
        runtime::interruptible(client.follow("/v1/check", &request, |progress| shown.tell(&progress)))?;
    drop(shown);
    for failed in &done.failed {
        out.note(format!("{}: {}", output::printable(&failed.path), failed.reason));
    }
    let text = format!(
        "{} snapshots in {} packs, of which {} can be had now; {} read; storage peers that may vanish: {}; problems: {}.",
        done.snapshots,
        done.packs,
        done.reachable,
        output::bytes(done.bytes),
        done.survives,
        done.failed.len()
    );
    out.event("done", &done, text);
    Ok(Exit::partly(!done.failed.is_empty()))
}
