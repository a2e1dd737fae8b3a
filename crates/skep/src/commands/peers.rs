//! `skep peers`: who is in the network. Revoking is [`super::revoke`]'s.

use skep_node::api::types::PeerLine;

use super::revoke;
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
    Revoke(revoke::Args),
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    match args.action {
        None => list(globals, out),
        Some(Action::Revoke(args)) => revoke::run(args, globals, out),
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
