//! Randomness that follows from a seed.

use std::sync::{Mutex, PoisonError};

use rand::{RngCore, SeedableRng, rngs::StdRng};

/// The same seed gives the same bytes.
#[derive(Debug)]
pub struct Entropy {
    rng: Mutex<StdRng>,
}

impl Entropy {
    /// The bytes of `seed`.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }
}

impl crate::Entropy for Entropy {
    fn fill(&self, out: &mut [u8]) {
        self.rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Entropy as _;

    #[test]
    fn bytes_follow_from_the_seed() {
        let bytes = |seed| {
            let mut out = [0; 16];
            Entropy::seeded(seed).fill(&mut out);
            out
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }
}
