//! Backups: beside restic and borg on the same files, beside the bare disk, and how fast losses are repaired.

mod keepers;
mod random;
mod repair;
mod tools;
mod tree;

use std::path::Path;

use crate::{
    Outcome,
    bench::{Args, interrupt},
};

/// A part measures something, and returns its table and its verdicts.
type Part = fn(&Args, &Path) -> Outcome<String>;

/// As `--only` names them.
const PARTS: [(&str, Part); 3] = [
    ("tree", tree::run),
    ("random", random::run),
    ("repair", repair::run),
];

/// All parts, or those that `--only` names. One that fails does not stop the others.
pub(in crate::bench) fn run(args: &Args) -> Outcome<String> {
    let binary = args.binary()?;
    let mut text = String::new();
    for (name, part) in PARTS.iter().filter(|(name, _)| args.wants(name)) {
        eprintln!("backup: {name}");
        text += &match part(args, &binary) {
            Ok(told) => told,
            Err(error) => {
                interrupt::check()?;
                format!("\n### Backup, {name}\n\n- NOT KEPT: {error}\n")
            }
        };
    }
    Ok(text)
}

/// A figure, as soon as it is known: the run takes minutes, and may be stopped.
fn tell(what: &str, value: f64, unit: &str) {
    eprintln!("  {what}: {value:.2} {unit}");
}
