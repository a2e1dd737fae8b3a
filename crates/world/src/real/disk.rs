//! The disk of this machine.

use std::{
    ffi::{CStr, OsStr},
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::DirBuilderExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, fsync, mkdirat, renameat, statat, unlinkat},
    io::Errno,
};
use skep_wire::RelPath;

use super::{
    beneath::{self, Parent},
    file::{File, kind_of, stat_of},
};
use crate::disk::{Entry, Kind, Open, Replace, Stat};

/// The folders of this machine.
#[derive(Debug, Clone, Copy)]
pub struct Disk;

impl crate::Disk for Disk {
    fn dir(&self, path: &Path) -> io::Result<Arc<dyn crate::Dir>> {
        let path = fs::canonicalize(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Arc::new(Dir { fd, path }))
    }

    fn make_dir(&self, path: &Path) -> io::Result<Arc<dyn crate::Dir>> {
        make_durable_dir(path)?;
        self.dir(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }

    fn raw(&self, path: &Path) -> io::Result<Arc<dyn crate::raw::Folder>> {
        Ok(Arc::new(super::raw::Folder::open(path)?))
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let there = path.ancestors().find(|p| p.exists()).unwrap_or(Path::new("."));
        let stat = rustix::fs::statvfs(there)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Makes `path` and its parents where missing. Nobody else could sync the parents, so it is done here.
fn make_durable_dir(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    make_durable_dir(parent)?;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => Err(e),
        _ => fs::File::open(Path::new(".").join(parent))?.sync_all(),
    }
}

struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    fn parent(&self, path: &RelPath) -> io::Result<Parent<'_>> {
        Ok(beneath::parent(self.fd.as_fd(), path)?)
    }

    /// Opens an ordinary file. Opening a pipe or a device must neither wait nor do anything.
    fn open_file(&self, path: &RelPath, flags: OFlags, mode: Mode) -> io::Result<File> {
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File(beneath::open(self.fd.as_fd(), path, flags, mode)?.into());
        match crate::File::stat(&file)?.kind {
            Kind::File => Ok(file),
            Kind::Dir => Err(io::ErrorKind::IsADirectory.into()),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not an ordinary file",
            )),
        }
    }

    /// Does `act` with the folder `path`, or with this one.
    fn with_folder<T>(
        &self,
        path: Option<&RelPath>,
        act: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        match path {
            Some(path) => act(beneath::open_dir(self.fd.as_fd(), path)?.as_fd()),
            None => act(self.fd.as_fd()),
        }
    }
}

impl crate::Dir for Dir {
    fn open(&self, path: &RelPath, how: Open) -> io::Result<Arc<dyn crate::File>> {
        let new = OFlags::RDWR | OFlags::CREATE;
        let (flags, mode) = match how {
            Open::Read => (OFlags::RDONLY, 0),
            Open::Write => (OFlags::RDWR, 0),
            Open::CreateNew => (new | OFlags::EXCL, 0o644),
            Open::CreateNewPrivate => (new | OFlags::EXCL, 0o600),
            Open::OpenOrCreatePrivate => (new, 0o600),
        };
        Ok(Arc::new(self.open_file(
            path,
            flags,
            Mode::from_raw_mode(mode),
        )?))
    }

    fn dir(&self, path: &RelPath) -> io::Result<Arc<dyn crate::Dir>> {
        let fd = beneath::open_dir(self.fd.as_fd(), path)?;
        Ok(Arc::new(Dir {
            fd,
            path: self.path.join(path.as_str()),
        }))
    }

    fn make_dirs(&self, path: &RelPath) -> io::Result<()> {
        let mut folder = Parent::Root(self.fd.as_fd());
        for name in path.components() {
            match mkdirat(&folder, name, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            folder = Parent::Below(beneath::step(&folder, name, flags, Mode::empty())?);
        }
        Ok(())
    }

    fn rename(&self, from: &RelPath, to: &RelPath, replace: Replace) -> io::Result<()> {
        if from == to {
            return self.stat(from).map(drop);
        }
        let (old, new) = (self.parent(from)?, self.parent(to)?);
        let (from, to) = (from.file_name(), to.file_name());
        match replace {
            Replace::Allow => renameat(old, from, new, to)?,
            Replace::Never => rename_new(&old, from, &new, to)?,
        }
        Ok(())
    }

    fn remove_file(&self, path: &RelPath) -> io::Result<()> {
        Ok(unlinkat(self.parent(path)?, path.file_name(), AtFlags::empty())?)
    }

    fn remove_dir(&self, path: &RelPath) -> io::Result<()> {
        Ok(unlinkat(
            self.parent(path)?,
            path.file_name(),
            AtFlags::REMOVEDIR,
        )?)
    }

    fn stat(&self, path: &RelPath) -> io::Result<Stat> {
        let parent = self.parent(path)?;
        Ok(stat_of(&statat(
            parent,
            path.file_name(),
            AtFlags::SYMLINK_NOFOLLOW,
        )?))
    }

    fn list(&self, path: Option<&RelPath>) -> io::Result<Vec<Entry>> {
        self.with_folder(path, list)
    }

    fn set_executable(&self, path: &RelPath, executable: bool) -> io::Result<()> {
        let file = self.open_file(path, OFlags::RDONLY, Mode::empty())?;
        let mode = Mode::from(rustix::fs::fstat(&file.0)?.st_mode);
        let all = Mode::XUSR | Mode::XGRP | Mode::XOTH;
        let readers = Mode::from_raw_mode((mode.bits() & 0o444) >> 2);
        let mode = if executable { mode | readers } else { mode - all };
        Ok(rustix::fs::fchmod(&file.0, mode)?)
    }

    fn sync(&self, path: Option<&RelPath>) -> io::Result<()> {
        self.with_folder(path, |folder| Ok(fsync(folder)?))
    }

    /// One call, however many files there are.
    #[cfg(target_os = "linux")]
    fn sync_tree(&self, path: Option<&RelPath>) -> io::Result<()> {
        self.with_folder(path, |folder| Ok(rustix::fs::syncfs(folder)?))
    }

    fn lock(&self, path: &RelPath) -> io::Result<Box<dyn Send + Sync>> {
        let flags = OFlags::RDWR | OFlags::CREATE;
        let File(file) = self.open_file(path, flags, Mode::from_raw_mode(0o600))?;
        file.try_lock()?;
        Ok(Box::new(file))
    }

    fn host_path(&self) -> PathBuf {
        self.path.clone()
    }
}

/// Renames unless the target exists.
#[cfg(target_os = "linux")]
fn rename_new(old: &Parent<'_>, from: &str, new: &Parent<'_>, to: &str) -> rustix::io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};

    match renameat_with(old, from, new, to, RenameFlags::NOREPLACE) {
        // Some file systems do not know the flag.
        Err(Errno::INVAL | Errno::NOSYS) => link_and_unlink(old, from, new, to),
        done => done,
    }
}

#[cfg(not(target_os = "linux"))]
use link_and_unlink as rename_new;

/// The same for files only. A crash in between leaves both names, which loses nothing.
fn link_and_unlink(old: &Parent<'_>, from: &str, new: &Parent<'_>, to: &str) -> rustix::io::Result<()> {
    rustix::fs::linkat(old, from, new, to, AtFlags::empty())?;
    unlinkat(old, from, AtFlags::empty())
}

/// The names in `folder`, ordered by bytes.
fn list(folder: BorrowedFd<'_>) -> io::Result<Vec<Entry>> {
    // A descriptor of its own: how far a folder has been read belongs to the open file.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fresh = rustix::fs::openat(folder, ".", flags, Mode::empty())?;
    let mut entries = Vec::new();
    for entry in rustix::fs::Dir::new(fresh)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if let Some(kind) = listed_kind(folder, name, entry.file_type())? {
            let name = OsStr::from_bytes(name.to_bytes()).to_owned();
            entries.push(Entry { name, kind });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// What `name` is, where the listing may not have said so; none: gone since.
fn listed_kind(folder: BorrowedFd<'_>, name: &CStr, listed: FileType) -> io::Result<Option<Kind>> {
    if listed != FileType::Unknown {
        return Ok(Some(kind_of(listed)));
    }
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat_of(&stat).kind)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
