//! A folder: its names, and what can be done with one of them.

use std::{
    any::Any,
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{
        AtFlags, Dir, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, chownat, fstat, fsync,
        linkat, mkdirat, openat, readlinkat, renameat, renameat_with, statat, symlinkat, syncfs, unlinkat,
        utimensat,
    },
    io::Errno,
};

use super::{Attributes, File, Kind, Stat, Time, Xattr, file, is_unsupported};
use crate::raw;

/// An open folder.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Folder {
    /// The folder at `path`, which the user named: symbolic links in it are followed.
    ///
    /// # Errors
    /// What the file system says.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }
}

impl raw::Folder for Folder {
    fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if !matches!(&name[..], b"." | b"..") {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn stat_self(&self) -> io::Result<Stat> {
        Ok(super::stat(&fstat(&self.0)?))
    }

    fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        let stat = statat(&self.0, os(name), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(super::stat(&stat))
    }

    fn folder(&self, name: &[u8]) -> io::Result<Arc<dyn raw::Folder>> {
        Ok(Arc::new(Self(openat(&self.0, os(name), FOLDER, Mode::empty())?)))
    }

    fn file(&self, name: &[u8]) -> io::Result<Box<dyn raw::File>> {
        // Without waiting: a pipe may have taken the file's place.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::new(openat(&self.0, os(name), flags, Mode::empty())?);
        match raw::File::stat(&file)?.kind {
            Kind::File => Ok(Box::new(file)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "no ordinary file")),
        }
    }

    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.0, os(name), Vec::new())?.into_bytes())
    }

    fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        file::xattrs(self.0.as_fd())
    }

    fn make_folder(&self, name: &[u8], mode: u16) -> io::Result<Arc<dyn raw::Folder>> {
        mkdirat(&self.0, os(name), Mode::from_raw_mode(mode.into()))?;
        self.folder(name)
    }

    fn make_file(&self, name: &[u8]) -> io::Result<Box<dyn raw::File>> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        Ok(Box::new(File::new(openat(&self.0, os(name), flags, mode)?)))
    }

    fn make_symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        Ok(symlinkat(os(target), &self.0, os(name))?)
    }

    fn make_link(&self, name: &[u8], from: &dyn raw::Folder, from_name: &[u8]) -> io::Result<()> {
        let from: &dyn Any = from;
        let from: &Self = from.downcast_ref().ok_or(Errno::XDEV)?;
        Ok(linkat(
            &from.0,
            os(from_name),
            &self.0,
            os(name),
            AtFlags::empty(),
        )?)
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> io::Result<()> {
        if replace {
            return Ok(renameat(&self.0, os(from), &self.0, os(to))?);
        }
        Ok(renameat_with(
            &self.0,
            os(from),
            &self.0,
            os(to),
            RenameFlags::NOREPLACE,
        )?)
    }

    fn remove(&self, name: &[u8]) -> io::Result<()> {
        Ok(unlinkat(&self.0, os(name), AtFlags::empty())?)
    }

    fn set(&self, attributes: &Attributes, xattrs: &[Xattr]) -> io::Result<()> {
        file::set(self.0.as_fd(), attributes, xattrs)
    }

    fn set_symlink(&self, name: &[u8], attributes: &Attributes) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        match chownat(&self.0, os(name), Some(uid), Some(gid), flags).map_err(io::Error::from) {
            Err(error) if !is_unsupported(&error) => return Err(error),
            _ => {}
        }
        let times = timestamps(attributes.modified);
        Ok(utimensat(&self.0, os(name), &times, flags)?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.0)?)
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(syncfs(&self.0)?)
    }
}

fn os(name: &[u8]) -> &OsStr {
    OsStr::from_bytes(name)
}

pub(super) fn timestamps(modified: Time) -> Timestamps {
    let time = Timespec {
        tv_sec: modified.unix_s,
        tv_nsec: modified.nanos.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
