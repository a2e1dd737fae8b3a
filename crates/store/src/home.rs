//! The store's files in a peer's home.
//!
//! All can be made again from the contents themselves: losing one costs reading, not data. So few are
//! synced: a hint that a folder is being replaced, and what an inventory relies on, before it is written.
//! Each is checked when it is read.
//!
//! | path | what |
//! |---|---|
//! | `outlines/ID` | the outline pages of a content's objects |
//! | `manifests/ID` | the manifest of a collection, whole or growing |
//! | `places/KEY` | the inventory of what was found at a place |
//! | `partials/KEY` | which chunks of the download to a place are stored: a hint |

use std::{io, sync::Arc};

use skep_wire::{BlobId, RelPath};
use skep_world::{
    Dir, File,
    disk::{Open, Replace},
};

use crate::{open_files::OpenFiles, place::Place};

/// Files that are open at once, of all contents together.
const OPEN_FILES: usize = 128;
/// Compared at a time.
const COMPARED_BYTES: usize = 64 << 10;

/// The folder that the store keeps its own files in.
pub struct Home {
    dir: Arc<dyn Dir>,
    files: Arc<OpenFiles>,
}

impl Home {
    /// In `dir`, which nobody else writes to.
    ///
    /// # Errors
    /// When the folders in it cannot be made.
    pub fn open(dir: Arc<dyn Dir>) -> io::Result<Arc<Self>> {
        for folder in ["outlines", "manifests", "places", "partials"] {
            dir.make_dirs(&path(folder))?;
        }
        dir.sync(None)?;
        let files = OpenFiles::new(OPEN_FILES);
        Ok(Arc::new(Self { dir, files }))
    }

    /// Forgets outline and manifest of a content that is at no place any more.
    ///
    /// # Errors
    /// When they cannot be removed; one that is not there is no error.
    pub fn forget_content(&self, id: BlobId) -> io::Result<()> {
        self.remove(&outlines(id))?;
        self.remove(&manifest(id))
    }

    /// Forgets what was found at `place`. The files there stay.
    ///
    /// # Errors
    /// When it cannot be removed; one that is not there is no error.
    pub fn forget_place(&self, place: &Place) -> io::Result<()> {
        self.remove(&inventory(place))
    }

    pub(crate) fn files(&self) -> &Arc<OpenFiles> {
        &self.files
    }

    pub(crate) fn read(&self, path: &RelPath) -> io::Result<Arc<dyn File>> {
        self.dir.open(path, Open::Read)
    }

    /// For reading and writing; made if it is not there.
    pub(crate) fn write(&self, path: &RelPath) -> io::Result<Arc<dyn File>> {
        self.dir.open(path, Open::OpenOrCreatePrivate)
    }

    /// Lets `fill` write a new file, which then replaces the one at `path`, if any.
    pub(crate) fn replace(
        &self,
        path: &RelPath,
        fill: impl FnOnce(&dyn File) -> io::Result<()>,
    ) -> io::Result<()> {
        let new = self::path(&format!("{path}.new"));
        let file = self.write(&new)?;
        file.set_len(0)?;
        fill(&*file)?;
        self.dir.rename(&new, path, Replace::Allow)
    }

    /// Writes the manifest of a content, unless it is there: the one that is there may be durable, and an inventory
    /// may rely on it.
    pub(crate) fn keep_manifest(&self, id: BlobId, bytes: &[u8]) -> io::Result<()> {
        let path = manifest(id);
        match self.read(&path) {
            Ok(file) if is_all_of(&*file, bytes).unwrap_or(false) => Ok(()),
            _ => self.replace(&path, |file| file.write_at(0, bytes)),
        }
    }

    /// Lets `fill` write the inventory of a place. Outline and manifest of the content are durable
    /// before: who finds the inventory after a power cut finds them too.
    pub(crate) fn note(
        &self,
        place: &Place,
        content: BlobId,
        fill: impl FnOnce(&dyn File) -> io::Result<()>,
    ) -> io::Result<()> {
        for path in [outlines(content), manifest(content)] {
            match self.read(&path) {
                Ok(file) => file.sync()?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            }
            self.dir.sync(path.parent().as_ref())?;
        }
        self.replace(&inventory(place), fill)
    }

    /// Makes files durable, with their names.
    pub(crate) fn sync(&self, paths: &[RelPath]) -> io::Result<()> {
        for path in paths {
            self.read(path)?.sync()?;
            self.dir.sync(path.parent().as_ref())?;
        }
        self.dir.sync(None)
    }

    pub(crate) fn remove(&self, path: &RelPath) -> io::Result<()> {
        match self.dir.remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// Whether a file is these bytes, and nothing more.
fn is_all_of(file: &dyn File, bytes: &[u8]) -> io::Result<bool> {
    if file.stat()?.size != bytes.len() as u64 {
        return Ok(false);
    }
    let mut there = vec![0; COMPARED_BYTES.min(bytes.len())];
    for (number, part) in (0..).zip(bytes.chunks(COMPARED_BYTES)) {
        let there = &mut there[..part.len()];
        file.read_exact_at(number * COMPARED_BYTES as u64, there)?;
        if there != part {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(crate) fn outlines(id: BlobId) -> RelPath {
    path(&format!("outlines/{id}"))
}

pub(crate) fn manifest(id: BlobId) -> RelPath {
    path(&format!("manifests/{id}"))
}

pub(crate) fn inventory(place: &Place) -> RelPath {
    path(&format!("places/{}", key(place)))
}

pub(crate) fn hint(place: &Place) -> RelPath {
    path(&format!("partials/{}", key(place)))
}

/// A file name for a place, however long its path is and whatever is in it.
fn key(place: &Place) -> BlobId {
    let path = place.host_path();
    BlobId(*blake3::hash(path.as_os_str().as_encoded_bytes()).as_bytes())
}

fn path(text: &str) -> RelPath {
    RelPath::parse(text).expect("our own names are paths")
}
