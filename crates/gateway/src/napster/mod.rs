//! The dialect `napster`: an index that verifies who seeds a file; packed structs over TCP.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

pub mod codec;
pub mod index;
