//! What waits for one commit. Pure.

use skep_engine::index::{Change, Effects, Output};

/// Changes of many events that are committed at once, and what may be sent when they are durable.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The changes, in the order in which they came.
    pub(crate) changes: Vec<Change>,
    /// The outputs, in the order in which they came.
    pub(crate) outputs: Vec<Output>,
    bytes: usize,
}

impl Batch {
    /// Above these no further event is handled until a commit is done: with room for what a single
    /// event may change, they stay below the limits of the ledger.
    const CHANGES: usize = 8192;
    const BYTES: usize = 16 << 20;

    /// Takes in what an event caused, and returns what may leave at once: the outputs of an event that changed nothing.
    pub(crate) fn take_in(&mut self, effects: &mut Effects) -> Vec<Output> {
        if effects.changes.is_empty() {
            return std::mem::take(&mut effects.outputs);
        }
        let bytes = |change: &Change| change.key.len() + change.value.as_ref().map_or(0, Vec::len);
        self.bytes += effects.changes.iter().map(bytes).sum::<usize>();
        self.changes.append(&mut effects.changes);
        self.outputs.append(&mut effects.outputs);
        Vec::new()
    }

    /// Whether there is nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Whether it takes no more.
    pub(crate) fn is_full(&self) -> bool {
        self.changes.len() >= Self::CHANGES || self.bytes >= Self::BYTES
    }
}

#[cfg(test)]
mod tests {
    use skep_engine::index::SessionId;
    use skep_wire::message::{Reason, Refused};

    use super::*;

    fn close(session: u64) -> Output {
        let refusal = Refused {
            reason: Reason::Busy,
            text: String::new(),
        };
        Output::Close {
            session: SessionId(session),
            refusal,
        }
    }

    fn effects(changes: usize, outputs: &[u64]) -> Effects {
        let change = Change {
            key: vec![1],
            value: Some(vec![2; 9]),
        };
        Effects {
            changes: vec![change; changes],
            outputs: outputs.iter().copied().map(close).collect(),
        }
    }

    #[test]
    fn outputs_wait_for_the_changes_they_came_with() {
        let mut batch = Batch::default();
        assert!(batch.take_in(&mut effects(1, &[1, 2])).is_empty());
        assert_eq!(batch.take_in(&mut effects(0, &[3])), [close(3)]);
        assert!(batch.take_in(&mut effects(2, &[4])).is_empty());
        assert_eq!(batch.outputs, [close(1), close(2), close(4)]);
        assert_eq!((batch.changes.len(), batch.bytes), (3, 30));
    }

    #[test]
    fn it_is_full_by_number_or_by_bytes() {
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.take_in(&mut effects(Batch::CHANGES - 1, &[]));
        assert!(!batch.is_empty() && !batch.is_full());
        batch.take_in(&mut effects(1, &[]));
        assert!(batch.is_full());
        let mut large = effects(1, &[]);
        large.changes[0].value = Some(vec![0; Batch::BYTES]);
        let mut batch = Batch::default();
        batch.take_in(&mut large);
        assert!(batch.is_full());
    }
}
