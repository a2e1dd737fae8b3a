//! How much of a bad path is used, and does one holder that hardly moves hold up the others?

use std::{fs, path::Path, time::Duration};

use serde_json::Value;

use super::SKEP;
use crate::{
    Outcome,
    bench::{
        Args,
        ground::{self, Ground, Rough},
        material::Material,
        report::{self, Bound, Cost, verdict},
        rounds::{Entry, measure},
        skep::Case,
        stage::{Side, Stage},
    },
    workspace,
};

const MIB: u64 = 64;
const DELAY: Duration = Duration::from_millis(20);
const LOST_PER_MILLE: u32 = 5;
/// Less than the forwarder can do, or it would be the forwarder that is measured.
const PATH_MBIT: u32 = 200;
/// How TCP may react to loss in a namespace. The machine's own is among them.
const CONGESTION_CONTROLS: &str = "/proc/sys/net/ipv4/tcp_allowed_congestion_control";
const IPERF: &str = "iperf3 -P 4";
/// Speed over the path by that of [`IPERF`].
const MIN_SPEED_RATIO: f64 = 0.8;
/// The file that comes from holders of which one is slow.
const SLOW_CASE_MIB: u64 = 1024;
const SLOW: &str = "1KiB";
const FAST_HOLDERS: usize = 4;
/// Time with the slow one by that without it.
const MAX_TIME_RATIO: f64 = 1.1;

/// A table for each congestion control, and one for the slow holder.
pub(in crate::bench) fn run(args: &Args) -> Outcome<String> {
    let binary = args.binary()?;
    Ok(path(args, &binary)? + &slow_holder(args, &binary)?)
}

fn path(args: &Args, binary: &Path) -> Outcome<String> {
    let mib = args.mib.unwrap_or(MIB);
    let loss = f64::from(LOST_PER_MILLE) / 10.0;
    let mut text = format!(
        "\n### {mib} MiB over a path of {PATH_MBIT} Mbit/s with {} ms and {loss} % loss each way, medians of {}\n",
        DELAY.as_millis(),
        args.runs
    );
    if let Some(reason) = ground::missing() {
        return Ok(text + &format!("\nNot measured: {reason}.\n"));
    }
    let material = Material::generate(&args.folder()?, mib, args.seed)?;
    for name in fs::read_to_string(CONGESTION_CONTROLS)?.split_whitespace() {
        let ground = Ground::Path(Rough {
            delay: DELAY,
            lost_per_mille: LOST_PER_MILLE,
            mbit: PATH_MBIT,
            congestion_control: name.to_owned(),
        });
        text += &path_table(args, binary, &material, &ground, name)?;
    }
    Ok(text)
}

fn path_table(
    args: &Args,
    binary: &Path,
    material: &Material,
    ground: &Ground,
    control: &str,
) -> Outcome<String> {
    let iperf = Entry {
        name: IPERF.into(),
        holders: 1,
        fetch: Box::new(move |stage, material| iperf(stage, material, ground)),
        delivers: false,
        missing: match workspace::find_program("iperf3") {
            Some(_) => None,
            None => Some("not installed: iperf3".into()),
        },
    };
    let case = Case {
        ground: ground.clone(),
        ..Case::new(binary, 1)
    };
    let rows = measure(args, material, &[iperf, Entry::skep(SKEP, case)])?;
    let mut text = format!(
        "\nWith {control}:\n\n{}\n",
        report::table(&rows, material.mib(), IPERF)
    );
    if let (Some(ours), Some(theirs)) = (report::find(&rows, SKEP, 1), report::find(&rows, IPERF, 1)) {
        let what = format!("speed with {control}, by {IPERF}");
        text += &verdict(
            &what,
            theirs.wall_s / ours.wall_s,
            Bound::AtLeast(MIN_SPEED_RATIO),
        );
    }
    Ok(text)
}

/// As many bytes as the file has, from the holder's end to the receiver's, over four connections.
fn iperf(stage: &mut Stage, material: &Material, ground: &Ground) -> Outcome<Cost> {
    stage.lay(ground, 1)?;
    let (sender, receiver) = (stage.host("holder-1")?, stage.host("receiver")?);
    let iperf = Path::new("iperf3");
    let mut server = receiver.command(iperf, &["--server", "--one-off", "--forceflush"]);
    stage.start(Side::Receiver, "iperf-server", &mut server)?;
    stage.wait_printed("iperf-server", |printed| {
        printed.contains("listening").then_some(())
    })?;
    let (address, bytes) = (receiver.address.to_string(), material.bytes.to_string());
    let mut client = sender.command(iperf, &["--json", "-P", "4", "-n", &bytes, "-c", &address]);
    let printed: Value = serde_json::from_str(&stage.run("iperf-client", &mut client)?)?;
    let bits_per_s = printed["end"]["sum_received"]["bits_per_second"]
        .as_f64()
        .ok_or("iperf3 told no speed")?;
    let wall_s = material.bytes as f64 * 8.0 / bits_per_s;
    Ok(Cost {
        wall_s,
        ..Cost::default()
    })
}

fn slow_holder(args: &Args, binary: &Path) -> Outcome<String> {
    let mib = args.mib.unwrap_or(SLOW_CASE_MIB);
    let material = Material::generate(&args.folder()?, mib, args.seed)?;
    // A short download may end before each of them was asked.
    let without = Case {
        must_send: 1,
        ..Case::new(binary, FAST_HOLDERS)
    };
    let mut up_rates = vec![None; FAST_HOLDERS];
    up_rates.push(Some(SLOW));
    let with = Case {
        up_rates,
        must_send: 1,
        ..Case::new(binary, FAST_HOLDERS)
    };
    let with_slow = format!("skep, one at {SLOW}/s");
    let entries = [Entry::skep(SKEP, without), Entry::skep(&with_slow, with)];
    let rows = measure(args, &material, &entries)?;
    let title = format!(
        "\n### {mib} MiB, one of the holders hardly moves, medians of {}\n\n",
        args.runs
    );
    let mut text = title + &report::table(&rows, material.mib(), SKEP) + "\n";
    let alone = report::find(&rows, SKEP, FAST_HOLDERS);
    if let (Some(alone), Some(with)) = (alone, report::find(&rows, &with_slow, FAST_HOLDERS + 1)) {
        let what = format!("verified with one holder at {SLOW}/s, by without it");
        text += &verdict(&what, with.wall_s / alone.wall_s, Bound::AtMost(MAX_TIME_RATIO));
    }
    Ok(text)
}
