//! End to end: real processes of `skep`, real sockets on loopback, real files.
//!
//! One binary, a module per topic; [`support`] starts and ends the processes. Every test has a
//! network and a folder of its own. Nothing here waits for a fixed time.

#![allow(clippy::unwrap_used)]

mod admission;
mod backup;
mod care;
mod commands;
mod crashes;
mod dialects;
mod faults;
mod hostile;
mod keeping;
mod many;
mod sharing;
mod strangers;
mod streaming;
mod stubborn;
mod support;
mod transfers;
mod watching;
