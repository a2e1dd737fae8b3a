//! From files to packs: one thread walks the tree, others read what has changed since the last snapshot.
//!
//! What has the size, times and inode that the last snapshot says is not opened. Folders are put
//! together as their files become known ([`pending`]), so nobody waits for anybody, and only the
//! folders that are being worked at are in memory. What cannot be read is named and left out.

mod file;
mod pending;
mod roots;
mod rules;
mod walk;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use ignore::gitignore::Gitignore;
use skep_vault::{Content, Sealer, tree::Entry};
use skep_world::{Disk, raw::People};
use thiserror::Error;

use self::{file::Job, pending::Above, roots::Roots, rules::Rules, walk::Walker};
use super::{crew::Crew, lock, meter::Meter, reader::Reader};
use crate::api::types::Skipped;

pub(crate) use self::rules::{BadGlob, compile as compile_rules, parse as parse_globs};

/// No file system counts time in longer steps.
const COARSEST_CLOCK_S: i64 = 2;

/// What to back up.
pub(crate) struct Wanted {
    /// Where it is.
    pub(crate) disk: Arc<dyn Disk>,
    /// Who reads.
    pub(crate) crew: Crew,
    /// Absolute, without symbolic links.
    pub(crate) paths: Vec<PathBuf>,
    /// What to leave out.
    pub(crate) exclude: Gitignore,
    /// The peer's own home, which is left out.
    pub(crate) home: PathBuf,
    /// What time it is.
    pub(crate) began_unix_s: u64,
    /// The root of the last snapshot.
    pub(crate) before: Option<Content>,
}

/// What came of it. Everything was handed to the sealer.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// The tree of `/`.
    pub(crate) root: Content,
    /// Files in it.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// What was left out, or not read at rest, and why.
    pub(crate) skipped: Vec<Skipped>,
}

/// Why there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the backup was stopped")]
pub(crate) struct Stopped;

/// What walker and readers share.
struct Run<'a> {
    sealer: &'a Sealer<'a>,
    last: &'a Reader<'a>,
    people: People,
    meter: &'a Meter,
    /// What changed before this second has a time that a later change will not have too.
    settled_unix_s: i64,
    files: AtomicU64,
    bytes: AtomicU64,
    skipped: Mutex<Vec<Skipped>>,
}

impl Run<'_> {
    /// A file is in the snapshot.
    fn count(&self, entry: &Entry) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(entry.size(), Ordering::Relaxed);
    }

    fn skip(&self, path: &Path, reason: impl ToString) {
        lock(&self.skipped).push(Skipped {
            path: path.to_string_lossy().into_owned(),
            reason: reason.to_string(),
        });
    }
}

/// Hands everything that is wanted to the sealer. `last` reads the last snapshot. Blocks.
///
/// # Errors
/// [`Stopped`] when the meter says so.
pub(crate) fn scan(
    wanted: &Wanted,
    sealer: &Sealer<'_>,
    last: &Reader<'_>,
    meter: &Meter,
) -> Result<Scanned, Stopped> {
    let run = Run {
        sealer,
        last,
        people: People::read(),
        meter,
        settled_unix_s: i64::try_from(wanted.began_unix_s).unwrap_or(i64::MAX) - COARSEST_CLOCK_S,
        files: 0.into(),
        bytes: 0.into(),
        skipped: Mutex::default(),
    };
    let root = Arc::new(OnceLock::new());
    let walk = |jobs: &mut dyn FnMut(Job)| {
        let rules = Rules::new(wanted.exclude.clone(), wanted.home.clone());
        let walker = Walker::new(&run, jobs, rules);
        let above = Above::Root(root.clone());
        let root = wanted.disk.raw(Path::new("/"));
        walker.run(root, above, &Roots::new(&wanted.paths), wanted.before.as_ref());
    };
    let read = || {
        let (mut hand, mut buffer) = (run.sealer.hand(), vec![0; file::BUFFER_BYTES]);
        let run = &run;
        move |job: Job| {
            if !run.meter.is_stopped() {
                job.run(run, &mut hand, &mut buffer);
            }
        }
    };
    wanted.crew.work(walk, read).map_err(|_| Stopped)?;
    if meter.is_stopped() {
        return Err(Stopped);
    }
    let mut skipped = std::mem::take(&mut *lock(&run.skipped));
    skipped.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Scanned {
        root: root.get().cloned().ok_or(Stopped)?,
        files: run.files.into_inner(),
        bytes: run.bytes.into_inner(),
        skipped,
    })
}
