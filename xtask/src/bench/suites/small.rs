//! How fast does a folder of many small files move?

use super::SKEP;
use crate::{
    Outcome,
    bench::{
        Args,
        material::{MIB, Material},
        report::{self, Bound, verdict},
        rivals,
        rounds::{Entry, measure},
        skep::Case,
    },
    workspace,
};

const FILES: u64 = 10_000;
const BYTES_EACH: u64 = 4096;
const RSYNC: &str = "rsync -a";
const MAX_RATIO: f64 = 1.5;

/// The table and its verdicts. The files fit the folder's size: `--mib` says how many there are.
pub(in crate::bench) fn run(args: &Args) -> Outcome<String> {
    let binary = args.binary()?;
    let files = args.mib.map_or(FILES, |mib| mib * MIB / BYTES_EACH);
    let material = Material::generate_folder(&args.folder()?, files, BYTES_EACH, args.seed)?;
    let rsync = Entry {
        name: RSYNC.into(),
        holders: 1,
        fetch: Box::new(rivals::rsync_folder),
        delivers: true,
        missing: match workspace::find_program("rsync") {
            Some(_) => None,
            None => Some("not installed: rsync".into()),
        },
    };
    let rows = measure(
        args,
        &material,
        &[rsync, Entry::skep(SKEP, Case::new(&binary, 1))],
    )?;
    let title = format!(
        "\n### A folder of {files} files of {BYTES_EACH} bytes, medians of {}\n\n",
        args.runs
    );
    let mut text = title + &report::table(&rows, material.mib(), RSYNC) + "\n";
    if let (Some(ours), Some(theirs)) = (report::find(&rows, SKEP, 1), report::find(&rows, RSYNC, 1)) {
        let bound = Bound::AtMost(MAX_RATIO);
        text += &verdict("verified, by rsync -a", ours.wall_s / theirs.wall_s, bound);
        if let (Some(ours), Some(theirs)) = (ours.durable_s, theirs.durable_s) {
            text += &verdict("durable, by rsync -a and sync -f", ours / theirs, bound);
        }
    }
    Ok(text)
}
