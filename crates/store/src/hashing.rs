//! How the hashing of many bytes is done: by how many threads, who is told, when it stops.

use std::sync::atomic::{AtomicBool, Ordering};

/// For one long piece of work; the caller's thread is one of the workers.
#[derive(Clone, Copy)]
pub struct Hashing<'a> {
    /// Threads to hash with. One: all is done by the caller's thread, in an order that is always the same.
    pub workers: usize,
    /// Told the number of bytes that were read since it was last told.
    pub progress: &'a (dyn Fn(u64) + Sync),
    /// Set by somebody else: stop soon, with an error that says so.
    pub stop: &'a AtomicBool,
}

/// The work was stopped before it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

impl Hashing<'_> {
    /// An error once the work is to stop.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn check(&self) -> Result<(), Stopped> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(Stopped);
        }
        Ok(())
    }
}
