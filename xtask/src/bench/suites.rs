//! What is asked of the tools, and which answers are promised: one file per question.

mod backup;
mod examples;
mod limited;
mod memory;
mod rough;
mod small;
mod tables;
mod together;
mod transfer;

pub(super) use self::{
    backup::run as backup, examples::index, examples::p2pbrs, examples::parts, limited::run as limited,
    memory::run as memory, rough::run as rough, small::run as small, tables::run as tables,
    together::run as together, transfer::run as transfer,
};

/// How Skep is called in the tables.
const SKEP: &str = "skep";
/// Of one holder, and of many.
const HOLDERS: [usize; 2] = [1, 5];
