//! The two tables of PeerNet, "A P2P Data Sharing System": 200 MB from one to five peers at once, first all on
//! one machine, then over a network.
//!
//! The columns are PeerNet's, with its own time beside ours.

use crate::{
    Outcome,
    bench::{
        Args,
        ground::{self, Ground},
        material::Material,
        report::{self, Bound, Row, verdict},
        rounds::{Entry, measure},
        skep::Case,
    },
};

const MIB: u64 = 200;
/// What PeerNet took on one machine, by holders.
const LOCAL_MS: [f64; 5] = [4395.0, 3860.0, 3649.0, 3490.0, 3350.0];
/// What it took over its local network.
const NETWORK_MS: [f64; 5] = [4627.0, 4123.0, 3914.0, 3718.0, 3562.0];
/// Our time on one machine by PeerNet's.
const MAX_RATIO: f64 = 0.1;
const LINK_MBIT: u32 = 100;
/// Bytes in a KB of the tables.
const KB: f64 = 1000.0;

/// Both tables, and a verdict for each row of the first.
pub(in crate::bench) fn run(args: &Args) -> Outcome<String> {
    let mib = args.mib.unwrap_or(MIB);
    let material = Material::generate(&args.folder()?, mib, args.seed)?;
    let mut text = format!(
        "\n### PeerNet's first table: {mib} MiB on the loopback interface, medians of {}\n\n",
        args.runs
    );
    let rows = rows(args, &material, &Ground::Loopback)?;
    text += &table(&rows, &material, &LOCAL_MS);
    text.push('\n');
    for (row, theirs_ms) in rows.iter().zip(LOCAL_MS) {
        if let Ok(cost) = &row.result {
            let what = format!("{}, by PeerNet's time", row.name);
            text += &verdict(&what, cost.wall_s * 1e3 / theirs_ms, Bound::AtMost(MAX_RATIO));
        }
    }
    text += &format!(
        "\n### PeerNet's second table: {mib} MiB, each holder's link of {LINK_MBIT} Mbit/s, medians of {}\n\n",
        args.runs
    );
    match ground::missing() {
        Some(reason) => text += &format!("Not measured: {reason}.\n"),
        None => {
            let ground = Ground::Switch {
                holder_mbit: LINK_MBIT,
            };
            text += &table(&self::rows(args, &material, &ground)?, &material, &NETWORK_MS);
        }
    }
    Ok(text)
}

fn rows(args: &Args, material: &Material, ground: &Ground) -> Outcome<Vec<Row>> {
    let binary = args.binary()?;
    let entry = |holders: usize| {
        let case = Case {
            ground: ground.clone(),
            ..Case::new(&binary, holders)
        };
        Entry::skep(&format!("{holders}-to-1"), case)
    };
    let entries: Vec<_> = (1..=LOCAL_MS.len()).map(entry).collect();
    measure(args, material, &entries)
}

fn table(rows: &[Row], material: &Material, theirs_ms: &[f64]) -> String {
    let head = [
        "transfer type",
        "total time (ms)",
        "avg speed per node (KB/s)",
        "combined speed (KB/s)",
        "speedup vs 1-to-1",
        "PeerNet's time (ms)",
    ];
    let mut lines = vec![head.map(String::from).to_vec()];
    let alone_s = report::find(rows, "1-to-1", 1).map(|cost| cost.wall_s);
    for (row, theirs_ms) in rows.iter().zip(theirs_ms) {
        let mut line = vec![row.name.clone()];
        match &row.result {
            Err(reason) => line.push(reason.clone()),
            Ok(cost) => {
                let speed = material.bytes as f64 / KB / cost.wall_s;
                line.extend([
                    format!("{:.0}", cost.wall_s * 1e3),
                    format!("{:.0}", speed / row.holders as f64),
                    format!("{speed:.0}"),
                    speedup(row.holders, cost.wall_s, alone_s),
                    format!("{theirs_ms:.0}"),
                ]);
            }
        }
        lines.push(line);
    }
    report::render(&lines)
}

/// As PeerNet writes it: how much less time it takes than from one.
fn speedup(holders: usize, seconds: f64, alone_s: Option<f64>) -> String {
    match alone_s {
        _ if holders == 1 => "Baseline".into(),
        Some(alone_s) if seconds > alone_s => format!("{:.1} % slower", (seconds / alone_s - 1.0) * 100.0),
        Some(alone_s) => format!("{:.1} % faster", (1.0 - seconds / alone_s) * 100.0),
        None => "-".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speedup_is_peernets() {
        let [one, two, ..] = LOCAL_MS;
        assert_eq!(speedup(2, two, Some(one)), "12.2 % faster");
        assert_eq!(speedup(2, 5.0, Some(4.0)), "25.0 % slower");
        assert_eq!(speedup(1, one, Some(one)), "Baseline");
    }
}
