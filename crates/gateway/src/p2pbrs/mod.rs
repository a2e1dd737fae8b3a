//! The dialect `p2pbrs` (document 000): backup and recovery among peers, coordinated by a server.
//!
//! Participants: a server, which knows who holds which chunk of which file and never sees a byte;
//! owners, who back up files and restore them; storage peers, who hold chunks for others. Control
//! goes in datagrams of text, chunks go over TCP.

pub mod checksum;
pub mod codec;
pub mod peer;
pub mod server;
pub mod service;
