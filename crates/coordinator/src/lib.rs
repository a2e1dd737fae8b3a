//! The index service: `engine::index` over a fact store, behind `net`.
//!
//! A coordinator knows who is in the network, what is shared and who has it. It has no `store` and
//! no `vault`: it never holds or reads the bytes of a file. Everything it does goes through
//! [`World`], so that it runs in the simulation as it is; only [`api`], which opens a Unix socket,
//! is for the real machine.

pub mod api;
mod batch;
mod config;
mod coordinator;
mod dials;
mod door;
mod home;
mod service;
mod session;
mod writer;

pub use config::{Config, Failure, InviteOptions, Ready, StartError, Status};
pub use coordinator::{Coordinator, Handle};
pub use skep_engine::index::Denial;

#[cfg(doc)]
use skep_world::World;
