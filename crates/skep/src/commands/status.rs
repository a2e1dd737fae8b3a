//! `skep status`: how this machine's peer stands.

use skep_node::api::types::Status;

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, runtime,
};

/// Show how the running peer stands: its connection, what it shares, what it downloads
#[derive(clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let status: Status = runtime::block_on(client.get("/v1/status"))?;
    out.event("status", &status, text(&status));
    Ok(Exit::Done)
}

fn text(status: &Status) -> String {
    let connection = if status.connected {
        "connected"
    } else {
        "not connected, trying again"
    };
    let reachable = match (status.reachable, &status.address) {
        (Some(true), Some(address)) => format!("yes, at {address}"),
        (Some(true), None) => "yes".to_owned(),
        (Some(false), _) => "no: it serves by dialling out when the coordinator asks it to".to_owned(),
        (None, _) => "not known yet".to_owned(),
    };
    let mut lines = vec![
        format!(
            "peer         {} ({}), {:?}",
            status.name,
            status.id.get(..8).unwrap_or_default(),
            status.role
        ),
        format!("network      {}", status.network.get(..8).unwrap_or_default()),
        format!("coordinator  {} ({connection})", status.coordinator),
        format!("listens on   {}", status.listen),
        format!("reachable    {reachable}"),
        format!(
            "offers       {}, {} in use",
            output::bytes(status.capacity),
            output::bytes(status.used)
        ),
        format!(
            "shares       {} of its own, {} contents held",
            status.shares, status.holdings
        ),
        format!("served       {} since it started", output::bytes(status.served)),
    ];
    for transfer in &status.transfers {
        let progress = &transfer.progress;
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = progress.rate as f64;
        lines.push(format!(
            "transfer     {}: {}, {} of {} at {}, {} peers",
            output::printable(&transfer.name),
            transfer.state,
            output::bytes(progress.bytes),
            output::bytes(progress.total),
            output::rate(rate),
            progress.holders
        ));
    }
    lines.join("\n")
}
