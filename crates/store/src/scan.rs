//! Reading what lies at a place, to share it: walking, hashing, and noting what was found.
//!
//! Contents are never copied. What is found is written into the home as an inventory, so that a
//! later scan reads only files whose stamps differ, and a restart reads none.

mod hash;
mod note;
mod walk;

use std::{io, path::PathBuf, sync::Arc};

pub(crate) use self::hash::hash_chunks;
use self::{
    hash::hash_files,
    walk::{Found, Walked, walk},
};
use crate::{
    hashing::{Hashing, Stopped},
    home::Home,
    place::Place,
    source::Source,
};

/// What a scan found.
pub struct Scanned {
    /// Ready for serving. Content, bytes and layout are asked of it.
    pub source: Source,
    /// Bytes that had to be read; the rest is as it was in the last scan.
    pub read_bytes: u64,
    /// What is not part of the content, and why.
    pub skipped: Vec<Skipped>,
}

/// Something that was left out of a folder.
#[derive(Debug)]
pub struct Skipped {
    /// Beneath the folder, as the file system has it.
    pub path: PathBuf,
    /// Why.
    pub reason: SkipReason,
}

/// Why something was left out.
#[derive(Debug, thiserror::Error)]
pub enum SkipReason {
    /// Its name could not be written on every machine.
    #[error("{0}")]
    Name(#[from] skep_wire::name::NameError),
    /// The name is not UTF-8.
    #[error("the name is not UTF-8")]
    NotUtf8,
    /// Links are not followed.
    #[error("it is a symbolic link")]
    Symlink,
    /// A device, a socket, a pipe.
    #[error("it is not an ordinary file")]
    Special,
    /// It changed while it was read, twice.
    #[error("it changed while it was read")]
    Changing,
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The file itself (not one in a folder) was left out.
    #[error("{} was not read: {}", .0.path.display(), .0.reason)]
    Skipped(Skipped),
    /// More than a manifest can hold.
    #[error("the folder has too many files to be shared as one")]
    TooLarge,
    /// The folder cannot be read.
    #[error("{} cannot be read: {error}", path.display())]
    Place {
        /// The place.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The home cannot be written.
    #[error("the home cannot be written: {0}")]
    Home(io::Error),
    /// As the caller wished.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Reads the file at `place`.
///
/// # Errors
/// [`ScanError`]; a file that cannot be read is [`ScanError::Skipped`].
pub fn scan_file(home: &Arc<Home>, place: &Place, hashing: &Hashing<'_>) -> Result<Scanned, ScanError> {
    let left_out = |reason| {
        ScanError::Skipped(Skipped {
            path: place.host_path(),
            reason,
        })
    };
    let stat = place.stat(None).map_err(|e| left_out(e.into()))?;
    let mut files = vec![Found::new(None, &stat).map_err(left_out)?];
    let mut skipped = Vec::new();
    let last = note::recall(home, place, &mut files);
    let read_bytes = hash_files(place, &mut files, &mut skipped, hashing)?;
    if let Some(Skipped { reason, .. }) = skipped.pop() {
        return Err(left_out(reason));
    }
    let source = note::keep_file(home, place, files, last)?;
    Ok(Scanned {
        source,
        read_bytes,
        skipped,
    })
}

/// Reads the folder at `place`: all files in it and beneath, but no dotfiles (our own partial files are
/// such) and nothing through links.
///
/// # Errors
/// [`ScanError`]; single files that cannot be read are named in the result.
pub fn scan_folder(home: &Arc<Home>, place: &Place, hashing: &Hashing<'_>) -> Result<Scanned, ScanError> {
    let Walked {
        mut files,
        empty,
        mut skipped,
    } = walk(place, hashing)?;
    let last = note::recall(home, place, &mut files);
    let read_bytes = hash_files(place, &mut files, &mut skipped, hashing)?;
    let source = note::keep_folder(home, place, files, empty, last, hashing)?;
    Ok(Scanned {
        source,
        read_bytes,
        skipped,
    })
}
