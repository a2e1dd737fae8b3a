//! The dialect `napster`: an index that verifies who seeds a file; packed structs over TCP.

pub mod assembly;
pub mod client;
pub mod codec;
mod exposing;
mod hashing;
pub mod index;
mod link;
pub mod peer;
mod seeding;
pub mod server;
