//! Section 2.2: a file is announced, planned, brought and acknowledged.

use std::time::Duration;

use skep_engine::directory::{
    Candidate,
    placement::{self, Cut},
};

use super::{
    super::codec::{FileName, Listed, Message, PeerList, Rq, Style},
    Call, Effects, Server, facts,
    files::{Backup, BackupNo, Chunk, Plan},
    orders::Order,
    peers::PeerNo,
};

/// The most peers in a plan.
pub(super) const LISTED: usize = 8;
/// The least and the most bytes of a chunk, and what is tried first when nobody asks.
pub(super) const LEAST_CHUNK: u64 = 1024;
pub(super) const MOST_CHUNK: u64 = 1 << 20;
const FIRST_CHUNK: u64 = 4096;
/// The most chunks of a file.
pub(super) const CHUNKS: u64 = 65_536;
/// The most chunks that one owner may have pending.
const PENDING_CHUNKS: usize = 4 * 65_536;
/// The most backups that one owner may have pending.
const PENDING: usize = 64;

/// What an owner asks for.
struct Wish {
    owner: PeerNo,
    rq: Rq,
    file: FileName,
    size: u64,
    checksum: super::super::codec::Checksum,
    chunk_size: Option<u64>,
}

/// The most files of one owner.
const FILES: usize = 4096;
/// The most backups of all owners together, and the most chunks that these may have.
const ALL_BACKUPS: usize = 65_536;
const ALL_CHUNKS: usize = 1 << 21;

/// Why an owner does not get it, in the document's words.
type Denied = &'static str;

impl Server {
    /// `BACKUP_REQ`
    pub(super) fn handle_backup_req(&mut self, call: Call<'_>, message: Message, effects: &mut Effects) {
        let Message::BackupReq {
            rq,
            file,
            size,
            checksum,
            chunk_size,
        } = message
        else {
            return;
        };
        let planned = match self.peers.at(call.from) {
            None => Err("Not_Registered"),
            Some(owner) => {
                let rq = rq.clone();
                let wish = Wish {
                    owner,
                    rq,
                    file,
                    size,
                    checksum,
                    chunk_size,
                };
                self.plan(call.now, wish, effects)
            }
        };
        let answer = match planned {
            Ok(plan) => plan,
            Err(reason) => Message::BackupDenied {
                rq,
                reason: reason.to_owned(),
            },
        };
        self.reply(call, answer, effects);
    }

    fn plan(&mut self, now: Duration, wish: Wish, effects: &mut Effects) -> Result<Message, Denied> {
        let owner = self.peers.get(wish.owner).ok_or("Not_Registered")?;
        if !owner.role.owns() {
            return Err("Storage_Role");
        }
        let chunk_bytes = chunk_bytes(wish.size, wish.chunk_size).ok_or("Bad_Request")?;
        if self.is_anothers(wish.owner, &wish.file) {
            return Err("File_Name_In_Use");
        }
        let former = self.files.slot(wish.owner, &wish.file).pending;
        former.into_iter().for_each(|no| self.drop_backup(no, effects));
        let size = wish.size;
        let cut = Cut { size, chunk_bytes };
        if self.files.pending_of(wish.owner).count() >= PENDING {
            let stuck = self.stuck_of(wish.owner);
            stuck.into_iter().for_each(|no| self.drop_backup(no, effects));
        }
        self.check_pending(wish.owner, cut)?;
        self.check_room(&wish, cut)?;
        let candidates = self
            .peers
            .candidates()
            .filter(|one| one.who != wish.owner)
            .collect();
        let replicas = self.config.replicas;
        let list = placement::choose(candidates, cut, replicas, LISTED).ok_or("No_Storage")?;
        let former = self.files.slot(wish.owner, &wish.file).complete;
        let list = match former.and_then(|no| self.files.get(no)) {
            Some(former) => self.away_from(former, list, cut),
            None => list,
        };
        let plan = Plan {
            owner: wish.owner,
            file: wish.file,
            size,
            checksum: wish.checksum,
            chunk_bytes,
            list,
            replicas,
            rq: wish.rq.as_str().to_owned(),
            done: false,
            complete: false,
        };
        let rq = self.number();
        let no = self.files.add(Backup::new(plan, rq));
        self.keep_plan(no, effects);
        self.ask_for_storage(now, no, effects);
        let backup = self.files.get(no).ok_or("Bad_Request")?;
        Ok(self.backup_plan(backup))
    }

    /// The list turned so that as few chunks as possible go to who holds the same chunk of the former
    /// backup: a storage peer knows them by file and number alone, and would overwrite the old one,
    /// which is still needed if the new backup is never finished.
    fn away_from(&self, former: &Backup, list: Vec<PeerNo>, cut: Cut) -> Vec<PeerNo> {
        let (n, replicas) = (list.len(), self.config.replicas);
        let room: Vec<Candidate<PeerNo>> = self
            .peers
            .candidates()
            .filter(|one| list.contains(&one.who))
            .collect();
        let turned = |by: usize| list.iter().copied().cycle().skip(by).take(n).collect::<Vec<_>>();
        let fits = |turned: &Vec<PeerNo>| {
            let find = |who: &PeerNo| room.iter().find(|one| one.who == *who).copied();
            let turned: Vec<_> = turned.iter().filter_map(find).collect();
            placement::fits(&turned, cut, replicas)
        };
        let overwritten = |turned: &Vec<PeerNo>| {
            let both = former.numbered().take_while(|(chunk, _)| *chunk < cut.chunks());
            let is_held = |(n, chunk): (u64, &Chunk)| {
                let mut places = placement::targets(n, replicas, turned.len());
                places.any(|place| turned.get(place).is_some_and(|who| chunk.holders.contains(who)))
            };
            both.filter(|it| is_held(*it)).count()
        };
        (0..n)
            .map(turned)
            .filter(fits)
            .min_by_key(overwritten)
            .unwrap_or(list)
    }

    /// Whether another owner behind the same address has a file of that name: storage peers could
    /// not tell the two apart.
    fn is_anothers(&self, owner: PeerNo, file: &FileName) -> bool {
        let ip = |who| self.peers.get(who).map(|peer| peer.ip);
        let others = self
            .files
            .named(file)
            .filter(|(_, backup)| backup.plan.owner != owner);
        others
            .map(|(_, backup)| backup.plan.owner)
            .any(|other| ip(other) == ip(owner))
    }

    fn check_pending(&self, owner: PeerNo, cut: Cut) -> Result<(), Denied> {
        let (mut backups, mut chunks) = (1, usize::try_from(cut.chunks()).unwrap_or(usize::MAX));
        for pending in self.files.pending_of(owner) {
            backups += 1;
            chunks = chunks.saturating_add(pending.chunks.len());
        }
        if backups > PENDING || chunks > PENDING_CHUNKS {
            return Err("Too_Many_Backups");
        }
        Ok(())
    }

    /// Registering costs nothing, so what all owners have here together is bounded, too.
    fn check_room(&self, wish: &Wish, cut: Cut) -> Result<(), Denied> {
        let (backups, chunks) = self.files.count();
        let chunks = chunks.saturating_add(usize::try_from(cut.chunks()).unwrap_or(usize::MAX));
        let is_new = self.files.slot(wish.owner, &wish.file).complete.is_none();
        let is_full = is_new && self.files.files_of(wish.owner) >= FILES;
        if is_full || backups >= ALL_BACKUPS || chunks > ALL_CHUNKS {
            return Err("Too_Many_Backups");
        }
        Ok(())
    }

    /// Asks the peers of a plan to take what they do not have: first where it belongs, then the fallbacks.
    pub(super) fn ask_for_storage(&mut self, now: Duration, no: BackupNo, effects: &mut Effects) {
        let Some(backup) = self.files.get_mut(no) else {
            return;
        };
        let (owner, rq) = (backup.plan.owner, backup.rq);
        let plan = backup.plan.clone();
        let mut orders = Vec::new();
        for (n, chunk) in (0..).zip(&mut backup.chunks) {
            let missing = plan.replicas.saturating_sub(chunk.holders.len());
            let targets = plan
                .targets(n)
                .filter(|who| !chunk.holders.contains(who))
                .take(missing);
            chunk.awaited = targets.collect();
            chunk.awaited.dedup();
            let spare = plan.fallback(n).filter(|_| missing > 0 && plan.list.len() > 1);
            for to in chunk.awaited.iter().copied().chain(spare) {
                orders.push(Order::Store {
                    backup: no,
                    chunk: n,
                    to,
                    from: owner,
                    rq,
                });
            }
            for to in &chunk.awaited {
                self.peers.promise(*to, plan.cut().len(n));
                self.waits.heard(now, &(no, *to));
            }
        }
        for to in &plan.list {
            // At once: whoever is faster than the queue must not find the peer unprepared.
            self.send(Order::Task { backup: no, to: *to }, effects);
            self.orders
                .add(now + Duration::from_secs(1), Order::Task { backup: no, to: *to });
        }
        orders.into_iter().for_each(|order| self.orders.add(now, order));
    }

    /// The plan as its owner is told.
    pub(super) fn backup_plan(&self, backup: &Backup) -> Message {
        let listed = |(place, who): (usize, &PeerNo)| {
            let peer = self.peers.get(*who)?;
            Some(Listed {
                name: peer.name.clone(),
                address: Some(peer.address()),
                chunks: Some(self.chunks_at(backup, place)),
            })
        };
        let peers: Vec<Listed> = backup.plan.list.iter().enumerate().filter_map(listed).collect();
        let plan = |style| Message::BackupPlan {
            rq: backup.plan.owners_rq(),
            file: backup.plan.file.clone(),
            peers: PeerList {
                style,
                peers: peers.clone(),
            },
            chunk_size: backup.plan.chunk_bytes,
        };
        let fits = |message: &Message| message.encode().len() <= super::super::codec::DATAGRAM_BYTES;
        Some(plan(self.config.style))
            .filter(fits)
            .unwrap_or_else(|| plan(Style::Colon))
    }

    /// The chunks of which the peer at a place of the list is a target, if they are to be listed.
    fn chunks_at(&self, backup: &Backup, place: usize) -> Vec<u64> {
        let (n, replicas) = (backup.plan.list.len(), backup.plan.replicas);
        if self.config.style != Style::At {
            return Vec::new();
        }
        let is_target = |chunk: &u64| placement::targets(*chunk, replicas, n).any(|it| it == place);
        // Far more than fit in a datagram need not be counted out.
        (0..backup.plan.cut().chunks())
            .filter(is_target)
            .take(1000)
            .collect()
    }

    /// `STORE_ACK`
    pub(super) fn handle_store_ack(
        &mut self,
        call: Call<'_>,
        file: &FileName,
        chunk: u64,
        effects: &mut Effects,
    ) {
        let Some(who) = self.peers.at(call.from) else {
            return;
        };
        let mut found = None;
        for (no, backup) in self.files.named(file) {
            let Some(place) = backup.chunk(chunk) else {
                continue;
            };
            let is_awaited = place.awaited.contains(&who);
            if !backup.concerns(who, place) || place.holders.contains(&who) {
                continue;
            }
            if is_awaited || found.is_none() {
                found = Some(no);
            }
            if is_awaited {
                break;
            }
        }
        if let Some(no) = found {
            self.acknowledge(call.now, no, chunk, who, effects);
        }
    }

    fn acknowledge(&mut self, now: Duration, no: BackupNo, chunk: u64, who: PeerNo, effects: &mut Effects) {
        let Some(backup) = self.files.get_mut(no) else {
            return;
        };
        let bytes = backup.plan.cut().len(chunk);
        let replicas = backup.plan.replicas;
        let Some(place) = backup.chunk_mut(chunk) else {
            return;
        };
        if place.awaited.contains(&who) {
            place.awaited.retain(|it| *it != who);
            self.peers.release(who, bytes);
        }
        // Brought to its fallback: nobody need wait for the others any more.
        if place.holders.len() + 1 >= replicas {
            for other in std::mem::take(&mut place.awaited) {
                self.peers.release(other, bytes);
            }
        }
        self.note_holder(no, chunk, who);
        effects.set(facts::held_key(no, chunk, who), Vec::new());
        self.waits.heard(now, &(no, who));
        self.repairs.done(no, chunk, who);
        self.settle(no, effects);
    }

    /// The peer holds the chunk: it was acknowledged, now or before this start.
    pub(super) fn note_holder(&mut self, no: BackupNo, chunk: u64, who: PeerNo) {
        if self.files.hold(no, chunk, who) {
            let bytes = self
                .files
                .get(no)
                .map_or(0, |backup| backup.plan.cut().len(chunk));
            self.peers.fill(who, bytes);
        }
    }

    /// `BACKUP_DONE`
    pub(super) fn handle_backup_done(
        &mut self,
        call: Call<'_>,
        rq: Rq,
        file: FileName,
        effects: &mut Effects,
    ) {
        let Some(owner) = self.peers.at(call.from) else {
            return;
        };
        let slot = self.files.slot(owner, &file);
        if let Some(no) = slot.pending {
            if let Some(backup) = self.files.get_mut(no) {
                backup.plan.done = true;
            }
            self.keep_plan(no, effects);
            self.settle(no, effects);
        }
        if let Some(no) = slot.pending.or(slot.complete) {
            self.copy_the_rest(call.now, no);
        }
        if self.config.acks && (slot.pending.is_some() || slot.complete.is_some()) {
            self.reply(call, Message::BackupDone { rq, file }, effects);
        }
    }

    /// A backup of which every chunk is held takes the place of the former one.
    fn settle(&mut self, no: BackupNo, effects: &mut Effects) {
        let Some(backup) = self.files.get(no) else { return };
        let is_whole = backup.unheld == 0 && (backup.plan.done || !backup.chunks.is_empty());
        if backup.plan.complete || !is_whole {
            return;
        }
        let former = self.files.complete(no);
        self.keep_plan(no, effects);
        former
            .into_iter()
            .for_each(|former| self.drop_backup(former, effects));
    }

    /// The backup is not wanted any more.
    pub(super) fn drop_backup(&mut self, no: BackupNo, effects: &mut Effects) {
        let Some(backup) = self.files.remove(no) else {
            return;
        };
        effects.remove(facts::plan_key(no));
        for (n, chunk) in backup.numbered() {
            let bytes = backup.plan.cut().len(n);
            for who in &chunk.holders {
                self.peers.drain(*who, bytes);
                effects.remove(facts::held_key(no, n, *who));
            }
            for who in &chunk.awaited {
                self.peers.release(*who, bytes);
            }
        }
        for who in backup.plan.list.iter().chain(&backup.given_up) {
            self.waits.forget(&(no, *who));
        }
    }

    pub(super) fn keep_plan(&mut self, no: BackupNo, effects: &mut Effects) {
        if let Some(backup) = self.files.get(no) {
            effects.set(facts::plan_key(no), facts::value(&backup.plan));
        }
    }
}

/// Bytes of the chunks of a file; none if it is too large to be cut.
fn chunk_bytes(size: u64, wished: Option<u64>) -> Option<u64> {
    let mut bytes = wished.map_or(FIRST_CHUNK, |wished| wished.clamp(LEAST_CHUNK, MOST_CHUNK));
    while size.div_ceil(bytes) > CHUNKS {
        if bytes >= MOST_CHUNK {
            return None;
        }
        bytes = (bytes * 2).min(MOST_CHUNK);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_clamped_and_few_enough() {
        assert_eq!(chunk_bytes(10, None), Some(4096));
        assert_eq!(chunk_bytes(4096 * 65_536, None), Some(4096));
        assert_eq!(chunk_bytes(4096 * 65_536 + 1, None), Some(8192));
        assert_eq!(chunk_bytes(10, Some(1)), Some(1024));
        assert_eq!(chunk_bytes(10, Some(u64::MAX)), Some(1 << 20));
        assert_eq!(chunk_bytes(10, Some(5000)), Some(5000));
        assert_eq!(chunk_bytes(1024 * 65_537, Some(1024)), Some(2048));
        assert_eq!(chunk_bytes(1 << 36, None), Some(1 << 20));
        assert_eq!(chunk_bytes((1 << 36) + 1, None), None);
        assert_eq!(chunk_bytes(u64::MAX, Some(1)), None);
    }
}
