//! Randomness.

use rand::{SeedableRng, rngs::StdRng};

/// A source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `out`. The real one MUST be fit for keys; the simulated one MUST follow from its seed alone.
    fn fill(&self, out: &mut [u8]);
}

impl dyn Entropy + '_ {
    /// 32 random bytes.
    pub fn bytes32(&self) -> [u8; 32] {
        let mut out = [0; 32];
        self.fill(&mut out);
        out
    }

    /// A generator for decisions that need no secrecy, seeded from here.
    pub fn rng(&self) -> StdRng {
        StdRng::from_seed(self.bytes32())
    }
}
