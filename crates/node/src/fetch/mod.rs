//! Downloads: from words to a verified file or folder, and to being a holder of it.
//!
//! [`wanted`] reads the words, `resolve` asks what they mean, `target` finds the place,
//! `reuse` takes what is on this machine already,
//! `run` moves the chunks as the scheduler in `skep-engine` says, and `finish` keeps the result.
//! A download does not depend on who asked for it: `downloads` lists it, `supervise` lets it go on
//! over pauses, full disks and restarts, and `getting` is how it is begun, watched and commanded.
//! `stream` and `reader` are for who wants the bytes of a file in order, and no file.

pub mod wanted;

mod control;
mod downloads;
mod error;
mod finish;
mod getting;
mod goal;
mod holders;
mod job;
mod offer;
mod part;
mod reader;
mod resolve;
mod reuse;
mod run;
mod space;
pub(crate) mod stream;
mod supervise;
mod target;

pub(crate) use self::getting::{begin, cancel, pause, restore, resume, set_down_rate, unwatched};
pub(crate) use self::{control::STATES, downloads::Downloads};
pub use self::{
    error::GetError,
    getting::{Getting, Watcher},
    stream::Stream,
};
