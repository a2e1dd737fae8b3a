//! `skep forget`: lets snapshots go, by a policy.

use skep_node::api::types::{ForgetDone, ForgetRequest};

use crate::{client::Client, exit::Exit, failure::Failure, globals::Globals, output::Output, runtime};

/// Forget snapshots: of each machine and its paths, keep the newest, and the newest of each day, week and so on
///
/// Of each sort so many are kept; a snapshot may count for several. The space is freed by `skep prune`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The newest N
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_last: u32,
    /// The newest of each of the last N days that have one
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_daily: u32,
    /// The newest of each of the last N weeks that have one
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_weekly: u32,
    /// The newest of each of the last N months that have one
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_monthly: u32,
    /// The newest of each of the last N years that have one
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_yearly: u32,
    /// Only say what would be forgotten
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let request = ForgetRequest {
        keep_last: args.keep_last,
        keep_daily: args.keep_daily,
        keep_weekly: args.keep_weekly,
        keep_monthly: args.keep_monthly,
        keep_yearly: args.keep_yearly,
        dry_run: args.dry_run,
    };
    let done: ForgetDone = runtime::block_on(client.post("/v1/forget", &request))?;
    out.event("done", &done, text(&done));
    Ok(Exit::Done)
}

fn text(done: &ForgetDone) -> String {
    let verb = if done.dry_run { "Would forget" } else { "Forgot" };
    format!(
        "{verb} {} snapshots; {} are kept.",
        done.forgotten.len(),
        done.kept
    )
}
