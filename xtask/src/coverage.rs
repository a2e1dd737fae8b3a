//! `cargo xtask coverage`: which lines of the parsers do the tests reach?
//!
//! `cargo-llvm-cov` builds the crates that parse, runs their tests, and tells how often each line ran. Counted are the
//! lines of the program alone: those of tests in the same file are left out, since they always run.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{Outcome, workspace};

/// The crates whose tests run.
const CRATES: [&str; 7] = [
    "skep-wire",
    "skep-vault",
    "skep-engine",
    "skep-store",
    "skep-net",
    "skep-gateway",
    "skep-node",
];
/// What reads bytes that somebody else may have written: files, and folders with all files in them.
const PARSERS: [&str; 38] = [
    "crates/wire/src/",
    "crates/vault/src/content.rs",
    "crates/vault/src/head.rs",
    "crates/vault/src/index.rs",
    "crates/vault/src/keys.rs",
    "crates/vault/src/pack.rs",
    "crates/vault/src/pack/",
    "crates/vault/src/padding.rs",
    "crates/vault/src/phrase.rs",
    "crates/vault/src/piece.rs",
    "crates/vault/src/sealed_box.rs",
    "crates/vault/src/shard.rs",
    "crates/vault/src/snapshot.rs",
    "crates/vault/src/tree.rs",
    "crates/vault/src/tree/",
    "crates/engine/src/deletion.rs",
    "crates/engine/src/depot/facts.rs",
    "crates/engine/src/index/facts.rs",
    "crates/engine/src/index/restore.rs",
    "crates/store/src/inventory.rs",
    "crates/store/src/outlines.rs",
    "crates/store/src/papers.rs",
    "crates/store/src/partial/hint.rs",
    "crates/store/src/shards.rs",
    "crates/net/src/link/frame.rs",
    "crates/net/src/link/hello.rs",
    "crates/net/src/link/reader.rs",
    "crates/gateway/src/content/codec.rs",
    "crates/gateway/src/napster/codec.rs",
    "crates/gateway/src/p2pbrs/codec/",
    "crates/gateway/src/p2pbrs/server/facts.rs",
    "crates/gateway/src/supernova/codec.rs",
    "crates/node/src/api/guard.rs",
    "crates/node/src/backup/scan/rules.rs",
    "crates/node/src/catalog.rs",
    "crates/node/src/fetch/wanted.rs",
    "crates/node/src/schedule/book.rs",
    "crates/node/src/schedule/when.rs",
];
/// At least so many of a hundred lines must be reached.
const WANTED_PERCENT: usize = 95;

/// See which lines of the parsers the tests reach.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also name the lines that are not reached
    #[arg(long)]
    lines: bool,
}

/// Lines of a file that ran, and that did not.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reached {
    yes: usize,
    no: Vec<usize>,
}

/// Runs the tests and prints what they reach.
pub(crate) fn run(args: &Args) -> Outcome {
    install()?;
    let report = workspace::target_dir().join("coverage.lcov");
    let mut command = workspace::cargo(&["llvm-cov", "--quiet", "--lcov", "--output-path"]);
    command.arg(&report);
    command.args(CRATES.map(|name| format!("--package={name}")));
    workspace::run(&mut command)?;
    let all = parsers(&fs::read_to_string(&report)?, workspace::root())?;
    for (file, reached) in &all {
        println!(
            "{:>4} of {:<4} {file}",
            reached.yes,
            reached.yes + reached.no.len()
        );
        if args.lines && !reached.no.is_empty() {
            println!("             not reached: {:?}", reached.no);
        }
    }
    judge(&all)
}

fn install() -> Outcome {
    workspace::run(&mut workspace::command(
        "rustup",
        &["component", "add", "llvm-tools"],
    ))?;
    match workspace::find_program("cargo-llvm-cov") {
        Some(_) => Ok(()),
        None => workspace::run(&mut workspace::cargo(&["install", "--locked", "cargo-llvm-cov"])),
    }
}

fn judge(all: &BTreeMap<String, Reached>) -> Outcome {
    let yes: usize = all.values().map(|reached| reached.yes).sum();
    let no: usize = all.values().map(|reached| reached.no.len()).sum();
    let lines = yes + no;
    let tenths = yes * 1000 / lines.max(1);
    println!(
        "{yes} of {lines} lines of parsers: {}.{} %",
        tenths / 10,
        tenths % 10
    );
    match tenths < WANTED_PERCENT * 10 {
        true => Err(format!("fewer than {WANTED_PERCENT} % of the parsers' lines are reached").into()),
        false => Ok(()),
    }
}

/// What a report in the format of lcov says of the parsers beneath `root`.
fn parsers(report: &str, root: &Path) -> Outcome<BTreeMap<String, Reached>> {
    let mut all = BTreeMap::new();
    for record in report.split("end_of_record") {
        let path = record.lines().find_map(|line| line.strip_prefix("SF:"));
        let file = path.and_then(|path| Path::new(path).strip_prefix(root).ok()?.to_str());
        let Some(file) = file.filter(|file| is_parser(file)) else {
            continue;
        };
        let text = fs::read_to_string(root.join(file)).map_err(|e| format!("cannot read {file}: {e}"))?;
        let reached = reached(record, lines_of_program(&text));
        all.insert(file.to_owned(), reached);
    }
    Ok(all)
}

fn is_parser(file: &str) -> bool {
    let is_meant = |parser: &&str| file == *parser || parser.ends_with('/') && file.starts_with(*parser);
    let is_test = file.ends_with("tests.rs") || file.ends_with("hostile.rs");
    !is_test && PARSERS.iter().any(is_meant)
}

/// How many lines there are before the tests.
fn lines_of_program(text: &str) -> usize {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .count()
}

/// Each `DA:line,times` of the record, up to the last line of the program.
fn reached(record: &str, last: usize) -> Reached {
    let mut reached = Reached::default();
    let counts = record.lines().filter_map(|line| line.strip_prefix("DA:"));
    for (line, times) in counts.filter_map(|count| count.split_once(',')) {
        match line.parse() {
            Ok(line) if line <= last && times == "0" => reached.no.push(line),
            Ok(line) if line <= last => reached.yes += 1,
            _ => {}
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_program_are_counted_and_those_of_tests_are_not() {
        let text = "fn a() {}\nfn b() {}\n#[cfg(test)]\nmod tests {}\n";
        let record = "SF:/x\nDA:1,3\nDA:2,0\nDA:4,9\nLH:2\n";
        let expected = Reached { yes: 1, no: vec![2] };
        assert_eq!(reached(record, lines_of_program(text)), expected);
    }

    #[test]
    fn every_parser_is_there() {
        for parser in PARSERS {
            assert!(workspace::root().join(parser).exists(), "{parser}");
        }
        assert!(is_parser("crates/wire/src/message/v1.rs") && is_parser("crates/vault/src/tree.rs"));
        assert!(!is_parser("crates/vault/src/tree/tests.rs") && !is_parser("crates/vault/src/cut.rs"));
    }
}
