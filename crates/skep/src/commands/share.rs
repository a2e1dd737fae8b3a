//! `skep share`: publishes a file or folder where it lies.

use std::path::PathBuf;

use skep_node::api::types::{ShareDone, ShareRequest};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals, globals::Globals, output, output::Output,
    progress::Shown, runtime, verbose,
};

/// Share a file or folder, in place: nothing is copied
///
/// A name that is shared again gets its new contents; who gets it again fetches only what changed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File or folder
    path: PathBuf,
    /// Name to share it under [default: its file name]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Only for this peer; may be repeated [default: everyone in the network]
    #[arg(long, value_name = "PEER")]
    to: Vec<String>,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let mut shown = Shown::new(out, &args.path.display().to_string());
    let request = ShareRequest {
        path: globals::absolute(&args.path)?,
        name: args.name,
        to: args.to,
    };
    let done: ShareDone = runtime::interruptible(verbose::with_messages(
        globals,
        out,
        client.follow("/v1/share", &request, |progress| shown.tell(&progress)),
    ))?;
    drop(shown);
    for skipped in &done.skipped {
        out.note(format!(
            "left out: {}: {}",
            output::printable(&skipped.path),
            skipped.reason
        ));
    }
    let what = if done.files == 1 {
        "1 file".to_owned()
    } else {
        format!("{} files", done.files)
    };
    let name = output::printable(&done.name);
    let text = format!(
        "Shared {name}: {what}, {}.\n{}",
        output::bytes(done.bytes),
        done.link
    );
    out.event("done", &done, text);
    Ok(if done.skipped.is_empty() {
        Exit::Done
    } else {
        Exit::Partly
    })
}
