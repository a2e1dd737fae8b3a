//! An open file: its bytes, its holes, its attributes.

use std::{
    ffi::{CStr, OsStr},
    io,
    ops::Range,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{ffi::OsStrExt, fs::FileExt},
    },
};

use rustix::{
    fs::{
        Gid, Mode, SeekFrom, Uid, XattrFlags, fchmod, fchown, fgetxattr, flistxattr, fsetxattr, futimens,
        seek,
    },
    io::Errno,
};

use super::{Attributes, Stat, Xattr, folder::timestamps, is_unsupported};
use crate::raw;

/// An open file.
#[derive(Debug)]
pub(super) struct File(std::fs::File);

impl File {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self(fd.into())
    }
}

impl raw::File for File {
    fn stat(&self) -> io::Result<Stat> {
        Ok(super::stat(&rustix::fs::fstat(&self.0)?))
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            match self.0.read_at(&mut out[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn data(&self, size: u64) -> Vec<Range<u64>> {
        let mut parts = Vec::new();
        let mut at = 0;
        while at < size {
            let start = match seek(&self.0, SeekFrom::Data(at)) {
                Ok(start) => start.clamp(at, size),
                Err(Errno::NXIO) => break,
                Err(_) => at,
            };
            let end = seek(&self.0, SeekFrom::Hole(start)).unwrap_or(size);
            // Nothing goes backwards, whatever a strange file system says.
            let end = if end > start { end.min(size) } else { size };
            if start < end {
                parts.push(start..end);
            }
            at = end;
        }
        parts
    }

    fn xattrs(&self) -> io::Result<Vec<Xattr>> {
        xattrs(self.0.as_fd())
    }

    fn set(&self, attributes: &Attributes, xattrs: &[Xattr]) -> io::Result<()> {
        set(self.0.as_fd(), attributes, xattrs)
    }
}

pub(super) fn xattrs(fd: BorrowedFd<'_>) -> io::Result<Vec<Xattr>> {
    let mut names = vec![0; 64 << 10];
    let len = match flistxattr(fd, &mut names[..]) {
        Ok(len) => len,
        Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for name in names[..len].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else {
            continue;
        };
        let mut value = vec![0; 64 << 10];
        match fgetxattr(fd, name, &mut value[..]) {
            Ok(len) => found.push((name.to_bytes().to_vec(), value[..len].to_vec())),
            // Gone meanwhile, or not for us.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Gives it to its user and group, if it is not theirs.
fn give(fd: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<()> {
    let (uid, gid) = (attributes.uid, attributes.gid);
    let stat = rustix::fs::fstat(fd)?;
    if (stat.st_uid, stat.st_gid) == (uid, gid) {
        return Ok(());
    }
    Ok(fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

pub(super) fn set(fd: BorrowedFd<'_>, attributes: &Attributes, xattrs: &[Xattr]) -> io::Result<()> {
    let mut mode = u32::from(attributes.mode);
    match give(fd, attributes) {
        Ok(()) => {}
        // What ran with somebody else's rights must not run with ours.
        Err(error) if is_unsupported(&error) => mode &= 0o1777,
        Err(error) => return Err(error),
    }
    for (name, value) in xattrs {
        let name = OsStr::from_bytes(name);
        match fsetxattr(fd, name, value, XattrFlags::empty()).map_err(io::Error::from) {
            Err(error) if !is_unsupported(&error) => return Err(error),
            _ => {}
        }
    }
    fchmod(fd, Mode::from_raw_mode(mode))?;
    Ok(futimens(fd, &timestamps(attributes.modified))?)
}
