//! What is asked of the tools, and which answers are promised.

use std::{fs::File, path::Path, time::Instant};

use super::{
    Args, interrupt,
    material::Material,
    report::{self, Cost, Row, verdict},
    rivals,
    skep::{self, Case},
    stage::Stage,
};
use crate::{Outcome, workspace};

/// How Skep is called in the tables.
const SKEP: &str = "skep";
/// Of one holder, and of many.
const HOLDERS: [usize; 2] = [1, 5];

/// Wall time of a verified download by that of the baseline, by holders.
const MAX_VERIFIED_RATIO: [f64; 2] = [1.3, 1.1];
/// Wall time until durable by that of the baseline and `sync -f`.
const MAX_DURABLE_RATIO: f64 = 1.3;
/// Each holder of the limited case may send so much.
const LIMIT: &str = "40MiB";
const LIMITED_MIB: u64 = 480;
const MIN_SPEEDUP: f64 = 4.7;
const LARGE_MIB: u64 = 10 * 1024;
const MAX_RSS_MIB: u64 = 96;

/// Sets the stage and lets one receiver fetch the file.
type Fetch<'a> = Box<dyn Fn(&mut Stage, &Material) -> Outcome<Cost> + 'a>;

/// One tool with so many holders.
struct Entry<'a> {
    name: &'static str,
    holders: usize,
    fetch: Fetch<'a>,
    /// Why it cannot run.
    missing: Option<String>,
}

/// One file, every tool, one holder and five.
pub(super) fn transfer(args: &Args) -> Outcome<String> {
    let binary = if args.wants(SKEP) {
        Some(skep::build()?)
    } else {
        None
    };
    let mut entries = rival_entries(args);
    for holders in HOLDERS {
        entries.extend(binary.as_deref().map(|binary| skep_entry(binary, holders, None)));
    }
    let rows = measure(args, args.mib, &entries)?;
    let title = format!("\n### One file of {} MiB, medians of {}\n\n", args.mib, args.runs);
    let note = format!(
        "\nRatios are to {} (plain HTTP, unverified), and to it followed by `sync -f` where durable.\n\n",
        rivals::BASELINE
    );
    Ok(title + &report::table(&rows, args.mib, rivals::BASELINE) + &note + &transfer_verdicts(&rows))
}

/// Skep alone, each holder with a limited rate.
pub(super) fn limited(args: &Args) -> Outcome<String> {
    let binary = skep::build()?;
    let entries = HOLDERS.map(|holders| skep_entry(&binary, holders, Some(LIMIT)));
    let rows = measure(args, LIMITED_MIB, &entries)?;
    let title = format!(
        "\n### Holders limited to {LIMIT}/s each, {LIMITED_MIB} MiB, medians of {}\n\n",
        args.runs
    );
    let mut text = title + &report::table(&rows, LIMITED_MIB, SKEP) + "\n";
    if let [Row { result: Ok(one), .. }, Row { result: Ok(five), .. }] = &rows[..] {
        let speedup = one.wall_s / five.wall_s;
        let promise = format!("five holders at least {MIN_SPEEDUP} times as fast as one");
        text += &verdict(&promise, speedup, speedup >= MIN_SPEEDUP);
    }
    Ok(text)
}

/// Skep alone, one large file.
pub(super) fn memory(args: &Args) -> Outcome<String> {
    let binary = skep::build()?;
    let once = Args {
        runs: 1,
        ..args.clone()
    };
    let rows = measure(&once, LARGE_MIB, &[skep_entry(&binary, 1, None)])?;
    let title = format!("\n### One file of {} GiB, once\n\n", LARGE_MIB / 1024);
    let mut text = title + &report::table(&rows, LARGE_MIB, rivals::BASELINE) + "\n";
    if let [Row { result: Ok(cost), .. }] = &rows[..] {
        let rss_mib = cost.peak_rss_kib.div_ceil(1024);
        let promise = format!("no process over {MAX_RSS_MIB} MiB resident");
        text += &verdict(&promise, rss_mib as f64, rss_mib <= MAX_RSS_MIB);
    }
    Ok(text)
}

/// The examples of the crates that measure the index; they print and judge by themselves.
pub(super) fn index() -> Outcome<String> {
    let mut text = String::from("\n### The index\n\n");
    for (package, example) in [("skep-engine", "index_scale"), ("skep-coordinator", "lookups")] {
        interrupt::check()?;
        let args = [
            "run",
            "--release",
            "--quiet",
            "--package",
            package,
            "--example",
            example,
        ];
        let printed = workspace::output(&mut workspace::cargo(&args))?;
        text += &format!("```text\n{}\n```\n", printed.trim_end());
    }
    Ok(text)
}

fn rival_entries(args: &Args) -> Vec<Entry<'static>> {
    let mut entries = Vec::new();
    for tool in rivals::ALL.iter().filter(|tool| args.wants(tool.name)) {
        for holders in HOLDERS.into_iter().filter(|holders| *holders <= tool.max_holders) {
            entries.push(Entry {
                name: tool.name,
                holders,
                fetch: Box::new(move |stage, material| (tool.fetch)(stage, material, holders)),
                missing: rivals::missing(tool).map(|program| format!("not installed: {program}")),
            });
        }
    }
    entries
}

fn skep_entry<'a>(binary: &'a Path, holders: usize, up_rate: Option<&'a str>) -> Entry<'a> {
    let case = Case {
        binary,
        holders,
        up_rate,
    };
    let fetch = Box::new(move |stage: &mut Stage, material: &Material| case.fetch(stage, material));
    Entry {
        name: SKEP,
        holders,
        fetch,
        missing: None,
    }
}

/// Round after round of all entries, so that a slow minute of the machine hits all of them.
fn measure(args: &Args, mib: u64, entries: &[Entry<'_>]) -> Outcome<Vec<Row>> {
    let folder = args.folder()?;
    let material = Material::generate(&folder, mib, args.seed)?;
    let mut costs: Vec<Result<Vec<Cost>, String>> = entries.iter().map(runnable).collect();
    for round in 1..=args.runs {
        for (entry, costs) in entries.iter().zip(&mut costs) {
            // One that failed is not tried again: its row tells why.
            let Ok(taken) = costs else { continue };
            eprintln!(
                "{} of {}: {}, {} holders",
                round, args.runs, entry.name, entry.holders
            );
            match measure_once(entry, &folder, &material) {
                Ok(cost) => taken.push(cost),
                Err(error) => *costs = Err(error.to_string()),
            }
            interrupt::check()?;
        }
    }
    let row = |(entry, costs): (&Entry<'_>, Result<Vec<Cost>, String>)| Row {
        name: entry.name.into(),
        holders: entry.holders,
        result: costs.and_then(|costs| report::median(&costs).ok_or_else(|| "not run".into())),
    };
    Ok(entries.iter().zip(costs).map(row).collect())
}

fn runnable(entry: &Entry<'_>) -> Result<Vec<Cost>, String> {
    entry.missing.clone().map_or(Ok(Vec::new()), Err)
}

/// On a stage of its own, from a quiet disk. What does not make its file durable itself is synced after it.
fn measure_once(entry: &Entry<'_>, folder: &Path, material: &Material) -> Outcome<Cost> {
    sync_file_system(folder)?;
    let mut stage = Stage::new(folder)?;
    let mut cost = (entry.fetch)(&mut stage, material)?;
    let target = stage.target()?;
    if cost.durable_s.is_none() {
        let start = Instant::now();
        sync_file_system(&target)?;
        cost.durable_s = Some(cost.wall_s + start.elapsed().as_secs_f64());
    }
    material.expect_same(&target)?;
    Ok(cost)
}

/// What `sync -f` does.
fn sync_file_system(path: &Path) -> Outcome {
    Ok(rustix::fs::syncfs(File::open(path)?)?)
}

/// The baseline must have run for the ratios to be judged.
fn transfer_verdicts(rows: &[Row]) -> String {
    let find = |name: &str, holders| {
        rows.iter()
            .find(|row| row.name == name && row.holders == holders)?
            .result
            .as_ref()
            .ok()
    };
    let Some(baseline) = find(rivals::BASELINE, 1) else {
        return String::new();
    };
    let mut text = String::new();
    for (holders, limit) in HOLDERS.into_iter().zip(MAX_VERIFIED_RATIO) {
        let Some(ours) = find(SKEP, holders) else { continue };
        let ratio = ours.wall_s / baseline.wall_s;
        let promise = format!(
            "verified, {holders} holders, at most {limit} times {}",
            rivals::BASELINE
        );
        text += &verdict(&promise, ratio, ratio <= limit);
    }
    if let (Some(ours), Some(theirs)) = (find(SKEP, 1).and_then(|cost| cost.durable_s), baseline.durable_s) {
        let promise = format!(
            "durable, 1 holder, at most {MAX_DURABLE_RATIO} times {} and sync",
            rivals::BASELINE
        );
        text += &verdict(&promise, ours / theirs, ours / theirs <= MAX_DURABLE_RATIO);
    }
    text
}
