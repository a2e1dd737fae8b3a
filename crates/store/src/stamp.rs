//! What tells a file that was changed from one that was not, without reading it.

use skep_world::disk::Stat;

/// Equal stamps: most likely the same bytes. Who must be sure hashes them.
///
/// A change within one tick of the file system's clock after the stamp was taken can go unseen; since
/// Linux 6.13 most file systems tick finer for files that are being watched this way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    pub(crate) mtime_ns: i64,
    pub(crate) ctime_ns: i64,
    pub(crate) inode: u64,
}

impl From<&Stat> for Stamp {
    fn from(stat: &Stat) -> Self {
        // 64 bits of nanoseconds last until 2262; a date beyond is as good as the last one.
        let clamp = |ns: i128| i64::try_from(ns).unwrap_or(i64::MAX);
        Self {
            size: stat.size,
            mtime_ns: clamp(stat.mtime_ns),
            ctime_ns: clamp(stat.ctime_ns),
            inode: stat.inode,
        }
    }
}

impl Stamp {
    /// The same file with the same bytes under another name: a rename moves the change time.
    pub(crate) fn is_renamed(&self, other: &Self) -> bool {
        (self.size, self.mtime_ns, self.inode) == (other.size, other.mtime_ns, other.inode)
    }
}
