//! `skep get`: downloads from everybody who has it, verified.

use std::path::PathBuf;

use skep_node::api::types::{GetDone, GetRequest};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals, globals::Globals, output, output::Output,
    progress, progress::Shown, runtime, verbose,
};

/// Get a file or folder from all who have it at once, verified; this machine then serves it too
///
/// An interrupted download is paused: it goes on where it was when the same command is run again, or
/// in the background with `skep resume`. A peer that is restarted goes on with what it was downloading.
/// With -v, shows what each holder gave.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// NAME, PEER/NAME, an id or a link; for a part of a folder with /SUB/PATH behind it
    what: String,
    /// File or folder to write to; an existing folder takes it inside [default: the current folder]
    #[arg(short, long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Only from this peer
    #[arg(long, value_name = "PEER")]
    from: Option<String>,
    /// Replace what is there
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let mut shown = Shown::new(out, &args.what).with_peers(globals.verbose);
    let target = args.output.unwrap_or_else(|| PathBuf::from("."));
    let request = GetRequest {
        what: args.what,
        output: globals::absolute(&target)?,
        from: args.from,
        overwrite: args.overwrite,
    };
    let done: GetDone = runtime::interruptible(verbose::with_messages(
        globals,
        out,
        client.follow("/v1/get", &request, |progress| shown.tell(&progress)),
    ))
    .map_err(interrupted)?;
    drop(shown);
    if globals.verbose {
        done.peers.iter().for_each(|peer| out.note(progress::share(peer)));
    }
    out.event("done", &done, text(&done));
    Ok(Exit::Done)
}

/// Who interrupts it may want to know what becomes of it.
fn interrupted(mut failure: Failure) -> Failure {
    if failure.exit == Exit::Interrupted {
        "it is paused: `skep resume` goes on in the background, the same command here; `skep cancel` ends it"
            .clone_into(&mut failure.body.hint);
    }
    failure
}

fn text(done: &GetDone) -> String {
    let path = output::printable(&done.path.display().to_string());
    let size = output::bytes(done.bytes);
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = output::rate(done.bytes as f64 / done.seconds.max(0.001));
    let from: Vec<String> = done
        .from
        .iter()
        .map(|(name, bytes)| format!("{name} {}", output::bytes(*bytes)))
        .collect();
    let from = if from.is_empty() {
        "nothing had to be fetched".to_owned()
    } else {
        from.join(", ")
    };
    format!(
        "{path}: {size} in {:.1} s ({rate}), verified. From: {from}.",
        done.seconds
    )
}
