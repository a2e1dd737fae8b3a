//! Folders and files of a simulated disk, with their modes and times. There are no further names, no owners but one and
//! no extended attributes: setting them does nothing, reading them gives none.

use std::{
    ffi::{OsStr, OsString},
    io,
    ops::Range,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use rustix::io::Errno;

use super::{
    contents::BLOCK,
    contents::Contents,
    handles::{File, Handle},
    names::{Body, Ino, Names},
    state::State,
};
use crate::{
    File as _,
    raw::{self, Attributes, Kind, Stat, Time, Xattr},
};

const NANOS: i128 = 1_000_000_000;

/// A folder.
pub(super) struct RawFolder(Handle);

/// A file.
struct RawFile(File);

impl RawFolder {
    /// # Errors
    /// When `ino` is not a folder.
    pub(super) fn new(shared: &Arc<Mutex<State>>, state: &mut State, ino: Ino) -> io::Result<Self> {
        match state.kind(ino) {
            Kind::Dir => Ok(Self(Handle::new(shared, state, ino))),
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    fn begin(&self, what: &str, name: &[u8]) -> io::Result<MutexGuard<'_, State>> {
        let name = String::from_utf8_lossy(name);
        self.0.begin(what, format_args!("{} {name}", self.0.ino))
    }

    fn find_in(&self, state: &State, name: &[u8]) -> io::Result<Ino> {
        let found = state.tree.child(self.0.ino, OsStr::from_bytes(name));
        found.ok_or_else(|| Errno::NOENT.into())
    }

    /// A new inode under a name that is free.
    fn make(&self, state: &mut State, name: &[u8], body: Body, mode: u16) -> io::Result<Ino> {
        if self.find_in(state, name).is_ok() {
            return Err(Errno::EXIST.into());
        }
        let ino = state.add(self.slot(name), body)?;
        if let Some(inode) = state.tree.get_mut(ino) {
            inode.mode = mode;
        }
        Ok(ino)
    }

    fn slot(&self, name: &[u8]) -> (Ino, OsString) {
        (self.0.ino, OsString::from_vec(name.to_vec()))
    }

    fn open(&self, state: &mut State, ino: Ino, writable: bool) -> Box<dyn raw::File> {
        let handle = Handle::new(&self.0.state, state, ino);
        Box::new(RawFile(File { handle, writable }))
    }
}

impl raw::Folder for RawFolder {
    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let state = self.begin("raw_names", b"")?;
        let names = state.tree.names(self.0.ino).ok_or(Errno::NOTDIR)?;
        Ok(names.live.keys().map(|name| name.as_bytes().to_vec()).collect())
    }

    fn stat_self(&self) -> io::Result<Stat> {
        stat(&*self.begin("raw_stat", b".")?, self.0.ino)
    }

    fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        let state = self.begin("raw_stat", name)?;
        stat(&state, self.find_in(&state, name)?)
    }

    fn folder(&self, name: &[u8]) -> io::Result<Arc<dyn raw::Folder>> {
        let mut state = self.begin("raw_folder", name)?;
        let ino = self.find_in(&state, name)?;
        Ok(Arc::new(Self::new(&self.0.state, &mut state, ino)?))
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn raw::File>> {
        let mut state = self.begin("raw_file", name)?;
        let ino = self.find_in(&state, name)?;
        match state.kind(ino) {
            Kind::File => Ok(self.open(&mut state, ino, false)),
            _ => Err(Errno::INVAL.into()),
        }
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let state = self.begin("raw_target", name)?;
        let ino = self.find_in(&state, name)?;
        match state.tree.get(ino).map(|inode| &inode.body) {
            Some(Body::Symlink(target)) => Ok(target.as_os_str().as_bytes().to_vec()),
            _ => Err(Errno::INVAL.into()),
        }
    }

    fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        Ok(Vec::new())
    }

    fn make_folder(&self, name: &[u8], mode: u16) -> io::Result<Arc<dyn raw::Folder>> {
        let mut state = self.begin("raw_make_folder", name)?;
        let ino = self.make(&mut state, name, Body::Dir(Names::default()), mode)?;
        Ok(Arc::new(Self::new(&self.0.state, &mut state, ino)?))
    }

    fn make_file(&self, name: &[u8]) -> io::Result<Box<dyn raw::File>> {
        let mut state = self.begin("raw_make_file", name)?;
        let ino = self.make(&mut state, name, Body::File(Contents::default()), 0o600)?;
        Ok(self.open(&mut state, ino, true))
    }

    fn make_symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        let mut state = self.begin("raw_make_symlink", name)?;
        let target = PathBuf::from(OsString::from_vec(target.to_vec()));
        self.make(&mut state, name, Body::Symlink(target), 0o777)?;
        Ok(())
    }

    fn make_link(&self, _name: &[u8], _from: &dyn raw::Folder, _from_name: &[u8]) -> io::Result<()> {
        Err(Errno::NOTSUP.into())
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> io::Result<()> {
        let mut state = self.begin("raw_rename", to)?;
        let ino = self.find_in(&state, from)?;
        match self.find_in(&state, to) {
            Ok(_) if !replace => return Err(Errno::EXIST.into()),
            Ok(target) if state.kind(target) == Kind::Dir => return Err(Errno::ISDIR.into()),
            _ => {}
        }
        state.touch(self.0.ino);
        state.touch_ctime(ino);
        state.tree.rename(self.slot(from), self.slot(to));
        state.count_blocks();
        Ok(())
    }

    fn remove(&self, name: &[u8]) -> io::Result<()> {
        let mut state = self.begin("raw_remove", name)?;
        let ino = self.find_in(&state, name)?;
        if state.kind(ino) == Kind::Dir {
            return Err(Errno::ISDIR.into());
        }
        state.remove(&self.slot(name));
        Ok(())
    }

    fn set(&self, attributes: &Attributes, _xattrs: &[Xattr]) -> io::Result<()> {
        set(&mut *self.begin("raw_set", b".")?, self.0.ino, attributes)
    }

    fn set_symlink(&self, name: &[u8], attributes: &Attributes) -> io::Result<()> {
        let mut state = self.begin("raw_set", name)?;
        let ino = self.find_in(&state, name)?;
        set(&mut state, ino, attributes)
    }

    fn sync(&self) -> io::Result<()> {
        self.begin("raw_sync", b"")?.tree.sync(self.0.ino);
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        let mut state = self.begin("raw_sync_all", b"")?;
        for ino in state.tree.inos() {
            match state.contents_mut(ino) {
                Ok(contents) => contents.sync(),
                Err(_) => state.tree.sync(ino),
            }
        }
        Ok(())
    }
}

impl raw::File for RawFile {
    fn stat(&self) -> io::Result<Stat> {
        let handle = &self.0.handle;
        stat(
            &*handle.begin("raw_stat", format_args!("{}", handle.ino))?,
            handle.ino,
        )
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn data(&self, size: u64) -> Vec<Range<u64>> {
        std::iter::once(0..size).filter(|all| !all.is_empty()).collect()
    }

    fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        Ok(Vec::new())
    }

    fn set(&self, attributes: &Attributes, _xattrs: &[Xattr]) -> io::Result<()> {
        let handle = &self.0.handle;
        let mut state = handle.begin("raw_set", format_args!("{}", handle.ino))?;
        set(&mut state, handle.ino, attributes)
    }
}

fn stat(state: &State, ino: Ino) -> io::Result<Stat> {
    let inode = state.tree.get(ino).ok_or(Errno::NOENT)?;
    let contents = state.contents(ino);
    Ok(Stat {
        kind: state.kind(ino),
        mode: inode.mode,
        uid: 0,
        gid: 0,
        size: contents.as_ref().map_or(0, |contents| contents.size()),
        allocated: contents.map_or(0, |contents| contents.blocks() * BLOCK),
        modified: time(inode.mtime_ns),
        changed: time(inode.ctime_ns),
        inode: ino,
        device: 0,
        links: 1,
    })
}

fn set(state: &mut State, ino: Ino, attributes: &Attributes) -> io::Result<()> {
    let inode = state.tree.get_mut(ino).ok_or(Errno::NOENT)?;
    inode.mode = attributes.mode;
    inode.mtime_ns = i128::from(attributes.modified.unix_s) * NANOS + i128::from(attributes.modified.nanos);
    state.touch_ctime(ino);
    Ok(())
}

fn time(ns: i128) -> Time {
    Time {
        unix_s: i64::try_from(ns.div_euclid(NANOS)).unwrap_or(i64::MAX),
        nanos: u32::try_from(ns.rem_euclid(NANOS)).unwrap_or(0),
    }
}
