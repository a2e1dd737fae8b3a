//! What is backed up: files, their chunks, and who has or should have them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use skep_engine::directory::placement::{self, Cut};

use super::{
    super::codec::{Checksum, FileName, Rq},
    backup::{CHUNKS, LEAST_CHUNK, LISTED, MOST_CHUNK},
    peers::PeerNo,
};

/// The number of a backup: one attempt to bring one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct BackupNo(pub(super) u64);

/// What is kept of a backup, beside who holds its chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) owner: PeerNo,
    pub(super) file: FileName,
    pub(super) size: u64,
    pub(super) checksum: Checksum,
    pub(super) chunk_bytes: u64,
    /// Chunk `i` belongs to `list[i mod n]` and the next ones.
    pub(super) list: Vec<PeerNo>,
    pub(super) replicas: usize,
    /// The owner's number for its request.
    pub(super) rq: String,
    /// The owner has reported that all is done.
    pub(super) done: bool,
    /// It has every chunk: a former backup of the file is not needed any more.
    pub(super) complete: bool,
}

/// Who has one chunk, and who should.
#[derive(Debug, Clone, Default)]
pub(super) struct Chunk {
    /// Acknowledged.
    pub(super) holders: Vec<PeerNo>,
    /// Asked to take it.
    pub(super) awaited: Vec<PeerNo>,
}

/// One backup.
#[derive(Debug, Clone)]
pub(super) struct Backup {
    pub(super) plan: Plan,
    pub(super) chunks: Vec<Chunk>,
    /// How many chunks nobody has acknowledged.
    pub(super) unheld: usize,
    /// The server's number for what it asks of storage peers.
    pub(super) rq: u64,
    /// Those that did not do what was asked of them.
    pub(super) given_up: BTreeSet<PeerNo>,
}

impl Backup {
    pub(super) fn new(plan: Plan, rq: u64) -> Self {
        let count = usize::try_from(plan.cut().chunks()).unwrap_or(usize::MAX);
        let chunks = vec![Chunk::default(); count];
        Self {
            plan,
            unheld: chunks.len(),
            chunks,
            rq,
            given_up: BTreeSet::new(),
        }
    }

    pub(super) fn chunk(&self, chunk: u64) -> Option<&Chunk> {
        self.chunks.get(usize::try_from(chunk).ok()?)
    }

    pub(super) fn chunk_mut(&mut self, chunk: u64) -> Option<&mut Chunk> {
        self.chunks.get_mut(usize::try_from(chunk).ok()?)
    }

    /// The chunks with their numbers.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (u64, &Chunk)> {
        (0..).zip(&self.chunks)
    }

    /// Whether that peer was ever asked to take chunks of this.
    pub(super) fn concerns(&self, who: PeerNo, chunk: &Chunk) -> bool {
        self.plan.list.contains(&who) || chunk.awaited.contains(&who) || self.given_up.contains(&who)
    }
}

impl Plan {
    /// Whether this server may have made it.
    pub(super) fn is_sound(&self) -> bool {
        (LEAST_CHUNK..=MOST_CHUNK).contains(&self.chunk_bytes)
            && self.cut().chunks() <= CHUNKS
            && self.list.len() <= LISTED
    }

    pub(super) fn cut(&self) -> Cut {
        Cut {
            size: self.size,
            chunk_bytes: self.chunk_bytes,
        }
    }

    /// The owner's number, as a field.
    pub(super) fn owners_rq(&self) -> Option<Rq> {
        self.rq.parse().ok()
    }

    /// To whom a chunk goes.
    pub(super) fn targets(&self, chunk: u64) -> impl Iterator<Item = PeerNo> {
        let places = placement::targets(chunk, self.replicas, self.list.len());
        places.filter_map(|place| self.list.get(place).copied())
    }

    /// To whom it goes when a target fails.
    pub(super) fn fallback(&self, chunk: u64) -> Option<PeerNo> {
        let place = placement::fallback(chunk, self.replicas, self.list.len())?;
        self.list.get(place).copied()
    }
}

/// The backups of one file of one owner.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slot {
    /// What is restored.
    pub(super) complete: Option<BackupNo>,
    /// What is about to take its place.
    pub(super) pending: Option<BackupNo>,
}

/// All backups.
#[derive(Default)]
pub(super) struct Files {
    backups: BTreeMap<BackupNo, Backup>,
    slots: BTreeMap<PeerNo, BTreeMap<FileName, Slot>>,
    by_file: BTreeMap<FileName, BTreeSet<BackupNo>>,
    held: BTreeMap<PeerNo, BTreeSet<BackupNo>>,
    /// Of all backups together.
    chunks: usize,
    next: u64,
}

impl Files {
    /// How many backups there are, and how many chunks they have.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.backups.len(), self.chunks)
    }

    /// How many files an owner has here.
    pub(super) fn files_of(&self, owner: PeerNo) -> usize {
        self.slots.get(&owner).map_or(0, BTreeMap::len)
    }

    /// Takes in a backup. Returns its number.
    pub(super) fn add(&mut self, backup: Backup) -> BackupNo {
        let no = BackupNo(self.next);
        self.insert(no, backup);
        no
    }

    /// Takes in a backup of that number.
    pub(super) fn insert(&mut self, no: BackupNo, backup: Backup) {
        self.next = self.next.max(no.0 + 1);
        let plan = &backup.plan;
        let of_owner = self.slots.entry(plan.owner).or_default();
        let slot = of_owner.entry(plan.file.clone()).or_default();
        if plan.complete {
            slot.complete = Some(no);
        } else {
            slot.pending = Some(no);
        }
        self.by_file.entry(plan.file.clone()).or_default().insert(no);
        self.chunks += backup.chunks.len();
        self.backups.insert(no, backup);
    }

    /// Forgets a backup and returns it.
    pub(super) fn remove(&mut self, no: BackupNo) -> Option<Backup> {
        let backup = self.backups.remove(&no)?;
        self.chunks -= backup.chunks.len();
        let (owner, file) = (backup.plan.owner, &backup.plan.file);
        if let Some(of_owner) = self.slots.get_mut(&owner) {
            of_owner.retain(|_, slot| {
                slot.complete = slot.complete.filter(|it| *it != no);
                slot.pending = slot.pending.filter(|it| *it != no);
                slot.complete.is_some() || slot.pending.is_some()
            });
            if of_owner.is_empty() {
                self.slots.remove(&owner);
            }
        }
        if let Some(all) = self.by_file.get_mut(file) {
            all.remove(&no);
            if all.is_empty() {
                self.by_file.remove(file);
            }
        }
        for held in self.held.values_mut() {
            held.remove(&no);
        }
        Some(backup)
    }

    /// The pending backup is complete. Returns the former one, which is not needed any more.
    pub(super) fn complete(&mut self, no: BackupNo) -> Option<BackupNo> {
        let backup = self.backups.get_mut(&no)?;
        backup.plan.complete = true;
        let of_owner = self.slots.entry(backup.plan.owner).or_default();
        let slot = of_owner.entry(backup.plan.file.clone()).or_default();
        slot.pending = slot.pending.filter(|it| *it != no);
        slot.complete.replace(no).filter(|it| *it != no)
    }

    pub(super) fn get(&self, no: BackupNo) -> Option<&Backup> {
        self.backups.get(&no)
    }

    pub(super) fn get_mut(&mut self, no: BackupNo) -> Option<&mut Backup> {
        self.backups.get_mut(&no)
    }

    pub(super) fn slot(&self, owner: PeerNo, file: &FileName) -> Slot {
        let slot = self.slots.get(&owner).and_then(|of_owner| of_owner.get(file));
        slot.copied().unwrap_or_default()
    }

    /// All backups of files of that name, whoever owns them.
    pub(super) fn named(&self, file: &FileName) -> impl Iterator<Item = (BackupNo, &Backup)> {
        let numbers = self.by_file.get(file).into_iter().flatten();
        numbers.filter_map(|no| Some((*no, self.backups.get(no)?)))
    }

    /// The backups that are not complete yet, of one owner.
    pub(super) fn pending_of(&self, owner: PeerNo) -> impl Iterator<Item = &Backup> {
        let slots = self.slots.get(&owner).into_iter().flat_map(BTreeMap::values);
        slots.filter_map(|slot| self.backups.get(&slot.pending?))
    }

    /// Whether the peer owns files.
    pub(super) fn owns_any(&self, who: PeerNo) -> bool {
        self.slots.contains_key(&who)
    }

    /// The backups of which a peer holds chunks.
    pub(super) fn held_by(&self, who: PeerNo) -> Vec<BackupNo> {
        self.held.get(&who).into_iter().flatten().copied().collect()
    }

    /// The peer holds the chunk from now on. Returns whether it did not.
    pub(super) fn hold(&mut self, no: BackupNo, chunk: u64, who: PeerNo) -> bool {
        let Some(backup) = self.backups.get_mut(&no) else {
            return false;
        };
        let Some(place) = backup
            .chunk_mut(chunk)
            .filter(|chunk| !chunk.holders.contains(&who))
        else {
            return false;
        };
        place.holders.push(who);
        if place.holders.len() == 1 {
            backup.unheld -= 1;
        }
        self.held.entry(who).or_default().insert(no);
        true
    }

    /// The peer holds nothing of the backup any more. Returns the chunks that it held.
    pub(super) fn drop_holder(&mut self, no: BackupNo, who: PeerNo) -> Vec<u64> {
        let Some(backup) = self.backups.get_mut(&no) else {
            return Vec::new();
        };
        let mut dropped = Vec::new();
        for (n, chunk) in (0..).zip(&mut backup.chunks) {
            let before = chunk.holders.len();
            chunk.holders.retain(|holder| *holder != who);
            if chunk.holders.len() < before {
                dropped.push(n);
                backup.unheld += usize::from(chunk.holders.is_empty());
            }
        }
        if let Some(held) = self.held.get_mut(&who) {
            held.remove(&no);
        }
        dropped
    }

    /// All backups.
    pub(super) fn iter(&self) -> impl Iterator<Item = (BackupNo, &Backup)> {
        self.backups.iter().map(|(no, backup)| (*no, backup))
    }
}
