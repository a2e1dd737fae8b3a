//! A disk in memory that loses in a power cut what was not synced, and fails where it is told to.

mod contents;
mod handles;
mod names;
mod raw;
mod state;

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use self::{
    handles::Dir,
    names::{Body, ROOT},
    raw::RawFolder,
    state::State,
};
use super::Trace;

/// How the programs on a machine end all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// They are killed; what they wrote is in the cache of the system and stays.
    Kill,
    /// The power goes; nothing that was not synced is left.
    Power,
    /// The power goes; of what was not synced, blocks of 4 KiB and names are left as this seed says.
    TornPower(u64),
}

/// Why an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// An I/O error (EIO).
    Io,
    /// No space left (ENOSPC).
    Full,
}

/// A disk. Clones are the same disk.
///
/// Its operations are numbered from 0: every call of a method of a [`Dir`](crate::Dir), of a
/// [`File`](crate::File) or of [`Disk`](crate::Disk) is one, but for those that cannot fail.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    /// The life that it ends with; none: it is the owner's.
    life: Option<u64>,
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Disk {
    /// An empty disk of a tebibyte, with a trace of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::traced("disk", Trace::default())
    }

    /// An empty disk of a tebibyte that tells `trace`, as `place`, what is done to it.
    #[must_use]
    pub fn traced(place: &str, trace: Trace) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(place, trace))),
            life: None,
        }
    }

    /// The same disk, for programs that start now: with the next crash it is dead to them.
    #[must_use]
    pub fn until_crash(&self) -> Self {
        let life = Some(self.state().life);
        Self {
            state: Arc::clone(&self.state),
            life,
        }
    }

    /// Files get their times from `clock`; without one, from a counter.
    pub fn set_clock(&self, clock: Arc<dyn crate::Clock>) {
        self.state().clock = Some(clock);
    }

    /// How many bytes it takes, in blocks of 4 KiB. It may have more on it already.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity_blocks = bytes / contents::BLOCK;
    }

    /// From now on nothing more goes on it, or as much as ever.
    pub fn set_full(&self, is_full: bool) {
        let mut state = self.state();
        state.note("full", format_args!("{is_full}"));
        state.capacity_blocks = match is_full {
            true => state.used_blocks(),
            false => state::USUAL_BLOCKS,
        };
    }

    /// How many operations there have been.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Makes the operations with these numbers fail. A failed write may have written its first half,
    /// a failed sync loses what it was to write, any other failed operation does nothing.
    pub fn fail(&self, operations: Range<u64>, fault: Fault) {
        self.state().faults.push((operations, fault));
    }

    /// Takes back all that [`Disk::fail`] asked for.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Ends all programs: what they have open is dead, their locks are free.
    pub fn crash(&self, how: Crash) {
        let mut state = self.state();
        state.note("crash", format_args!("{how:?}"));
        match how {
            Crash::Kill => state.kill(),
            Crash::Power => state.crash(|| false),
            Crash::TornPower(seed) => {
                let mut rng = StdRng::seed_from_u64(seed);
                state.crash(|| rng.random());
            }
        }
    }

    /// Turns one bit of a file, on the disk and in the cache; its stamp stays.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn flip_bit(&self, path: &Path, bit: u64) -> io::Result<()> {
        let mut state = self.state();
        let (ino, _) = state.follow(path)?;
        state.contents_mut(ino)?.flip_bit(bit);
        Ok(())
    }

    /// The bytes of a file, as a person would look at them.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.state();
        let (ino, _) = state.follow(path)?;
        state.read_all(ino)
    }

    /// Puts a file there, durable, with its folders, as a person would before a program starts.
    ///
    /// # Errors
    /// When a folder of `path` is something else.
    pub fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.state().put(path, bytes)
    }

    /// Puts a symbolic link to `target` there, durable, with its folders.
    ///
    /// # Errors
    /// When a folder of `path` is something else, or the name is taken.
    pub fn symlink(&self, path: &Path, target: &Path) -> io::Result<()> {
        self.state().put_new(path, Body::Symlink(target.to_owned()))
    }

    /// Puts there what is neither file, folder nor link, durable, with its folders.
    ///
    /// # Errors
    /// When a folder of `path` is something else, or the name is taken.
    pub fn pipe(&self, path: &Path) -> io::Result<()> {
        self.state().put_new(path, Body::Other)
    }

    /// The paths of all files, in order.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.state().files(ROOT, Path::new("/"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn begin(&self, what: &str, path: &Path) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.alive(self.life.unwrap_or(state.life))?;
        state.begin(what, format_args!("{}", path.display()))?;
        Ok(state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl crate::Disk for Disk {
    fn dir(&self, path: &Path) -> io::Result<Arc<dyn crate::Dir>> {
        let mut state = self.begin("dir", path)?;
        let (ino, path) = state.follow(path)?;
        Ok(Arc::new(Dir::new(&self.state, &mut state, ino, path)?))
    }

    fn make_dir(&self, path: &Path) -> io::Result<Arc<dyn crate::Dir>> {
        let mut state = self.begin("make_dir", path)?;
        let (ino, path) = state.make_durable_dir(path)?;
        Ok(Arc::new(Dir::new(&self.state, &mut state, ino, path)?))
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        let state = self.begin("canonical", path)?;
        Ok(state.follow(path)?.1)
    }

    fn raw(&self, path: &Path) -> io::Result<Arc<dyn crate::raw::Folder>> {
        let mut state = self.begin("raw", path)?;
        let (ino, _) = state.follow(path)?;
        Ok(Arc::new(RawFolder::new(&self.state, &mut state, ino)?))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let state = self.begin("free_bytes", path)?;
        Ok(state.free_blocks() * contents::BLOCK)
    }
}
