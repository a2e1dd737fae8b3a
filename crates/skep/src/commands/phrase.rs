//! `skep recovery-phrase` and `skep recover`: the 24 words, and what they open.

use std::io::{BufRead, IsTerminal};

use skep_node::api::types::{PhraseBody, RecoverDone};

use crate::{client::Client, exit::Exit, failure::Failure, globals::Globals, output::Output, runtime, words};

/// Show the 24 words that open this owner's backups, whatever else is lost
///
/// Write them down and keep them away from this machine. Whoever has them can read every backup. Then remove them here
/// with --remove: this machine goes on without them.
#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    /// Do not ask before
    #[arg(long)]
    yes: bool,
    /// Remove the words from this machine. They have to be given, to show that they are kept elsewhere
    #[arg(long, conflicts_with = "yes")]
    remove: bool,
    /// With --remove: file with the words, or - to read them from standard input [default: typed on the terminal]
    #[arg(long, value_name = "FILE|-", requires = "remove")]
    phrase_file: Option<String>,
}

/// Make this running peer a device of the owner who has these 24 words
///
/// After that `skep snapshots` and `skep restore` work here as they did on the lost machine.
#[derive(clap::Args)]
pub(crate) struct RecoverArgs {
    /// File with the words, or - to read them from standard input [default: typed on the terminal, not shown]
    #[arg(long, value_name = "FILE|-")]
    phrase_file: Option<String>,
}

pub(crate) fn show(args: &ShowArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    if args.remove {
        return remove(args, client, out);
    }
    if !args.yes && std::io::stdin().is_terminal() && !confirmed(out)? {
        return Ok(Exit::Done);
    }
    let body: PhraseBody = runtime::block_on(client.post("/v1/recovery-phrase", &()))?;
    out.event("phrase", &body, &body.phrase);
    out.note("Once they are written down, take them off this machine: `skep recovery-phrase --remove`.");
    Ok(Exit::Done)
}

fn remove(args: &ShowArgs, client: Client, out: &Output) -> Result<Exit, Failure> {
    let body = words::read(args.phrase_file.as_deref())?;
    let done: serde_json::Value = runtime::block_on(client.post("/v1/recovery-phrase/remove", &body))?;
    out.event("done", &done, "The words are not on this machine any more.");
    Ok(Exit::Done)
}

fn confirmed(out: &Output) -> Result<bool, Failure> {
    out.note("Whoever sees the words can read every backup. Show them? [y/N]");
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|e| Failure::new("usage", format!("no answer came: {e}"), "give --yes"))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

pub(crate) fn recover(args: &RecoverArgs, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let body = words::read(args.phrase_file.as_deref())?;
    let done: RecoverDone = runtime::block_on(client.post("/v1/recover", &body))?;
    let text = format!(
        "This peer is a device of the owner now. Snapshots that can be restored: {}.",
        done.snapshots
    );
    out.event("done", &done, text);
    Ok(Exit::Done)
}
