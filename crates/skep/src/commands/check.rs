//! `skep check`: whether the backups are whole.

use skep_node::api::types::{CheckDone, CheckRequest, Damage, PaperDamage};

use crate::{
    client::Client, exit::Exit, failure::Failure, globals::Globals, output, output::Output, progress::Shown,
    runtime,
};

/// Check that every part of every snapshot is where it should be
///
/// Holders are asked whether they have every part; with --read-data, every part is read at every holder, every file
/// verified, and every holder looks through what it keeps of the words of your devices. What is missing or damaged is named and repaired, and nothing else is touched. What cannot be repaired is
/// named with the snapshots and files that need it, and the exit code is then 3.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Fetch and verify everything
    #[arg(long)]
    read_data: bool,
}

pub(crate) fn run(args: &Args, globals: &Globals, out: &Output) -> Result<Exit, Failure> {
    let client = Client::peer(&globals.peer_home()?);
    let mut shown = Shown::new(out, "check");
    let request = CheckRequest {
        read_data: args.read_data,
    };
    let done: CheckDone =
        runtime::interruptible(client.follow("/v1/check", &request, |progress| shown.tell(&progress)))?;
    drop(shown);
    for damage in &done.damaged {
        out.note(told(damage));
    }
    for damage in &done.papers {
        out.note(told_of_paper(damage));
    }
    for failed in &done.failed {
        out.note(format!("{}: {}", output::printable(&failed.path), failed.reason));
    }
    let shards = done.damaged.iter().map(|damage| damage.repaired);
    let all: Vec<bool> = shards
        .chain(done.papers.iter().map(|damage| damage.repaired))
        .collect();
    let repaired = all.iter().filter(|repaired| **repaired).count();
    let problems = done.failed.len() + all.len() - repaired;
    let text = format!(
        "{} snapshots in {} packs, of which {} can be had now; {} read; storage peers that may vanish: {}; repaired: {repaired}; problems: {problems}.",
        done.snapshots,
        done.packs,
        done.reachable,
        output::bytes(done.bytes),
        done.survives,
    );
    out.event("done", &done, text);
    Ok(Exit::partly(problems > 0))
}

fn told(damage: &Damage) -> String {
    let (pack, _) = damage.pack.split_at_checked(8).unwrap_or((&damage.pack, ""));
    format!(
        "part {} of pack {pack} at {}: {}; {}",
        damage.shard,
        output::printable(&damage.holder),
        output::printable(&damage.problem),
        output::printable(&damage.done)
    )
}

fn told_of_paper(damage: &PaperDamage) -> String {
    let done = match damage.repaired {
        true => "written again",
        false => "not written again",
    };
    format!(
        "{} at {}: it was damaged on the disk; {done}",
        output::printable(&damage.paper),
        output::printable(&damage.holder)
    )
}
