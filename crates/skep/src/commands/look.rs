//! `skep ls-snapshot` and `skep diff`: what is in snapshots.

use std::path::PathBuf;

use skep_node::api::types::{DiffRequest, Difference, EntryLine, LookRequest};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, runtime,
};

/// List what is in a snapshot, or in a folder of it
#[derive(clap::Args)]
pub(crate) struct ListArgs {
    /// The snapshot's id, or the beginning of it, or `latest`
    snapshot: String,
    /// Only what lies at this path in the snapshot
    #[arg(long, value_name = "PATH")]
    path: Option<PathBuf>,
}

/// Show what differs between two snapshots
#[derive(clap::Args)]
pub(crate) struct DiffArgs {
    /// A snapshot
    old: String,
    /// Another
    new: String,
}

pub(crate) fn list(args: ListArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let request = LookRequest {
        snapshot: args.snapshot,
        path: args.path.unwrap_or_default(),
    };
    let lines: Vec<EntryLine> = runtime::block_on(client.post("/v1/snapshot/ls", &request))?;
    out.rows(&lines, &["kind", "mode", "size", "modified", "path"], |line| {
        vec![
            line.kind.clone(),
            format!("{:04o}", line.mode),
            output::bytes(line.bytes),
            output::date(u64::try_from(line.modified).unwrap_or(0)),
            line.path.clone(),
        ]
    });
    Ok(Exit::Done)
}

pub(crate) fn diff(args: DiffArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let request = DiffRequest {
        old: args.old,
        new: args.new,
    };
    let rows: Vec<Difference> = runtime::block_on(client.post("/v1/snapshot/diff", &request))?;
    out.rows(&rows, &["change", "before", "after", "path"], |row| {
        vec![
            row.change.clone(),
            output::bytes(row.before),
            output::bytes(row.after),
            row.path.clone(),
        ]
    });
    Ok(Exit::Done)
}
