//! What was sent to whom a moment ago: who has a chunk by then gives it to the others, and the one who was asked
//! can send what nobody else has.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use skep_wire::PeerId;

use super::Chunk;

/// So long somebody else may need to receive a chunk, to say so, and to be asked for it.
const MOMENT: Duration = Duration::from_secs(2);

/// To whom each chunk was granted last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    granted: BTreeMap<Chunk, (PeerId, Duration)>,
    /// All grants of this moment, the oldest first: what is over is found without looking at all.
    order: VecDeque<(Duration, Chunk)>,
}

impl Recent {
    /// `chunk` goes to `peer` now.
    pub(super) fn note(&mut self, now: Duration, chunk: Chunk, peer: PeerId) {
        while let Some((at, old)) = self.order.pop_front_if(|(at, _)| *at + MOMENT <= now) {
            // It may have been granted again since.
            if self.granted.get(&old).is_some_and(|&(_, last)| last == at) {
                self.granted.remove(&old);
            }
        }
        self.granted.insert(chunk, (peer, now));
        self.order.push_back((now, chunk));
    }

    /// Whether `chunk` has just gone to somebody else than `peer`.
    pub(super) fn has_another(&self, now: Duration, chunk: Chunk, peer: PeerId) -> bool {
        self.granted
            .get(&chunk)
            .is_some_and(|&(other, at)| other != peer && now < at + MOMENT)
    }
}

#[cfg(test)]
mod tests {
    use skep_wire::BlobId;

    use super::*;

    fn chunk(number: u64) -> Chunk {
        (BlobId([1; 32]), number)
    }

    #[test]
    fn what_was_granted_again_is_remembered_from_then_on() {
        let (one, other) = (PeerId([1; 32]), PeerId([2; 32]));
        let at = |ms| Duration::from_millis(ms);
        let mut recent = Recent::default();
        recent.note(at(0), chunk(1), one);
        recent.note(at(1500), chunk(1), one);
        recent.note(at(2500), chunk(2), one);
        assert!(recent.has_another(at(2500), chunk(1), other));
        assert!(!recent.has_another(at(2500), chunk(1), one));
        recent.note(at(3500), chunk(3), one);
        assert!(!recent.has_another(at(3500), chunk(1), other));
        assert_eq!((recent.granted.len(), recent.order.len()), (2, 2));
    }
}
