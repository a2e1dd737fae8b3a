//! What the programs say, and whether they may.

use std::sync::Arc;

use skep_node::{
    LeaveError, Node, StartError,
    api::types::{GetDone, LeaveDone, ShareDone},
    fetch::GetError,
    publish::ShareError,
};
use skep_wire::BlobId;
use skep_world::simulated::Crash;

use super::Player;
use crate::{
    inspector::Findings,
    item::Copy,
    scenario::{ItemNumber, PeerNumber},
    town::{Event, News, Program},
    truth::Pair,
};

impl Player {
    pub(super) fn hear(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Inspected(inspector, findings) => {
                self.town.inspector = Some(inspector);
                self.inspected(findings)
            }
            Event::Peer(peer, life, news) => {
                let is_old = self.town.peers[peer].life != life;
                self.count(peer, &news);
                if is_old {
                    self.hear_old(peer, news)
                } else {
                    self.hear_new(peer, news)
                }
            }
        }
    }

    /// Whatever came of it, it is over.
    fn count(&mut self, peer: PeerNumber, news: &News) {
        match news {
            News::Got(..) => self.downloading -= 1,
            News::Shared(item, _) | News::Unshared(item, _) => drop(self.announcing.remove(&(peer, *item))),
            _ => {}
        }
    }

    /// News of a program that is dead tells nothing.
    fn hear_old(&mut self, peer: PeerNumber, news: News) -> Result<(), String> {
        if let News::Started(Ok(node)) = news {
            self.town.bury(peer, node);
        }
        Ok(())
    }

    fn hear_new(&mut self, peer: PeerNumber, news: News) -> Result<(), String> {
        match news {
            News::Started(started) => self.started(peer, started),
            News::Shared(item, shared) => self.shared((peer, item), shared),
            News::Unshared(item, unshared) => self.unshared((peer, item), unshared),
            News::Got(item, got) => self.got((peer, item), got),
            News::Left(left) => self.left(peer, left),
            News::Done(done) => self.done(peer, *done),
            News::Stopped => {
                self.tell(format_args!("peer {peer} has stopped"));
                self.ended(peer);
                Ok(())
            }
            News::Gone => Ok(()),
        }
    }

    fn started(&mut self, peer: PeerNumber, started: Result<Node, StartError>) -> Result<(), String> {
        let node = match started {
            Ok(node) => node,
            Err(error) => return self.not_started(peer, &error),
        };
        self.tell(format_args!("peer {peer} runs"));
        let key = node
            .ready()
            .id
            .parse()
            .map_err(|e| format!("peer {peer} has no key: {e}"))?;
        self.truth.peers.insert(key, peer);
        self.town.peers[peer].program = Program::Up(node);
        Ok(())
    }

    /// Only the network may be in the way, or a full disk, or a clock by which a ticket or a grant does not hold.
    fn not_started(&mut self, peer: PeerNumber, error: &StartError) -> Result<(), String> {
        self.tell(format_args!("peer {peer} does not start: {error}"));
        self.ended(peer);
        match error {
            StartError::Join(
                skep_node::join::JoinError::Unreachable(_) | skep_node::join::JoinError::Failed(_),
            ) => Ok(()),
            StartError::Join(_) | StartError::Denied { .. } if !self.confused.is_empty() => Ok(()),
            StartError::Home(_)
            | StartError::Ledger(_)
            | StartError::Catalog(_)
            | StartError::Store { .. }
                if self.is_troubled(peer) =>
            {
                Ok(())
            }
            error => Err(format!("peer {peer} does not start: {error}")),
        }
    }

    fn shared(&mut self, pair: Pair, shared: Result<ShareDone, ShareError>) -> Result<(), String> {
        match shared {
            Ok(done) => {
                self.tell(format_args!("peer {} has published item {}", pair.0, pair.1));
                self.identify(pair.1, &done.id)?;
                if !self.truth.decayed.contains(&pair) && !self.truth.left.contains(&pair.0) {
                    self.truth.published.insert(pair);
                }
                Ok(())
            }
            // Kept, and told as soon as the coordinator can be told.
            Err(ShareError::NotAnnounced { .. }) => Ok(()),
            Err(error) => {
                self.tell(format_args!(
                    "peer {} cannot publish item {}: {error}",
                    pair.0, pair.1
                ));
                Ok(())
            }
        }
    }

    fn unshared(&mut self, pair: Pair, unshared: Result<(), ShareError>) -> Result<(), String> {
        match unshared {
            Ok(()) => self.tell(format_args!("peer {} has taken item {} back", pair.0, pair.1)),
            Err(error) => self.tell(format_args!(
                "peer {} cannot take item {} back: {error}",
                pair.0, pair.1
            )),
        }
        Ok(())
    }

    fn got(&mut self, pair: Pair, got: Result<GetDone, Arc<GetError>>) -> Result<(), String> {
        let (peer, item) = pair;
        match got {
            Ok(done) => {
                self.tell(format_args!("peer {peer} has item {item}, from {:?}", done.from));
                self.identify(item, &done.id)?;
                if self.judge_copy(pair) != Copy::Exact {
                    return Err(format!(
                        "peer {peer} was told that it has item {item}, but it has not"
                    ));
                }
                self.truth.had.insert(pair);
                self.truth.downloaded.insert(pair);
                Ok(())
            }
            Err(error) => {
                self.tell(format_args!("peer {peer} cannot get item {item}: {error}"));
                self.judge_get_error(pair, &error)
            }
        }
    }

    /// Nobody forges, nothing is forgotten, and disks that were never full are in order.
    fn judge_get_error(&self, (peer, item): Pair, error: &GetError) -> Result<(), String> {
        match error {
            GetError::Full(_) | GetError::Store { .. } | GetError::Source(_) | GetError::Catalog(_)
                if self.is_troubled(peer) =>
            {
                Ok(())
            }
            GetError::KeyChanged { .. }
            | GetError::RolledBack { .. }
            | GetError::Ambiguous { .. }
            | GetError::Full(_)
            | GetError::Store { .. }
            | GetError::Source(_)
            | GetError::Catalog(_) => Err(format!("peer {peer} cannot get item {item}: {error}")),
            _ => Ok(()),
        }
    }

    fn left(&mut self, peer: PeerNumber, left: Result<LeaveDone, LeaveError>) -> Result<(), String> {
        match left {
            Ok(done) => self.tell(format_args!("peer {peer} has left: {done:?}")),
            Err(error) => self.tell(format_args!("peer {peer} could not say that it leaves: {error}")),
        }
        self.ended(peer);
        Ok(())
    }

    /// The process ends, and what it had open with it.
    fn ended(&mut self, peer: PeerNumber) {
        self.town.peers[peer].crash(Crash::Kill);
    }

    fn inspected(&mut self, findings: Result<Findings, String>) -> Result<(), String> {
        match findings {
            Ok(findings) => {
                self.note_copies();
                self.truth.judge(&findings)?;
                if let Some(fetched) = &findings.fetched {
                    self.tell(format_args!(
                        "the inspector asked for a chunk: {:?}",
                        fetched.right
                    ));
                }
                self.last_findings = Some(findings);
            }
            Err(why) => self.tell(format_args!("the inspector was not received: {why}")),
        }
        Ok(())
    }

    /// One content has one id, whoever names it.
    fn identify(&mut self, item: ItemNumber, id: &str) -> Result<(), String> {
        let id: BlobId = id.parse().map_err(|e| format!("item {item} has no id: {e}"))?;
        match self.truth.id_of(item) {
            Some(known) if known != id => Err(format!("item {item} has two ids: {known} and {id}")),
            _ => {
                self.truth.items.insert(id, item);
                Ok(())
            }
        }
    }
}
