//! From packs to files: one thread walks the snapshot, others write files, all beneath one folder.
//!
//! A file is written under a hidden name and gets its own by a rename, when every piece of it was
//! verified; a folder gets its mode and times when everything in it is there. What is there already and
//! is the same is left as it is, so an interrupted restore goes on where it was. What is lost is named,
//! and the rest restored.

mod existing;
mod file;
mod folder;
mod walk;

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use skep_vault::{
    Content,
    piece::Decoder,
    tree::{Entry, Name},
};
use skep_world::raw::{self, Attributes, Folder, People};

use self::{
    file::Job,
    folder::{Open, Place},
    walk::Walker,
};
use super::{
    crew::Crew,
    lock,
    meter::Meter,
    reader::{Lost, Reader},
};
use crate::api::types::Skipped;

pub(super) use self::file::Segments;

/// What to bring back, and how.
pub(crate) struct Wanted {
    /// Who writes.
    pub(crate) crew: Crew,
    /// The tree of `/` in the snapshot.
    pub(crate) root: Content,
    /// Only what lies here; empty: everything.
    pub(crate) path: Vec<Name>,
    /// Whether files that are there may be replaced.
    pub(crate) overwrite: bool,
}

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Files that are there now, each name of them.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// What could not be restored, and why.
    pub(crate) failed: Vec<Skipped>,
}

/// What walker and writers share.
struct Run<'a> {
    reader: &'a Reader<'a>,
    overwrite: bool,
    people: People,
    meter: &'a Meter,
    files: AtomicU64,
    bytes: AtomicU64,
    failed: Mutex<Vec<Skipped>>,
    /// Files of several names whose first is there, by their number.
    linkable: Mutex<HashSet<u64>>,
}

impl Run<'_> {
    fn fail(&self, path: &Path, reason: impl ToString) {
        lock(&self.failed).push(Skipped {
            path: path.to_string_lossy().into_owned(),
            reason: reason.to_string(),
        });
    }

    /// A file is there.
    fn count(&self, entry: &Entry) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(entry.size(), Ordering::Relaxed);
        if entry.meta.link != 0 {
            lock(&self.linkable).insert(entry.meta.link);
        }
    }

    /// What an entry says, in the terms of this machine.
    fn attributes(&self, entry: &Entry) -> (Attributes, Vec<raw::Xattr>) {
        let meta = &entry.meta;
        let attributes = Attributes {
            mode: meta.mode,
            uid: self.people.uid(&meta.user, meta.uid),
            gid: self.people.gid(&meta.group, meta.gid),
            modified: raw::Time {
                unix_s: meta.modified.unix_s,
                nanos: meta.modified.nanos,
            },
        };
        let xattrs = meta.xattrs.iter();
        let xattrs = xattrs.map(|xattr| (xattr.name.clone(), xattr.value.clone()));
        (attributes, xattrs.collect())
    }
}

/// Restores beneath `target`; without one, everything is read and verified and nothing written. Blocks.
///
/// # Errors
/// What `path` leads to cannot be read, or is not there.
pub(crate) fn restore(
    wanted: &Wanted,
    target: Option<Arc<dyn Folder>>,
    reader: &Reader<'_>,
    meter: &Meter,
) -> Result<Restored, Lost> {
    let run = Run {
        reader,
        overwrite: wanted.overwrite,
        people: People::read(),
        meter,
        files: 0.into(),
        bytes: 0.into(),
        failed: Mutex::default(),
        linkable: Mutex::default(),
    };
    let place = target.map_or(Place::Nowhere, Place::Folder);
    let root = Arc::new(Open::root(place.clone()));
    let links = Mutex::new(Vec::new());
    let walk = |batches: &mut dyn FnMut(Vec<Job>)| {
        let mut walker = Walker::new(&run, batches);
        walker.folder(&root, &wanted.root, &wanted.path);
        *lock(&links) = walker.finish();
    };
    let write = || {
        let (run, mut decoder) = (&run, Decoder::new());
        move |batch: Vec<Job>| {
            for job in batch {
                if !run.meter.is_stopped() {
                    job.run(run, &mut decoder);
                }
            }
        }
    };
    if wanted.crew.work(walk, write).is_err() {
        run.fail(Path::new("/"), "no thread could be started");
    }
    let links = std::mem::take(&mut *lock(&links));
    walk::link_all(&run, &place, links);
    root.close(&run);
    if let Place::Folder(folder) = &place
        && let Err(error) = folder.sync_all()
    {
        run.fail(Path::new("/"), format!("it could not be made durable: {error}"));
    }
    let mut failed = std::mem::take(&mut *lock(&run.failed));
    failed.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Restored {
        files: run.files.into_inner(),
        bytes: run.bytes.into_inner(),
        failed,
    })
}

/// A path of a snapshot, as people type it.
///
/// # Errors
/// The part that is no name.
pub(crate) fn parse_path(path: &Path) -> Result<Vec<Name>, PathBuf> {
    use std::{os::unix::ffi::OsStrExt, path::Component};
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                names.push(Name::parse(name.as_bytes()).map_err(|_| PathBuf::from(name))?);
            }
            other => return Err(PathBuf::from(other.as_os_str())),
        }
    }
    Ok(names)
}
