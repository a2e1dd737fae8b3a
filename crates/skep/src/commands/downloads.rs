//! `skep downloads`, `pause`, `resume` and `cancel`: what is being downloaded, and what of it shall be.

use skep_node::api::types::{TransferLine, Which};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, runtime,
};

/// Show what the running peer downloads, with its state
///
/// States: preparing, downloading, paused, waiting for space, waiting for holders, failed, and done
/// for what was finished in the background. All but the last survive a restart of the peer.
#[derive(clap::Args)]
pub(crate) struct Args {}

/// Which downloads.
#[derive(clap::Args)]
pub(crate) struct Any {
    /// Name, number, id or target of a download, as `skep downloads` shows them [default: all]
    download: Option<String>,
}

/// Which downloads: nobody cancels all of them by leaving a word out.
#[derive(clap::Args)]
pub(crate) struct Named {
    /// Name, number, id or target of a download, as `skep downloads` shows them
    #[arg(required_unless_present = "all")]
    download: Option<String>,
    /// All of them
    #[arg(long, conflicts_with = "download")]
    all: bool,
}

pub(crate) fn list(_args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let transfers: Vec<TransferLine> = runtime::block_on(client.get("/v1/downloads"))?;
    show(&transfers, out);
    Ok(Exit::Done)
}

pub(crate) fn pause(args: Any, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    command("pause", args.download, globals, out)
}

pub(crate) fn resume(args: Any, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    command("resume", args.download, globals, out)
}

pub(crate) fn cancel(args: Named, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    command("cancel", args.download, globals, out)
}

/// Commands the running peer, and shows the downloads that it concerned.
fn command(verb: &str, download: Option<String>, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let path = format!("/v1/downloads/{verb}");
    let transfers: Vec<TransferLine> = runtime::block_on(client.post(&path, &Which { download }))?;
    show(&transfers, out);
    if transfers.is_empty() {
        out.note(format!("There is no download to {verb}."));
    }
    Ok(Exit::Done)
}

fn show(transfers: &[TransferLine], out: &Output) {
    let head = ["number", "name", "done", "of", "rate", "peers", "state", "path"];
    out.rows(transfers, &head, |transfer| {
        let progress = &transfer.progress;
        #[expect(clippy::cast_precision_loss, reason = "for people")]
        let rate = output::rate(progress.rate as f64);
        let state = match &transfer.trouble {
            Some(trouble) => format!("{}: {trouble}", transfer.state),
            None => transfer.state.clone(),
        };
        vec![
            transfer.number.to_string(),
            transfer.name.clone(),
            output::bytes(progress.bytes),
            output::bytes(progress.total),
            rate,
            progress.holders.to_string(),
            state,
            transfer.path.display().to_string(),
        ]
    });
}
