//! Backups and restores of real folders, with packs in memory.

mod identity;
mod rig;
mod troubles;
