//! The dialect `content`: an index of content servers, taken in turn; PDUs of 101 bytes over UDP and TCP.

pub mod ask;
pub mod client;
pub mod codec;
mod exposing;
pub mod index;
mod provider;
pub mod server;
pub mod stream;
