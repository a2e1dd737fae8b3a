//! The end of every run: the network is well, everybody comes back, and whatever was promised is kept.

use std::time::Duration;

use skep_world::simulated::Crash;
use tokio::time::Instant;

use super::Player;
use crate::{
    item::Copy,
    scenario::{ItemNumber, PeerNumber, Place},
    town::{Program, address, name},
    truth::Pair,
};

/// Everybody is back by then.
const RETURN: Duration = Duration::from_secs(120);
/// By then the coordinator knows who has what.
const SETTLE: Duration = Duration::from_secs(60);
/// A download that is possible is finished by then, and any other has failed.
const DOWNLOAD: Duration = Duration::from_secs(900);
/// A program that is asked to stop has stopped by then.
const STOP: Duration = Duration::from_secs(6);
/// How many peers get each item at the end.
const LAST_DOWNLOADS: usize = 2;

impl Player {
    pub(super) async fn calm_down(&mut self) -> Result<(), String> {
        self.tell("the calm begins");
        self.calm();
        let net = self.town.universe.net().clone();
        // Whether a peer can be dialled is tried when it connects.
        for &peer in &self.hidden {
            net.reset(address(Place::Peer(peer)), address(Place::Coordinator));
        }
        self.restart_troubled().await?;
        self.town.start_coordinator().await?;
        self.until(RETURN, "not everybody comes back", Self::everybody_is_back)
            .await?;
        self.until(DOWNLOAD, "a download hangs", |player| player.downloading == 0)
            .await?;
        self.pass(SETTLE).await?;
        self.inspect_once_more().await?;
        self.download_what_there_is().await?;
        self.have_backups_back().await?;
        self.stop_everything().await?;
        (0..self.town.peers.len()).try_for_each(|peer| self.judge_downloads(peer))
    }

    /// Whoever said that its disk is full says so until it is started again.
    async fn restart_troubled(&mut self) -> Result<(), String> {
        for place in std::mem::take(&mut self.troubled) {
            match place {
                Place::Coordinator => drop(self.town.coordinator.crash(Crash::Kill)),
                Place::Peer(peer) => self.crash(peer, Crash::Kill)?,
            }
        }
        Ok(())
    }

    /// What was promised of backups can be had, and a check finds nothing wrong with it.
    async fn have_backups_back(&mut self) -> Result<(), String> {
        let lost = self.loser.is_some();
        let owners: Vec<PeerNumber> = self.owners.keys().copied().collect();
        for owner in owners {
            if self.truth.left.contains(&owner) {
                continue;
            }
            self.until(DOWNLOAD, "something of a backup hangs", move |player| {
                player.is_idle(owner)
            })
            .await?;
            for snapshot in self.owners[&owner].promised(lost) {
                self.restore_one(owner, snapshot).await?;
            }
        }
        Ok(())
    }

    /// Waits until something is so; an error if it never is.
    async fn until(
        &mut self,
        limit: Duration,
        complaint: &str,
        is_so: impl Fn(&mut Self) -> bool,
    ) -> Result<(), String> {
        let end = Instant::now() + limit;
        while !is_so(self) {
            if Instant::now() >= end {
                return Err(format!("{complaint}, after {limit:?} of calm"));
            }
            self.pass(Duration::from_secs(1)).await?;
        }
        Ok(())
    }

    /// Starts who is down; whether all run and are connected.
    fn everybody_is_back(&mut self) -> bool {
        let staying: Vec<PeerNumber> = self.staying().collect();
        staying.iter().for_each(|&peer| self.start(peer));
        let connected = |peer: &PeerNumber| {
            self.town.peers[*peer]
                .running()
                .is_some_and(|node| node.status().connected)
        };
        staying.iter().all(connected)
    }

    fn staying(&self) -> impl Iterator<Item = PeerNumber> {
        (0..self.town.peers.len()).filter(|peer| !self.truth.left.contains(peer))
    }

    /// Now the inspector must be received, and find all that was published.
    async fn inspect_once_more(&mut self) -> Result<(), String> {
        self.until(Duration::from_secs(120), "the inspector does not return", |p| {
            p.town.inspector.is_some()
        })
        .await?;
        self.last_findings = None;
        self.town.inspect(self.truth.contents());
        self.inspected = Instant::now();
        self.until(Duration::from_secs(60), "the inspector is not received", |p| {
            p.town.inspector.is_some()
        })
        .await?;
        let findings = self
            .last_findings
            .take()
            .ok_or("the inspector is not received in the calm")?;
        self.truth.judge_shares(&findings)?;
        match &findings.fetched {
            Some(fetched) => self.truth.judge_last_fetched(fetched),
            None => Ok(()),
        }
    }

    /// What is published and has an honest holder can be downloaded.
    async fn download_what_there_is(&mut self) -> Result<(), String> {
        let items = (0..self.items.len()).filter(|item| self.is_available(*item));
        let expected: Vec<Pair> = items.flat_map(|item| self.lacking(item)).collect();
        for &(peer, item) in &expected {
            let what = self.truth.id_of(item).map_or(name(item), |id| id.to_string());
            self.truth.began.insert((peer, item));
            self.downloading += usize::from(self.town.get(peer, item, what));
        }
        self.until(DOWNLOAD, "a last download hangs", |player| {
            player.downloading == 0
        })
        .await?;
        match expected.iter().find(|pair| !self.truth.downloaded.contains(pair)) {
            Some((peer, item)) => Err(format!("peer {peer} cannot get item {item} in the calm")),
            None => Ok(()),
        }
    }

    /// Some who have no copy of it.
    fn lacking(&self, item: ItemNumber) -> Vec<Pair> {
        let pairs = self.staying().map(|peer| (peer, item));
        let lacking =
            pairs.filter(|pair| self.judge_copy(*pair) == Copy::Absent && !self.truth.had.contains(pair));
        lacking.take(LAST_DOWNLOADS).collect()
    }

    /// Whether it is published and somebody has a good copy.
    fn is_available(&self, item: ItemNumber) -> bool {
        let mut published = self.truth.published.iter();
        published.any(|(_, published)| *published == item)
    }

    async fn stop_everything(&mut self) -> Result<(), String> {
        self.tell("everything stops");
        (0..self.town.peers.len()).for_each(|peer| self.town.stop_peer(peer));
        let all_down = |player: &mut Self| {
            player
                .town
                .peers
                .iter()
                .all(|h| matches!(h.program, Program::Down))
        };
        self.until(STOP, "a peer does not stop", all_down).await?;
        self.town.stop_coordinator().await?;
        // What was promised outlives the power.
        (0..self.town.peers.len()).try_for_each(|peer| self.crash(peer, Crash::Power))
    }
}
