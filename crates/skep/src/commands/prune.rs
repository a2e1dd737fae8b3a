//! `skep prune`: frees what forgotten snapshots left behind.

use skep_node::api::types::{PruneDone, PruneRequest};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, progress::Shown,
    runtime,
};

/// Free the space of what no snapshot needs any more
///
/// Packs that are mostly dead are packed anew first; then what is not needed is condemned, also what interrupted
/// backups left behind. Holders delete it when their grace is over (`skep up --grace`, 7 days unless they say
/// otherwise), so that a stolen machine cannot erase history at once. What is kept once too often, as after a repair,
/// goes in the same way. Other devices may back up meanwhile.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let mut shown = Shown::new(out, "prune");
    let request = PruneRequest {
        dry_run: args.dry_run,
    };
    let done: PruneDone =
        runtime::interruptible(client.follow("/v1/prune", &request, |progress| shown.tell(&progress)))?;
    drop(shown);
    if done.surplus > 0 {
        out.note(format!(
            "{} parts are kept once too often, and go when the grace of their holders is over.",
            done.surplus
        ));
    }
    out.event("done", &done, text(&done));
    Ok(Exit::Done)
}

fn text(done: &PruneDone) -> String {
    let freed = output::bytes(done.freed_bytes);
    let repacked = output::bytes(done.repacked_bytes);
    match done.dry_run {
        _ if done.packs == 0 => format!("Nothing is to be freed: all of {} packs are needed.", done.kept),
        true => format!(
            "Would condemn {} packs, {freed} with all holders, and pack {repacked} anew; {} packs stay.",
            done.packs, done.kept
        ),
        false => format!(
            "Condemned {} packs; {freed} are free when the grace of their holders is over. {repacked} packed anew; {} packs stay.",
            done.packs, done.kept
        ),
    }
}
