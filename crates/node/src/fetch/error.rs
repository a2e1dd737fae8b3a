//! Why a download failed.

use std::path::PathBuf;

use skep_store::{partial::PartialError, source::SourceError};
use skep_wire::RelPath;
use thiserror::Error;

use super::wanted::NotWanted;
use crate::{catalog::CatalogError, session::SessionError};

/// Why a download failed. What has been downloaded stays for the next try.
#[derive(Debug, Error)]
pub enum GetError {
    /// The words mean nothing.
    #[error(transparent)]
    NotWanted(#[from] NotWanted),
    /// There is no such share, or not for this peer.
    #[error("nothing is shared as {0:?}")]
    NotFound(String),
    /// Several shares have that name.
    #[error("{what:?} is shared by several peers: {}", candidates.join(", "))]
    Ambiguous {
        /// The words.
        what: String,
        /// What would be clear.
        candidates: Vec<String>,
    },
    /// The folder has no such part.
    #[error("{share} has nothing at {part}")]
    NoSuchPart {
        /// The share.
        share: String,
        /// The part.
        part: RelPath,
    },
    /// Only the bytes of a file have an order.
    #[error("{0} is a folder")]
    IsFolder(String),
    /// A known name comes with another key.
    #[error("the peer called {publisher} is not the one that was known by that name before")]
    KeyChanged {
        /// The publisher's name.
        publisher: String,
    },
    /// The coordinator offers an older state than was seen before.
    #[error("{share} is offered at sequence {offered}, but {seen} was seen before")]
    RolledBack {
        /// The share.
        share: String,
        /// What the coordinator says.
        offered: u64,
        /// What was seen.
        seen: u64,
    },
    /// The link belongs to another network.
    #[error("the link belongs to another network")]
    OtherNetwork,
    /// `--from` names nobody.
    #[error("no peer is called {0}")]
    NoSuchPeer(String),
    /// Nobody who has it is there.
    #[error("nobody who has {0} is online")]
    NoHolders(String),
    /// Everybody who has it failed.
    #[error("{missing} of {share} cannot be had from anybody: {}", reasons.join("; "))]
    Stuck {
        /// The share.
        share: String,
        /// How much, for people.
        missing: String,
        /// What is wrong with each holder.
        reasons: Vec<String>,
    },
    /// Something is at the target already.
    #[error("{} exists", .0.display())]
    Exists(PathBuf),
    /// There is no such download.
    #[error("no download is called {0:?}")]
    NoSuchDownload(String),
    /// As somebody wished.
    #[error("the download of {0} was cancelled")]
    Cancelled(String),
    /// The peer stops.
    #[error("the peer was told to stop")]
    Stopping,
    /// Another download goes there.
    #[error("{} is being downloaded already", .0.display())]
    AlreadyRunning(PathBuf),
    /// The target's folder is not there, or the name cannot be written.
    #[error("{} cannot be written: {why}", path.display())]
    Target {
        /// Where.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No room.
    #[error("the disk of {} is full", .0.display())]
    Full(PathBuf),
    /// The store failed.
    #[error("{share} could not be stored: {source}")]
    Store {
        /// The share.
        share: String,
        /// Why.
        source: PartialError,
    },
    /// The result cannot be served.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The coordinator did not answer.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The result could not be noted.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}
