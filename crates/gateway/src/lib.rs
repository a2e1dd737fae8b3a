//! Other people's protocols, spoken to the letter: one module for each, in a namespace of its own.
//!
//! Each dialect has a codec (pure), its roles as state machines (pure: time, randomness and messages
//! come in, effects go out), and a thin driver that owns the sockets and files. What an index decides
//! is `skep_engine::directory`'s. What all dialects need stands beside them: the [`journal`] of
//! messages, the [`console`] of a person, the bounds towards [`strangers`], and the [`keep`] of facts.
//!
//! Nothing of the native network is reachable from here but what is exposed on purpose: that is the
//! [`bridge`]'s. Nothing is
//! printed, and the environment is not read.

#![deny(clippy::indexing_slicing)]

pub mod bridge;
pub mod console;
pub mod content;
pub mod folder;
pub mod guests;
pub mod journal;
pub mod keep;
pub mod napster;
pub mod own;
pub mod p2pbrs;
mod padded;
pub mod strangers;
pub mod supernova;
mod tasks;
