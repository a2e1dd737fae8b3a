//! `skep limit`: how fast transfers may be.

use skep_node::api::types::{LimitRequest, Limits};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, parse, runtime,
};

/// Show or change how fast the running peer may send and receive
///
/// Changes count at once, also for transfers under way. Those of the whole peer last until it stops
/// (`up --up-rate` and `--down-rate` set them at its start), those of a download as long as it does.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The most bytes per second to others, or `none`
    #[arg(long, value_name = "RATE", value_parser = parse::rate_or_none)]
    up: Option<u64>,
    /// The most bytes per second from others, or `none`
    #[arg(long, value_name = "RATE", value_parser = parse::rate_or_none)]
    down: Option<u64>,
    /// Only for this: --down a download, --up something that is held here [default: the whole peer]
    name: Option<String>,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let Args { up, down, name } = args;
    if (up, down) != (None, None) {
        let about = name.clone();
        let request = LimitRequest { name, up, down };
        let limits: Limits = runtime::block_on(client.post("/v1/limits", &request))?;
        match about {
            Some(name) => out.note(format!("{} is limited now.", output::printable(&name))),
            None => show(&limits, out),
        }
        return Ok(Exit::Done);
    }
    if name.is_some() {
        return Err(Failure::usage(
            "no limit was given",
            "say --down RATE for a download, or --up RATE for something that is held here",
        ));
    }
    let limits = runtime::block_on(client.get("/v1/limits"))?;
    show(&limits, out);
    Ok(Exit::Done)
}

fn show(limits: &Limits, out: &Output) {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let words = |rate: Option<u64>| rate.map_or_else(|| "no limit".to_owned(), |r| output::rate(r as f64));
    let text = format!("up    {}\ndown  {}", words(limits.up), words(limits.down));
    out.event("limits", limits, text);
}
