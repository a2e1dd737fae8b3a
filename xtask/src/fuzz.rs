//! `cargo xtask fuzz`: replays the committed inputs of each fuzz target, then looks for new ones.
//!
//! The targets lie in `fuzz/`, a workspace of its own. They are built without a sanitizer, so that
//! the stable toolchain is enough.

use std::{
    fs,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use crate::{Outcome, workspace};

/// Replay the corpus of the fuzz targets and fuzz each for a while.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One target; all of them if there is none
    target: Option<String>,
    /// How long to fuzz each target
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// How many inputs to try with each target, however long it takes
    #[arg(long, conflicts_with = "seconds")]
    runs: Option<u64>,
}

/// Fuzzes the target, or all.
pub(crate) fn run(args: &Args) -> Outcome {
    install_cargo_fuzz()?;
    let mut targets = targets()?;
    if let Some(target) = &args.target {
        let unknown = || format!("no fuzz target {target}; there are {}", targets.join(", "));
        targets = vec![
            targets
                .iter()
                .find(|name| *name == target)
                .ok_or_else(unknown)?
                .clone(),
        ];
    }
    workspace::run(&mut workspace::cargo(&["fuzz", "build", "--sanitizer=none"]))?;
    let enough = match args.runs {
        Some(runs) => format!("-runs={runs}"),
        None => format!("-max_total_time={}", args.seconds),
    };
    fuzz_all(&targets, &enough)
}

/// All targets, each for `seconds`.
pub(crate) fn run_all(seconds: u32) -> Outcome {
    run(&Args {
        target: None,
        seconds,
        runs: None,
    })
}

/// As many targets at a time as there are processors. One that fails does not stop the others.
fn fuzz_all(targets: &[String], enough: &str) -> Outcome {
    let next = AtomicUsize::new(0);
    let work = || -> Vec<String> {
        let turns = std::iter::from_fn(|| targets.get(next.fetch_add(1, Ordering::Relaxed)));
        let failed = turns.filter_map(|target| fuzz(target, enough).err().map(|e| e.to_string()));
        failed.collect()
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let failed: Vec<String> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let ended = workers.into_iter().flat_map(|worker| worker.join());
        ended.flatten().collect()
    });
    match failed.is_empty() {
        true => Ok(()),
        false => Err(failed.join("\n").into()),
    }
}

fn install_cargo_fuzz() -> Outcome {
    if workspace::find_program("cargo-fuzz").is_some() {
        return Ok(());
    }
    workspace::run(&mut workspace::cargo(&["install", "--locked", "cargo-fuzz"]))
}

fn targets() -> Outcome<Vec<String>> {
    let folder = workspace::root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|e| format!("cannot list {}: {e}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// What a target may have of memory.
fn memory_mib(target: &str) -> u32 {
    match target {
        // redb allocates a page before it reads it, and what a changed byte takes for a page may have 4 GiB
        // (cberner/redb#1331).
        "ledger" => 4096 + 512,
        _ => 1024,
    }
}

/// New inputs go to the first folder, which is not committed; the second is replayed first.
fn fuzz(target: &str, enough: &str) -> Outcome {
    let (found, committed) = (
        format!("fuzz/corpus-run/{target}"),
        format!("fuzz/corpus/{target}"),
    );
    for folder in [&found, &committed] {
        fs::create_dir_all(workspace::root().join(folder))?;
    }
    let args = [
        "fuzz",
        "run",
        "--sanitizer=none",
        target,
        &found,
        &committed,
        "--",
    ];
    let memory = format!("-rss_limit_mb={}", memory_mib(target));
    let limits = [
        enough,
        "-timeout=5",
        &memory,
        "-print_final_stats=1",
        "-verbosity=0",
    ];
    let output = workspace::cargo(&args).args(limits).output()?;
    let printed = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("{printed}\nthe fuzz target {target} failed").into());
    }
    // It also prints a long dictionary of what it learnt, which nobody reads.
    let inputs = printed
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    println!("{target}: {} inputs", inputs.unwrap_or("some").trim());
    Ok(())
}
