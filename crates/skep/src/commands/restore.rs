//! `skep restore`: gets a snapshot back, or a part of it.

use std::path::PathBuf;

use skep_node::api::types::{RestoreDone, RestoreRequest};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals, globals::Globals, output, output::Output,
    progress::Shown, runtime, verbose,
};

/// Restore a snapshot, or a part of it, verified; never over files that are there, unless told
///
/// Beneath the target lies the full original path. What is there already and is the same is left as it is, so
/// an interrupted restore goes on when the same command is run again. What is lost is named, and the rest
/// restored; the exit code is then 3.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The snapshot's id, or the beginning of it, or `latest`
    snapshot: String,
    /// Folder to write to [default: ./restored-ID]
    #[arg(long, value_name = "DIR", conflicts_with = "verify")]
    to: Option<PathBuf>,
    /// Only what lies at this path in the snapshot
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
    /// Replace files that are there
    #[arg(long, conflicts_with = "verify")]
    overwrite: bool,
    /// A drill: fetch and verify everything, and write nothing
    #[arg(long)]
    verify: bool,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let mut shown = Shown::new(out, "restore");
    let here = globals::absolute(std::path::Path::new("."))?;
    let request = RestoreRequest {
        snapshot: args.snapshot,
        to: args.to.as_deref().map(globals::absolute).transpose()?,
        beside: (!args.verify).then_some(here),
        path: args.path,
        overwrite: args.overwrite,
    };
    let done: RestoreDone = runtime::interruptible(verbose::with_messages(
        globals,
        out,
        client.follow("/v1/restore", &request, |progress| shown.tell(&progress)),
    ))?;
    drop(shown);
    for failed in &done.failed {
        let path = output::printable(&failed.path);
        out.note(format!("not restored: {path}: {}", failed.reason));
    }
    out.event("done", &done, text(&done));
    Ok(Exit::partly(!done.failed.is_empty()))
}

fn text(done: &RestoreDone) -> String {
    let amount = format!(
        "{} files, {} in {:.1} s, verified",
        done.files,
        output::bytes(done.bytes),
        done.seconds
    );
    match &done.path {
        Some(path) => format!("{amount}: {}", output::printable(&path.display().to_string())),
        None => format!("{amount}; nothing was written."),
    }
}
