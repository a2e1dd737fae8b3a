//! Time as a value: nothing in the pure crates reads a clock, the caller passes a [`Moment`].

use std::time::Duration;

/// One instant, read from both clocks of the machine.
///
/// Timeouts use `mono`, which never jumps; expiry dates that cross machines use `unix_s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Time since an arbitrary start of this process; never goes back.
    pub mono: Duration,
    /// Seconds since 1970-01-01 UTC; a person may set it to anything.
    pub unix_s: u64,
}

impl Moment {
    /// The same moment, later by `by` on both clocks.
    #[must_use]
    pub fn later(self, by: Duration) -> Self {
        Self {
            mono: self.mono + by,
            unix_s: self.unix_s + by.as_secs(),
        }
    }
}
