//! What waits for one commit. Pure.

use skep_engine::index::{Change, Effects, Output, Reply};

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

    /// Takes in what an event caused, and returns what may leave at once.
    ///
    /// That is what an event without changes put out, if it is no promise. A promise waits for
    /// all that came before it (if there is something: `behind`, or here): said twice, a thing
    /// changes nothing the second time, and the second answer must not overtake the first.
    pub(crate) fn take_in(&mut self, effects: &mut Effects, behind: bool) -> Vec<Output> {
        let outputs = std::mem::take(&mut effects.outputs);
        if effects.changes.is_empty() {
            let must_wait = behind || !self.is_empty();
            let (waiting, leaving) = outputs
                .into_iter()
                .partition(|output| must_wait && is_promise(output));
            self.outputs.extend::<Vec<_>>(waiting);
            return leaving;
        }
        let bytes = |change: &Change| change.key.len() + change.value.as_ref().map_or(0, Vec::len);
        self.bytes += effects.changes.iter().map(bytes).sum::<usize>();
        self.changes.append(&mut effects.changes);
        self.outputs.extend(outputs);
        Vec::new()
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.outputs.is_empty()
    }

    /// Whether it takes no more.
    pub(crate) fn is_full(&self) -> bool {
        self.changes.len() >= Self::CHANGES || self.bytes >= Self::BYTES
    }
}

/// Whether it says that something is done, which must then be durable. A revocation list is one:
/// its number must never come back with other contents.
fn is_promise(output: &Output) -> bool {
    match output {
        Output::Reply { body, .. } => matches!(
            body,
            Reply::Done(_) | Reply::Joined(_) | Reply::Welcome(_) | Reply::Verdicts(_)
        ),
        Output::Notice { .. } | Output::Administered { .. } => true,
        Output::Order { .. } | Output::Close { .. } | Output::DialBack { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use skep_engine::index::SessionId;
    use skep_wire::message::{Done, Reason, Refused};

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

    fn done() -> Output {
        Output::Reply {
            session: SessionId(1),
            request: 1,
            body: Reply::Done(Done {}),
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
        assert!(batch.take_in(&mut effects(1, &[1, 2]), false).is_empty());
        assert_eq!(batch.take_in(&mut effects(0, &[3]), false), [close(3)]);
        assert!(batch.take_in(&mut effects(2, &[4]), false).is_empty());
        assert_eq!(batch.outputs, [close(1), close(2), close(4)]);
        assert_eq!((batch.changes.len(), batch.bytes), (3, 30));
    }

    #[test]
    fn a_promise_waits_for_all_that_came_before() {
        let promise = || Effects {
            changes: Vec::new(),
            outputs: vec![done(), close(1)],
        };
        let mut batch = Batch::default();
        assert_eq!(batch.take_in(&mut promise(), false), [done(), close(1)]);
        assert!(batch.is_empty());
        assert_eq!(batch.take_in(&mut promise(), true), [close(1)]);
        assert_eq!(batch.outputs, [done()]);
        assert_eq!(batch.take_in(&mut promise(), false), [close(1)]);
        assert_eq!(batch.outputs, [done(), done()]);
    }

    #[test]
    fn it_is_full_by_number_or_by_bytes() {
        let mut batch = Batch::default();
        assert!(batch.is_empty());
        batch.take_in(&mut effects(Batch::CHANGES - 1, &[]), false);
        assert!(!batch.is_empty() && !batch.is_full());
        batch.take_in(&mut effects(1, &[]), false);
        assert!(batch.is_full());
        let mut large = effects(1, &[]);
        large.changes[0].value = Some(vec![0; Batch::BYTES]);
        let mut batch = Batch::default();
        batch.take_in(&mut large, false);
        assert!(batch.is_full());
    }
}
