//! An open file of this machine.

use std::{fs, io, os::unix::fs::FileExt};

use rustix::fs::{FileType, Mode, fstat};

use crate::disk::{Kind, Stat};

/// An ordinary file.
pub(super) struct File(pub(super) fs::File);

impl crate::File for File {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(&self.0, out, offset)
    }

    #[cfg(target_os = "linux")]
    fn read_now_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        use rustix::io::{Errno, ReadWriteFlags, preadv2};

        let mut out = [io::IoSliceMut::new(out)];
        match preadv2(&self.0, &mut out, offset, ReadWriteFlags::NOWAIT) {
            // Some file systems cannot tell.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(io::ErrorKind::WouldBlock.into()),
            done => Ok(done?),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn read_now_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    #[cfg(target_os = "linux")]
    fn is_hole(&self, offset: u64, bytes: u64) -> bool {
        use rustix::{
            fs::{SeekFrom, seek},
            io::Errno,
        };

        // Moves the cursor, which nobody uses.
        match seek(&self.0, SeekFrom::Data(offset)) {
            Ok(next) => next >= offset.saturating_add(bytes),
            Err(error) => error == Errno::NXIO,
        }
    }

    #[cfg(target_os = "linux")]
    fn will_read(&self, offset: u64, bytes: u64) {
        // Without the advice it is slower, and nothing else.
        let _ = rustix::fs::fadvise(
            &self.0,
            offset,
            std::num::NonZeroU64::new(bytes),
            rustix::fs::Advice::WillNeed,
        );
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    #[cfg(target_os = "linux")]
    fn write_through_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let written = write_uncached(&self.0, offset, bytes)?;
        self.0.write_all_at(&bytes[written..], offset + written as u64)
    }

    fn set_len(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }

    fn reserve(&self, size: u64) -> io::Result<()> {
        reserve(&self.0, size)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn stat(&self) -> io::Result<Stat> {
        Ok(stat_of(&fstat(&self.0)?))
    }
}

/// Writes as far as the system can without keeping the bytes in memory; returns how far that was.
#[cfg(target_os = "linux")]
fn write_uncached(file: &fs::File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};

    /// Linux 6.14: "uncached buffered I/O". Older kernels and some file systems refuse it.
    const DONTCACHE: ReadWriteFlags = ReadWriteFlags::from_bits_retain(0x80);

    let mut done = 0;
    while done < bytes.len() {
        let rest = [io::IoSlice::new(&bytes[done..])];
        match pwritev2(file, &rest, offset + done as u64, DONTCACHE) {
            Ok(0) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => break,
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(done)
}

#[cfg(target_os = "linux")]
fn reserve(file: &fs::File, size: u64) -> io::Result<()> {
    use rustix::{
        fs::{FallocateFlags, fallocate},
        io::Errno,
    };

    if size == 0 {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, 0, size) {
        // Where the file system cannot, a full disk shows at the write.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &fs::File, _: u64) -> io::Result<()> {
    Ok(())
}

/// The same in our words.
pub(super) fn stat_of(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mtime_ns: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i128),
        ctime_ns: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i128),
        inode: stat.st_ino,
        executable: Mode::from_raw_mode(stat.st_mode).contains(Mode::XUSR),
    }
}

fn nanoseconds(seconds: i64, rest: i128) -> i128 {
    i128::from(seconds) * 1_000_000_000 + rest
}

pub(super) fn kind_of(kind: FileType) -> Kind {
    match kind {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink,
        _ => Kind::Other,
    }
}
