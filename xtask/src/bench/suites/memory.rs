//! How much memory does a large file take, and does a huge one work at all?

use std::{
    fs::File,
    io::{Seek, SeekFrom, Write},
    path::Path,
    time::Instant,
};

use rand::{RngCore, SeedableRng, rngs::SmallRng};

use super::SKEP;
use crate::{
    Outcome,
    bench::{
        Args, interrupt,
        material::{MIB as MIB_BYTES, Material},
        report::{self, Bound, verdict},
        rivals,
        rounds::{Entry, measure},
        skep::{Case, Network},
        stage::{Side, Stage},
    },
};

const MIB: u64 = 10 * 1024;
/// By so much the sparse file is larger than the other one: 1 TiB beside 10 GiB.
const SPARSE_FACTOR: [u64; 2] = [1024, 10];
const MAX_RSS_MIB: f64 = 64.0;
/// What is read of the sparse file, from its middle. Not whole units, so that both ends are cut.
const PART_BYTES: usize = 5_000_001;

/// Both files, once each.
pub(in crate::bench) fn run(args: &Args) -> Outcome<String> {
    let binary = args.binary()?;
    let large = large(args, &binary)?;
    let mib = args.mib.unwrap_or(MIB) * SPARSE_FACTOR[0] / SPARSE_FACTOR[1];
    let title = format!("\n### A sparse file of {} GiB, once\n\n", mib as f64 / 1024.0);
    let sparse = match sparse(args, &binary, mib * MIB_BYTES) {
        Ok(text) => text,
        Err(error) => {
            interrupt::check()?;
            format!("- NOT KEPT: {error}\n")
        }
    };
    Ok(large + &title + &sparse)
}

fn large(args: &Args, binary: &Path) -> Outcome<String> {
    let once = Args {
        runs: 1,
        ..args.clone()
    };
    let material = Material::generate(&args.folder()?, args.mib.unwrap_or(MIB), args.seed)?;
    let rows = measure(&once, &material, &[Entry::skep(SKEP, Case::new(binary, 1))])?;
    let title = format!("\n### One file of {} GiB, once\n\n", material.mib() / 1024.0);
    let mut text = title + &report::table(&rows, material.mib(), rivals::BASELINE) + "\n";
    if let Some(cost) = report::find(&rows, SKEP, 1) {
        text += &rss_verdict(cost.peak_rss_kib);
    }
    Ok(text)
}

fn rss_verdict(peak_rss_kib: u64) -> String {
    let rss_mib = peak_rss_kib as f64 / 1024.0;
    verdict("MiB resident in any process", rss_mib, Bound::AtMost(MAX_RSS_MIB))
}

/// A file with a hole on both sides of some random bytes: shared, listed by another peer, and partly read there.
fn sparse(args: &Args, binary: &Path, bytes: u64) -> Outcome<String> {
    let mut stage = Stage::new(&args.folder()?)?;
    let path = stage.folder("held")?.join("sparse");
    let part = write_sparse(&path, bytes, args.seed)?;
    let mut network = Network::found(&mut stage, binary)?;
    network.join("holder-1", Side::Sender, None)?;
    network.join("receiver", Side::Receiver, None)?;
    let start = Instant::now();
    let content = network.share("holder-1", &path)?;
    let shared = format!("- shared after {:.1} s\n", start.elapsed().as_secs_f64());
    let listed = list(&network, bytes)?;
    let read = read_part(&network, &content, bytes / 2, &part)?;
    Ok(shared + &listed + &read + &rss_verdict(stage.staying_peak_rss_kib()?))
}

/// Returns the bytes that are not zero, from the middle on.
fn write_sparse(path: &Path, bytes: u64, seed: u64) -> Outcome<Vec<u8>> {
    let mut part = vec![0; PART_BYTES];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut part);
    let mut file = File::create(path)?;
    file.set_len(bytes)?;
    file.seek(SeekFrom::Start(bytes / 2))?;
    file.write_all(&part)?;
    Ok(part)
}

fn list(network: &Network<'_>, bytes: u64) -> Outcome<String> {
    let start = Instant::now();
    let printed = network
        .stage
        .run("ls", &mut network.skep("receiver", &["ls", "--json"])?)?;
    if !printed.contains(&format!("\"bytes\":{bytes}")) {
        return Err("the sparse file is not listed with its size".into());
    }
    Ok(format!("- listed after {:.2} s\n", start.elapsed().as_secs_f64()))
}

fn read_part(network: &Network<'_>, content: &str, from: u64, part: &[u8]) -> Outcome<String> {
    let range = format!("--range={from}-{}", from + part.len() as u64 - 1);
    let mut cat = network.skep("receiver", &["cat", content, &range])?;
    let start = Instant::now();
    let printed = network.stage.run_for_bytes("cat", &mut cat)?;
    let seconds = start.elapsed().as_secs_f64();
    if printed != part {
        return Err("cat printed other bytes than lie in the file".into());
    }
    Ok(format!(
        "- {} bytes from the middle read and compared after {seconds:.2} s\n",
        part.len()
    ))
}
