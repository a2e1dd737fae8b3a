//! What is decided: the coordinator's index, the directories of other protocols, the swarm of a download,
//! and of backups the placement, repair, audits, retention and deletion, as pure state machines.
//!
//! There is no clock, no I/O and no async here, and no hash order can be observed: the time and
//! randomness come in, effects go out, and the caller does them. The same input gives the same output.

pub mod agenda;
pub mod audit;
pub mod bucket;
pub mod deletion;
pub mod depot;
pub mod directory;
pub mod fairness;
pub mod index;
pub mod placement;
pub mod repair;
pub mod retention;
pub mod swarm;
pub mod turns;
