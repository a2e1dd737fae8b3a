//! A tree of 40,000 files like sources: first backup, second, restore, beside restic and borg.

use std::path::Path;

use super::{
    tell,
    tools::{ALL, Times, Tool},
};
use crate::{
    Outcome,
    bench::{
        Args, interrupt,
        material::{MIB, Material},
        report::{Bound, render, verdict},
        rounds::sync_file_system,
        stage::Stage,
    },
    workspace,
};

const FILES: u64 = 40_000;
const MEAN_BYTES: u64 = 15_000;
const MAX_FIRST: f64 = 1.0;
const MAX_SECOND: f64 = 0.3;
const MAX_RESTORE: f64 = 0.6;

/// The table and its verdicts; medians of all rounds.
pub(super) fn run(args: &Args, binary: &Path) -> Outcome<String> {
    let files = args.mib.map_or(FILES, |mib| mib * MIB / MEAN_BYTES);
    let material = Material::generate_sources(&args.folder()?, files, args.seed)?;
    let mut taken: [Result<Vec<Times>, String>; 3] = ALL.each_ref().map(installed);
    // Nothing is deleted before all is measured: ext4 searches long for the number of a new file where many were
    // deleted within the last minutes.
    let mut left = Vec::new();
    for _ in 0..args.runs {
        for (tool, taken) in ALL.iter().zip(&mut taken) {
            let Ok(times) = taken else { continue };
            match measure(args, binary, &material, tool, &mut left) {
                Ok(time) => times.push(time),
                Err(error) => *taken = Err(error.to_string()),
            }
            interrupt::check()?;
        }
    }
    let medians = taken.map(|taken| taken.and_then(|times| Times::median(&times).ok_or("not run".into())));
    let title = format!(
        "\n### Backup of {files} files like sources, {:.0} MiB, medians of {}\n\n",
        material.mib(),
        args.runs
    );
    Ok(title + &table(&medians) + "\n" + &verdicts(&medians))
}

fn installed(tool: &Tool) -> Result<Vec<Times>, String> {
    match tool.needs {
        Some(program) if workspace::find_program(program).is_none() => {
            Err(format!("not installed: {program}"))
        }
        _ => Ok(Vec::new()),
    }
}

/// What the tool took; where it worked comes to what is `left`.
fn measure(
    args: &Args,
    binary: &Path,
    material: &Material,
    tool: &Tool,
    left: &mut Vec<Stage>,
) -> Outcome<Times> {
    let folder = args.folder()?;
    sync_file_system(&folder)?;
    let mut stage = Stage::new(&folder)?;
    let times = (tool.run)(&mut stage, binary, material);
    stage.stop();
    left.push(stage);
    let times = times.inspect_err(|error| eprintln!("  {}: {error}", tool.name))?;
    tell(&format!("{}, first", tool.name), times.first_s, "s");
    tell(&format!("{}, second", tool.name), times.second_s, "s");
    tell(&format!("{}, restore", tool.name), times.restore_s, "s");
    Ok(times)
}

fn table(medians: &[Result<Times, String>; 3]) -> String {
    let head = [
        "tool",
        "first s",
        "ratio",
        "second s",
        "ratio",
        "restore s",
        "ratio",
        "stored MiB",
        "owner MiB",
        "holder MiB",
    ];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for (tool, times) in ALL.iter().zip(medians) {
        let mut line = vec![tool.name.to_owned()];
        match times {
            Ok(times) => line.extend(cells(times, medians[0].as_ref().ok())),
            Err(reason) => line.push(reason.clone()),
        }
        lines.push(line);
    }
    render(&lines)
}

fn cells(times: &Times, baseline: Option<&Times>) -> Vec<String> {
    let mut cells = Vec::new();
    for figure in FIGURES {
        cells.push(format!("{:.2}", figure(times)));
        cells.push(baseline.map_or("-".into(), |base| format!("{:.2}", figure(times) / figure(base))));
    }
    cells.push((times.stored_bytes / MIB).to_string());
    cells.push(format!("{:.0}", times.owner_mib));
    cells.push(format!("{:.0}", times.holder_mib));
    cells
}

/// First, second, restore.
const FIGURES: [fn(&Times) -> f64; 3] = [
    |times| times.first_s,
    |times| times.second_s,
    |times| times.restore_s,
];

fn verdicts(medians: &[Result<Times, String>; 3]) -> String {
    let [Ok(restic), _, Ok(skep)] = medians else {
        return "- NOT KEPT: restic or skep did not run\n".to_owned();
    };
    let promises = [
        ("first backup", MAX_FIRST),
        ("nothing changed", MAX_SECOND),
        ("restore", MAX_RESTORE),
    ];
    let mut text = String::new();
    for ((what, most), figure) in promises.into_iter().zip(FIGURES) {
        let ratio = figure(skep) / figure(restic);
        text += &verdict(&format!("{what}, by restic"), ratio, Bound::AtMost(most));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_held_against_restic() {
        let times = |seconds: f64| Times {
            first_s: seconds,
            second_s: seconds,
            restore_s: seconds,
            ..Times::default()
        };
        let told = verdicts(&[Ok(times(10.0)), Err("gone".into()), Ok(times(5.0))]);
        let kept: Vec<bool> = told.lines().map(|line| !line.contains("NOT KEPT")).collect();
        assert_eq!(kept, [true, false, true], "{told}");
        assert!(verdicts(&[Err("gone".into()), Ok(times(1.0)), Ok(times(1.0))]).contains("NOT KEPT"));
        let table = table(&[Ok(times(10.0)), Err("gone".into()), Ok(times(5.0))]);
        assert!(table.contains("0.50") && table.contains("gone"), "{table}");
    }
}
