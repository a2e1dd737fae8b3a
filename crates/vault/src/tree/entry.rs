//! One entry of a folder: what it is, and what the file system says of it.

use serde::{Deserialize, Serialize};
use skep_wire::bounded;

use crate::{
    content::Content,
    tree::{Name, Unstorable},
};

/// The most bytes of the target of a symbolic link.
const MAX_TARGET_BYTES: usize = 4095;
/// The most holes that are remembered of a file; further ones are stored as zeros.
const MAX_HOLES: usize = 4096;
/// The most extended attributes of an entry, and their bytes in all.
const MAX_XATTRS: usize = 256;
const MAX_XATTR_BYTES: usize = 128 << 10;

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name in the folder.
    pub name: Name,
    /// What it is.
    pub node: Node,
    /// Whose, when, and so on.
    pub meta: Meta,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    /// A file. Its size is that of the content and the holes together.
    File {
        /// What is in it, without the holes.
        content: Content,
        /// Ascending, apart from each other.
        #[serde(deserialize_with = "bounded::list::<MAX_HOLES, _, _>")]
        holes: Vec<Hole>,
    },
    /// A folder.
    Folder {
        /// The bytes of its tree.
        tree: Content,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points: 1 to 4,095 bytes without NUL, which nobody follows.
        #[serde(deserialize_with = "bounded::list::<MAX_TARGET_BYTES, _, _>")]
        target: Vec<u8>,
    },
}

/// A part of a file that is not allocated, and reads as zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// Where it begins in the file.
    pub offset: u64,
    /// Its length, at least 1.
    pub len: u64,
}

/// A time of a file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Time {
    /// Seconds since 1970.
    pub unix_s: i64,
    /// Nanoseconds in the second.
    pub nanos: u32,
}

/// What the next backup compares, to skip what has not changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// When the inode last changed.
    pub changed: Time,
    /// Its number.
    pub inode: u64,
}

/// What the file system says of an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The lowest 12 bits of `st_mode`.
    pub mode: u16,
    /// When its content last changed.
    pub modified: Time,
    /// The owner's number, for when there is no such name.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The owner's name, at most 255 bytes; empty if it has none.
    #[serde(deserialize_with = "bounded::list::<255, _, _>")]
    pub user: Vec<u8>,
    /// The group's name, likewise.
    #[serde(deserialize_with = "bounded::list::<255, _, _>")]
    pub group: Vec<u8>,
    /// Ascending by name.
    #[serde(deserialize_with = "bounded::list::<MAX_XATTRS, _, _>")]
    pub xattrs: Vec<Xattr>,
    /// Entries of a snapshot with the same number are one file under several names; 0 if it has one.
    pub link: u64,
    /// For the next backup.
    pub stamp: Stamp,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xattr {
    /// Its name, 1 to 255 bytes without NUL.
    #[serde(deserialize_with = "bounded::list::<255, _, _>")]
    pub name: Vec<u8>,
    /// Its value, at most 64 KiB.
    #[serde(deserialize_with = "bounded::list::<65536, _, _>")]
    pub value: Vec<u8>,
}

impl Entry {
    /// Bytes of a file with its holes; 0 for what is none.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.node {
            Node::File { content, holes } => {
                let holes: u64 = holes.iter().map(|hole| hole.len).sum();
                content.size + holes
            }
            _ => 0,
        }
    }

    /// What the types alone do not hold.
    pub(super) fn check(&self) -> Result<(), Unstorable> {
        let node = match &self.node {
            Node::File { content, holes } => holes_fit(content.size, holes),
            Node::Folder { .. } => true,
            Node::Symlink { target } => {
                (1..=MAX_TARGET_BYTES).contains(&target.len()) && !target.contains(&0)
            }
        };
        if node && self.meta.is_plausible() {
            Ok(())
        } else {
            Err(Unstorable)
        }
    }
}

impl Meta {
    fn is_plausible(&self) -> bool {
        let times = [self.modified, self.stamp.changed];
        let names = [&self.user, &self.group];
        let bytes: usize = self
            .xattrs
            .iter()
            .map(|xattr| xattr.name.len() + xattr.value.len())
            .sum();
        self.mode < 1 << 12
            && times.iter().all(|time| time.nanos < 1_000_000_000)
            && names.iter().all(|name| name.len() <= 255)
            && self.xattrs.len() <= MAX_XATTRS
            && bytes <= MAX_XATTR_BYTES
            && self.xattrs.is_sorted_by(|a, b| a.name < b.name)
            && self.xattrs.iter().all(Xattr::is_plausible)
    }
}

impl Xattr {
    fn is_plausible(&self) -> bool {
        (1..=255).contains(&self.name.len()) && !self.name.contains(&0) && self.value.len() <= 65536
    }
}

/// Whether the holes ascend, apart from each other, within a file of so many other bytes.
fn holes_fit(content_bytes: u64, holes: &[Hole]) -> bool {
    let mut end = None;
    let mut sum = content_bytes;
    for hole in holes {
        let apart = end.is_none_or(|end| hole.offset > end);
        let (Some(hole_end), Some(more)) = (hole.offset.checked_add(hole.len), sum.checked_add(hole.len))
        else {
            return false;
        };
        if !apart || hole.len == 0 {
            return false;
        }
        (end, sum) = (Some(hole_end), more);
    }
    holes.len() <= MAX_HOLES && end.is_none_or(|end| end <= sum)
}
