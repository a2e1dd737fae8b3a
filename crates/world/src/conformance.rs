//! What every implementation of a seam must do, as tests that each implementation runs.

// These are tests, although they live in a library.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

pub mod disk;
pub mod network;
