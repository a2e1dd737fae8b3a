//! The clock.

use skep_wire::Moment;

/// Tells the time. Sleeping is tokio's.
pub trait Clock: Send + Sync {
    /// Both clocks, now. `mono` MUST NOT go back.
    fn now(&self) -> Moment;
}
