//! `skep ls`: what is shared.

use skep_node::api::types::ShareLine;

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, runtime,
};

/// List what is shared in the network
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only what lies on this machine
    #[arg(long)]
    local: bool,
    /// Also show ids and paths
    #[arg(short, long)]
    long: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let path = if args.local {
        "/v1/shares?local=true"
    } else {
        "/v1/shares"
    };
    let shares: Vec<ShareLine> = runtime::block_on(client.get(path))?;
    show(&shares, args.long, out);
    Ok(Exit::Done)
}

pub(super) fn show(shares: &[ShareLine], long: bool, out: &Output) {
    let short = ["name", "kind", "size", "publisher", "holders"];
    let all = [&short[..], &["id", "path"]].concat();
    let head = if long { &all[..] } else { &short[..] };
    out.rows(shares, head, |share| {
        let mut row = vec![
            share.name.clone(),
            format!("{:?}", share.kind).to_lowercase(),
            output::bytes(share.bytes),
            share.publisher.clone(),
            share.holders.to_string(),
        ];
        if long {
            let path = share.path.as_ref().map(|path| path.display().to_string());
            row.extend([share.id.clone(), path.unwrap_or_default()]);
        }
        row
    });
    if shares.is_empty() {
        out.note("Nothing yet. Share a file or folder with `skep share PATH`.");
    }
}
