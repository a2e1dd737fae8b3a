//! `skep downloads`: what is being downloaded.

use skep_node::api::types::TransferLine;

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, runtime,
};

/// Show what the running peer downloads just now
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let transfers: Vec<TransferLine> = runtime::block_on(client.get("/v1/downloads"))?;
    let head = ["number", "name", "done", "of", "rate", "peers", "state", "path"];
    out.rows(&transfers, &head, |transfer| {
        let progress = &transfer.progress;
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = output::rate(progress.rate as f64);
        vec![
            transfer.number.to_string(),
            transfer.name.clone(),
            output::bytes(progress.bytes),
            output::bytes(progress.total),
            rate,
            progress.holders.to_string(),
            progress.state.clone(),
            transfer.path.display().to_string(),
        ]
    });
    Ok(Exit::Done)
}
