//! What an index knows, whatever protocol its peers speak: names, who is alive, who has what, and
//! where copies belong.
//!
//! These are the parts of which the indexes of other protocols are made. They decide and remember;
//! there are no messages here, no addresses are understood, and nothing is verified. The index of
//! Skep itself ([`crate::index`]) knows keys instead of names, and shares [`crate::turns`] and
//! [`crate::agenda`] with them.

pub mod liveness;
pub mod names;
pub mod placement;
pub mod providers;

pub use liveness::Liveness;
pub use names::{Claim, Names};
pub use placement::Candidate;
pub use providers::{Pick, Providers};
