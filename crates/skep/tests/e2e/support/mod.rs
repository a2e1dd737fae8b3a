//! What the tests stand on: processes, networks of them, and the files that they move.

mod files;
mod network;
mod process;

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

pub(crate) use self::{
    files::{Tree, write_random},
    network::{Network, Peer, done_bytes},
    process::{Outcome, Process, Signal, skep},
};

/// How long anything may take. On a busy machine things take long; a test that hangs is rare.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Looks until there is something to see.
pub(crate) fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look)
}

/// Looks until there is something to see, but not longer than `limit`.
pub(crate) fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "still not so after {limit:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// A path as an argument. The tests' folders have plain names.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
