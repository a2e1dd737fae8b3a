//! Round after round of cases, so that a slow minute of the machine hits all of them.

use std::{fs::File, path::Path, time::Instant};

use super::{
    Args, interrupt,
    material::Material,
    report::{self, Cost, Row},
    skep::Case,
    stage::Stage,
};
use crate::Outcome;

/// Sets the stage and lets one receiver fetch the material.
type Fetch<'a> = Box<dyn Fn(&mut Stage, &Material) -> Outcome<Cost> + 'a>;

/// One line of a table: a tool with so many holders.
pub(super) struct Entry<'a> {
    /// As shown in the table.
    pub(super) name: String,
    /// From how many at once.
    pub(super) holders: usize,
    /// How it is measured once.
    pub(super) fetch: Fetch<'a>,
    /// Whether the material is at the target then, so that its bytes can be compared.
    pub(super) delivers: bool,
    /// Why it cannot run.
    pub(super) missing: Option<String>,
}

impl<'a> Entry<'a> {
    /// Skep, under the name `name`.
    pub(super) fn skep(name: &str, case: Case<'a>) -> Self {
        Self {
            name: name.into(),
            holders: case.up_rates.len(),
            fetch: Box::new(move |stage, material| case.fetch(stage, material)),
            delivers: true,
            missing: None,
        }
    }
}

/// The medians of each entry over all rounds.
pub(super) fn measure(args: &Args, material: &Material, entries: &[Entry<'_>]) -> Outcome<Vec<Row>> {
    let folder = args.folder()?;
    let mut costs: Vec<Result<Vec<Cost>, String>> = entries.iter().map(runnable).collect();
    for round in 1..=args.runs {
        for (entry, costs) in entries.iter().zip(&mut costs) {
            // One that failed is not tried again: its row tells why.
            let Ok(taken) = costs else { continue };
            eprintln!(
                "{} of {}: {}, {} holders",
                round, args.runs, entry.name, entry.holders
            );
            match measure_once(entry, &folder, material) {
                Ok(cost) => taken.push(cost),
                Err(error) => *costs = Err(error.to_string()),
            }
            interrupt::check()?;
        }
    }
    let row = |(entry, costs): (&Entry<'_>, Result<Vec<Cost>, String>)| Row {
        name: entry.name.clone(),
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
    if entry.delivers && cost.durable_s.is_none() {
        let start = Instant::now();
        sync_file_system(&target)?;
        cost.durable_s = Some(cost.wall_s + start.elapsed().as_secs_f64());
    }
    if entry.delivers {
        material.expect_same(&target)?;
    }
    Ok(cost)
}

/// What `sync -f` does.
pub(super) fn sync_file_system(path: &Path) -> Outcome {
    Ok(rustix::fs::syncfs(File::open(path)?)?)
}
