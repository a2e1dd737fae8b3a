//! Why a peer does not start, and why a command fails.

use std::{io, path::PathBuf};

use thiserror::Error;

/// Why a peer did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its home cannot be used, or another process uses it.
    #[error("the folder {home} cannot be used: {source}")]
    Home {
        /// The folder.
        home: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A port cannot be listened on.
    #[error("the peer cannot listen: {0}")]
    Listen(#[source] io::Error),
    /// It was not registered.
    #[error("not registered: {0}")]
    Register(#[from] CommandError),
}

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// The server does not answer.
    #[error("the server does not answer")]
    NoAnswer,
    /// The server refuses.
    #[error("the server denies it: {0}")]
    Denied(String),
    /// The file of that name cannot be named in this protocol, or in a folder.
    #[error("{0:?} cannot be the name of a file")]
    BadName(String),
    /// A local file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The home cannot be read or written.
    #[error("the peer's home: {0}")]
    Disk(#[source] io::Error),
    /// The file is not what it was when it was announced.
    #[error("{0} changed while it was backed up")]
    Changed(PathBuf),
    /// The plan makes no sense.
    #[error("the server's plan cannot be followed")]
    BadPlan,
    /// Some chunks found no peer that takes them.
    #[error("{lost} of {chunks} chunks of {file} were taken by nobody; the file is not backed up")]
    Lost {
        /// The file.
        file: String,
        /// How many chunks.
        lost: u64,
        /// Of how many.
        chunks: u64,
    },
    /// Nobody gives a chunk.
    #[error("chunk {chunk} of {file} is with nobody who can be reached")]
    Unavailable {
        /// The file.
        file: String,
        /// Which chunk.
        chunk: u64,
    },
    /// The file that was put together is not the one that was backed up.
    #[error("{0} was put together, but its checksum is wrong; it is not kept")]
    Mismatch(String),
    /// The same file is being backed up.
    #[error("{0} is being backed up already")]
    Busy(String),
}

impl CommandError {
    /// A word for scripts.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoAnswer => "no_answer",
            Self::Denied(_) => "denied",
            Self::BadName(_) => "usage",
            Self::File { .. } | Self::Disk(_) => "disk",
            Self::Changed(_) => "changed",
            Self::BadPlan => "protocol",
            Self::Lost { .. } => "lost",
            Self::Unavailable { .. } => "unavailable",
            Self::Mismatch(_) => "mismatch",
            Self::Busy(_) => "busy",
        }
    }
}
