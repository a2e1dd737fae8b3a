//! `skep leave`: out of the network, for good.

use crate::{client::Client, exit::Exit, failure::Failure, globals::Globals, output::Output, runtime};

/// Leave the network: withdraw the shares, give the place back, and stop
///
/// Files stay where they are. To come back, a new ticket is needed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave even if the coordinator cannot be told
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let home = globals.peer_home()?;
    let client = Client::peer(&home);
    let path = if args.force {
        "/v1/leave?force=true"
    } else {
        "/v1/leave"
    };
    let done: serde_json::Value = runtime::block_on(client.post(path, &serde_json::json!({})))?;
    runtime::wait_until_unlocked(&home)?;
    out.event("done", &done, "This peer has left the network.");
    Ok(Exit::Done)
}
