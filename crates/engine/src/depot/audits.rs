//! Whom to ask for what, and what the answers mean.

use skep_wire::{
    Moment, OwnerId, PeerId, UNIT_BYTES,
    message::{ShardName, ShardProof},
};

use super::{Depot, Fact};
use crate::{
    audit::{self, Answer, Verdict},
    index::Change,
};

/// What a holder said to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// This.
    Proof(ShardProof),
    /// An error, or nothing in time, though it was there.
    Nothing,
    /// It went away before.
    Gone,
}

/// A question to a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Whom.
    pub peer: PeerId,
    /// Whose shard.
    pub owner: OwnerId,
    /// Which.
    pub shard: ShardName,
    /// Which unit of 16 KiB.
    pub leaf: u64,
}

impl Depot {
    /// The questions of an audit, if it is time for one: the same leaf of every holder of a pack that `is_online`.
    pub(crate) fn due_audit(
        &mut self,
        now: Moment,
        nonce: impl FnOnce() -> [u8; 32],
        is_online: impl Fn(&PeerId) -> bool,
    ) -> Vec<Question> {
        let Some(audit) = self.schedule.due(now.mono, self.packs.len(), nonce) else {
            return Vec::new();
        };
        let Some((id, pack)) = self.packs.iter().nth(audit.pack) else {
            return Vec::new();
        };
        let leaf = audit.leaf % pack.shard_bytes.div_ceil(UNIT_BYTES).max(1);
        let online = pack.held.iter().filter(|at| is_online(&at.peer));
        online
            .map(|at| Question {
                peer: at.peer,
                owner: pack.owner,
                shard: ShardName {
                    pack: *id,
                    shard: at.shard,
                },
                leaf,
            })
            .collect()
    }

    /// What came of a question.
    pub(crate) fn audited(
        &mut self,
        now: Moment,
        question: &Question,
        answer: Told,
        changes: &mut Vec<Change>,
    ) {
        let Some(pack) = self.packs.get_mut(&question.shard.pack) else {
            return;
        };
        let answer = match answer {
            Told::Nothing => Answer::Missed,
            Told::Gone => Answer::Gone,
            Told::Proof(proof) => match pack.record.peek() {
                Ok(record) if audit::is_right(&record, question.shard.shard, question.leaf, proof) => {
                    Answer::Right
                }
                _ => Answer::Wrong,
            },
        };
        if answer == Answer::Right {
            pack.audited_unix_s = now.unix_s;
        }
        let verdict = self.standing.answered(question.peer, question.shard.pack, answer);
        if matches!(verdict, Verdict::ShardLost | Verdict::HolderFailed) {
            self.lost(question.peer, question.shard, changes);
        }
        match verdict {
            Verdict::HolderFailed => self.distrust(now, question.peer, changes),
            Verdict::HolderProven => self.trust(now, question.peer, changes),
            Verdict::Fine | Verdict::ShardLost => {}
        }
    }

    /// Whether a peer has failed its audits, and not passed many since.
    pub(super) fn is_distrusted(&self, peer: &PeerId) -> bool {
        self.distrusted.contains(peer)
    }

    fn distrust(&mut self, now: Moment, peer: PeerId, changes: &mut Vec<Change>) {
        self.repair.failed(now.mono, peer);
        if self.distrusted.insert(peer) {
            changes.push(Fact::Distrusted(peer).set());
        }
    }

    /// A peer that has just answered counts again.
    fn trust(&mut self, now: Moment, peer: PeerId, changes: &mut Vec<Change>) {
        if self.distrusted.remove(&peer) {
            changes.push(Fact::Distrusted(peer).removed());
            self.repair.online(now.mono, peer);
        }
    }
}
