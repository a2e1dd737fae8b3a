//! 1 GiB that cannot be compressed, 4+2 over seven peers, beside writing the same bytes to the same disk; and
//! what a second, slightly changed copy costs.

use std::{
    fs::File,
    io::{self, Read, Write},
    path::Path,
    time::Instant,
};

use super::{keepers::Keepers, tell};
use crate::{
    Outcome,
    bench::{
        Args, interrupt,
        material::{MIB, Material},
        report::{Bound, middle, render, verdict},
        rounds::sync_file_system,
        stage::Stage,
    },
};

const SIZE_MIB: u64 = 1024;
const HOLDERS: usize = 7;
const SCHEME: &str = "4+2";
/// A quarter of a pack.
const SHARD_BYTES: usize = 4 << 20;
/// So often something is put into the copy.
const CHANGES: u64 = 16;
const CHANGE: [u8; 1000] = [b'+'; 1000];

const MAX_RATIO: f64 = 1.5;
const MAX_SPACE: f64 = 1.55;
const MAX_CHANGED: f64 = 0.03;
const MAX_OWNER_MIB: f64 = 256.0;
const MAX_HOLDER_MIB: f64 = 64.0;

/// One round.
struct Round {
    backup_s: f64,
    /// The same bytes to the bare disk.
    bare_s: f64,
    stored_bytes: f64,
    changed_bytes: f64,
    owner_mib: f64,
    holder_mib: f64,
}

/// The table and its verdicts; medians of all rounds.
pub(super) fn run(args: &Args, binary: &Path) -> Outcome<String> {
    let material = Material::generate(&args.folder()?, args.mib.unwrap_or(SIZE_MIB), args.seed)?;
    let mut rounds = Vec::new();
    for _ in 0..args.runs {
        rounds.push(round(args, binary, &material)?);
        interrupt::check()?;
    }
    let of = |figure: fn(&Round) -> f64| middle(rounds.iter().map(figure).collect()).unwrap_or(f64::NAN);
    let (backup_s, bare_s) = (of(|round| round.backup_s), of(|round| round.bare_s));
    let ratio = of(|round| round.backup_s / round.bare_s);
    let stored = of(|round| round.stored_bytes);
    let line = |what: &str, seconds: f64| vec![what.to_owned(), format!("{seconds:.2}")];
    let table = render(&[
        vec!["what".to_owned(), "s".to_owned()],
        line("backup, 4+2 on 7 peers", backup_s),
        line("the same bytes, fdatasync for each shard", bare_s),
    ]);
    let title = format!(
        "\n### Backup of {} MiB of random bytes, medians of {}\n\n",
        material.mib(),
        args.runs
    );
    let kept = [
        ("backup, by the bare disk", ratio, MAX_RATIO),
        ("stored, by the data", stored / material.bytes as f64, MAX_SPACE),
        (
            "a changed copy, by the first",
            of(|round| round.changed_bytes) / stored,
            MAX_CHANGED,
        ),
        ("MiB resident, owner", of(|round| round.owner_mib), MAX_OWNER_MIB),
        (
            "MiB resident, holder",
            of(|round| round.holder_mib),
            MAX_HOLDER_MIB,
        ),
    ];
    let verdicts = kept.map(|(what, measured, most)| verdict(what, measured, Bound::AtMost(most)));
    Ok(title + &table + "\n" + &verdicts.concat())
}

fn round(args: &Args, binary: &Path, material: &Material) -> Outcome<Round> {
    let folder = args.folder()?;
    sync_file_system(&folder)?;
    let mut stage = Stage::new(&folder)?;
    let copies = stage.folder("copies")?;
    let mut keepers = Keepers::found(&mut stage, binary, HOLDERS, &[])?;
    let (cost, done) = keepers.backup(&[&material.path()], SCHEME)?;
    tell("backup, 4+2", cost.wall_s, "s");
    write_changed(&material.path(), material.bytes, &copies.join("changed"))?;
    let (_, changed) = keepers.backup(&[&material.path(), &copies], SCHEME)?;
    let (owner_mib, holder_mib) = keepers.peaks_mib()?;
    let stored = |done: &serde_json::Value| done["stored_bytes"].as_u64().ok_or("backup says no size");
    let (stored_bytes, changed_bytes) = (stored(&done)?, stored(&changed)?);
    drop(stage);
    let bare_s = write_bare(&folder, stored_bytes)?;
    tell("the bare disk", bare_s, "s");
    tell("a changed copy", changed_bytes as f64 / MIB as f64, "MiB");
    Ok(Round {
        backup_s: cost.wall_s,
        bare_s,
        stored_bytes: stored_bytes as f64,
        changed_bytes: changed_bytes as f64,
        owner_mib,
        holder_mib,
    })
}

/// How long it takes to write so many bytes, shard by shard, each made durable.
fn write_bare(parent: &Path, bytes: u64) -> Outcome<f64> {
    let folder = tempfile::Builder::new()
        .prefix("skep-bench-")
        .tempdir_in(parent)?;
    sync_file_system(parent)?;
    let block = vec![7; SHARD_BYTES];
    let start = Instant::now();
    for number in 0..bytes.div_ceil(SHARD_BYTES as u64) {
        interrupt::check()?;
        let mut file = File::create(folder.path().join(number.to_string()))?;
        file.write_all(&block)?;
        file.sync_data()?;
    }
    Ok(start.elapsed().as_secs_f64())
}

/// A copy with a few bytes more, here and there.
fn write_changed(original: &Path, bytes: u64, copy: &Path) -> Outcome {
    let original = File::open(original)?;
    let mut copied = File::create(copy)?;
    let part = bytes.div_ceil(CHANGES).max(1);
    while io::copy(&mut (&original).take(part), &mut copied)? > 0 {
        interrupt::check()?;
        copied.write_all(&CHANGE)?;
    }
    Ok(())
}
