//! The second half of the story: a folder is backed up, holders are killed, others rebuild what they had, the owner's
//! machine is lost, and a new one brings everything back with 24 words.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rand::{RngCore, SeedableRng, rngs::SmallRng};
use serde::Serialize;
use skep_node::api::types::{SnapshotState, SnapshotStatus, Status};

use super::{
    compare,
    stage::{Peer, Stage},
};
use crate::{failure::Failure, output, output::Output};

/// Copies of each part of the backup.
const COPIES: &str = "3x";
/// Holders that are killed: as many as three copies survive.
const KILLED: usize = 2;
/// Files of the folder that is backed up, and the bytes of each.
const MADE_FILES: usize = 48;
const MADE_FILE_BYTES: usize = 1 << 20;
/// How long the others may take to rebuild what was lost.
const REPAIR_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A line of the second table.
#[derive(Serialize)]
pub(super) struct Step {
    step: &'static str,
    seconds: f64,
    result: String,
    pub(super) verified: bool,
}

/// Tells it. Of `holders` two are lost.
pub(super) async fn tell(
    stage: &Stage,
    holders: &mut Vec<Peer>,
    named: Option<&Path>,
    out: &Output,
) -> Result<Vec<Step>, Failure> {
    let mut owner = stage.peer("owner", &["--role", "owner"]).await?;
    let folder = match named {
        Some(path) => path.to_owned(),
        None => make_folder(stage.folder()).map_err(|e| not_written(&e))?,
    };
    let mut steps = vec![back_up(&owner, &folder, out).await?];
    let words = owner.ask(&["recovery-phrase"]).await?;
    let words = words["phrase"].as_str().unwrap_or_default().to_owned();

    let mut names = Vec::new();
    for mut lost in holders.drain(..KILLED) {
        lost.kill().await;
        let _ = fs::remove_dir_all(lost.folder());
        names.push(lost.name().to_owned());
    }
    let names = names.join(" and ");
    out.note(format!(
        "{names} are killed and their disks deleted. The others notice, and rebuild:"
    ));
    steps.push(watch(&owner, &names, out).await?);

    owner.kill().await;
    fs::remove_dir_all(owner.folder()).map_err(|e| not_written(&e))?;
    out.note("The owner's machine is lost. A new one joins, with nothing but the 24 words.");
    steps.push(recover(stage, &folder, &words).await?);
    Ok(steps)
}

async fn back_up(owner: &Peer, folder: &Path, out: &Output) -> Result<Step, Failure> {
    let path = folder.to_string_lossy();
    out.note(format!(
        "Another peer, owner, backs up {path}, encrypted, in three copies."
    ));
    let started = Instant::now();
    let done = owner.ask(&["backup", &path, "--redundancy", COPIES]).await?;
    let amount = output::bytes(done["bytes"].as_u64().unwrap_or_default());
    Ok(Step {
        step: "backed up",
        seconds: started.elapsed().as_secs_f64(),
        result: format!(
            "{} files, {amount}; {} holders may vanish",
            done["files"], done["survives"]
        ),
        verified: true,
    })
}

/// Shows how the snapshot stands until it is whole again with all of its holders there.
async fn watch(owner: &Peer, killed: &str, out: &Output) -> Result<Step, Failure> {
    let started = Instant::now();
    let mut shown = String::new();
    let mut is_noticed = false;
    loop {
        let seconds = started.elapsed().as_secs_f64();
        let snapshot = look(owner).await?;
        let now = format!(
            "{:<9} survives {}, {} of {} holders reachable, {} to repair",
            snapshot.state.word(),
            snapshot.survives,
            snapshot.reachable,
            snapshot.holders,
            output::bytes(snapshot.repair_bytes)
        );
        if now != shown {
            out.note(format!("  {seconds:>5.1} s  {now}"));
            shown = now;
        }
        let is_whole = snapshot.state == SnapshotState::Whole && snapshot.reachable == snapshot.holders;
        is_noticed |= !is_whole;
        if is_noticed && is_whole {
            return Ok(Step {
                step: "repaired",
                seconds,
                result: format!("without {killed}; {} holders may vanish again", snapshot.survives),
                verified: true,
            });
        }
        if started.elapsed() > REPAIR_PATIENCE {
            return Err(Failure::new(
                "not_repaired",
                "the backup was not whole again in a minute",
                "this is a bug, or this machine is very busy",
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(owner: &Peer) -> Result<SnapshotStatus, Failure> {
    let status: Status = serde_json::from_value(owner.ask(&["status"]).await?)
        .map_err(|e| Failure::new("internal", format!("the status cannot be read: {e}"), ""))?;
    let snapshot = status.backups.and_then(|mut backups| backups.snapshots.pop());
    snapshot.ok_or_else(|| Failure::new("internal", "the status tells of no snapshot", ""))
}

/// A new machine, and everything on it again.
async fn recover(stage: &Stage, folder: &Path, words: &str) -> Result<Step, Failure> {
    let started = Instant::now();
    let heir = stage.peer("new-machine", &["--role", "owner"]).await?;
    let file = heir.folder().join("words");
    write_secret(&file, words).map_err(|e| not_written(&e))?;
    heir.ask(&["recover", "--phrase-file", &file.to_string_lossy()])
        .await?;
    let target = heir.folder().join("restored");
    let done = heir
        .ask(&["restore", "latest", "--to", &target.to_string_lossy()])
        .await?;
    let full = fs::canonicalize(folder).map_err(|e| not_written(&e))?;
    let copy = target.join(full.strip_prefix("/").unwrap_or(&full));
    let verified = compare::same(folder, &copy);
    let amount = output::bytes(done["bytes"].as_u64().unwrap_or_default());
    let same = if verified {
        "the same, byte by byte"
    } else {
        "NOT THE SAME"
    };
    Ok(Step {
        step: "recovered",
        seconds: started.elapsed().as_secs_f64(),
        result: format!("{} files, {amount} on a new machine: {same}", done["files"]),
        verified,
    })
}

/// As cells of the table.
pub(super) fn cells(step: &Step) -> Vec<String> {
    vec![
        step.step.to_owned(),
        format!("{:.2}", step.seconds),
        step.result.clone(),
    ]
}

fn make_folder(stage: &Path) -> io::Result<PathBuf> {
    let folder = stage.join("documents");
    let mut rng = SmallRng::seed_from_u64(2);
    for number in 0..MADE_FILES {
        let inner = folder.join(format!("folder-{}", number % 6));
        fs::create_dir_all(&inner)?;
        let mut bytes = vec![0; MADE_FILE_BYTES];
        rng.fill_bytes(&mut bytes);
        fs::write(inner.join(format!("file-{number}")), bytes)?;
    }
    Ok(folder)
}

fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

fn not_written(error: &io::Error) -> Failure {
    Failure::new(
        "not_writable",
        format!("the demo's folder cannot be used: {error}"),
        "make room in the temporary folder",
    )
}
