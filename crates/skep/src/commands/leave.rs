//! `skep leave`: out of the network, for good.

use std::time::Duration;

use skep_node::api::types::{LeaveDone, LeaveRequest};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, parse,
    progress::Shown, runtime,
};

/// Leave the network: let others rebuild what is kept here, withdraw the shares, give the place back, and stop
///
/// Files stay where they are. To come back, a new ticket is needed. What others could not rebuild when the time is
/// over is told, and the exit code is then 3; until then Ctrl-C leaves all as it was.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long others have to rebuild what is kept here of their backups
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = parse::duration)]
    wait: Duration,
    /// Leave at once, rebuilt or not, and even if the coordinator cannot be told
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let home = globals.peer_home()?;
    let client = Client::peer(&home);
    let mut shown = Shown::new(out, "leave");
    let request = LeaveRequest {
        force: args.force,
        wait_seconds: args.wait.as_secs(),
    };
    let done: LeaveDone =
        runtime::interruptible(client.follow("/v1/leave", &request, |progress| shown.tell(&progress)))?;
    drop(shown);
    runtime::wait_until_unlocked(&home)?;
    let mut text = "This peer has left the network.".to_owned();
    if done.left_shards > 0 {
        text += &format!(
            " Of {} shards ({}) that it kept nobody else has had time to make another.",
            done.left_shards,
            output::bytes(done.left_bytes)
        );
    }
    out.event("done", &done, text);
    Ok(Exit::partly(done.left_shards > 0))
}
