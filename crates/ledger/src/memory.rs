//! Facts in memory: durable for as long as the value lives. For tests and simulations.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::store::{Change, CommitError, Epoch, FactStore, Head, LoadError, Revision, check_batch};

/// A [`FactStore`] without a file.
#[derive(Debug, Default)]
pub struct Memory {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    head: Head,
    facts: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Memory {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FactStore for Memory {
    fn load(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<Head, LoadError> {
        let inner = self.inner();
        for (key, value) in &inner.facts {
            visit(key, value);
        }
        Ok(inner.head)
    }

    fn commit(&self, epoch: Epoch, expected: Revision, batch: &[Change]) -> Result<Revision, CommitError> {
        check_batch(batch)?;
        let mut inner = self.inner();
        inner.head.check(epoch, expected)?;
        for change in batch {
            match &change.value {
                Some(value) => inner.facts.insert(change.key.clone(), value.clone()),
                None => inner.facts.remove(&change.key),
            };
        }
        inner.head = Head {
            epoch,
            revision: expected.next(),
        };
        Ok(inner.head.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;

    #[test]
    fn conforms() {
        conformance::run(|| {
            let store = std::sync::Arc::new(Memory::new());
            Box::new(move || store.clone())
        });
    }
}
