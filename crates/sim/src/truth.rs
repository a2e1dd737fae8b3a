//! What really happened, as nobody in the simulated network can know it: the measure for what they say.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skep_wire::{BlobId, PeerId};
use tokio::time::Instant;

use crate::{
    inspector::{Fetched, Findings},
    scenario::{ItemNumber, PeerNumber},
};

/// So long after a peer was last heard from may it still be given to others: three heartbeats, and
/// what is under way.
const PRESENCE: Duration = Duration::from_secs(36);

/// A peer and something that it may have.
pub(crate) type Pair = (PeerNumber, ItemNumber);

/// What is known from outside.
#[derive(Default)]
pub(crate) struct Truth {
    /// Who a key is.
    pub(crate) peers: BTreeMap<PeerId, PeerNumber>,
    /// What a content is.
    pub(crate) items: BTreeMap<BlobId, ItemNumber>,
    /// Began to download, and so may have a part.
    pub(crate) began: BTreeSet<Pair>,
    /// Was about to publish, or had a complete copy.
    pub(crate) had: BTreeSet<Pair>,
    /// Was told that it is published, and did not take it back since.
    pub(crate) published: BTreeSet<Pair>,
    /// Was told that it is downloaded.
    pub(crate) downloaded: BTreeSet<Pair>,
    /// Has a copy of its own that has decayed.
    pub(crate) decayed: BTreeSet<Pair>,
    /// Was told that it has left.
    pub(crate) left: BTreeSet<PeerNumber>,
    /// When the coordinator could last hear a peer.
    pub(crate) heard: BTreeMap<PeerNumber, Instant>,
}

impl Truth {
    /// The contents that anybody knows of.
    pub(crate) fn contents(&self) -> Vec<BlobId> {
        self.items.keys().copied().collect()
    }

    pub(crate) fn id_of(&self, item: ItemNumber) -> Option<BlobId> {
        self.items
            .iter()
            .find_map(|(id, number)| (*number == item).then_some(*id))
    }

    /// What is wrong with what the coordinator told.
    pub(crate) fn judge(&self, findings: &Findings) -> Result<(), String> {
        if let Some(content) = findings.believed.first() {
            return Err(format!("a liar is listed as a holder of {}", content.short()));
        }
        for (content, asked, holders) in &findings.holders {
            for holder in holders {
                self.judge_holder(*content, *asked, holder.peer, holder.complete)?;
            }
        }
        match &findings.fetched {
            Some(fetched) => self.judge_fetched(fetched),
            None => Ok(()),
        }
    }

    /// Whoever has it gives the right bytes, or none.
    fn judge_fetched(&self, fetched: &Fetched) -> Result<(), String> {
        match fetched.right {
            Ok(false) if !self.has_decayed(fetched) => {
                Err(format!("a holder gives wrong bytes: {fetched:?}"))
            }
            _ => Ok(()),
        }
    }

    /// In the calm whoever has it gives it.
    pub(crate) fn judge_last_fetched(&self, fetched: &Fetched) -> Result<(), String> {
        match &fetched.right {
            Err(why) if !self.has_decayed(fetched) => Err(format!(
                "the inspector cannot fetch {} in the calm: {why}",
                fetched.content.short()
            )),
            _ => Ok(()),
        }
    }

    fn has_decayed(&self, fetched: &Fetched) -> bool {
        let (item, peer) = (self.items.get(&fetched.content), self.peers.get(&fetched.holder));
        item.zip(peer)
            .is_some_and(|(&item, &peer)| self.decayed.contains(&(peer, item)))
    }

    /// What was promised and is not listed.
    pub(crate) fn judge_shares(&self, findings: &Findings) -> Result<(), String> {
        let listed: BTreeSet<_> = findings
            .shares
            .iter()
            .map(|(publisher, _, content)| (publisher, content))
            .collect();
        for &(peer, item) in &self.published {
            let key = self
                .peers
                .iter()
                .find_map(|(key, number)| (*number == peer).then_some(key));
            let (Some(key), Some(id)) = (key, self.id_of(item)) else {
                continue;
            };
            if !listed.contains(&(key, &id)) {
                return Err(format!(
                    "what peer {peer} was told is published (item {item}) is not listed"
                ));
            }
        }
        Ok(())
    }

    fn judge_holder(
        &self,
        content: BlobId,
        asked: Instant,
        holder: PeerId,
        complete: bool,
    ) -> Result<(), String> {
        let (Some(&item), Some(&peer)) = (self.items.get(&content), self.peers.get(&holder)) else {
            return Err(format!(
                "a holder of {} is unknown: {}",
                content.short(),
                holder.short()
            ));
        };
        if self
            .heard
            .get(&peer)
            .is_none_or(|heard| *heard + PRESENCE < asked)
        {
            return Err(format!(
                "peer {peer} is handed out for item {item}, but was not there for long"
            ));
        }
        let pair = (peer, item);
        if complete && !self.had.contains(&pair) {
            return Err(format!(
                "peer {peer} is listed as a holder of item {item}, which it never had"
            ));
        }
        if !self.had.contains(&pair) && !self.began.contains(&pair) {
            return Err(format!(
                "peer {peer} is listed for a part of item {item}, which it never asked for"
            ));
        }
        Ok(())
    }
}
