//! What a coordinator knows of backups: rosters, heads, packs, who holds which shard, and what is to be done.
//!
//! A pure state machine beside the index, which knows the peers and carries the messages. It believes
//! signatures and nothing else; it learns everything again from the holders when its facts are lost. No
//! word of it deletes anything anywhere: that is the owner's, and it only passes that on.

mod audits;
mod facts;
mod keepers;
mod leases;
mod owners;
mod placing;
mod queries;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skep_wire::{
    Moment, OwnerId, PackId, PeerId, Signed,
    backup::{PackRecord, Rights, Scheme, open_kept},
    message::{HeldShard, Reason, ShardAt, ShardName},
};

pub(crate) use self::facts::is_fact;
pub use self::{
    audits::{Question, Told},
    owners::Word,
    placing::{Placed, Rebuilding},
};
use self::{facts::Fact, keepers::Keepers, leases::Leases, owners::Owner};
use crate::{
    audit,
    index::{Change, Denial},
    placement::Plans,
    repair::{self, Repair},
};

/// The most owners that a coordinator knows.
const MAX_OWNERS: usize = 4096;
/// The most packs that a coordinator knows, of all owners.
const MAX_PACKS: usize = 1 << 22;

/// How backups are looked after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What is missing, and how fast it is rebuilt.
    pub repair: repair::Settings,
    /// How long a holder has to confirm a shard that was planned for it.
    pub patience: Duration,
    /// How long it has at most when a pack can be restored from those that have confirmed.
    pub straggle: Duration,
    /// How often each pack is audited, in the mean.
    pub audit_every: Duration,
}

impl Settings {
    /// The usual ones, for peers that are heard from every `heartbeat` and have failed after `repair_after`.
    #[must_use]
    pub fn new(heartbeat: Duration, repair_after: Duration) -> Self {
        Self {
            repair: repair::Settings {
                repair_after,
                urgent_after: repair_after.min(heartbeat * 6),
                settle: heartbeat * 6,
                patience: Duration::from_secs(300),
                rebuilds: 16,
                bytes_per_s: Some(128 << 20),
            },
            patience: Duration::from_secs(300),
            straggle: Duration::from_secs(60),
            audit_every: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// All that is known of backups.
pub struct Depot {
    owners: BTreeMap<OwnerId, Owner>,
    packs: BTreeMap<PackId, Pack>,
    keepers: Keepers,
    leases: Leases,
    plans: Plans,
    repair: Repair,
    settings: Settings,
    schedule: audit::Schedule,
    standing: audit::Standing,
    /// Who failed audits: nothing that it has counts, until it has passed many.
    distrusted: BTreeSet<PeerId>,
}

/// A pack, and who has what of it.
struct Pack {
    owner: OwnerId,
    scheme: Scheme,
    shard_bytes: u64,
    record: Signed<PackRecord>,
    held: BTreeSet<ShardAt>,
    /// Who was planned and did not confirm in time: others are asked before it is again.
    late: BTreeSet<PeerId>,
    /// Some holder has deleted its shard, as the owner said: nothing of it is rebuilt any more.
    dying: bool,
    /// Whether repair looks after it: not while its owner still brings it to its holders.
    settled: bool,
    /// Seconds since 1970 of the last right answer to an audit.
    audited_unix_s: u64,
}

impl Depot {
    /// Nothing is known yet. `seed` decides what is audited when.
    #[must_use]
    pub fn new(now: Moment, settings: Settings, seed: [u8; 32]) -> Self {
        Self {
            owners: BTreeMap::new(),
            packs: BTreeMap::new(),
            keepers: Keepers::default(),
            leases: Leases::default(),
            plans: Plans::new(settings.patience),
            repair: Repair::new(now.mono, settings.repair),
            settings,
            schedule: audit::Schedule::new(seed, settings.audit_every),
            standing: audit::Standing::default(),
            distrusted: BTreeSet::new(),
        }
    }

    /// Takes in a fact of the ledger, in the order of their keys. Returns whether it means something.
    pub(crate) fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<bool, &'static str> {
        Ok(match Fact::decode(key, value).ok_or("it is damaged")? {
            Fact::Roster(roster) => self.restore_roster(roster)?,
            Fact::Head(head) => self.restore_head(head)?,
            Fact::Pack(dying, record) => self.restore_pack(dying, record)?,
            Fact::Shard(pack, at) => self.restore_shard(pack, at),
            Fact::Word(owner, number, word) => self.restore_word(owner, number, word)?,
            Fact::Distrusted(peer) => {
                self.repair.failed(Duration::ZERO, peer);
                self.distrusted.insert(peer)
            }
        })
    }

    fn restore_pack(&mut self, dying: bool, signed: Signed<PackRecord>) -> Result<bool, &'static str> {
        let record = signed.peek().map_err(|_| "its record cannot be read")?;
        let Some(owner) = self.owners.get_mut(&record.owner) else {
            return Ok(false);
        };
        owner.packs.insert(record.pack);
        owner.scheme = Some(record.scheme);
        let mut pack = Pack::new(&record, signed);
        (pack.dying, pack.settled) = (dying, true);
        if !dying {
            self.repair.keep(record.pack, record.scheme, record.shard_bytes());
        }
        self.packs.insert(record.pack, pack);
        Ok(true)
    }

    fn restore_shard(&mut self, pack: PackId, at: ShardAt) -> bool {
        let Some(known) = self.packs.get_mut(&pack) else {
            return false;
        };
        known.held.insert(at);
        self.keepers.add(
            at.peer,
            ShardName {
                pack,
                shard: at.shard,
            },
            (known.owner, known.shard_bytes),
        );
        self.repair.hold(pack, at.shard, at.peer);
        true
    }

    /// A peer is there.
    pub(crate) fn online(&mut self, now: Moment, peer: PeerId) {
        match self.is_distrusted(&peer) {
            true => self.repair.failed(now.mono, peer),
            false => self.repair.online(now.mono, peer),
        }
    }

    /// A peer went away.
    pub(crate) fn offline(&mut self, now: Moment, peer: PeerId) {
        self.keepers.close(&peer);
        self.repair.offline(now.mono, peer);
    }

    /// A peer does not belong to the network any more: what it had is lost.
    pub(crate) fn gone(&mut self, now: Moment, peer: PeerId, changes: &mut Vec<Change>) {
        for name in self.keepers.of(&peer) {
            self.lost(peer, name, changes);
        }
        self.keepers.close(&peer);
        self.leases.forget(&peer);
        self.standing.forget(&peer);
        if self.distrusted.remove(&peer) {
            changes.push(Fact::Distrusted(peer).removed());
        }
        self.repair.gone(now.mono, &peer);
    }

    /// A peer is back and has shards with this digest. If that is not what is noted, it is to tell all of them.
    pub(crate) fn returned(&mut self, peer: PeerId, digest: &[u8; 32]) -> bool {
        let known = self.keepers.digest(&peer) == *digest;
        if !known {
            self.keepers.begin_report(peer);
        }
        known
    }

    /// A peer has told all that it has: the rest is lost.
    pub(crate) fn reported(&mut self, peer: PeerId, changes: &mut Vec<Change>) {
        for name in self.keepers.end_report(&peer) {
            self.lost(peer, name, changes);
        }
    }

    /// A peer keeps a shard, durably.
    pub(crate) fn held(
        &mut self,
        now: Moment,
        peer: PeerId,
        held: HeldShard,
        changes: &mut Vec<Change>,
    ) -> Result<(), Denial> {
        let pack = self.know(held.record, changes)?;
        let shard = held.shard;
        let Some(known) = self.packs.get_mut(&pack) else {
            return Ok(());
        };
        if usize::from(shard) >= known.scheme.shards() {
            return Err(bad("the pack has no such shard"));
        }
        let (name, at) = (ShardName { pack, shard }, ShardAt { shard, peer });
        self.keepers.report(&peer, name);
        if known.held.insert(at) {
            changes.push(Fact::Shard(pack, at).set());
            self.keepers.add(peer, name, (known.owner, known.shard_bytes));
        }
        known.late.remove(&peer);
        let is_whole = known.held.len() >= known.scheme.data();
        self.plans.confirmed((pack, shard), &peer);
        if self.plans.is_waiting(&pack) {
            if is_whole {
                self.plans.hurry(now.mono + self.settings.straggle, &pack);
            }
            return Ok(());
        }
        self.settle(&pack);
        self.note_in_repair(pack, at);
        Ok(())
    }

    /// Repair counts what a peer keeps, unless it wants to be rid of it.
    fn note_in_repair(&mut self, pack: PackId, at: ShardAt) {
        self.repair.hold(pack, at.shard, at.peer);
        let owner = self.packs.get(&pack).map(|known| known.owner);
        if owner.is_some_and(|owner| self.leases.cover(&at.peer, &owner)) {
            self.repair.release(&pack, at.peer, true);
        }
    }

    /// The pack of a record, which is noted if it is new and counts.
    fn know(&mut self, signed: Signed<PackRecord>, changes: &mut Vec<Change>) -> Result<PackId, Denial> {
        let claimed = signed.peek().map_err(|_| bad("the record cannot be read"))?;
        if let Some(known) = self.packs.get(&claimed.pack) {
            let same = known.owner == claimed.owner && known.scheme == claimed.scheme;
            let same = same && (known.record == signed || shards_of(&known.record) == Some(claimed.shards));
            return if same {
                Ok(claimed.pack)
            } else {
                Err(bad("the pack is kept in another way"))
            };
        }
        let owner = self.owner_mut(&claimed.owner)?;
        let record = open_kept(&signed, &owner.roster).map_err(|error| not_allowed(&error.to_string()))?;
        owner.packs.insert(record.pack);
        owner.scheme = Some(record.scheme);
        if self.packs.len() >= MAX_PACKS {
            return Err(Denial::new(Reason::NoRoom, "more packs are not noted here"));
        }
        changes.push(Fact::Pack(false, signed.clone()).set());
        self.packs.insert(record.pack, Pack::new(&record, signed));
        Ok(record.pack)
    }

    /// From now on repair looks after a pack.
    fn settle(&mut self, pack: &PackId) {
        let Some(known) = self.packs.get_mut(pack).filter(|known| !known.settled) else {
            return;
        };
        known.settled = true;
        if known.dying {
            return;
        }
        self.repair.keep(*pack, known.scheme, known.shard_bytes);
        for at in known.held.clone() {
            self.note_in_repair(*pack, at);
        }
    }

    /// A peer does not have a shard any more.
    pub(crate) fn lost(&mut self, peer: PeerId, name: ShardName, changes: &mut Vec<Change>) {
        let Some(known) = self.packs.get_mut(&name.pack) else {
            return;
        };
        let at = ShardAt {
            shard: name.shard,
            peer,
        };
        if !known.held.remove(&at) {
            return;
        }
        changes.push(Fact::Shard(name.pack, at).removed());
        self.keepers
            .remove(&peer, &name, (known.owner, known.shard_bytes));
        self.repair.lose(&name.pack, name.shard, &peer);
        if self.is_condemned(&name.pack) {
            self.let_die(&name.pack, changes);
        }
    }

    /// A peer could not rebuild what it was told to, if it was.
    pub(crate) fn not_rebuilt(&mut self, now: Moment, peer: &PeerId, pack: &PackId) {
        self.repair.gave_up(now.mono, pack, peer);
    }

    /// A holder deleted its part of a condemned pack: what others have is not completed any more, and with the last
    /// part the pack is forgotten.
    fn let_die(&mut self, pack: &PackId, changes: &mut Vec<Change>) {
        self.repair.forget(pack);
        let Some(known) = self.packs.get_mut(pack) else {
            return;
        };
        if !known.held.is_empty() {
            if !std::mem::replace(&mut known.dying, true) {
                changes.push(Fact::Pack(true, known.record.clone()).set());
            }
            return;
        }
        let owner = known.owner;
        changes.push(Fact::Pack(true, known.record.clone()).removed());
        self.packs.remove(pack);
        self.plans.cancel(pack);
        if let Some(owner) = self.owners.get_mut(&owner) {
            owner.packs.remove(pack);
        }
        self.sweep_words(&owner, changes);
    }

    fn owner_mut(&mut self, owner: &OwnerId) -> Result<&mut Owner, Denial> {
        self.owners.get_mut(owner).ok_or_else(unknown_owner)
    }

    /// The owner, if `peer` is one of its devices and has this right.
    fn allowed(&self, owner: &OwnerId, peer: &PeerId, right: Rights) -> Result<&Owner, Denial> {
        let known = self.owners.get(owner).ok_or_else(unknown_owner)?;
        if known.roster.allows(peer, right) {
            Ok(known)
        } else {
            Err(not_allowed("the owner does not allow this to your device"))
        }
    }

    /// When something is due by time alone.
    #[must_use]
    pub(crate) fn next_wakeup(&self) -> Option<Duration> {
        let wakeups = [
            self.plans.next_wakeup(),
            self.leases.next_wakeup(),
            self.repair.next_wakeup(),
            self.schedule.next_wakeup(),
        ];
        wakeups.into_iter().flatten().min()
    }
}

impl Pack {
    fn new(record: &PackRecord, signed: Signed<PackRecord>) -> Self {
        Self {
            owner: record.owner,
            scheme: record.scheme,
            shard_bytes: record.shard_bytes(),
            record: signed,
            held: BTreeSet::new(),
            late: BTreeSet::new(),
            dying: false,
            settled: false,
            audited_unix_s: 0,
        }
    }
}

fn shards_of(record: &Signed<PackRecord>) -> Option<Vec<skep_wire::BlobId>> {
    record.peek().ok().map(|record| record.shards)
}

fn unknown_owner() -> Denial {
    Denial::new(Reason::NotFound, "tell the owner's roster first")
}

fn not_allowed(text: &str) -> Denial {
    Denial::new(Reason::NotAllowed, text)
}

fn bad(text: &str) -> Denial {
    Denial::new(Reason::BadRequest, text)
}
