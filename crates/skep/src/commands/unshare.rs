//! `skep unshare`: takes a name back.

use skep_node::api::types::UnshareRequest;

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, runtime,
};

/// Withdraw a share of this peer; others who share the same keep theirs
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Name of the share
    name: String,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let text = format!("{} is not shared any more.", output::printable(&args.name));
    let request = UnshareRequest { name: args.name };
    let done: serde_json::Value = runtime::block_on(client.post("/v1/unshare", &request))?;
    out.event("done", &done, text);
    Ok(Exit::Done)
}
