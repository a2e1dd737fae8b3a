//! `skep peers`: who is in the network; and the revocation of a lost device.

use skep_coordinator::api::Revoke;
use skep_node::api::types::PeerLine;

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, runtime,
};

/// Show the peers of the network, or revoke one
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Shut a lost or stolen machine out; run it where the coordinator runs
    Revoke {
        /// Name of the peer
        name: String,
    },
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    match args.action {
        None => list(globals, out),
        Some(Action::Revoke { name }) => revoke(name, globals, out),
    }
}

fn list(globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let peers: Vec<PeerLine> = runtime::block_on(client.get("/v1/peers"))?;
    let head = ["name", "role", "state", "reachable", "capacity", "used", "id"];
    out.rows(&peers, &head, |peer| {
        vec![
            peer.name.clone(),
            format!("{:?}", peer.role).to_lowercase(),
            format!("{:?}", peer.state).to_lowercase(),
            if peer.reachable { "yes" } else { "no" }.to_owned(),
            output::bytes(peer.capacity),
            output::bytes(peer.used),
            peer.id.get(..8).unwrap_or_default().to_owned(),
        ]
    });
    Ok(Exit::Done)
}

fn revoke(name: String, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::coordinator(&globals.coordinator_home()?);
    let text = format!("{name} is revoked: nobody in the network talks to it any more.");
    let done: serde_json::Value = runtime::block_on(client.post("/v1/revoke", &Revoke { name }))?;
    out.event("done", &done, text);
    Ok(Exit::Done)
}
