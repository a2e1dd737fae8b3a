//! Reading what lies at a place, to share it: walking, hashing, and noting what was found.
//!
//! Contents are never copied. What is found is written into the home as an inventory, so that a
//! later scan reads only files whose stamps differ, and a restart reads none.

mod hash;
mod walk;

use std::{io, path::PathBuf, sync::Arc};

use skep_wire::{
    BlobId, Manifest, RelPath,
    manifest::{self, MAX_MANIFEST_BYTES, Node},
    outline::{Outline, page_count},
    record::{Content, ContentKind},
};

pub(crate) use self::hash::hash_chunks;
use self::{
    hash::{Hashed, hash_files},
    walk::{Found, Walked, walk},
};
use crate::{
    hashing::{Hashing, Stopped},
    home::{self, Home},
    inventory::{self, Item},
    outlines::{Object, OutlineError, Outlines, Slots},
    place::Place,
    source::{Source, SourceError, write_outline},
    stamp::Stamp,
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
    let skipped = |reason| {
        ScanError::Skipped(Skipped {
            path: place.host_path(),
            reason,
        })
    };
    let stat = place.stat(None).map_err(|e| skipped(e.into()))?;
    walk::check_kind(stat.kind).map_err(skipped)?;
    let mut files = Files::read(home, place, vec![Found { path: None, stat }], hashing)?;
    let Some((found, hashed)) = files.whole.pop() else {
        return Err(files
            .skipped
            .pop()
            .map_or(ScanError::TooLarge, |s| skipped(s.reason)));
    };
    let content = Content {
        id: hashed.id,
        size: hashed.stamp.size,
        kind: ContentKind::File,
    };
    files.whole.push((found, hashed));
    files.keep(home, place, content, None)
}

/// Reads the folder at `place`: all files in it and beneath, but no dotfiles (our own partial files are
/// such) and nothing through links.
///
/// # Errors
/// [`ScanError`]; single files that cannot be read are named in the result.
pub fn scan_folder(home: &Arc<Home>, place: &Place, hashing: &Hashing<'_>) -> Result<Scanned, ScanError> {
    let Walked {
        files,
        empty,
        skipped,
    } = walk(place, hashing)?;
    let mut files = Files::read(home, place, files, hashing)?;
    files.skipped.splice(0..0, skipped);
    let manifest = files.manifest(empty)?.encode();
    if manifest.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(ScanError::TooLarge);
    }
    let (id, outline) = hash_manifest(&manifest, hashing)?;
    let content = Content {
        id,
        size: manifest.len() as u64,
        kind: ContentKind::Folder,
    };
    home.replace(&home::manifest(id), |file| file.write_at(0, &manifest))
        .map_err(ScanError::Home)?;
    drop(manifest);
    files.keep(home, place, content, outline)
}

fn hash_manifest(bytes: &[u8], hashing: &Hashing<'_>) -> Result<(BlobId, Option<Outline>), ScanError> {
    let size = bytes.len() as u64;
    if page_count(size) == 0 {
        return Ok((BlobId(*blake3::hash(bytes).as_bytes()), None));
    }
    let copy = |offset: u64, out: &mut [u8]| -> Result<(), ScanError> {
        let from = usize::try_from(offset).expect("within the bytes");
        out.copy_from_slice(&bytes[from..from + out.len()]);
        Ok(())
    };
    let quiet = Hashing {
        progress: &|_| {},
        ..*hashing
    };
    let outline = hash_chunks(size, &quiet, copy)?;
    Ok((outline.root(), Some(outline)))
}

/// The files of a place, hashed now or before.
struct Files {
    whole: Vec<(Found, Hashed)>,
    skipped: Vec<Skipped>,
    read_bytes: u64,
}

impl Files {
    fn read(
        home: &Arc<Home>,
        place: &Place,
        found: Vec<Found>,
        hashing: &Hashing<'_>,
    ) -> Result<Self, ScanError> {
        let known = known(home, place, &found);
        let results = hash_files(place, &found, known, hashing)?;
        let mut files = Self {
            whole: Vec::with_capacity(found.len()),
            skipped: Vec::new(),
            read_bytes: 0,
        };
        for (found, result) in found.into_iter().zip(results) {
            match result {
                Ok(hashed) => {
                    files.read_bytes += hashed.read_bytes;
                    files.whole.push((found, hashed));
                }
                Err(reason) => {
                    let path = found
                        .path
                        .map(|path| PathBuf::from(path.as_str()))
                        .unwrap_or_default();
                    files.skipped.push(Skipped { path, reason });
                }
            }
        }
        Ok(files)
    }

    fn manifest(&self, empty: Vec<RelPath>) -> Result<Manifest, ScanError> {
        let folders = empty.into_iter().map(|path| manifest::Entry {
            path,
            node: Node::Folder,
        });
        let files = self.whole.iter().filter_map(|(found, hashed)| {
            let node = Node::File {
                size: hashed.stamp.size,
                id: hashed.id,
                executable: hashed.executable,
            };
            let path = found.path.clone()?;
            Some(manifest::Entry { path, node })
        });
        Manifest::new(files.chain(folders).collect()).map_err(|_| ScanError::TooLarge)
    }

    /// Writes down what was found.
    fn keep(
        self,
        home: &Arc<Home>,
        place: &Place,
        content: Content,
        head: Option<Outline>,
    ) -> Result<Scanned, ScanError> {
        let first = u32::from(content.kind == ContentKind::Folder);
        let head_size = (first == 1).then_some(content.size);
        let sizes = self.whole.iter().map(|(_, hashed)| hashed.stamp.size);
        let outlines = Outlines::new(home, content.id, Slots::new(head_size.into_iter().chain(sizes)));
        let mut items = Vec::with_capacity(self.whole.len());
        let keep = |number: u32, id, size, outline: Option<Outline>| match outline {
            Some(outline) => write_outline(&outlines, &Object { number, id, size }, &outline),
            None => Ok(()),
        };
        keep(0, content.id, content.size, head).map_err(home_error)?;
        for (number, (found, hashed)) in (first..).zip(self.whole) {
            keep(number, hashed.id, hashed.stamp.size, hashed.outline).map_err(home_error)?;
            items.push(Item {
                path: found.path,
                id: hashed.id,
                stamp: hashed.stamp,
            });
        }
        home.replace(&home::inventory(place), |file| {
            inventory::write(file, content, &items)
        })
        .map_err(ScanError::Home)?;
        drop(items);
        let source = Source::open(home, place).map_err(|e| ScanError::Home(io::Error::other(e)))?;
        Ok(Scanned {
            source,
            read_bytes: self.read_bytes,
            skipped: self.skipped,
        })
    }
}

fn home_error(error: OutlineError) -> ScanError {
    match error {
        OutlineError::Io(e) => ScanError::Home(e),
        other => ScanError::Home(io::Error::other(other)),
    }
}

/// What the last scan knows of each file that was not changed since.
fn known(home: &Arc<Home>, place: &Place, found: &[Found]) -> Vec<Option<Hashed>> {
    let mut known = Vec::new();
    known.resize_with(found.len(), || None);
    if let Ok(last) = Source::open(home, place) {
        // Whatever cannot be read any more is simply not known.
        let _ = recall(&last, found, &mut known);
    }
    known
}

/// Both lists are ordered by path: one pass.
fn recall(last: &Source, found: &[Found], known: &mut [Option<Hashed>]) -> Result<(), SourceError> {
    let mut items = (last.first_object()..).zip(last.items()?);
    let mut next = items.next();
    for (found, known) in found.iter().zip(known) {
        while let Some((object, item)) = next.take() {
            let item = item?;
            if item.path < found.path {
                next = items.next();
                continue;
            }
            if item.path == found.path && item.stamp == Stamp::from(&found.stat) {
                *known = recall_one(last, object, &item, found.stat.executable);
            }
            next = Some((object, Ok(item)));
            break;
        }
    }
    Ok(())
}

fn recall_one(last: &Source, object: u32, item: &Item, executable: bool) -> Option<Hashed> {
    let outline = match page_count(item.stamp.size) {
        0 => None,
        _ => Some(last.outline(object).ok()??),
    };
    Some(Hashed {
        id: item.id,
        stamp: item.stamp,
        executable,
        outline,
        read_bytes: 0,
    })
}
