//! How things travel: identities for TLS, listeners, and framed connections with credit and limits.
//!
//! [`Tls`] makes authenticated streams of TCP connections; [`Link`] makes requests, replies and
//! bulk data of any authenticated stream, a simulated one included. There are no product words
//! here: what a message means, and who may send it, is for the callers to know.

pub mod link;
pub mod tls;

pub use link::{AskError, CloseReason, Inbox, Incoming, Limits, Link, OpenError, Responder, Stopped};
pub use tls::Tls;
