//! Deeds of the care of snapshots: what is forgotten, pruned, checked and rebuilt.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{BACKUP, Deed, Scene, change_work, make_snapshot};
use crate::{
    Outcome,
    chaos::{
        program::within,
        promises::work,
        town::{HOLDERS, OWNER},
    },
};

/// How many snapshots stay when some are forgotten.
const KEPT: usize = 2;

pub(super) const FORGET: Deed = Deed {
    prepare: |scene| {
        for _ in 0..2 {
            back_up(scene)?;
        }
        // From now on it is not promised that they are there, nor that they are gone.
        let snapshots = &mut scene.promises.snapshots;
        snapshots.drain(..snapshots.len().saturating_sub(KEPT));
        Ok(())
    },
    act: |scene, _| {
        scene
            .town
            .ask(OWNER, &["forget", "--keep-last", &KEPT.to_string()])
    },
    settle: |scene, _| match scene.town.list(OWNER, &["snapshots"])?.len() {
        KEPT => Ok(()),
        count => Err(format!("{count} snapshots are left, and not {KEPT}").into()),
    },
    starts: false,
    copy: None,
};

pub(super) const PRUNE: Deed = Deed {
    prepare: |scene| {
        // What only old snapshots have: packs that are partly dead.
        let old = format!("new-{}", scene.round.saturating_sub(1));
        let _ = fs::remove_file(work(&scene.town).join(old));
        (FORGET.prepare)(scene)?;
        (FORGET.act)(scene, None).map(drop)
    },
    act: |scene, _| scene.town.ask(OWNER, &["prune"]),
    settle: |scene, _| {
        let again = scene.town.ask(OWNER, &["prune"])?;
        match again["packs"].as_u64() {
            Some(0) => Ok(()),
            _ => Err(format!("the next prune finds something again: {again}").into()),
        }
    },
    starts: false,
    copy: None,
};

/// Recovery after a kill in the middle of a prune, and a kill in the middle of that.
pub(super) const PRUNE_REOPEN: Deed = Deed {
    prepare: |scene| {
        (PRUNE.prepare)(scene)?;
        let mut prune = scene.town.run(OWNER, &["prune"])?;
        prune.wait_event("progress")?;
        scene.town.kill(&scene.struck)
    },
    act: |scene, plan| scene.town.open(&scene.struck, plan),
    settle: |scene, _| {
        scene.town.revive()?;
        let done = (PRUNE.act)(scene, None)?;
        (PRUNE.settle)(scene, &done)
    },
    starts: true,
    copy: None,
};

/// A shard of the newest snapshots has rotten at a holder, and is made whole.
pub(super) const CHECK: Deed = Deed {
    prepare: |scene| {
        back_up(scene)?;
        rot(&newest_shard(&scene.town.path(HOLDERS[0]))?)
    },
    act: |scene, _| scene.town.ask(OWNER, &["check", "--read-data"]),
    settle: |scene, done| {
        let again = (CHECK.act)(scene, None)?;
        match (&done["failed"], &again["failed"], &again["damaged"]) {
            (Value::Array(one), Value::Array(other), Value::Array(damaged))
                if one.is_empty() && other.is_empty() && damaged.is_empty() =>
            {
                Ok(())
            }
            _ => Err(format!("LOST: a check finds {again}, after {done}").into()),
        }
    },
    starts: false,
    copy: None,
};

/// A holder is away, and the others rebuild what it has.
pub(super) const REBUILD: Deed = Deed {
    prepare: |scene| {
        make_snapshot(scene)?;
        back_up(scene)
    },
    act: |scene, _| {
        scene.town.kill(HOLDERS[0])?;
        within("the loss of one more holder to do no harm", || {
            if scene.town.program(&scene.struck)?.has_ended() {
                return Err("who rebuilds has ended".into());
            }
            let rows = scene.town.list(OWNER, &["peers"]).unwrap_or_default();
            let is_lost = |row: &Value| row["name"] == HOLDERS[0] && row["state"] == "failed";
            if !rows.iter().any(is_lost) {
                return Ok(None);
            }
            // Until it is rebuilt, what is missing is a problem that it tells of.
            let checked = scene.town.ask(OWNER, &["check"]).unwrap_or_default();
            Ok((checked["survives"].as_u64() > Some(0)).then_some(checked))
        })
    },
    settle: |scene, _| scene.town.revive(),
    starts: false,
    copy: None,
};

fn back_up(scene: &mut Scene) -> Outcome {
    change_work(scene)?;
    let done = (BACKUP.act)(scene, None)?;
    (BACKUP.settle)(scene, &done)
}

/// The file of the shard that a holder has kept for the shortest time.
fn newest_shard(home: &Path) -> Outcome<PathBuf> {
    let mut shards = Vec::new();
    find_shards(home, &mut shards)?;
    let newest = shards
        .into_iter()
        .max_by_key(|path| path.metadata().and_then(|it| it.modified()).ok());
    newest.ok_or_else(|| "the holder keeps no shard".into())
}

/// Files named `PACK.N`.
fn find_shards(folder: &Path, found: &mut Vec<PathBuf>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find_shards(&path, found)?;
            continue;
        }
        let pack = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default();
        let shard = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
        if pack.len() == 64 && shard.parse::<u8>().is_ok() {
            found.push(path);
        }
    }
    Ok(())
}

/// Turns the bits of a byte in the middle.
fn rot(file: &Path) -> Outcome {
    let mut bytes = fs::read(file)?;
    let middle = bytes.len() / 2;
    let byte = bytes.get_mut(middle).ok_or("the shard is empty")?;
    *byte ^= 0xff;
    // In place: the file keeps its inode, as a rotten one does.
    let mut opened = fs::OpenOptions::new().write(true).open(file)?;
    Ok(std::io::Write::write_all(&mut opened, &bytes)?)
}
