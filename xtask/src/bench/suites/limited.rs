//! Are five slow holders five times as fast as one?

use super::{HOLDERS, SKEP};
use crate::{
    Outcome,
    bench::{
        Args,
        material::Material,
        report::{self, Bound, verdict},
        rounds::{Entry, measure},
        skep::Case,
    },
};

/// Each holder may send so much.
const LIMIT: &str = "40MiB";
const MIB: u64 = 480;
const MIN_SPEEDUP: f64 = 4.7;

/// The table and its verdict.
pub(in crate::bench) fn run(args: &Args) -> Outcome<String> {
    let binary = args.binary()?;
    let material = Material::generate(&args.folder()?, args.mib.unwrap_or(MIB), args.seed)?;
    let entries = HOLDERS.map(|holders| {
        let case = Case {
            up_rates: vec![Some(LIMIT); holders],
            ..Case::new(&binary, holders)
        };
        Entry::skep(SKEP, case)
    });
    let rows = measure(args, &material, &entries)?;
    let mib = material.mib();
    let title = format!(
        "\n### Holders limited to {LIMIT}/s each, {mib} MiB, medians of {}\n\n",
        args.runs
    );
    let mut text = title + &report::table(&rows, mib, SKEP) + "\n";
    let [one, five] = HOLDERS.map(|holders| report::find(&rows, SKEP, holders));
    if let (Some(one), Some(five)) = (one, five) {
        let what = "speed from five holders by that from one";
        text += &verdict(what, one.wall_s / five.wall_s, Bound::AtLeast(MIN_SPEEDUP));
    }
    Ok(text)
}
