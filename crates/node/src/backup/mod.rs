//! Backups, on the owner's side: what is scanned, sealed and sent, and what is brought back.
//!
//! What is secret is `skep_vault`'s; here are the files, the threads and the network around it. Scanning
//! and restoring block, on threads of their own, or in one order where there must be one: in the simulation.

mod checking;
mod crew;
mod devices;
mod door;
mod drills;
mod error;
mod far;
mod forgetting;
mod looking;
mod making;
mod marking;
mod mending;
mod meter;
mod near;
mod needs;
mod packing;
mod pruning;
mod reader;
mod restoring;
mod scan;
mod send;
mod snapshots;
mod standing;
mod state;
mod sync;
mod words;

#[cfg(test)]
mod tests;

pub use error::BackupError;
pub(crate) use scan::compile_rules;
pub(crate) use {
    crew::Crew,
    devices::{list as devices, revoke},
    door::{
        Backups, back_up, cat, check, diff, drop_phrase, forget, list, look, phrase, prune, recover, restore,
    },
    making::validate,
    meter::Meter,
    standing::status,
};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A value that is whole even if whoever had it panicked.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
