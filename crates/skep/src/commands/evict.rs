//! `skep evict`: frees what somebody's backups use of this peer's disk.

use std::time::Duration;

use skep_node::api::types::{EvictDone, EvictRequest, KeptLine};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, parse,
    progress::Shown, runtime,
};

/// Free what an owner's backups use of this disk, once others have rebuilt it
///
/// Without OWNER, lists whose backups are kept here. What others could not rebuild when the time is over is deleted all
/// the same and told, and the exit code is then 3; until then nothing is deleted, and Ctrl-C leaves all as it was.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The owner's id, the beginning of it, or the name of one of its devices
    owner: Option<String>,
    /// How long others have to rebuild it
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = parse::duration)]
    wait: Duration,
}

pub(crate) fn run(args: Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let Some(owner) = args.owner else {
        return list(client, out);
    };
    let mut shown = Shown::new(out, "evict");
    let request = EvictRequest {
        owner,
        wait_seconds: args.wait.as_secs(),
    };
    let done: EvictDone =
        runtime::interruptible(client.follow("/v1/evict", &request, |progress| shown.tell(&progress)))?;
    drop(shown);
    let mut text = format!("{} are free again.", output::bytes(done.bytes));
    if done.left_shards > 0 {
        text += &format!(
            " Of {} shards ({}) nobody else has had time to make another.",
            done.left_shards,
            output::bytes(done.left_bytes)
        );
    }
    out.event("done", &done, text);
    Ok(Exit::partly(done.left_shards > 0))
}

fn list(client: Client, out: &Output) -> Result<Exit, Failure> {
    let lines: Vec<KeptLine> = runtime::block_on(client.get("/v1/kept"))?;
    out.rows(&lines, &["owner", "devices", "shards", "bytes"], |line| {
        vec![
            line.owner.clone(),
            line.devices.join(", "),
            line.shards.to_string(),
            output::bytes(line.bytes),
        ]
    });
    Ok(Exit::Done)
}
