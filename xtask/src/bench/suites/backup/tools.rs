//! Three programs that back up: each does it first, once more, and back, as a person would have it by default.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::keepers::Keepers;
use crate::{
    Outcome,
    bench::{
        material::Material,
        report::middle,
        rounds::sync_file_system,
        stage::{Stage, command},
    },
};

/// Storage peers, each of which gets one of three copies or none.
const HOLDERS: usize = 5;
const SCHEME: &str = "3x";

/// What a program took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    pub(super) first_s: f64,
    /// Nothing has changed.
    pub(super) second_s: f64,
    pub(super) restore_s: f64,
    /// All copies together.
    pub(super) stored_bytes: u64,
    /// The largest resident set of who backs up, in MiB.
    pub(super) owner_mib: f64,
    /// The same of who keeps it for others.
    pub(super) holder_mib: f64,
}

/// A program.
pub(super) struct Tool {
    pub(super) name: &'static str,
    /// What must be installed, beside the program that is measured.
    pub(super) needs: Option<&'static str>,
    pub(super) run: fn(&mut Stage, &Path, &Material) -> Outcome<Times>,
}

/// All of them; the first is what the others are compared with.
pub(super) const ALL: [Tool; 3] = [
    Tool {
        name: "restic, local",
        needs: Some("restic"),
        run: restic,
    },
    Tool {
        name: "borg, local",
        needs: Some("borg"),
        run: borg,
    },
    Tool {
        name: "skep, 3x on 5 peers",
        needs: None,
        run: skep,
    },
];

impl Times {
    /// Each figure's median by itself.
    pub(super) fn median(all: &[Self]) -> Option<Self> {
        let of = |figure: fn(&Self) -> f64| middle(all.iter().map(figure).collect());
        Some(Self {
            first_s: of(|times| times.first_s)?,
            second_s: of(|times| times.second_s)?,
            restore_s: of(|times| times.restore_s)?,
            stored_bytes: all.last()?.stored_bytes,
            owner_mib: of(|times| times.owner_mib)?,
            holder_mib: of(|times| times.holder_mib)?,
        })
    }
}

fn skep(stage: &mut Stage, binary: &Path, material: &Material) -> Outcome<Times> {
    let target = stage.folder("out")?;
    let mut keepers = Keepers::found(stage, binary, HOLDERS, &[])?;
    let (first, done) = keepers.backup(&[&material.path()], SCHEME)?;
    let (second, _) = keepers.backup(&[&material.path()], SCHEME)?;
    sync_file_system(&target)?;
    let restore = keepers.restore(&target)?;
    let (owner_mib, holder_mib) = keepers.peaks_mib()?;
    expect_restored(material, &target)?;
    Ok(Times {
        first_s: first.wall_s,
        second_s: second.wall_s,
        restore_s: restore.wall_s,
        stored_bytes: done["stored_bytes"].as_u64().unwrap_or(0),
        owner_mib,
        holder_mib,
    })
}

fn restic(stage: &mut Stage, _: &Path, material: &Material) -> Outcome<Times> {
    let (target, repository) = (stage.folder("out")?, stage.path("repository"));
    let cache = stage.path("cache");
    let restic = |words: &[&str], path: Option<&Path>| {
        let mut command = command("restic", words);
        command.args(path).arg("--repo").arg(&repository);
        command
            .env("RESTIC_PASSWORD", "bench")
            .env("RESTIC_CACHE_DIR", &cache);
        command
    };
    stage.run("init", &mut restic(&["init"], None))?;
    let back_up = || restic(&["backup"], Some(&material.path()));
    let restore = restic(&["restore", "latest", "--target"], Some(&target));
    measure(
        stage,
        material,
        &repository,
        &target,
        [back_up(), back_up(), restore],
    )
}

fn borg(stage: &mut Stage, _: &Path, material: &Material) -> Outcome<Times> {
    let (target, repository) = (stage.folder("out")?, stage.path("repository"));
    let base = stage.folder("base")?;
    let borg = |words: &[&str], archive: &str, path: Option<&Path>| {
        let mut command = command("borg", words);
        command
            .arg(format!("{}{archive}", repository.display()))
            .args(path)
            .current_dir(&target)
            .env("BORG_PASSPHRASE", "bench")
            .env("BORG_BASE_DIR", &base);
        command
    };
    stage.run(
        "init",
        &mut borg(&["init", "--encryption=repokey-blake2"], "", None),
    )?;
    let path = material.path();
    let first = borg(&["create"], "::first", Some(&path));
    let second = borg(&["create"], "::second", Some(&path));
    let restore = borg(&["extract"], "::second", None);
    measure(stage, material, &repository, &target, [first, second, restore])
}

/// Runs the three commands one after the other, from a quiet disk.
fn measure(
    stage: &mut Stage,
    material: &Material,
    repository: &Path,
    target: &Path,
    commands: [Command; 3],
) -> Outcome<Times> {
    let [mut first, mut second, mut restore] = commands;
    let first = stage.fetch(&mut first)?;
    let second = stage.fetch(&mut second)?;
    sync_file_system(target)?;
    let restore = stage.fetch(&mut restore)?;
    expect_restored(material, target)?;
    Ok(Times {
        first_s: first.wall_s,
        second_s: second.wall_s,
        restore_s: restore.wall_s,
        stored_bytes: bytes_in(repository)?,
        owner_mib: first.peak_rss_kib as f64 / 1024.0,
        holder_mib: 0.0,
    })
}

/// All three restore the full original path beneath the target.
fn expect_restored(material: &Material, target: &Path) -> Outcome {
    let original = material.path();
    let copy: PathBuf = target.join(original.strip_prefix("/")?);
    material.expect_same(&copy)
}

fn bytes_in(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => bytes_in(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}
