//! `skep demo`: the whole story on this machine, with real processes.
//!
//! How sharing goes is told here, how backups go in [`recovery`]; [`stage`] starts, asks and stops the processes,
//! [`compare`] holds what came against what was there.

mod compare;
mod recovery;
mod stage;

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use rand::{RngCore, SeedableRng, rngs::SmallRng};
use serde::Serialize;
use serde_json::Value;

use self::stage::{Peer, Stage};
use crate::{exit::Exit, failure::Failure, globals, output, output::Output, runtime};

/// Holders at the end of the story.
const HOLDERS: usize = 5;
/// Bytes of the file that is made when none is named.
const MADE_BYTES: u64 = 200 << 20;
/// How fast the last download goes, so that there is a middle to kill a holder in.
const SLOW: &str = "64MiB";

/// Show on this machine what Skep does: downloads from one to five peers, and a backup that outlives three machines
///
/// First a file is shared and spread over five peers, of which one is killed. Then a folder is backed up; two of the
/// machines that keep it are lost, and others rebuild what they had; the owner's machine is lost, and a new one brings
/// everything back with 24 words. Everything runs as separate processes in a temporary folder and is removed at the end.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File or folder to share and to back up [default: a random file of 200 MiB, and a folder of 48 MiB]
    path: Option<PathBuf>,
    /// Keep everything running, and tell how to join
    #[arg(long)]
    keep: bool,
}

/// A line of the table.
#[derive(Serialize)]
struct Row {
    holders: usize,
    seconds: f64,
    mib_per_second: f64,
    from: std::collections::BTreeMap<String, u64>,
    verified: bool,
    note: String,
}

pub(crate) fn run(args: &Args, out: &Output) -> Result<Exit, Failure> {
    runtime::interruptible(async {
        let mut stage = Stage::open()?;
        let shared = match &args.path {
            Some(path) => globals::absolute(path)?,
            None => make_file(stage.folder())?,
        };
        out.note(format!("Everything is in {}.", stage.folder().display()));
        let mut holders = Vec::new();
        let rows = tell(&mut stage, &mut holders, &shared, out).await?;
        out.rows(
            &rows,
            &["holders", "seconds", "MiB/s", "verified", "from", ""],
            cells,
        );
        let named = args.path.is_some().then_some(&*shared);
        let steps = recovery::tell(&stage, &mut holders, named, out).await?;
        out.rows(&steps, &["", "seconds", ""], recovery::cells);
        if args.keep {
            keep(&mut stage, out).await?;
        }
        stage.close().await;
        let all_verified = rows.iter().all(|row| row.verified);
        if all_verified && steps.iter().all(|step| step.verified) {
            Ok(Exit::Done)
        } else {
            Err(Failure::new(
                "not_verified",
                "what came was not what had been there",
                "this is a bug: please report it",
            ))
        }
    })
}

/// The first half of the story. Leaves five `holders` that run.
async fn tell(
    stage: &mut Stage,
    holders: &mut Vec<Peer>,
    shared: &Path,
    out: &Output,
) -> Result<Vec<Row>, Failure> {
    stage.coordinator().await?;
    out.note("A coordinator runs, and five peers join it with tickets.");
    for number in 1..=HOLDERS {
        holders.push(stage.peer(&format!("peer-{number}"), &[]).await?);
    }
    let path = shared.to_string_lossy().into_owned();
    let share = holders[0].ask(&["share", &path, "--name", "demo"]).await?;
    let bytes = share["bytes"].as_u64().unwrap_or_default();
    out.note(format!(
        "peer-1 shares {} ({}). The others get it, one after the other.",
        path,
        output::bytes(bytes)
    ));
    let mut rows = Vec::new();
    for count in 1..=HOLDERS {
        if count > 1 {
            spread(&holders[count - 1]).await?;
        }
        rows.push(measure(stage, shared, count, bytes).await?);
    }
    out.note(format!(
        "Now one of five holders is killed in the middle of a download, of at most {SLOW}/s."
    ));
    rows.push(kill_one(stage, shared, holders, bytes).await?);
    holders.pop();
    holders.push(stage.peer("peer-6", &[]).await?);
    Ok(rows)
}

async fn spread(holder: &Peer) -> Result<(), Failure> {
    let target = holder.folder().join("got");
    holder
        .ask(&["get", "demo", "-o", &target.to_string_lossy()])
        .await
        .map(drop)
}

/// A newcomer gets it and leaves again, so that it does not count as a holder.
async fn measure(stage: &Stage, shared: &Path, holders: usize, bytes: u64) -> Result<Row, Failure> {
    let mut reader = stage.peer(&format!("reader-{holders}"), &[]).await?;
    let target = reader.folder().join("got");
    let done = reader
        .ask(&["get", "demo", "-o", &target.to_string_lossy()])
        .await?;
    let row = row(
        &done,
        holders,
        bytes,
        compare::same(shared, &target),
        String::new(),
    );
    reader.ask(&["leave"]).await?;
    reader.wait().await;
    Ok(row)
}

async fn kill_one(stage: &Stage, shared: &Path, holders: &mut [Peer], bytes: u64) -> Result<Row, Failure> {
    let reader = stage.peer("reader-6", &["--down-rate", SLOW]).await?;
    let target = reader.folder().join("got");
    let victim = holders.last_mut().expect("there are five");
    let name = victim.name().to_owned();
    let target_text = target.to_string_lossy().into_owned();
    let words = ["get", "demo", "-o", &target_text];
    let get = reader.ask(&words);
    let kill = async {
        tokio::time::sleep(Duration::from_millis(800)).await;
        victim.kill().await;
    };
    let (done, ()) = tokio::join!(get, kill);
    let note = format!("{name} killed");
    Ok(row(&done?, HOLDERS, bytes, compare::same(shared, &target), note))
}

fn row(done: &Value, holders: usize, bytes: u64, verified: bool, note: String) -> Row {
    let seconds = done["seconds"].as_f64().unwrap_or_default();
    let from = serde_json::from_value(done["from"].clone()).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let mib_per_second = bytes as f64 / seconds.max(0.001) / f64::from(1 << 20);
    Row {
        holders,
        seconds,
        mib_per_second,
        from,
        verified,
        note,
    }
}

fn cells(row: &Row) -> Vec<String> {
    let all: u64 = row.from.values().sum();
    let from: Vec<String> = row
        .from
        .iter()
        .map(|(name, bytes)| format!("{name} {}%", 100 * bytes / all.max(1)))
        .collect();
    vec![
        row.holders.to_string(),
        format!("{:.2}", row.seconds),
        format!("{:.0}", row.mib_per_second),
        if row.verified { "yes" } else { "NO" }.to_owned(),
        from.join(", "),
        row.note.clone(),
    ]
}

/// Waits for Ctrl-C, which the caller hears.
async fn keep(stage: &mut Stage, out: &Output) -> Result<(), Failure> {
    let ticket = stage.invite().await?;
    out.note("It goes on running. Join it from another terminal with:");
    out.line(format!("skep --home /tmp/my-skep up --join {ticket}"));
    out.note("Ctrl-C ends it and removes everything.");
    std::future::pending().await
}

fn make_file(folder: &Path) -> Result<PathBuf, Failure> {
    let path = folder.join("demo.bin");
    let made = || -> std::io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        let mut rng = SmallRng::seed_from_u64(1);
        let mut block = vec![0; 1 << 20];
        for _ in 0..MADE_BYTES >> 20 {
            rng.fill_bytes(&mut block);
            file.write_all(&block)?;
        }
        file.flush()
    };
    made().map_err(|e| {
        Failure::new(
            "not_writable",
            format!("the demo's file cannot be made: {e}"),
            "make room in the temporary folder",
        )
    })?;
    Ok(path)
}
