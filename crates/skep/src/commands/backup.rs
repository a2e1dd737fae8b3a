//! `skep backup`: one snapshot, encrypted here, kept by others.

use std::path::PathBuf;

use skep_node::api::types::{BackupDone, BackupRequest};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals, globals::Globals, output, output::Output,
    progress::Shown, runtime, verbose,
};

/// Back up files and folders to the storage peers of the network, encrypted on this machine
///
/// What has not changed since the last snapshot is not read again, and what any device of the owner has stored
/// already is not sent again. An interrupted backup goes on where it was when the same command is run again.
/// A .skepignore file leaves out what it names, as .gitignore does; so is this peer's own home.
/// Write down the words of `skep recovery-phrase`: without them a lost machine is lost for good.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files and folders
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Copies like 3x, data and parity like 4+2, or auto: as before, or what suits the number of storage peers
    #[arg(long, value_name = "SCHEME", default_value = "auto")]
    redundancy: String,
    /// Leave out what matches, as a line of .gitignore would; may be repeated
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let mut shown = Shown::new(out, "backup");
    let paths = args.paths.iter().map(|path| globals::absolute(path));
    let request = BackupRequest {
        paths: paths.collect::<Result<_, _>>()?,
        redundancy: args.redundancy,
        exclude: args.exclude,
    };
    let done: BackupDone = runtime::interruptible(verbose::with_messages(
        globals,
        out,
        client.follow("/v1/backup", &request, |progress| shown.tell(&progress)),
    ))?;
    drop(shown);
    output::left_out(out, &done.skipped);
    if done.fragile {
        out.note("There is a single copy of it: if its holder is lost, so is the backup. More storage peers would help.");
    }
    out.event("done", &done, text(&done));
    Ok(Exit::partly(!done.skipped.is_empty()))
}

fn text(done: &BackupDone) -> String {
    let (short, _) = done.snapshot.split_at_checked(8).unwrap_or((&done.snapshot, ""));
    format!(
        "Snapshot {short}: {} files, {}; {} new, {} stored. Storage peers that may vanish: {}.",
        done.files,
        output::bytes(done.bytes),
        output::bytes(done.new_bytes),
        output::bytes(done.stored_bytes),
        done.survives,
    )
}
