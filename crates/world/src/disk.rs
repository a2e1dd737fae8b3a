//! Files, beneath folders that were named on purpose.
//!
//! A [`Dir`] is a capability: all its paths are [`RelPath`]s, resolved beneath it, and never
//! through a symbolic link (openat2 RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS on Linux).

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use skep_wire::RelPath;

use crate::raw;

/// The folders of one machine.
pub trait Disk: Send + Sync {
    /// The folder at `path`, which the user named: symbolic links in it are followed.
    fn dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>>;

    /// The same, after making it and its parents where missing (mode 0700 for what is made, and durable at once).
    fn make_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>>;

    /// `path` made absolute, without symbolic links.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;

    /// The same as [`Disk::dir`], with everything that is known of files.
    fn raw(&self, path: &Path) -> io::Result<Arc<dyn raw::Folder>>;

    /// Bytes that can still be written where `path` lies.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// Existing, for reading.
    Read,
    /// Existing, for reading and writing.
    Write,
    /// New: whatever has the name, a symbolic link included, is an error of kind `AlreadyExists`. Mode 0644 less the umask.
    CreateNew,
    /// New, with mode 0600: keys and state.
    CreateNewPrivate,
    /// Existing or new (mode 0600), for reading and writing.
    OpenOrCreatePrivate,
}

/// Whether a rename may replace what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// An existing target is an error of kind `AlreadyExists`; checked atomically.
    Never,
    /// An existing file is replaced atomically.
    Allow,
}

/// What lies under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ordinary file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link, never followed.
    Symlink,
    /// A device, a socket, a pipe.
    Other,
}

/// What is known of a file without reading it. Equal stamps: most likely unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: i128,
    /// Inode number.
    pub inode: u64,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// As the file system has it; not every one is a [`RelPath`].
    pub name: OsString,
    /// What it is.
    pub kind: Kind,
}

/// A folder and what lies beneath it. Every method is blocking.
pub trait Dir: Send + Sync {
    /// Opens an ordinary file. A symbolic link anywhere in `path` is an error, and so is a folder, a pipe or a device.
    fn open(&self, path: &RelPath, how: Open) -> io::Result<Arc<dyn File>>;
    /// The folder `path` as a capability of its own.
    fn dir(&self, path: &RelPath) -> io::Result<Arc<dyn Dir>>;
    /// Makes `path` and its parents where missing (mode 0755 less the umask). They are durable once
    /// every folder that got a new name is synced.
    fn make_dirs(&self, path: &RelPath) -> io::Result<()>;
    /// Moves `from` to `to`, both beneath this folder. Moving onto itself changes nothing.
    fn rename(&self, from: &RelPath, to: &RelPath, replace: Replace) -> io::Result<()>;
    /// Removes a file or a symbolic link (not what it points to).
    fn remove_file(&self, path: &RelPath) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_dir(&self, path: &RelPath) -> io::Result<()>;
    /// What lies there; a final symbolic link is reported, not followed.
    fn stat(&self, path: &RelPath) -> io::Result<Stat>;
    /// The names in `path` (none: in this folder itself), ordered by bytes.
    fn list(&self, path: Option<&RelPath>) -> io::Result<Vec<Entry>>;
    /// Sets or clears the owner's right to execute a file (and that of others who may read it).
    fn set_executable(&self, path: &RelPath, executable: bool) -> io::Result<()>;
    /// Makes the names in `path` (none: in this folder itself) durable.
    fn sync(&self, path: Option<&RelPath>) -> io::Result<()>;
    /// Makes everything beneath `path` (none: beneath this folder) durable, contents and names; it
    /// may make more durable than that. Names that are no [`RelPath`] are left out.
    fn sync_tree(&self, path: Option<&RelPath>) -> io::Result<()> {
        for entry in self.list(path)? {
            let Some(name) = entry.name.to_str().and_then(|name| RelPath::parse(name).ok()) else {
                continue;
            };
            let below = path
                .map_or(Ok(name.clone()), |path| path.join(&name))
                .map_err(io::Error::other)?;
            match entry.kind {
                Kind::File => self.open(&below, Open::Read)?.sync()?,
                Kind::Dir => self.sync_tree(Some(&below))?,
                Kind::Symlink | Kind::Other => {}
            }
        }
        self.sync(path)
    }
    /// Takes the lock file `path`, until the result is dropped or the process dies. Taken by
    /// somebody else: an error of kind `WouldBlock`.
    fn lock(&self, path: &RelPath) -> io::Result<Box<dyn Send + Sync>>;
    /// The host path of this folder, for messages and for watching; never for opening.
    fn host_path(&self) -> PathBuf;
}

/// An open file. Every method is blocking and takes positions: there is no cursor.
pub trait File: Send + Sync {
    /// Reads up to `out.len()` bytes from `offset`; 0 at the end.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;
    /// Reads as [`File::read_at`] does, but only what needs no waiting for the disk: where there is none
    /// of that, an error of kind `WouldBlock`. May be called where nothing may block.
    fn read_now_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        self.read_at(offset, out)
    }
    /// Whether these bytes, within the file, are known to be zeros without reading them: a hole in a
    /// sparse file. No says nothing.
    fn is_hole(&self, _offset: u64, _bytes: u64) -> bool {
        false
    }
    /// Says that these bytes will be read soon: the system may fetch them from the disk meanwhile.
    fn will_read(&self, _offset: u64, _bytes: u64) {}
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Writes as [`File::write_at`] does, for bytes of a large file that are not read again soon: the
    /// system may write them to the disk at once, and need not keep them in memory after that.
    /// Durable they are only after [`File::sync`].
    fn write_through_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_at(offset, bytes)
    }
    /// Cuts or extends (with zeros) to `size` bytes.
    fn set_len(&self, size: u64) -> io::Result<()>;
    /// Reserves `size` bytes where the file system can; the length does not change. `StorageFull` when there is no room.
    fn reserve(&self, size: u64) -> io::Result<()>;
    /// Makes contents and length durable.
    fn sync(&self) -> io::Result<()>;
    /// What is known of it.
    fn stat(&self) -> io::Result<Stat>;
}

impl dyn File + '_ {
    /// Fills `out` from `offset`; a file that ends before is an error of kind `UnexpectedEof`.
    pub fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        fill(offset, out, |offset, out| self.read_at(offset, out))
    }

    /// The same without waiting for the disk; if that cannot be, an error of kind `WouldBlock`.
    pub fn read_exact_now_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        fill(offset, out, |offset, out| self.read_now_at(offset, out))
    }
}

fn fill(
    mut offset: u64,
    mut out: &mut [u8],
    read: impl Fn(u64, &mut [u8]) -> io::Result<usize>,
) -> io::Result<()> {
    while !out.is_empty() {
        match read(offset, out) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                offset += n as u64;
                out = &mut out[n..];
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
