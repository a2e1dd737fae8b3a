//! What happened, as one running hash: the same seed must give the same trace.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Everything that happened in one simulated world, in order. Clones share it.
#[derive(Clone, Default)]
pub struct Trace {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    hasher: blake3::Hasher,
    events: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that also keeps a line for every event, to find where two runs part.
    #[must_use]
    pub fn keeping_lines() -> Self {
        let trace = Self::default();
        trace.lock().lines = Some(Vec::new());
        trace
    }

    /// Adds an event: where it happened, what, and the bytes it is about.
    pub fn note(&self, place: &str, what: &str, bytes: &[u8]) {
        let mut inner = self.lock();
        inner.events += 1;
        for field in [place.as_bytes(), what.as_bytes(), bytes] {
            inner.hasher.update(&(field.len() as u64).to_le_bytes());
            inner.hasher.update(field);
        }
        if let Some(lines) = &mut inner.lines {
            let digest = blake3::hash(bytes).to_hex();
            lines.push(format!(
                "{place} {what} [{} bytes, {}]",
                bytes.len(),
                &digest[..8]
            ));
        }
    }

    /// The hash of all events so far.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *self.lock().hasher.finalize().as_bytes()
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.lock().events
    }

    /// The events' lines, if they are kept.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.lock().lines.clone().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_limits_of_fields_matter() {
        let hash = |events: &[(&str, &str)]| {
            let trace = Trace::default();
            events
                .iter()
                .for_each(|(place, what)| trace.note(place, what, b""));
            trace.hash()
        };
        assert_eq!(hash(&[("a", "b"), ("c", "d")]), hash(&[("a", "b"), ("c", "d")]));
        assert_ne!(hash(&[("a", "b"), ("c", "d")]), hash(&[("c", "d"), ("a", "b")]));
        assert_ne!(hash(&[("ab", "c")]), hash(&[("a", "bc")]));
    }
}
