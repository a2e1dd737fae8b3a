//! Files as Unix has them: names of any bytes, and everything that is known of a file.
//!
//! For backups, which must bring back what [`crate::Disk`] does not know of: links, owners, attributes,
//! holes, names that are no text. All work is done beneath folders that are open, one name at a time,
//! and no symbolic link is ever followed; so nobody can lead it elsewhere by swapping a folder for a
//! link. The simulation has none of this. Every function blocks.

mod file;
mod folder;
mod people;

use std::io;

use rustix::fs::{FileType, Stat as RawStat};

pub use self::{file::File, folder::Folder, people::People};
pub use crate::disk::Kind;

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

    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)] // the types differ from system to system
    fn new(raw: &RawStat) -> Self {
        let kind = match FileType::from_raw_mode(raw.st_mode) {
            FileType::RegularFile => Kind::File,
            FileType::Directory => Kind::Dir,
            FileType::Symlink => Kind::Symlink,
            _ => Kind::Other,
        };
        Self {
            kind,
            mode: u16::try_from(raw.st_mode & 0o7777).expect("12 bits"),
            uid: raw.st_uid,
            gid: raw.st_gid,
            size: raw.st_size as u64,
            allocated: raw.st_blocks as u64 * 512,
            modified: time(raw.st_mtime as i64, raw.st_mtime_nsec as u64),
            changed: time(raw.st_ctime as i64, raw.st_ctime_nsec as u64),
            inode: raw.st_ino as u64,
            device: raw.st_dev as u64,
            links: raw.st_nlink as u64,
        }
    }
}

fn time(unix_s: i64, nanos: u64) -> Time {
    let nanos = u32::try_from(nanos).unwrap_or(0).min(999_999_999);
    Time { unix_s, nanos }
}

/// What a file system without the feature, or a user without the right, answers.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput
    )
}

#[cfg(test)]
mod tests;
