//! The dialect `supernova`: a tracker of peers with shared folders; text over TCP.

pub mod book;
pub mod client;
pub mod codec;
mod exposing;
mod link;
pub mod server;
mod session;
pub mod tracker;
