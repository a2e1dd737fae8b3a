//! One file, every tool, one holder and five: how fast is it here, and what does it cost?

use super::{HOLDERS, SKEP};
use crate::{
    Outcome,
    bench::{
        Args,
        material::Material,
        report::{self, Bound, Cost, Row, verdict},
        rivals::{self, BASELINE, RQBIT, SENDME},
        rounds::{Entry, measure},
        skep::Case,
    },
};

const MIB: u64 = 1024;
/// Of both ends together.
const MAX_CPU_S_PER_GIB: f64 = 3.2;

/// Skep's time by that of another tool from as many holders.
struct Promise {
    rival: &'static str,
    holders: usize,
    durable: bool,
    at_most: f64,
}

const PROMISES: [Promise; 5] = [
    Promise {
        rival: BASELINE,
        holders: 1,
        durable: false,
        at_most: 0.9,
    },
    Promise {
        rival: BASELINE,
        holders: 1,
        durable: true,
        at_most: 0.95,
    },
    Promise {
        rival: RQBIT,
        holders: 1,
        durable: false,
        at_most: 0.35,
    },
    Promise {
        rival: SENDME,
        holders: 1,
        durable: false,
        at_most: 0.2,
    },
    Promise {
        rival: RQBIT,
        holders: 5,
        durable: false,
        at_most: 0.7,
    },
];

/// The table and its verdicts.
pub(in crate::bench) fn run(args: &Args) -> Outcome<String> {
    let material = Material::generate(&args.folder()?, args.mib.unwrap_or(MIB), args.seed)?;
    let binary = args.wants(SKEP).then(|| args.binary()).transpose()?;
    let mut entries = rival_entries(args);
    if let Some(binary) = &binary {
        entries.extend(HOLDERS.map(|holders| Entry::skep(SKEP, Case::new(binary, holders))));
    }
    let rows = measure(args, &material, &entries)?;
    let mib = material.mib();
    let title = format!("\n### One file of {mib} MiB, medians of {}\n\n", args.runs);
    let note = format!(
        "\nRatios are to {BASELINE} (plain HTTP, unverified), and to it followed by `sync -f` where durable.\n\n"
    );
    let verdicts: String = PROMISES
        .iter()
        .filter_map(|promise| promise.judge(&rows))
        .collect();
    Ok(title + &report::table(&rows, mib, BASELINE) + &note + &verdicts + &cpu_verdict(&rows, mib))
}

fn rival_entries(args: &Args) -> Vec<Entry<'static>> {
    let mut entries = Vec::new();
    for tool in rivals::ALL.iter().filter(|tool| args.wants(tool.name)) {
        for holders in HOLDERS.into_iter().filter(|holders| *holders <= tool.max_holders) {
            entries.push(Entry {
                name: tool.name.into(),
                holders,
                fetch: Box::new(move |stage, material| (tool.fetch)(stage, material, holders)),
                delivers: true,
                missing: rivals::missing(tool).map(|program| format!("not installed: {program}")),
            });
        }
    }
    entries
}

impl Promise {
    /// None where one of the two did not run.
    fn judge(&self, rows: &[Row]) -> Option<String> {
        let seconds = |cost: &Cost| match self.durable {
            true => cost.durable_s,
            false => Some(cost.wall_s),
        };
        let ours = report::find(rows, SKEP, self.holders).and_then(seconds)?;
        let theirs = report::find(rows, self.rival, self.holders).and_then(seconds)?;
        let (what, sync) = match self.durable {
            true => ("durable", " and sync -f"),
            false => ("verified", ""),
        };
        let what = format!("{what}, holders: {}, by {}{sync}", self.holders, self.rival);
        Some(verdict(&what, ours / theirs, Bound::AtMost(self.at_most)))
    }
}

fn cpu_verdict(rows: &[Row], mib: f64) -> String {
    let Some(cost) = report::find(rows, SKEP, 1) else {
        return String::new();
    };
    let per_gib = (cost.sender_cpu_s + cost.receiver_cpu_s) * 1024.0 / mib;
    verdict(
        "CPU s per GiB of both ends",
        per_gib,
        Bound::AtMost(MAX_CPU_S_PER_GIB),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_needs_both_figures() {
        let row = |name: &str, wall_s| Row {
            name: name.into(),
            holders: 1,
            result: Ok(Cost {
                wall_s,
                durable_s: Some(wall_s * 2.0),
                ..Cost::default()
            }),
        };
        let [verified, durable, ..] = &PROMISES;
        let rows = [row(SKEP, 1.0), row(BASELINE, 1.0)];
        assert!(verified.judge(&rows[..1]).is_none());
        assert!(
            verified
                .judge(&rows)
                .unwrap()
                .contains("1.00, promised at most 0.9: NOT")
        );
        assert!(durable.judge(&rows).unwrap().contains("at most 0.95: NOT"));
    }
}
