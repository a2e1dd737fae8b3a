//! Backups and restores of real folders, with packs in memory.

mod identity;
pub(super) mod rig;
mod troubles;
