//! `skep snapshots`: what can be restored.

use skep_node::api::types::SnapshotLine;

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, runtime,
};

/// List the snapshots of this owner, of all devices, oldest first
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let lines: Vec<SnapshotLine> = runtime::block_on(client.get("/v1/snapshots"))?;
    let head = ["id", "made", "host", "files", "size", "missing", "paths"];
    out.rows(&lines, &head, |line| {
        let (short, _) = line.id.split_at_checked(8).unwrap_or((&line.id, ""));
        vec![
            short.to_owned(),
            output::date(line.made),
            line.host.clone(),
            line.files.to_string(),
            output::bytes(line.bytes),
            line.missing.to_string(),
            line.paths.join(" "),
        ]
    });
    Ok(Exit::Done)
}
