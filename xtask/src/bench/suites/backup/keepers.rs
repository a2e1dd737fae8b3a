//! A network for backups: a coordinator, storage peers, and one owner.

use std::path::Path;

use serde_json::Value;

use crate::{
    Outcome,
    bench::{
        report::Cost,
        skep::{Network, holder},
        stage::{Side, Stage},
    },
};

/// Who backs up.
const OWNER: &str = "owner";
/// More than any part stores: what is offered by default depends on the disk.
const ROOM: &str = "200GiB";
/// How the owner's command is logged.
const LOG: &str = "receiver";

/// The network, on a stage.
pub(super) struct Keepers<'a> {
    network: Network<'a>,
    holders: usize,
}

impl<'a> Keepers<'a> {
    /// So many storage peers, and an owner who keeps nothing for others.
    pub(super) fn found(
        stage: &'a mut Stage,
        binary: &'a Path,
        holders: usize,
        options: &[&str],
    ) -> Outcome<Self> {
        let mut network = Network::found_with(stage, binary, options)?;
        for number in 1..=holders {
            let room = ["--role=storage", "--capacity", ROOM, "--owner-quota", ROOM];
            network.join_with(&holder(number), Side::Sender, &room)?;
        }
        network.join_with(OWNER, Side::Receiver, &["--role=owner"])?;
        Ok(Self { network, holders })
    }

    /// Backs up; also returns what the command said.
    pub(super) fn backup(&mut self, paths: &[&Path], scheme: &str) -> Outcome<(Cost, Value)> {
        let mut backup = self
            .network
            .skep(OWNER, &["backup", "--json", "--redundancy", scheme])?;
        backup.args(paths);
        let cost = self.network.stage.fetch(&mut backup)?;
        Ok((cost, self.network.done(LOG)?))
    }

    /// Restores the newest snapshot beneath `target`.
    pub(super) fn restore(&mut self, target: &Path) -> Outcome<Cost> {
        let mut restore = self
            .network
            .skep(OWNER, &["restore", "latest", "--json", "--to"])?;
        self.network.stage.fetch(restore.arg(target))
    }

    /// The largest resident sets in MiB: of the owner, and of the holder that took most.
    pub(super) fn peaks_mib(&self) -> Outcome<(f64, f64)> {
        let mib = |kib: u64| kib as f64 / 1024.0;
        let mut most = 0;
        for number in 1..=self.holders {
            most = most.max(self.network.peak_rss_kib(&holder(number))?);
        }
        Ok((mib(self.network.peak_rss_kib(OWNER)?), mib(most)))
    }

    /// Ends the owner's peer.
    pub(super) fn send_owner_away(&mut self) {
        self.network.kill(OWNER);
    }

    /// The owner's peer runs again, and says how many storage peers may vanish, if there is nothing to complain of.
    pub(super) fn ask_owner(&mut self) -> Outcome<Option<u64>> {
        self.network.resume(OWNER, Side::Receiver)?;
        let mut check = self.network.skep(OWNER, &["check", "--json"])?;
        self.network.stage.run("check", &mut check)?;
        let done = self.network.done("check")?;
        Ok(done["survives"].as_u64())
    }

    /// Ends the first holder.
    pub(super) fn lose_first(&mut self) {
        self.network.kill(&holder(1));
    }

    /// Whether the first holder is online, and the bytes that all others keep, as they see each other.
    pub(super) fn look(&self) -> Outcome<Look> {
        let mut peers = self.network.skep(&holder(2), &["peers", "--json"])?;
        let printed = self.network.stage.run("peers", &mut peers)?;
        let mut look = Look::default();
        for line in printed.lines() {
            let row: Value = serde_json::from_str(line)?;
            if row["name"] == holder(1) {
                look.first_is_online = row["state"] == "online";
                look.first_bytes = row["used"].as_u64().unwrap_or(0);
            } else {
                look.other_bytes += row["used"].as_u64().unwrap_or(0);
            }
        }
        Ok(look)
    }
}

/// How the holders stand.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) first_is_online: bool,
    pub(super) first_bytes: u64,
    pub(super) other_bytes: u64,
}
