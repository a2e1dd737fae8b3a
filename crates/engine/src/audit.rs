//! Audits: whether holders can still reach the shards that they confirmed.
//!
//! At random times a random pack comes up, and every holder of it is asked for the same random leaf at
//! the same instant, so that nobody fetches it from another one's answer. A wrong answer loses the
//! shard at once; silence and errors lose it after a few in a row, since who answers every audit with
//! an error has nothing to show either. An audit proves that the bytes are within reach of the holder,
//! not that they are a separate copy. What a lost shard leads to is in [`crate::repair`].

use std::{collections::BTreeMap, time::Duration};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use skep_wire::{
    PackId, PeerId,
    backup::PackRecord,
    chunk::{CHUNK_BYTES, Check, UNITS_PER_CHUNK},
    message::{OutlinePage, ShardProof},
    outline, proof,
};

/// After so many audits of a shard in a row that brought no answer, it is lost.
const MAX_MISSED: u8 = 3;
/// After so many shards lost to audits, with fewer than ten times as many passed since, a holder has failed.
const MAX_LOST: u32 = 3;

/// When to audit what.
#[derive(Debug)]
pub struct Schedule {
    chance: SmallRng,
    /// How often each pack comes up, in the mean.
    every: Duration,
    next: Option<Duration>,
}

/// An audit to be made now: the same question to every holder of the pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audit {
    /// Which pack, by its place in the caller's list.
    pub pack: usize,
    /// Which leaf: taken modulo the number of leaves of a shard.
    pub leaf: u64,
    /// Of the question, so that no answer can be kept ready.
    pub nonce: [u8; 32],
}

/// After so many questions in a row, whatever they were about, that a holder answered with errors or not at all, it has
/// failed.
const MAX_SILENT: u32 = 12;
/// After so many right answers since the last loss, whoever had failed is to be trusted again.
const PROVEN: u32 = 50;

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The leaf, with a path that proves it.
    Right,
    /// Something else.
    Wrong,
    /// An error, or nothing in time, though the holder was online.
    Missed,
    /// Nothing, since the holder went away.
    Gone,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All is well, or not yet bad enough.
    Fine,
    /// This shard does not count any more.
    ShardLost,
    /// Nor does anything else that the holder says it has.
    HolderFailed,
    /// The holder has shown often that it has what it should.
    HolderProven,
}

/// What is remembered of the answers of all holders.
#[derive(Debug, Default)]
pub struct Standing {
    /// Questions without answer, in a row.
    missed: BTreeMap<(PeerId, PackId), u8>,
    holders: BTreeMap<PeerId, Tally>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    lost: u32,
    /// Right answers since the last loss.
    passed: u32,
    /// Questions in a row that brought nothing.
    silent: u32,
}

impl Schedule {
    /// Each pack comes up once in `every`, in the mean; unpredictably, by a seed of entropy.
    #[must_use]
    pub fn new(seed: [u8; 32], every: Duration) -> Self {
        let (first, _) = seed.split_first_chunk().expect("32 bytes have 8");
        Self {
            chance: SmallRng::seed_from_u64(u64::from_le_bytes(*first)),
            every,
            next: None,
        }
    }

    /// When [`Schedule::due`] has something to say; none before it was asked once.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Duration> {
        self.next
    }

    /// An audit, if it is time for one of `packs` packs. The nonce comes from entropy.
    pub fn due(&mut self, now: Duration, packs: usize, nonce: impl FnOnce() -> [u8; 32]) -> Option<Audit> {
        if packs == 0 {
            self.next = None;
            return None;
        }
        let due = self.next.is_some_and(|next| next <= now);
        if due || self.next.is_none() {
            self.next = Some(now + self.pause(packs));
        }
        due.then(|| Audit {
            pack: self.chance.random_range(0..packs),
            leaf: self.chance.random(),
            nonce: nonce(),
        })
    }

    /// Between 0 and twice the mean pause between two audits.
    fn pause(&mut self, packs: usize) -> Duration {
        let mean = self.every.as_nanos() / packs as u128;
        let pause = self.chance.random_range(0..=mean * 2);
        Duration::from_nanos(u64::try_from(pause).unwrap_or(u64::MAX))
    }
}

impl Standing {
    /// Takes an answer.
    pub fn answered(&mut self, peer: PeerId, pack: PackId, answer: Answer) -> Verdict {
        let key = (peer, pack);
        match answer {
            Answer::Right => {
                self.missed.remove(&key);
                let tally = self.holders.entry(peer).or_default();
                (tally.passed, tally.silent) = (tally.passed.saturating_add(1), 0);
                match tally.passed == PROVEN {
                    true => Verdict::HolderProven,
                    false => Verdict::Fine,
                }
            }
            Answer::Wrong => self.lost(key),
            Answer::Missed => {
                let tally = self.holders.entry(peer).or_default();
                tally.silent += 1;
                match tally.silent < MAX_SILENT {
                    true => self.missed(key),
                    false => Verdict::HolderFailed,
                }
            }
            Answer::Gone => self.missed(key),
        }
    }

    fn missed(&mut self, key: (PeerId, PackId)) -> Verdict {
        let missed = self.missed.entry(key).or_default();
        *missed += 1;
        match *missed < MAX_MISSED {
            true => Verdict::Fine,
            false => self.lost(key),
        }
    }

    fn lost(&mut self, key: (PeerId, PackId)) -> Verdict {
        self.missed.remove(&key);
        let tally = self.holders.entry(key.0).or_default();
        if tally.passed >= 10 * tally.lost {
            tally.lost = 0;
        }
        (tally.lost, tally.passed) = (tally.lost + 1, 0);
        match tally.lost < MAX_LOST {
            true => Verdict::ShardLost,
            false => Verdict::HolderFailed,
        }
    }

    /// The holder begins anew: it left, or has failed and is to be trusted again.
    pub fn forget(&mut self, peer: &PeerId) {
        self.missed.retain(|(holder, _), _| holder != peer);
        self.holders.remove(peer);
    }
}

/// Whether an answer shows that leaf of that shard of a pack.
#[must_use]
pub fn is_right(record: &PackRecord, shard: u8, leaf: u64, answer: ShardProof) -> bool {
    let Some(id) = record.shards.get(usize::from(shard)).copied() else {
        return false;
    };
    let size = record.shard_bytes();
    let (index, unit) = (leaf / UNITS_PER_CHUNK, leaf % UNITS_PER_CHUNK);
    let Ok(len) = u32::try_from(size.saturating_sub(index * CHUNK_BYTES).min(CHUNK_BYTES)) else {
        return false;
    };
    let check = if size <= CHUNK_BYTES {
        Check::Whole { id, len }
    } else {
        let page = OutlinePage {
            leaves: answer.leaves,
            path: answer.path,
        };
        let page = outline::verify_page(id, size, index / outline::PAGE_CHUNKS, page.into());
        let Some(hash) = page.ok().and_then(|page| page.hash(index)) else {
            return false;
        };
        Check::Piece { hash, index, len }
    };
    proof::verify(&check, &(unit..unit + 1), &answer.proof, &answer.leaf).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PeerId = PeerId([1; 32]);

    fn pack(n: u8) -> PackId {
        PackId([n; 32])
    }

    #[test]
    fn every_pack_comes_up_as_often_as_it_should() {
        let mut schedule = Schedule::new([3; 32], Duration::from_secs(1000));
        let (mut now, mut tally) = (Duration::ZERO, [0u32; 10]);
        assert_eq!(schedule.due(now, 10, || [0; 32]), None);
        while now < Duration::from_secs(100_000) {
            now = schedule.next_wakeup().unwrap().max(now + Duration::from_nanos(1));
            if let Some(audit) = schedule.due(now, 10, || [7; 32]) {
                assert_eq!(audit.nonce, [7; 32]);
                tally[audit.pack] += 1;
            }
        }
        assert!(tally.iter().all(|count| (60..140).contains(count)), "{tally:?}");
        assert_eq!(schedule.due(now, 0, || [0; 32]), None);
        assert_eq!(schedule.next_wakeup(), None);
    }

    #[test]
    fn a_wrong_answer_loses_the_shard_at_once_and_silence_after_three() {
        let mut standing = Standing::default();
        assert_eq!(
            standing.answered(PEER, pack(1), Answer::Wrong),
            Verdict::ShardLost
        );
        for answer in [
            Answer::Missed,
            Answer::Missed,
            Answer::Right,
            Answer::Missed,
            Answer::Missed,
        ] {
            assert_eq!(standing.answered(PEER, pack(2), answer), Verdict::Fine);
        }
        assert_eq!(
            standing.answered(PEER, pack(2), Answer::Missed),
            Verdict::ShardLost
        );
    }

    #[test]
    fn who_answers_everything_with_an_error_has_failed() {
        let mut standing = Standing::default();
        let verdicts: Vec<_> = (0..9)
            .map(|n| standing.answered(PEER, pack(n / 3), Answer::Missed))
            .collect();
        assert_eq!(verdicts[2], Verdict::ShardLost);
        assert_eq!(verdicts[8], Verdict::HolderFailed);
        standing.forget(&PEER);
        assert_eq!(
            standing.answered(PEER, pack(1), Answer::Wrong),
            Verdict::ShardLost
        );
    }

    #[test]
    fn single_losses_among_many_right_answers_are_bad_luck() {
        let mut standing = Standing::default();
        for _ in 0..20 {
            assert_eq!(
                standing.answered(PEER, pack(1), Answer::Wrong),
                Verdict::ShardLost
            );
            for _ in 0..30 {
                standing.answered(PEER, pack(2), Answer::Right);
            }
        }
    }
}
