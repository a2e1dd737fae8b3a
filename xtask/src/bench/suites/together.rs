//! Do ten peers that want the same at the same time feed each other?

use std::path::Path;

use crate::{
    Outcome,
    bench::{
        Args, interrupt,
        material::Material,
        report::{self, Bound, middle, verdict},
        rounds::sync_file_system,
        skep::Network,
        stage::{Side, Stage},
    },
};

const MIB: u64 = 128;
/// What the only publisher may send.
const LIMIT: &str = "20MiB";
const PUBLISHER: &str = "publisher";
const RECEIVERS: [usize; 2] = [1, 10];
/// The time until all of them are done, by the time of one alone.
const MAX_RATIO: f64 = 1.25;

/// What one round showed.
struct Round {
    /// Until the last receiver had verified everything.
    verified_s: f64,
    /// Until the last one said that it is durable.
    durable_s: f64,
    /// What the publisher sent, by the size of the file.
    publisher_share: f64,
}

/// The table and its verdict.
pub(in crate::bench) fn run(args: &Args) -> Outcome<String> {
    let binary = args.binary()?;
    let mib = args.mib.unwrap_or(MIB);
    let material = Material::generate(&args.folder()?, mib, args.seed)?;
    let mut rounds: [Vec<Round>; 2] = Default::default();
    for round in 1..=args.runs {
        for (receivers, rounds) in RECEIVERS.into_iter().zip(&mut rounds) {
            interrupt::check()?;
            eprintln!("{round} of {}: {receivers} receivers", args.runs);
            rounds.push(measure_once(args, &binary, &material, receivers)?);
        }
    }
    let title = format!(
        "\n### {mib} MiB from one publisher limited to {LIMIT}/s, medians of {}\n\n",
        args.runs
    );
    let mut text = title + &table(&rounds) + "\n";
    let [alone, all] = rounds.map(|rounds| figure(&rounds, |round| round.verified_s));
    if let (Some(alone), Some(all)) = (alone, all) {
        text += &verdict(
            "verified by all ten, by one alone",
            all / alone,
            Bound::AtMost(MAX_RATIO),
        );
    }
    Ok(text)
}

fn measure_once(args: &Args, binary: &Path, material: &Material, receivers: usize) -> Outcome<Round> {
    let folder = args.folder()?;
    sync_file_system(&folder)?;
    let mut stage = Stage::new(&folder)?;
    let mut network = Network::found(&mut stage, binary)?;
    network.join(PUBLISHER, Side::Sender, Some(LIMIT))?;
    let content = network.share(PUBLISHER, &material.path())?;
    let names: Vec<String> = (1..=receivers)
        .map(|number| format!("receiver-{number}"))
        .collect();
    let mut commands = Vec::new();
    for name in &names {
        network.join(name, Side::Receiver, None)?;
        let target = network.stage.folder(&format!("{name}-files"))?.join("payload");
        commands.push(network.get(name, &content, &target)?);
    }
    let (cost, seconds) = network
        .stage
        .fetch_all(names.iter().cloned().zip(&mut commands).collect())?;
    let mut round = Round {
        verified_s: 0.0,
        durable_s: cost.wall_s,
        publisher_share: 0.0,
    };
    for (name, seconds) in names.iter().zip(seconds) {
        let got = network.got(name)?;
        round.verified_s = round.verified_s.max(seconds - got.syncing_s);
        let sent = got.from.get(PUBLISHER).copied().unwrap_or(0);
        round.publisher_share += sent as f64 / material.bytes as f64;
        material.expect_same(&network.stage.path(format!("{name}-files/payload")))?;
    }
    Ok(round)
}

fn table(rounds: &[Vec<Round>; 2]) -> String {
    let head = [
        "receivers",
        "verified by all s",
        "durable for all s",
        "sent by the publisher, files",
    ];
    let mut lines = vec![head.map(String::from).to_vec()];
    for (receivers, rounds) in RECEIVERS.into_iter().zip(rounds) {
        let cell = |of: fn(&Round) -> f64| figure(rounds, of).map_or("-".into(), |n| format!("{n:.2}"));
        lines.push(vec![
            receivers.to_string(),
            cell(|round| round.verified_s),
            cell(|round| round.durable_s),
            cell(|round| round.publisher_share),
        ]);
    }
    report::render(&lines)
}

fn figure(rounds: &[Round], of: fn(&Round) -> f64) -> Option<f64> {
    middle(rounds.iter().map(of).collect())
}
