//! Opening beneath a folder without ever leaving it: no symbolic link is followed, at any depth.
//!
//! Linux does the whole path in one openat2 call; elsewhere, in sandboxes that refuse openat2, and
//! for paths over PATH_MAX, the path is walked folder by folder. A [`RelPath`] has no `..`, so that both stay beneath.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{Mode, OFlags, openat},
    io::{Errno, Result},
};
use skep_wire::RelPath;

/// The folder that is to be, or has, the last component of a path.
pub(super) enum Parent<'a> {
    /// The root itself.
    Root(BorrowedFd<'a>),
    /// A folder beneath it.
    Below(OwnedFd),
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Root(root) => *root,
            Self::Below(folder) => folder.as_fd(),
        }
    }
}

/// Opens `path` beneath `root`.
pub(super) fn open(root: BorrowedFd<'_>, path: &RelPath, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    match open_at_once(root, path, flags, mode) {
        Err(Errno::NOSYS | Errno::PERM | Errno::NAMETOOLONG) => open_by_steps(root, path, flags, mode),
        done => done,
    }
}

/// Opens the folder `path` beneath `root`, for reading its names.
pub(super) fn open_dir(root: BorrowedFd<'_>, path: &RelPath) -> Result<OwnedFd> {
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
}

/// Opens the parent of `path`.
pub(super) fn parent<'a>(root: BorrowedFd<'a>, path: &RelPath) -> Result<Parent<'a>> {
    match path.parent() {
        Some(parent) => Ok(Parent::Below(open_dir(root, &parent)?)),
        None => Ok(Parent::Root(root)),
    }
}

/// One step from `folder` to its child `name`.
pub(super) fn step(folder: impl AsFd, name: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)
}

#[cfg(target_os = "linux")]
fn open_at_once(root: BorrowedFd<'_>, path: &RelPath, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};

    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(root, path.as_str(), flags | OFlags::CLOEXEC, mode, resolve)
}

#[cfg(not(target_os = "linux"))]
fn open_at_once(_: BorrowedFd<'_>, _: &RelPath, _: OFlags, _: Mode) -> Result<OwnedFd> {
    Err(Errno::NOSYS)
}

fn open_by_steps(root: BorrowedFd<'_>, path: &RelPath, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut parent = Parent::Root(root);
    if let Some(above) = path.parent() {
        for name in above.components() {
            parent = Parent::Below(step(&parent, name, folder, Mode::empty())?);
        }
    }
    step(&parent, path.file_name(), flags, mode)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    /// Both ways refuse the same paths.
    #[test]
    fn one_call_and_many_steps_agree() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir_all(tmp.path().join("a/b")).unwrap();
        fs::write(tmp.path().join("a/b/file"), "x").unwrap();
        symlink("b", tmp.path().join("a/link")).unwrap();
        symlink("b/file", tmp.path().join("a/file-link")).unwrap();
        let root = fs::File::open(tmp.path()).unwrap();
        for (path, opens) in [
            ("a/b/file", true),
            ("a/link/file", false),
            ("a/file-link", false),
            ("a/none", false),
            ("a/b/file/x", false),
        ] {
            let path = RelPath::parse(path).unwrap();
            let at_once = open_at_once(root.as_fd(), &path, OFlags::RDONLY, Mode::empty());
            let by_steps = open_by_steps(root.as_fd(), &path, OFlags::RDONLY, Mode::empty());
            assert_eq!(by_steps.is_ok(), opens, "{path}");
            assert!(
                at_once.is_ok() == opens || matches!(at_once, Err(Errno::NOSYS)),
                "{path}"
            );
        }
    }
}
