//! Packs from their holders: whoever is online and least asked of by us; where one fails, the next.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::{Arc, Mutex},
};

use bytes::BytesMut;
use skep_net::AskError;
use skep_vault::shard;
use skep_wire::{
    OwnerId, PackId, PeerId, Signed,
    backup::{self, PackRecord, Roster},
    message::{Done, Holder, KeepRoster, Lane, Locate, Located, ReadShard, Reason, ShardName},
};
use thiserror::Error;

use super::{error::BackupError, lock, reader::Packs, state::Owned, sync};
use crate::core::Core;

/// Why a holder gave no bytes of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum NoBytes {
    /// It has no such shard.
    #[error("it is missing")]
    Missing,
    /// It found that what it has is not what it should be.
    #[error("it is damaged")]
    Damaged,
    /// It did not answer, or not so.
    #[error("{0}")]
    Unread(String),
}

impl From<AskError> for NoBytes {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused {
                reason: Reason::NotFound,
                ..
            } => Self::Missing,
            AskError::Refused {
                reason: Reason::Changed,
                ..
            } => Self::Damaged,
            error => Self::Unread(error.to_string()),
        }
    }
}

/// The packs of an owner, over the network.
pub(crate) struct Far {
    core: Arc<Core>,
    owner: OwnerId,
    signed: Signed<Roster>,
    roster: Roster,
    known: Mutex<HashMap<PackId, Arc<Whereabouts>>>,
    /// How many requests of ours each holder is at.
    asked: Mutex<HashMap<PeerId, usize>>,
}

/// Where a pack is.
struct Whereabouts {
    record: PackRecord,
    /// Who is online, by the shard that it has.
    holders: BTreeMap<u8, Vec<Holder>>,
}

impl Far {
    pub(super) fn new(core: &Arc<Core>, owned: &Owned) -> Self {
        Self {
            core: core.clone(),
            owner: owned.owner,
            signed: owned.signed.clone(),
            roster: owned.roster.clone(),
            known: Mutex::default(),
            asked: Mutex::default(),
        }
    }

    /// All packs that the network knows. Blocks.
    pub(super) fn all(&self) -> Result<Vec<PackId>, BackupError> {
        self.core
            .world
            .work
            .wait_for(sync::all_packs(&self.core, self.owner))
    }

    async fn whereabouts(&self, pack: &PackId) -> Result<Arc<Whereabouts>, String> {
        if let Some(known) = lock(&self.known).get(pack) {
            return Ok(known.clone());
        }
        let request = Locate {
            owner: self.owner,
            packs: vec![*pack],
        };
        let asked = self.core.session.ask::<_, Located>(&request).await;
        let mut located = asked.map_err(|e| e.to_string())?;
        let nobody = || format!("nobody is known to have pack {}", pack.short());
        let at = located.packs.pop().ok_or_else(nobody)?;
        let record = backup::open_kept(&at.record, &self.roster).map_err(|e| e.to_string())?;
        if record.pack != *pack {
            return Err(nobody());
        }
        let online: BTreeMap<PeerId, Holder> = located.holders.into_iter().map(|h| (h.peer, h)).collect();
        let mut holders: BTreeMap<u8, Vec<Holder>> = BTreeMap::new();
        for held in at.held {
            if let Some(holder) = online.get(&held.peer) {
                holders.entry(held.shard).or_default().push(holder.clone());
            }
        }
        let found = Arc::new(Whereabouts { record, holders });
        lock(&self.known).insert(*pack, found.clone());
        Ok(found)
    }

    async fn read_pack(&self, pack: &PackId, range: Range<u64>, attempt: u32) -> Result<Vec<u8>, String> {
        let at = self.whereabouts(pack).await?;
        if at.record.scheme.data() == 1 {
            let all: Vec<(u8, &Holder)> = at.each().collect();
            return self.read_any(pack, &all, &range, attempt).await;
        }
        let mut bytes = Vec::new();
        for part in shard::parts(at.record.scheme, at.record.size, range) {
            bytes.extend(self.part(pack, &at, part, attempt).await?);
        }
        Ok(bytes)
    }

    /// A part of a data shard: from who has it, or rebuilt from others.
    async fn part(
        &self,
        pack: &PackId,
        at: &Whereabouts,
        part: shard::Part,
        attempt: u32,
    ) -> Result<Vec<u8>, String> {
        let number = u8::try_from(part.shard).map_err(|e| e.to_string())?;
        let known: Vec<u8> = at.holders.keys().copied().collect();
        let left_out = left_out(&known, attempt);
        let direct: Vec<(u8, &Holder)> = at.each().filter(|(shard, _)| *shard == number).collect();
        if !left_out.contains(&number)
            && !direct.is_empty()
            && let Ok(bytes) = self.read_any(pack, &direct, &part.range, attempt).await
        {
            return Ok(bytes);
        }
        let usable = |shard: &u8| *shard != number && !left_out.contains(shard);
        let others = known.into_iter().filter(usable);
        self.rebuilt(pack, at, &part, (others, attempt)).await
    }

    /// Reads the same columns of enough of these other shards.
    async fn rebuilt(
        &self,
        pack: &PackId,
        at: &Whereabouts,
        part: &shard::Part,
        (others, attempt): (impl Iterator<Item = u8>, u32),
    ) -> Result<Vec<u8>, String> {
        let (scheme, shard_bytes) = (at.record.scheme, at.record.shard_bytes());
        let columns = shard::columns(scheme, shard_bytes, part.range.clone());
        let mut have = Vec::new();
        for number in others {
            let holders: Vec<(u8, &Holder)> = at.each().filter(|(shard, _)| *shard == number).collect();
            if let Ok(bytes) = self.read_any(pack, &holders, &columns, attempt).await {
                have.push((usize::from(number), bytes));
            }
            if have.len() == scheme.data() {
                break;
            }
        }
        let have: Vec<(usize, &[u8])> = have.iter().map(|(number, bytes)| (*number, &bytes[..])).collect();
        let whole = shard::rebuild(scheme, &have, part.shard)
            .map_err(|e| format!("of pack {}: {e}", pack.short()))?;
        let from = usize::try_from(part.range.start - columns.start).map_err(|e| e.to_string())?;
        let len = usize::try_from(part.range.end - part.range.start).map_err(|e| e.to_string())?;
        whole
            .get(from..from + len)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| "a shard is cut short".to_owned())
    }

    /// The same bytes from the first of these that gives them: the least busy, or after failures the next.
    async fn read_any(
        &self,
        pack: &PackId,
        sources: &[(u8, &Holder)],
        range: &Range<u64>,
        attempt: u32,
    ) -> Result<Vec<u8>, String> {
        let mut sources = sources.to_vec();
        if attempt == 0 {
            let asked = lock(&self.asked);
            sources.sort_by_key(|(_, holder)| asked.get(&holder.peer).copied().unwrap_or(0));
        } else if !sources.is_empty() {
            let turn = attempt as usize % sources.len();
            sources.rotate_left(turn);
        }
        let mut last = format!("nobody who has pack {} is online", pack.short());
        for (shard, holder) in sources {
            let name = ShardName { pack: *pack, shard };
            match self.read_one(holder, name, range).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => last = format!("{}: {error}", holder.name),
            }
        }
        Err(last)
    }

    /// Bytes of a shard, from one holder.
    pub(super) async fn read_one(
        &self,
        holder: &Holder,
        shard: ShardName,
        range: &Range<u64>,
    ) -> Result<Vec<u8>, NoBytes> {
        *lock(&self.asked).entry(holder.peer).or_default() += 1;
        let read = self.ask(holder, shard, range).await;
        if let Some(asked) = lock(&self.asked).get_mut(&holder.peer) {
            *asked = asked.saturating_sub(1);
        }
        read
    }

    async fn ask(&self, holder: &Holder, shard: ShardName, range: &Range<u64>) -> Result<Vec<u8>, NoBytes> {
        let link = self.core.links.to(&self.core, holder, Lane::Bulk).await;
        let link = link.map_err(|e| NoBytes::Unread(e.to_string()))?;
        let bytes = range.end - range.start;
        let at_most = usize::try_from(bytes).map_err(|e| NoBytes::Unread(e.to_string()))?;
        let request = ReadShard {
            owner: self.owner,
            shard,
            first: range.start,
            bytes,
            permit: None,
        };
        let mut read = link.read(&request, at_most, BytesMut::new(), None).await;
        if matches!(read, Err(AskError::Refused { .. })) {
            // A holder that does not know this device yet is told who it is.
            let roster = self.signed.clone();
            if link.ask::<_, Done>(&KeepRoster { roster }).await.is_ok() {
                read = link.read(&request, at_most, BytesMut::new(), None).await;
            }
        }
        let read = read?;
        self.core.count_received(holder.peer, read.len() as u64);
        Ok(read.into())
    }
}

impl Whereabouts {
    /// Each holder, with the shard that it has.
    fn each(&self) -> impl Iterator<Item = (u8, &Holder)> {
        let all = self.holders.iter();
        all.flat_map(|(shard, holders)| holders.iter().map(|holder| (*shard, holder)))
    }
}

/// Which shards of a pack an attempt does without, as one or two of them may be rotten and not found yet: none, then
/// each one, then each two.
fn left_out(known: &[u8], attempt: u32) -> Vec<u8> {
    let pairs = known.iter().enumerate().flat_map(|(index, one)| {
        let later = known.iter().skip(index + 1);
        later.map(|other| vec![*one, *other])
    });
    let singles = known.iter().map(|one| vec![*one]);
    let mut all = std::iter::once(Vec::new()).chain(singles).chain(pairs);
    all.nth(attempt as usize).unwrap_or_default()
}

impl Packs for Far {
    fn size(&self, pack: &PackId) -> Result<u64, String> {
        let at = self.core.world.work.wait_for(self.whereabouts(pack))?;
        Ok(at.record.size)
    }

    fn read(&self, pack: &PackId, _size: u64, range: Range<u64>, attempt: u32) -> Result<Vec<u8>, String> {
        self.core
            .world
            .work
            .wait_for(self.read_pack(pack, range, attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::reader::ATTEMPTS, *};

    #[test]
    fn any_two_rotten_shards_of_six_are_left_out_in_some_attempt() {
        let all = [0, 1, 2, 3, 4, 5];
        let is_tried = |known: &[u8], rotten: &[u8]| {
            let mut attempts = (0..ATTEMPTS).map(|attempt| left_out(known, attempt));
            attempts.any(|left_out| rotten.iter().all(|shard| left_out.contains(shard)))
        };
        for one in all {
            for other in all {
                assert!(is_tried(&all, &[one, other]), "{one} and {other}");
            }
            assert!(is_tried(&all[1..], &all[5..]), "one is away, and one rotten");
        }
        assert!(left_out(&all, 0).is_empty() && left_out(&all, 999).is_empty());
    }
}
