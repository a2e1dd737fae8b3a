//! Files as Unix has them: names of any bytes, and everything that is known of a file.
//!
//! For backups, which must bring back what [`crate::Disk`] does not know of: links, owners, attributes,
//! holes, names that are no text. All work is done beneath folders that are open, one name at a time,
//! and no symbolic link is ever followed; so nobody can lead it elsewhere by swapping a folder for a
//! link. The simulation has files, folders and their modes and times, but neither further names nor
//! extended attributes. Every function blocks.

mod people;

use std::{any::Any, io, ops::Range, sync::Arc};

pub use self::people::People;
pub use crate::disk::Kind;

/// An open folder. Names are one component each, which the caller has checked. Where nothing else is said, an error is
/// what the file system says.
#[allow(clippy::missing_errors_doc)] // said above, for all
pub trait Folder: Any + Send + Sync {
    /// Its names, ascending.
    fn names(&self) -> io::Result<Vec<Vec<u8>>>;

    /// What is known of itself.
    fn stat_self(&self) -> io::Result<Stat>;

    /// What is known of what has this name.
    fn stat(&self, name: &[u8]) -> io::Result<Stat>;

    /// The same, where there may be nothing.
    fn find(&self, name: &[u8]) -> io::Result<Option<Stat>> {
        match self.stat(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            stat => stat.map(Some),
        }
    }

    /// The folder of this name; a symbolic link is an error.
    fn folder(&self, name: &[u8]) -> io::Result<Arc<dyn Folder>>;

    /// The file of this name, to be read; what is no ordinary file is an error.
    fn file(&self, name: &[u8]) -> io::Result<Box<dyn File>>;

    /// Where the symbolic link of this name points.
    fn target(&self, name: &[u8]) -> io::Result<Vec<u8>>;

    /// Its extended attributes, ascending by name; none where the file system has none.
    fn xattrs(&self) -> io::Result<Vec<Xattr>>;

    /// Makes a folder of this mode, less the umask. A name that is taken is an error.
    fn make_folder(&self, name: &[u8], mode: u16) -> io::Result<Arc<dyn Folder>>;

    /// Makes a file that only its user can read, until it gets its attributes. A name that is taken is an error.
    fn make_file(&self, name: &[u8]) -> io::Result<Box<dyn File>>;

    /// Makes a symbolic link. A name that is taken is an error.
    fn make_symlink(&self, name: &[u8], target: &[u8]) -> io::Result<()>;

    /// Gives the file `from_name` of `from` another name, in this folder. A name that is taken is an error.
    fn make_link(&self, name: &[u8], from: &dyn Folder, from_name: &[u8]) -> io::Result<()>;

    /// Gives `from` the name `to`, in this folder; in the place of what has it only if it may `replace` it.
    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> io::Result<()>;

    /// Removes the file or symbolic link of this name.
    fn remove(&self, name: &[u8]) -> io::Result<()>;

    /// Sets its own attributes. Giving files away is no error where the user may not.
    fn set(&self, attributes: &Attributes, xattrs: &[Xattr]) -> io::Result<()>;

    /// Sets owner and time of the symbolic link of this name; it has no other attributes.
    fn set_symlink(&self, name: &[u8], attributes: &Attributes) -> io::Result<()>;

    /// Makes its names durable.
    fn sync(&self) -> io::Result<()>;

    /// Makes everything on its file system durable.
    fn sync_all(&self) -> io::Result<()>;
}

/// An open file. Where nothing else is said, an error is what the file system says.
#[allow(clippy::missing_errors_doc)] // said above, for all
pub trait File: Send + Sync {
    /// What is known of it.
    fn stat(&self) -> io::Result<Stat>;

    /// Reads up to `out.len()` bytes from `offset`; fewer only at the end.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts or extends (with a hole) to `size` bytes.
    fn set_len(&self, size: u64) -> io::Result<()>;

    /// The parts of its first `size` bytes that are not holes, ascending. All of it, where the file
    /// system does not tell.
    fn data(&self, size: u64) -> Vec<Range<u64>>;

    /// Its extended attributes, ascending by name; none where the file system has none.
    fn xattrs(&self) -> io::Result<Vec<Xattr>>;

    /// Sets its attributes.
    fn set(&self, attributes: &Attributes, xattrs: &[Xattr]) -> io::Result<()>;
}

/// A time of a file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Seconds since 1970.
    pub unix_s: i64,
    /// Nanoseconds in the second.
    pub nanos: u32,
}

/// What is known of a file without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: Kind,
    /// The lowest 12 bits of `st_mode`.
    pub mode: u16,
    /// Its owner's number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
    /// Bytes, holes included.
    pub size: u64,
    /// Bytes that it takes on the disk.
    pub allocated: u64,
    /// When its content last changed.
    pub modified: Time,
    /// When its inode last changed.
    pub changed: Time,
    /// Number of the inode.
    pub inode: u64,
    /// The device that it is on.
    pub device: u64,
    /// How many names it has.
    pub links: u64,
}

/// What can be set of a file, beside its content.
#[derive(Debug, Clone, Copy)]
pub struct Attributes {
    /// The lowest 12 bits of `st_mode`.
    pub mode: u16,
    /// Its owner's number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
    /// When its content last changed.
    pub modified: Time,
}

/// An extended attribute: name and value.
pub type Xattr = (Vec<u8>, Vec<u8>);

impl Stat {
    /// Whether nobody has touched the file between this and `other`.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let key = |stat: &Self| (stat.size, stat.modified, stat.changed, stat.inode, stat.device);
        key(self) == key(other)
    }
}
