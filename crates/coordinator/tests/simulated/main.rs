//! Real coordinators and the connections of peers in a simulated world.

#![allow(clippy::unwrap_used)]

mod durability;
mod joining;
mod limits;
mod town;
