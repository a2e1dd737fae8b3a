//! What programs hold of a simulated disk: folders, open files and locks.
//!
//! A handle ends with the life of the machine in which it was made: after a crash every call fails.

use std::{
    fmt, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use rustix::io::Errno;
use skep_wire::RelPath;

use super::{
    contents::Contents,
    lock,
    names::{Body, Ino, Names},
    state::State,
};
use crate::disk::{Entry, Kind, Open, Replace, Stat};

/// An inode in use.
pub(super) struct Handle {
    pub(super) state: Arc<Mutex<State>>,
    pub(super) ino: Ino,
    life: u64,
}

impl Handle {
    pub(super) fn new(shared: &Arc<Mutex<State>>, state: &mut State, ino: Ino) -> Self {
        state.tree.retain(ino);
        Self {
            state: Arc::clone(shared),
            ino,
            life: state.life,
        }
    }

    /// The disk, if the operation is not to fail.
    pub(super) fn begin(&self, what: &str, about: fmt::Arguments<'_>) -> io::Result<MutexGuard<'_, State>> {
        let mut state = lock(&self.state);
        state.alive(self.life)?;
        state.begin(what, about)?;
        Ok(state)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        if state.life == self.life {
            let last = !state.tree.is_named(self.ino);
            state.tree.release(self.ino);
            if last {
                state.count_blocks();
            }
        }
    }
}

/// A folder.
pub(super) struct Dir {
    handle: Handle,
    path: PathBuf,
}

impl Dir {
    /// # Errors
    /// When `ino` is not a folder.
    pub(super) fn new(
        shared: &Arc<Mutex<State>>,
        state: &mut State,
        ino: Ino,
        path: PathBuf,
    ) -> io::Result<Self> {
        match state.kind(ino) {
            Kind::Dir => Ok(Self {
                handle: Handle::new(shared, state, ino),
                path,
            }),
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    fn root(&self) -> Ino {
        self.handle.ino
    }

    fn begin(&self, what: &str, path: Option<&RelPath>) -> io::Result<MutexGuard<'_, State>> {
        let below = path.map_or("", RelPath::as_str);
        self.handle
            .begin(what, format_args!("{}/{below}", self.path.display()))
    }

    /// The file at `path`, made where missing if it may be.
    fn file(&self, state: &mut State, path: &RelPath, how: Open) -> io::Result<Ino> {
        let slot = state.slot(self.root(), path)?;
        let may_create = !matches!(how, Open::Read | Open::Write);
        let must_create = matches!(how, Open::CreateNew | Open::CreateNewPrivate);
        let Some(ino) = state.tree.child(slot.0, &slot.1) else {
            return if may_create {
                state.add(slot, Body::File(Contents::default()))
            } else {
                Err(Errno::NOENT.into())
            };
        };
        match state.kind(ino) {
            _ if must_create => Err(Errno::EXIST.into()),
            Kind::File => Ok(ino),
            Kind::Dir => Err(Errno::ISDIR.into()),
            Kind::Symlink => Err(Errno::LOOP.into()),
            Kind::Other => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not an ordinary file",
            )),
        }
    }
}

impl crate::Dir for Dir {
    fn open(&self, path: &RelPath, how: Open) -> io::Result<Arc<dyn crate::File>> {
        let mut state = self.begin("open", Some(path))?;
        let ino = self.file(&mut state, path, how)?;
        let handle = Handle::new(&self.handle.state, &mut state, ino);
        Ok(Arc::new(File {
            handle,
            writable: how != Open::Read,
        }))
    }

    fn dir(&self, path: &RelPath) -> io::Result<Arc<dyn crate::Dir>> {
        let mut state = self.begin("dir", Some(path))?;
        let ino = state.find_dir(self.root(), Some(path))?;
        Ok(Arc::new(Dir::new(
            &self.handle.state,
            &mut state,
            ino,
            self.path.join(path.as_str()),
        )?))
    }

    fn make_dirs(&self, path: &RelPath) -> io::Result<()> {
        let mut state = self.begin("make_dirs", Some(path))?;
        let mut folder = self.root();
        for name in path.components() {
            folder = match state.step(folder, name.as_ref()) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    state.add((folder, name.into()), Body::Dir(Names::default()))?
                }
                found => found?,
            };
        }
        Ok(())
    }

    fn rename(&self, from: &RelPath, to: &RelPath, replace: Replace) -> io::Result<()> {
        let mut state = self.begin("rename", Some(from))?;
        state.note("to", format_args!("{to}"));
        let ino = state.find(self.root(), from)?;
        if from == to {
            return Ok(());
        }
        if to
            .as_str()
            .strip_prefix(from.as_str())
            .is_some_and(|rest| rest.starts_with('/'))
        {
            return Err(Errno::INVAL.into());
        }
        let (old, new) = (state.slot(self.root(), from)?, state.slot(self.root(), to)?);
        if let Some(target) = state.tree.child(new.0, &new.1) {
            may_replace(&state, ino, target, replace)?;
        }
        state.touch(old.0);
        state.touch(new.0);
        state.touch_ctime(ino);
        state.tree.rename(old, new);
        state.count_blocks();
        Ok(())
    }

    fn remove_file(&self, path: &RelPath) -> io::Result<()> {
        let mut state = self.begin("remove_file", Some(path))?;
        let ino = state.find(self.root(), path)?;
        if state.kind(ino) == Kind::Dir {
            return Err(Errno::ISDIR.into());
        }
        let slot = state.slot(self.root(), path)?;
        state.remove(&slot);
        Ok(())
    }

    fn remove_dir(&self, path: &RelPath) -> io::Result<()> {
        let mut state = self.begin("remove_dir", Some(path))?;
        let ino = state.find(self.root(), path)?;
        let names = state.tree.names(ino).ok_or(Errno::NOTDIR)?;
        if !names.live.is_empty() {
            return Err(Errno::NOTEMPTY.into());
        }
        let slot = state.slot(self.root(), path)?;
        state.remove(&slot);
        Ok(())
    }

    fn stat(&self, path: &RelPath) -> io::Result<Stat> {
        let state = self.begin("stat", Some(path))?;
        state.stat(state.find(self.root(), path)?)
    }

    fn list(&self, path: Option<&RelPath>) -> io::Result<Vec<Entry>> {
        let state = self.begin("list", path)?;
        let folder = state.find_dir(self.root(), path)?;
        let names = state.tree.names(folder).ok_or(Errno::NOTDIR)?;
        let entry = |(name, ino): (&_, &_)| Entry {
            name: Clone::clone(name),
            kind: state.kind(*ino),
        };
        Ok(names.live.iter().map(entry).collect())
    }

    fn set_executable(&self, path: &RelPath, executable: bool) -> io::Result<()> {
        let mut state = self.begin("set_executable", Some(path))?;
        let ino = self.file(&mut state, path, Open::Read)?;
        if let Some(inode) = state.tree.get_mut(ino) {
            inode.set_executable(executable);
        }
        state.touch_ctime(ino);
        Ok(())
    }

    fn sync(&self, path: Option<&RelPath>) -> io::Result<()> {
        let mut state = self.begin("sync", path)?;
        let folder = state.find_dir(self.root(), path)?;
        state.tree.sync(folder);
        Ok(())
    }

    fn lock(&self, path: &RelPath) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.begin("lock", Some(path))?;
        let ino = self.file(&mut state, path, Open::OpenOrCreatePrivate)?;
        if !state.locks.insert(ino) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(Lock(Handle::new(&self.handle.state, &mut state, ino))))
    }

    fn host_path(&self) -> PathBuf {
        self.path.clone()
    }
}

/// Whether a rename of `ino` may take the name of `target`.
fn may_replace(state: &State, ino: Ino, target: Ino, replace: Replace) -> io::Result<()> {
    if replace == Replace::Never {
        return Err(Errno::EXIST.into());
    }
    match (state.kind(ino), state.tree.names(target)) {
        (Kind::Dir, Some(names)) if names.live.is_empty() => Ok(()),
        (Kind::Dir, Some(_)) => Err(Errno::NOTEMPTY.into()),
        (Kind::Dir, None) => Err(Errno::NOTDIR.into()),
        (_, Some(_)) => Err(Errno::ISDIR.into()),
        (_, None) => Ok(()),
    }
}

struct Lock(Handle);

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        if state.life == self.0.life {
            state.locks.remove(&self.0.ino);
        }
    }
}

/// An open file.
pub(super) struct File {
    pub(super) handle: Handle,
    pub(super) writable: bool,
}

impl File {
    fn begin(&self, what: &str, offset: u64, bytes: usize) -> io::Result<MutexGuard<'_, State>> {
        self.handle
            .begin(what, format_args!("{} {offset}+{bytes}", self.handle.ino))
    }

    fn begin_change(&self, what: &str, offset: u64, bytes: usize) -> io::Result<MutexGuard<'_, State>> {
        let state = self.begin(what, offset, bytes)?;
        if self.writable {
            Ok(state)
        } else {
            Err(Errno::BADF.into())
        }
    }

    /// Writes if there is room.
    fn write(&self, state: &mut State, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let growth = state.contents(self.handle.ino)?.growth(offset, bytes.len());
        state.take_blocks(growth)?;
        state.contents_mut(self.handle.ino)?.write_at(offset, bytes);
        state.touch(self.handle.ino);
        Ok(())
    }

    /// The disk as it is, for what a failed operation does all the same.
    fn after_failure(&self) -> Option<MutexGuard<'_, State>> {
        let state = lock(&self.handle.state);
        (state.life == self.handle.life).then_some(state)
    }
}

impl crate::File for File {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let state = self.begin("read_at", offset, out.len())?;
        Ok(state.contents(self.handle.ino)?.read_at(offset, out))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        match self.begin_change("write_at", offset, bytes.len()) {
            Ok(mut state) => self.write(&mut state, offset, bytes),
            Err(e) => {
                let half = &bytes[..bytes.len() / 2];
                if let Some(mut state) = self.after_failure().filter(|_| self.writable) {
                    let _ = self.write(&mut state, offset, half);
                }
                Err(e)
            }
        }
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        let mut state = self.begin_change("set_len", size, 0)?;
        state.contents_mut(self.handle.ino)?.set_len(size);
        state.touch(self.handle.ino);
        state.count_blocks();
        Ok(())
    }

    fn reserve(&self, size: u64) -> io::Result<()> {
        let mut state = self.begin_change("reserve", size, 0)?;
        let growth = state
            .contents(self.handle.ino)?
            .growth(0, usize::try_from(size).unwrap_or(usize::MAX));
        state.take_blocks(growth)?;
        state.contents_mut(self.handle.ino)?.reserve(size);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        match self.begin("sync_file", 0, 0) {
            Ok(mut state) => {
                state.contents_mut(self.handle.ino)?.sync();
                Ok(())
            }
            Err(e) => {
                if let Some(mut state) = self.after_failure() {
                    state.contents_mut(self.handle.ino)?.lose_track();
                }
                Err(e)
            }
        }
    }

    fn stat(&self) -> io::Result<Stat> {
        let state = self.begin("stat_file", 0, 0)?;
        state.stat(self.handle.ino)
    }
}
