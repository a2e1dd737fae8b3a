//! What was sent to whom a moment ago: who has a chunk by then gives it to the others, and the one who was asked
//! can send what nobody else has.

use std::{collections::BTreeMap, time::Duration};

use skep_wire::PeerId;

use super::Chunk;

/// So long somebody else may need to receive a chunk, to say so, and to be asked for it.
const MOMENT: Duration = Duration::from_secs(2);

/// To whom each chunk was granted last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    granted: BTreeMap<Chunk, (PeerId, Duration)>,
}

impl Recent {
    /// `chunk` goes to `peer` now.
    pub(super) fn note(&mut self, now: Duration, chunk: Chunk, peer: PeerId) {
        self.granted.retain(|_, (_, at)| now < *at + MOMENT);
        self.granted.insert(chunk, (peer, now));
    }

    /// Whether `chunk` has just gone to somebody else than `peer`.
    pub(super) fn has_another(&self, now: Duration, chunk: Chunk, peer: PeerId) -> bool {
        self.granted
            .get(&chunk)
            .is_some_and(|&(other, at)| other != peer && now < at + MOMENT)
    }
}
