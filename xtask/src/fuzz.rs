//! `cargo xtask fuzz`: replays the committed inputs of each fuzz target, then looks for new ones.
//!
//! The targets lie in `fuzz/`, a workspace of its own. They are built without a sanitizer, so that
//! the stable toolchain is enough.

use std::fs;

use crate::{Outcome, workspace};

/// Replay the corpus of the fuzz targets and fuzz each for a while.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// One target; all of them if there is none
    target: Option<String>,
    /// How long to fuzz each target
    #[arg(long, default_value_t = 5)]
    seconds: u32,
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
    targets.iter().try_for_each(|target| fuzz(target, args.seconds))
}

/// All targets, each for `seconds`.
pub(crate) fn run_all(seconds: u32) -> Outcome {
    run(&Args {
        target: None,
        seconds,
    })
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

/// New inputs go to the first folder, which is not committed; the second is replayed first.
fn fuzz(target: &str, seconds: u32) -> Outcome {
    let (found, committed) = (
        format!("fuzz/corpus-run/{target}"),
        format!("fuzz/corpus/{target}"),
    );
    for folder in [&found, &committed] {
        fs::create_dir_all(workspace::root().join(folder))?;
    }
    let time = format!("-max_total_time={seconds}");
    let args = [
        "fuzz",
        "run",
        "--sanitizer=none",
        target,
        &found,
        &committed,
        "--",
    ];
    let limits = [
        &time,
        "-timeout=5",
        "-rss_limit_mb=1024",
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
