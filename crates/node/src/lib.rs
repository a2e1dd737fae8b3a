//! The peer: publishes, serves, fetches and holds contents, and is asked over a local API.
//!
//! This crate puts the pure parts (`skep-engine`) and the parts with effects (`skep-net`,
//! `skep-store`, `skep-ledger`) together. Decisions that can be made without I/O are not made here.
//! It never prints, reads the environment or exits, and has no clock or disk but its [`World`]'s.
//!
//! [`World`]: skep_world::World

mod announce;
pub mod api;
mod backing;
mod backup;
mod buffers;
pub mod catalog;
pub mod config;
mod core;
pub mod fetch;
mod hold;
mod holdings;
pub mod home;
pub mod join;
mod leaving;
mod limit;
mod links;
mod listing;
pub mod node;
mod outgoing;
#[doc(hidden)]
pub mod parsers;
pub mod publish;
mod restore;
pub mod scanning;
mod schedule;
mod serve;
pub mod session;
mod shelf;
pub mod trust;
mod uplink;
mod watch;

pub use backup::BackupError;
pub use config::Config;
pub use hold::EvictError;
pub use leaving::LeaveError;
pub use node::{Node, StartError};
