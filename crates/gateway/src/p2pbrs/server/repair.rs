//! Section 2.5: what is done when somebody fails, leaves, or does not acknowledge.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skep_engine::directory::placement;

use super::{
    super::codec::{Message, Rq, Target},
    Effects, Output, Server, facts,
    files::BackupNo,
    orders::Order,
    peers::PeerNo,
};

/// The most copies under way at once.
const COPIES: usize = 64;
/// What could not be copied is tried again after this time, or when somebody comes.
const LATER: Duration = Duration::from_secs(30);
/// After so many peers that did not do it, an unfinished backup waits for others to come.
const ROUNDS: usize = 3;

/// Chunks with too few live holders, and the copies under way.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    lacking: BTreeSet<(BackupNo, u64)>,
    /// Nothing could be done for these just now.
    parked: BTreeSet<(BackupNo, u64)>,
    /// Copies that were ordered, and until when they are to be acknowledged.
    copying: BTreeMap<(BackupNo, u64, PeerNo), Duration>,
    /// Unfinished backups with chunks that nobody has and nobody was left to take.
    stuck: BTreeSet<BackupNo>,
    /// When the parked ones are looked at again.
    later: Option<Duration>,
}

impl Repairs {
    pub(super) fn done(&mut self, no: BackupNo, chunk: u64, who: PeerNo) {
        self.copying.remove(&(no, chunk, who));
    }

    pub(super) fn next_wakeup(&self) -> Option<Duration> {
        let copies = self.copying.values().copied().min();
        let now = (!self.lacking.is_empty() && self.copying.len() < COPIES).then_some(Duration::ZERO);
        [copies, self.later, now].into_iter().flatten().min()
    }
}

impl Server {
    /// After a start: what was under way goes on.
    pub(super) fn resume(&mut self, now: Duration) {
        let all: Vec<(BackupNo, bool)> = self
            .files
            .iter()
            .map(|(no, backup)| (no, backup.plan.complete))
            .collect();
        let mut nothing = Effects::default();
        for (no, complete) in all {
            if complete {
                self.look_after(no);
            } else {
                self.ask_for_storage(now, no, &mut nothing);
            }
        }
    }

    /// Somebody came (back): what could not be done before may be possible now.
    pub(super) fn wake_repairs(&mut self, now: Duration, who: PeerNo, effects: &mut Effects) {
        for no in std::mem::take(&mut self.repairs.stuck) {
            self.bring_again(now, no, who, effects);
        }
        if !self.repairs.parked.is_empty() {
            self.repairs.later = Some(now);
        }
        if self.config.replicas > 1 {
            self.lack_replicas();
        }
    }

    /// Backups that were made when there were too few peers get their replicas now.
    fn lack_replicas(&mut self) {
        let thin =
            |backup: &super::Backup| backup.plan.complete && backup.plan.list.len() < backup.plan.replicas;
        let all: Vec<BackupNo> = self
            .files
            .iter()
            .filter(|(_, it)| thin(it))
            .map(|(no, _)| no)
            .collect();
        all.into_iter().for_each(|no| self.look_after(no));
    }

    /// The peer has failed: others take over.
    pub(super) fn fail(&mut self, now: Duration, who: PeerNo, effects: &mut Effects) {
        let name = self.peers.get(who).map_or("?", |peer| peer.name.as_str());
        effects.outputs.push(Output::Note(format!(
            "{name} has failed: nothing was heard of it"
        )));
        for no in self.files.held_by(who) {
            self.look_after(no);
        }
        self.give_up_waiting_for(now, who, effects);
    }

    /// Nothing is to be expected of the peer: others are to take what it was to take.
    pub(super) fn give_up_waiting_for(&mut self, now: Duration, who: PeerNo, effects: &mut Effects) {
        let lists = |backup: &super::Backup| backup.chunks.iter().any(|chunk| chunk.awaited.contains(&who));
        let waiting: Vec<BackupNo> = self
            .files
            .iter()
            .filter(|(_, it)| lists(it))
            .map(|(no, _)| no)
            .collect();
        for no in waiting {
            self.give_up_on(now, no, who, effects);
        }
    }

    /// The peer holds nothing of this backup any more.
    pub(super) fn lose(&mut self, no: BackupNo, who: PeerNo, effects: &mut Effects) {
        let Some(cut) = self.files.get(no).map(|backup| backup.plan.cut()) else {
            return;
        };
        for chunk in self.files.drop_holder(no, who) {
            effects.remove(facts::held_key(no, chunk, who));
            self.peers.drain(who, cut.len(chunk));
        }
        self.look_after(no);
    }

    /// Notes the chunks of a backup that have too few live holders.
    fn look_after(&mut self, no: BackupNo) {
        let Some(backup) = self.files.get(no) else { return };
        for (n, chunk) in backup.numbered() {
            let live = chunk
                .holders
                .iter()
                .filter(|who| self.peers.live(**who).is_some())
                .count();
            if live < backup.plan.replicas {
                self.repairs.lacking.insert((no, n));
            }
        }
    }

    /// A peer did not acknowledge what it was to take of a backup, in time: others are to take it.
    pub(super) fn give_up_on(&mut self, now: Duration, no: BackupNo, who: PeerNo, effects: &mut Effects) {
        let Some(backup) = self.files.get_mut(no) else {
            return;
        };
        let cut = backup.plan.cut();
        let (mut nowhere, mut elsewhere) = (Vec::new(), Vec::new());
        for (n, chunk) in (0..).zip(&mut backup.chunks) {
            if !chunk.awaited.contains(&who) {
                continue;
            }
            chunk.awaited.retain(|it| *it != who);
            self.peers.release(who, cut.len(n));
            let list = if chunk.holders.is_empty() {
                &mut nowhere
            } else {
                &mut elsewhere
            };
            list.push(n);
        }
        if nowhere.is_empty() && elsewhere.is_empty() {
            return;
        }
        backup.given_up.insert(who);
        self.repairs
            .lacking
            .extend(elsewhere.into_iter().map(|n| (no, n)));
        if !nowhere.is_empty() {
            self.bring_elsewhere(now, no, who, nowhere, effects);
        }
    }

    /// The owner is to bring chunks to another peer, because nobody has them.
    fn bring_elsewhere(
        &mut self,
        now: Duration,
        no: BackupNo,
        failed: PeerNo,
        chunks: Vec<u64>,
        effects: &mut Effects,
    ) {
        let Some(backup) = self.files.get(no) else { return };
        let cut = backup.plan.cut();
        let bytes = chunks.iter().map(|n| cut.len(*n)).sum();
        let (owner, rq) = (backup.plan.owner, backup.rq);
        let may = |who: &PeerNo| *who != owner && !backup.given_up.contains(who);
        let other = placement::one_more(self.peers.candidates(), bytes, may);
        let Some(to) = other.filter(|_| backup.given_up.len() <= ROUNDS) else {
            return self.wait_for_takers(no, effects);
        };
        let Some(backup) = self.files.get_mut(no) else {
            return;
        };
        for place in backup.plan.list.iter_mut().filter(|place| **place == failed) {
            *place = to;
        }
        self.waits.heard(now, &(no, to));
        self.orders.add(now, Order::Task { backup: no, to });
        for n in chunks {
            if let Some(chunk) = self.files.get_mut(no).and_then(|backup| backup.chunk_mut(n)) {
                chunk.awaited.push(to);
            }
            self.peers.promise(to, cut.len(n));
            self.orders.add(
                now,
                Order::Store {
                    backup: no,
                    chunk: n,
                    to,
                    from: owner,
                    rq,
                },
            );
        }
        self.orders.add(now, Order::Plan { backup: no });
        self.keep_plan(no, effects);
    }

    /// Nobody is left to take what nobody has: that waits until somebody comes.
    fn wait_for_takers(&mut self, no: BackupNo, effects: &mut Effects) {
        let file = self.files.get(no).map_or("", |backup| backup.plan.file.as_str());
        let text = format!("chunks of {file} are taken by nobody; they wait for other peers");
        effects.outputs.push(Output::Note(text));
        self.repairs.stuck.insert(no);
    }

    /// `who` has come (back): it may take what nobody was left to take.
    fn bring_again(&mut self, now: Duration, no: BackupNo, who: PeerNo, effects: &mut Effects) {
        let Some(backup) = self.files.get_mut(no) else {
            return;
        };
        backup.given_up.remove(&who);
        let mut by_place: BTreeMap<PeerNo, Vec<u64>> = BTreeMap::new();
        for (n, chunk) in backup.numbered() {
            let is_nowhere = chunk.holders.is_empty() && chunk.awaited.is_empty();
            if let Some(first) = backup.plan.targets(n).next().filter(|_| is_nowhere) {
                by_place.entry(first).or_default().push(n);
            }
        }
        for (place, chunks) in by_place {
            self.bring_elsewhere(now, no, place, chunks, effects);
        }
    }

    /// Unfinished backups of an owner that wait for somebody to take their chunks.
    pub(super) fn stuck_of(&self, owner: PeerNo) -> Vec<BackupNo> {
        let is_its = |no: &&BackupNo| {
            self.files
                .get(**no)
                .is_some_and(|backup| backup.plan.owner == owner)
        };
        self.repairs.stuck.iter().filter(is_its).copied().collect()
    }

    /// Orders copies of what lacks holders, and gives up those that take too long.
    pub(super) fn repair(&mut self, now: Duration) {
        self.end_slow_copies(now);
        if self.repairs.later.is_some_and(|later| later <= now) {
            let parked = std::mem::take(&mut self.repairs.parked);
            self.repairs.lacking.extend(parked);
            self.repairs.later = None;
        }
        while self.repairs.copying.len() < COPIES {
            let Some((no, chunk)) = self.repairs.lacking.pop_first() else {
                return;
            };
            if self.copy(now, no, chunk) == Outcome::Stuck {
                self.repairs.parked.insert((no, chunk));
                self.repairs.later.get_or_insert(now + LATER);
            }
        }
    }

    fn end_slow_copies(&mut self, now: Duration) {
        let slow = self.repairs.copying.iter().filter(|(_, until)| **until <= now);
        let slow: Vec<_> = slow.map(|(key, _)| *key).collect();
        for (no, chunk, to) in slow {
            self.repairs.copying.remove(&(no, chunk, to));
            self.repairs.lacking.insert((no, chunk));
            let Some(backup) = self.files.get_mut(no) else {
                continue;
            };
            let bytes = backup.plan.cut().len(chunk);
            if let Some(place) = backup.chunk_mut(chunk) {
                place.awaited.retain(|it| *it != to);
                self.peers.release(to, bytes);
            }
        }
    }

    /// The owner has brought each chunk somewhere: those who have it give it to those who still lack it.
    pub(super) fn copy_the_rest(&mut self, now: Duration, no: BackupNo) {
        let Some(backup) = self.files.get(no) else {
            return;
        };
        let mut missing = Vec::new();
        for (n, chunk) in backup.numbered() {
            if let Some(from) = chunk.holders.first() {
                missing.extend(chunk.awaited.iter().map(|to| (n, *from, *to)));
            }
        }
        for (chunk, from, to) in missing {
            let rq = self.number();
            let backup = no;
            self.orders.add(
                now,
                Order::Store {
                    backup,
                    chunk,
                    to,
                    from,
                    rq,
                },
            );
            self.orders.add(
                now,
                Order::Replicate {
                    backup,
                    chunk,
                    from,
                    to,
                    rq,
                },
            );
        }
    }

    /// Orders one more copy of a chunk, if it needs one and somebody can make it.
    fn copy(&mut self, now: Duration, no: BackupNo, n: u64) -> Outcome {
        let Some(backup) = self.files.get(no) else {
            return Outcome::NotNeeded;
        };
        let Some(chunk) = backup.chunk(n) else {
            return Outcome::NotNeeded;
        };
        let live: Vec<PeerNo> = chunk
            .holders
            .iter()
            .copied()
            .filter(|who| self.peers.live(*who).is_some())
            .collect();
        if live.len() + chunk.awaited.len() >= backup.plan.replicas {
            return Outcome::NotNeeded;
        }
        let (owner, bytes) = (backup.plan.owner, backup.plan.cut().len(n));
        let may =
            |who: &PeerNo| *who != owner && !chunk.holders.contains(who) && !chunk.awaited.contains(who);
        let to = placement::one_more(self.peers.candidates(), bytes, may);
        // Each time from another holder, as one of them may be unable.
        let turn = usize::try_from(self.last_rq).unwrap_or(0) % live.len().max(1);
        let (Some(to), Some(from)) = (to, live.get(turn).copied()) else {
            return Outcome::Stuck;
        };
        let lacks_more = live.len() + chunk.awaited.len() + 1 < backup.plan.replicas;
        let rq = self.number();
        let until = now + self.config.ack_timeout;
        self.repairs.copying.insert((no, n, to), until);
        if let Some(chunk) = self.files.get_mut(no).and_then(|backup| backup.chunk_mut(n)) {
            chunk.awaited.push(to);
        }
        self.peers.promise(to, bytes);
        self.orders.add(
            now,
            Order::Store {
                backup: no,
                chunk: n,
                to,
                from,
                rq,
            },
        );
        self.orders.add(
            now,
            Order::Replicate {
                backup: no,
                chunk: n,
                from,
                to,
                rq,
            },
        );
        if lacks_more {
            self.repairs.lacking.insert((no, n));
        }
        Outcome::Ordered
    }

    pub(super) fn replicate_req(&self, no: BackupNo, chunk: u64, to: PeerNo, rq: u64) -> Option<Message> {
        let peer = self.peers.get(to)?;
        Some(Message::ReplicateReq {
            rq: Rq::from(rq),
            file: self.files.get(no)?.plan.file.clone(),
            chunk,
            target: Target {
                name: peer.name.clone(),
                address: Some(peer.address()),
            },
        })
    }
}

/// What came of looking at a chunk.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Ordered,
    NotNeeded,
    /// There is nobody to copy from or to.
    Stuck,
}
