//! `skep down`: stops the peer.

use crate::{client::Client, exit::Exit, failure::Failure, globals::Globals, output::Output, runtime};

/// Stop the running peer; `skep up` starts it again
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let home = globals.peer_home()?;
    let client = Client::peer(&home);
    let done: serde_json::Value = runtime::block_on(client.post("/v1/stop", &serde_json::json!({})))?;
    runtime::wait_until_unlocked(&home)?;
    out.event("done", &done, "The peer has stopped.");
    Ok(Exit::Done)
}
