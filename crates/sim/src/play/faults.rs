//! What befalls machines, beside crashes: full disks, wrong clocks, bits that turn.

use std::path::{Path, PathBuf};

use super::Player;
use crate::{
    scenario::{PeerNumber, Place},
    town::PEER_HOME,
};

impl Player {
    /// Starts the coordinator, if it does not run. While its disk is full, it need not start.
    pub(super) async fn start_coordinator(&mut self) -> Result<(), String> {
        match self.town.start_coordinator().await {
            Err(error) if self.troubled.contains(&Place::Coordinator) => {
                self.tell(error);
                Ok(())
            }
            started => started,
        }
    }

    /// Stops it. What it could not write while its disk was full, it tells now.
    pub(super) async fn stop_coordinator(&mut self) -> Result<(), String> {
        match self.town.stop_coordinator().await {
            Err(error) if self.troubled.contains(&Place::Coordinator) => {
                self.tell(error);
                Ok(())
            }
            stopped => stopped,
        }
    }

    pub(super) fn fill(&mut self, place: Place) {
        self.troubled.insert(place);
        self.town.machine(place).disk().set_full(true);
    }

    pub(super) fn jump(&mut self, place: Place, seconds: i64) {
        self.confused.insert(place);
        self.town.machine(place).set_clock_wrong_by(seconds);
    }

    /// Network, disks and clocks are as they were in the beginning.
    pub(super) fn calm(&mut self) {
        self.town.universe.net().calm();
        for place in self.troubled.clone() {
            self.town.machine(place).disk().set_full(false);
        }
        for place in self.confused.clone() {
            self.town.machine(place).set_clock_wrong_by(0);
        }
    }

    /// Turns a bit of a shard, if there is one, and nobody else has lost anything yet.
    pub(super) fn rot(&mut self, peer: PeerNumber, bit: u64) {
        let disk = self.town.peers[peer].machine.disk().clone();
        let shards: Vec<PathBuf> = disk.files().into_iter().filter(|file| is_shard(file)).collect();
        let chosen = usize::try_from(bit).unwrap_or(0).checked_rem(shards.len());
        let Some(shard) = chosen.and_then(|chosen| shards.get(chosen)) else {
            return;
        };
        let bytes = disk.read(shard).map_or(0, |bytes| bytes.len() as u64);
        if bytes > 0 && self.may_lose(peer) {
            // An error: it was removed, and there is nothing to be done to it.
            let _ = disk.flip_bit(shard, bit % (bytes * 8));
        }
    }

    /// Whether this peer may lose what it keeps for others: all that was promised is to survive one that does.
    pub(super) fn may_lose(&mut self, peer: PeerNumber) -> bool {
        *self.loser.get_or_insert(peer) == peer || !self.town.keeps
    }

    /// Whether the disk of a peer is or was full.
    pub(super) fn is_troubled(&self, peer: PeerNumber) -> bool {
        self.troubled.contains(&Place::Peer(peer))
    }
}

/// Shards are named by their pack and their number.
fn is_shard(path: &Path) -> bool {
    let pack = path.file_stem().is_some_and(|stem| stem.len() == 64);
    let number = path.extension().and_then(|number| number.to_str());
    path.starts_with(PEER_HOME) && pack && number.is_some_and(|number| number.parse::<u8>().is_ok())
}
