//! Why a backup, a restore, or what belongs to them, was not done.

use std::{io, path::PathBuf};

use skep_vault::{head::HeadError, owner::RosterError, phrase::PhraseError};
use thiserror::Error;

use super::{
    reader::Lost,
    scan::{BadGlob, Stopped},
};
use crate::session::SessionError;

/// What went wrong.
#[derive(Debug, Error)]
pub enum BackupError {
    /// Nothing was backed up here yet.
    #[error("this peer has no backups")]
    NoOwner,
    /// Another operation is at it.
    #[error("another backup or prune of this peer is running")]
    Busy,
    /// No paths, or too many.
    #[error("a backup takes 1 to 64 paths")]
    Paths,
    /// It cannot be backed up.
    #[error("{path} cannot be backed up: {error}")]
    Path {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A pattern that is none.
    #[error(transparent)]
    Glob(#[from] BadGlob),
    /// Not `auto`, not a scheme.
    #[error("{0} is no redundancy: it is auto, copies like 3x, or data and parity like 4+2")]
    Redundancy(String),
    /// The coordinator has no plan for it.
    #[error("the backup was denied: {0}")]
    Denied(String),
    /// Too few holders took it.
    #[error("a part of the backup could not be stored: {0}")]
    NotKept(String),
    /// The roster does not let this device do it.
    #[error("the owner does not allow this device to do that")]
    NotAllowed,
    /// The coordinator gave no answer.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The home cannot be used.
    #[error("what this peer keeps of its backups cannot be read or written: {0}")]
    State(#[from] io::Error),
    /// The home is damaged.
    #[error("the file backup/{0} in the home is damaged")]
    DamagedState(&'static str),
    /// There is no place for another snapshot.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// It is no phrase.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    /// The words are not kept here.
    #[error("the recovery phrase is not kept on this device")]
    NoPhrase,
    /// Nobody knows this owner.
    #[error("nobody in this network keeps backups of who has this phrase")]
    UnknownOwner,
    /// The words are those of somebody else.
    #[error("these are not the words of this peer's owner")]
    WrongPhrase,
    /// The owner has no such device.
    #[error("the owner has no device {0}; there are: {1}")]
    NoDevice(String, String),
    /// Several are called so.
    #[error("several devices of the owner are called {0}")]
    AmbiguousDevice(String),
    /// Whoever has lost this machine does not sit at it.
    #[error("this is the device itself")]
    OwnDevice,
    /// This peer has an owner, and snapshots.
    #[error("this peer backs up for another owner already")]
    OtherOwner,
    /// There is no next roster.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// No snapshot has this id.
    #[error("there is no snapshot {0}")]
    NoSnapshot(String),
    /// Several have.
    #[error("several snapshots begin with {0}")]
    Ambiguous(String),
    /// Nothing lies there.
    #[error("{0} is not in the snapshot")]
    NotInSnapshot(PathBuf),
    /// It is something else.
    #[error("{0} is no file in the snapshot")]
    NoFile(PathBuf),
    /// Something that everything depends on is lost.
    #[error("the snapshot cannot be read: {0}")]
    Lost(#[from] Lost),
    /// A restore cannot write there.
    #[error("{path} cannot be written to: {error}")]
    Target {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not certain what may go.
    #[error("nothing was condemned: {0}")]
    NotPruned(String),
    /// Which snapshots to keep makes no sense.
    #[error("{0}")]
    Policy(String),
    /// Somebody wanted it to stop.
    #[error("it was stopped")]
    Stopped,
}

impl From<Stopped> for BackupError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}
