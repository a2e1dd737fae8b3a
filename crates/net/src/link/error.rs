//! Why things end: links, requests, answers.

use std::{io, sync::Arc};

use skep_wire::message::Reason;
use thiserror::Error;

/// Why a link could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The other side denied the connection.
    #[error("denied: {text}")]
    Refused {
        /// For programs.
        reason: Reason,
        /// For people.
        text: String,
    },
    /// No hello came in time.
    #[error("the other side did not say hello in time")]
    TimedOut,
    /// What came first was no hello.
    #[error("the other side does not speak this protocol")]
    NoHello,
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
}

/// Why a link is closed. The first reason stays.
#[derive(Debug, Clone, Error)]
pub enum CloseReason {
    /// This side closed it.
    #[error("closed here")]
    Ours,
    /// The other side closed it, between two frames.
    #[error("closed by the other side")]
    Theirs,
    /// The other side denied the connection.
    #[error("denied: {text}")]
    Refused {
        /// For programs.
        reason: Reason,
        /// For people.
        text: String,
    },
    /// Nothing came, or nothing was taken, for too long.
    #[error("the other side is silent")]
    Silent,
    /// The other side broke the protocol; it was told so.
    #[error("the other side broke the protocol: {0}")]
    Misbehaved(&'static str),
    /// The stream failed.
    #[error("the connection failed: {0}")]
    Io(Arc<io::Error>),
}

/// Why there is no answer to a request.
#[derive(Debug, Clone, Error)]
pub enum AskError {
    /// The other side denied it.
    #[error("denied: {text}")]
    Refused {
        /// For programs.
        reason: Reason,
        /// For people.
        text: String,
    },
    /// The other side does not know this type of request.
    #[error("the other side does not know this request")]
    Unsupported,
    /// The link is closed.
    #[error(transparent)]
    Closed(#[from] CloseReason),
    /// No answer, or no further bytes of it, in time.
    #[error("no answer in time")]
    TimedOut,
    /// The answer cannot be read, or is of another type.
    #[error("the answer cannot be read")]
    Malformed,
}

/// Why an answer is not to be continued.
#[derive(Debug, Clone, Error)]
pub enum Stopped {
    /// The asker does not want it any more.
    #[error("cancelled")]
    Cancelled,
    /// The link is closed.
    #[error(transparent)]
    Closed(#[from] CloseReason),
}
