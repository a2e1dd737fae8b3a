//! Files as Unix has them, on this machine.

mod file;
mod folder;

use std::io;

use rustix::fs::{FileType, Stat as RawStat};

use self::file::File;
pub(super) use self::folder::Folder;
use crate::raw::{Attributes, Kind, Stat, Time, Xattr};

#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss)] // the types differ from system to system
fn stat(raw: &RawStat) -> Stat {
    let kind = match FileType::from_raw_mode(raw.st_mode) {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    };
    Stat {
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
