//! A holder is lost while the owner is away: how long until there are three copies again?

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{keepers::Keepers, tell};
use crate::{
    Outcome,
    bench::{
        Args,
        material::Material,
        report::{Bound, verdict},
        rounds::sync_file_system,
        stage::{Stage, wait_for},
    },
};

const SIZE_MIB: u64 = 5 * 1024;
/// By so much more is stored here than in the other parts, when a size is given.
const SIZE_FACTOR: u64 = 5;
const HOLDERS: usize = 6;
const SCHEME: &str = "3x";
/// The silent are noticed soon and have failed soon, and nothing holds repairs back.
const OPTIONS: [&str; 6] = [
    "--heartbeat",
    "1s",
    "--repair-after",
    "2s",
    "--repair-rate",
    "none",
];
const MAX_S: f64 = 60.0;
const LIMIT: Duration = Duration::from_secs(300);
/// Records of packs are not copied where a shard goes to who has one already.
const NEARLY: f64 = 0.999;
/// Of three copies, two may vanish.
const SURVIVES: u64 = 2;

/// Once: it takes long to prepare. The time counts from when the loss is seen.
pub(super) fn run(args: &Args, binary: &Path) -> Outcome<String> {
    let folder = args.folder()?;
    let mib = args.mib.map_or(SIZE_MIB, |mib| mib * SIZE_FACTOR);
    let material = Material::generate(&folder, mib, args.seed)?;
    let mut stage = Stage::new(&folder)?;
    let mut keepers = Keepers::found(&mut stage, binary, HOLDERS, &OPTIONS)?;
    let (cost, done) = keepers.backup(&[&material.path()], SCHEME)?;
    tell("backup, 3x on 6 peers", cost.wall_s, "s");
    let stored = done["stored_bytes"].as_u64().ok_or("backup says no size")?;
    sync_file_system(&folder)?;
    keepers.send_owner_away();
    let before = wait_for("the holders to say what they keep", LIMIT, || {
        let look = keepers.look()?;
        Ok((look.first_bytes + look.other_bytes >= stored).then_some(look))
    })?;
    keepers.lose_first();
    wait_for("the loss to be seen", LIMIT, || {
        Ok((!keepers.look()?.first_is_online).then_some(()))
    })?;
    let start = Instant::now();
    let whole = (before.first_bytes + before.other_bytes) as f64 * NEARLY;
    wait_for("the repair", LIMIT, || {
        Ok((keepers.look()?.other_bytes as f64 >= whole).then_some(()))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    tell("repair", seconds, "s");
    let survives = keepers.ask_owner()?;
    let title = format!("\n### Repair of {mib} MiB, 3x on six peers, one lost, the owner away, once\n\n");
    let rebuilt = format!(
        "- {:.0} MiB were on the lost peer; the owner's check afterwards: {} may vanish\n",
        before.first_bytes as f64 / f64::from(1 << 20),
        survives.map_or("it is not known how many".to_owned(), |count| count.to_string())
    );
    let verdicts = verdict("s from its loss to three copies", seconds, Bound::AtMost(MAX_S))
        + &verdict(
            "storage peers that may vanish then",
            survives.unwrap_or(0) as f64,
            Bound::AtLeast(SURVIVES as f64),
        );
    Ok(title + &rebuilt + &verdicts)
}
