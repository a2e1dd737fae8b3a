//! A folder: its names, and what can be done with one of them.

use std::{
    ffi::OsStr,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use rustix::fs::{
    AtFlags, Dir, Gid, Mode, OFlags, RenameFlags, Timespec, Timestamps, Uid, chownat, fstat, fsync, linkat,
    mkdirat, openat, readlinkat, renameat, renameat_with, statat, symlinkat, syncfs, unlinkat, utimensat,
};

use super::{Attributes, File, Kind, Stat, Time, Xattr, file, is_unsupported};

/// An open folder. Names are one component each, which the caller has checked.
#[derive(Debug)]
pub struct Folder(OwnedFd);

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Folder {
    /// The folder at `path`, which the user named: symbolic links in it are followed.
    ///
    /// # Errors
    /// What the file system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Its names, ascending.
    ///
    /// # Errors
    /// What the file system says.
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
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

    /// What is known of itself.
    ///
    /// # Errors
    /// What the file system says.
    pub fn stat_self(&self) -> io::Result<Stat> {
        Ok(Stat::new(&fstat(&self.0)?))
    }

    /// What is known of what has this name.
    ///
    /// # Errors
    /// What the file system says.
    pub fn stat(&self, name: &[u8]) -> io::Result<Stat> {
        let stat = statat(&self.0, os(name), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Stat::new(&stat))
    }

    /// The same, where there may be nothing.
    ///
    /// # Errors
    /// What the file system says.
    pub fn find(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        match self.stat(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            stat => stat.map(Some),
        }
    }

    /// The folder of this name.
    ///
    /// # Errors
    /// What the file system says; also when it is a symbolic link.
    pub fn folder(&self, name: &[u8]) -> io::Result<Self> {
        Ok(Self(openat(&self.0, os(name), FOLDER, Mode::empty())?))
    }

    /// The file of this name, to be read.
    ///
    /// # Errors
    /// What the file system says; also when it is no ordinary file.
    pub fn file(&self, name: &[u8]) -> io::Result<File> {
        // Without waiting: a pipe may have taken the file's place.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::new(openat(&self.0, os(name), flags, Mode::empty())?);
        match file.stat()?.kind {
            Kind::File => Ok(file),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "no ordinary file")),
        }
    }

    /// Where the symbolic link of this name points.
    ///
    /// # Errors
    /// What the file system says.
    pub fn target(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        Ok(readlinkat(&self.0, os(name), Vec::new())?.into_bytes())
    }

    /// Its extended attributes, ascending by name; none where the file system has none.
    ///
    /// # Errors
    /// What the file system says.
    pub fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        file::xattrs(self.0.as_fd())
    }

    /// Makes a folder of this mode, less the umask.
    ///
    /// # Errors
    /// What the file system says; also when the name is taken.
    pub fn make_folder(&self, name: &[u8], mode: u16) -> io::Result<Self> {
        mkdirat(&self.0, os(name), Mode::from_raw_mode(mode.into()))?;
        self.folder(name)
    }

    /// Makes a file that only its user can read, until it gets its attributes.
    ///
    /// # Errors
    /// What the file system says; also when the name is taken.
    pub fn make_file(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        Ok(File::new(openat(&self.0, os(name), flags, mode)?))
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// What the file system says; also when the name is taken.
    pub fn make_symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        Ok(symlinkat(os(target), &self.0, os(name))?)
    }

    /// Gives the file `from_name` of `from` another name, in this folder.
    ///
    /// # Errors
    /// What the file system says; also when the name is taken.
    pub fn make_link(&self, name: &[u8], from: &Self, from_name: &[u8]) -> io::Result<()> {
        Ok(linkat(
            &from.0,
            os(from_name),
            &self.0,
            os(name),
            AtFlags::empty(),
        )?)
    }

    /// Gives `from` the name `to`, in this folder; in the place of what has it only if it may `replace` it.
    ///
    /// # Errors
    /// What the file system says; also when the name is taken.
    pub fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> io::Result<()> {
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

    /// Removes the file or symbolic link of this name.
    ///
    /// # Errors
    /// What the file system says.
    pub fn remove(&self, name: &[u8]) -> io::Result<()> {
        Ok(unlinkat(&self.0, os(name), AtFlags::empty())?)
    }

    /// Sets its own attributes.
    ///
    /// # Errors
    /// What the file system says; not when the user may not give files away.
    pub fn set(&self, attributes: &Attributes, xattrs: &[Xattr]) -> io::Result<()> {
        file::set(self.0.as_fd(), attributes, xattrs)
    }

    /// Sets owner and time of the symbolic link of this name; it has no other attributes.
    ///
    /// # Errors
    /// What the file system says; not when the user may not give files away.
    pub fn set_symlink(&self, name: &[u8], attributes: &Attributes) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = (Uid::from_raw(attributes.uid), Gid::from_raw(attributes.gid));
        match chownat(&self.0, os(name), Some(uid), Some(gid), flags).map_err(io::Error::from) {
            Err(error) if !is_unsupported(&error) => return Err(error),
            _ => {}
        }
        let times = timestamps(attributes.modified);
        Ok(utimensat(&self.0, os(name), &times, flags)?)
    }

    /// Makes its names durable.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync(&self) -> io::Result<()> {
        Ok(fsync(&self.0)?)
    }

    /// Makes everything on its file system durable.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sync_all(&self) -> io::Result<()> {
        Ok(syncfs(&self.0)?)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
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
