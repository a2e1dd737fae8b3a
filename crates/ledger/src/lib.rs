//! What was promised: facts that are still there after a crash at any point.
//!
//! [`FactStore`] is the contract. [`Redb`] keeps facts in one file, [`Memory`] keeps them until it
//! is dropped, for tests. A fact is a key and a value; what they mean is the caller's affair, and
//! there are no product words here. Every method blocks: callers run it as blocking work.

mod backend;
#[cfg(feature = "conformance")]
pub mod conformance;
mod embedded;
mod memory;
mod store;

pub use embedded::{OpenError, Redb};
pub use memory::Memory;
pub use store::{
    BATCH_BYTES, BATCH_CHANGES, Change, CommitError, Epoch, FactStore, Head, KEY_BYTES, LoadError, Revision,
    VALUE_BYTES, check_batch,
};
