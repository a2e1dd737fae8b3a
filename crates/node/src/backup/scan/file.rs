//! One file: read where it has data, cut and stored, and held against what it was when reading began.

use std::{io, ops::Range, path::PathBuf, sync::Arc};

use skep_vault::{
    Content, Kind,
    sealer::Hand,
    tree::{Entry, Hole, Meta, Name, Node, Stamp},
};
use skep_world::raw::{File, Folder, Stat};

use super::{Run, pending::Pending, walk};

/// How much is read at once.
pub(super) const BUFFER_BYTES: usize = 1 << 20;
/// The most holes that are remembered; a file with more is read as it is.
const MAX_HOLES: usize = 4096;
/// How often a file is read that gets shorter meanwhile.
const ATTEMPTS: usize = 3;

/// A file to be read.
pub(super) struct Job {
    pub(super) folder: Arc<dyn Folder>,
    pub(super) name: Name,
    /// For messages.
    pub(super) path: PathBuf,
    pub(super) pending: Arc<Pending>,
    pub(super) slot: usize,
}

/// A file as it was read.
struct Read {
    entry: Entry,
    /// Somebody wrote to it meanwhile.
    changed: bool,
}

impl Job {
    /// Reads the file and tells its folder.
    pub(super) fn run(self, run: &Run<'_>, hand: &mut Hand<'_>, buffer: &mut [u8]) {
        let entry = match self.read(run, hand, buffer) {
            Ok(read) => {
                if read.changed {
                    run.skip(&self.path, "it changed while it was read; kept as it was read");
                }
                run.count(&read.entry);
                Some(read.entry)
            }
            Err(error) => {
                run.skip(&self.path, walk::reason(&error));
                None
            }
        };
        self.pending.settle(self.slot, entry, hand);
    }

    fn read(&self, run: &Run<'_>, hand: &mut Hand<'_>, buffer: &mut [u8]) -> io::Result<Read> {
        for _ in 0..ATTEMPTS {
            if let Some(read) = self.try_read(run, hand, buffer)? {
                return Ok(read);
            }
        }
        Err(io::Error::other("it gets shorter while it is read"))
    }

    /// None if it got shorter meanwhile.
    fn try_read(&self, run: &Run<'_>, hand: &mut Hand<'_>, buffer: &mut [u8]) -> io::Result<Option<Read>> {
        let file = self.folder.file(self.name.as_bytes())?;
        let stat = file.stat()?;
        let data = data(&*file, &stat);
        let Some(content) = store(&*file, &data, run, hand, buffer)? else {
            return Ok(None);
        };
        let changed = !file.stat()?.is_same(&stat);
        let mut meta = walk::meta(&stat, file.xattrs()?, &run.people);
        if changed || stat.changed.unix_s >= run.settled_unix_s {
            // The next backup reads it again: it may have changed by then and look the same.
            meta.stamp = Stamp::default();
        }
        let holes = holes(&data, stat.size);
        let entry = Entry {
            name: self.name.clone(),
            node: Node::File { content, holes },
            meta,
        };
        let entry = walk::checked(entry)?;
        Ok(Some(Read { entry, changed }))
    }
}

/// Where the file has data.
fn data(file: &dyn File, stat: &Stat) -> Vec<Range<u64>> {
    if stat.size == 0 {
        return Vec::new();
    }
    let whole = || std::iter::once(0..stat.size).collect();
    if stat.allocated >= stat.size {
        return whole();
    }
    let data = file.data(stat.size);
    if data.len() >= MAX_HOLES { whole() } else { data }
}

/// Stores the data of a file; none if it ends before.
fn store(
    file: &dyn File,
    data: &[Range<u64>],
    run: &Run<'_>,
    hand: &mut Hand<'_>,
    buffer: &mut [u8],
) -> io::Result<Option<Content>> {
    let mut growing = hand.begin(Kind::Data);
    for part in data {
        let mut at = part.start;
        while at < part.end {
            if run.meter.is_stopped() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let want = usize::try_from(part.end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
            let got = file.read_at(at, &mut buffer[..want])?;
            growing.feed(&buffer[..got], hand);
            run.meter.add(got as u64);
            if got < want {
                return Ok(None);
            }
            at += got as u64;
        }
    }
    growing.finish(hand).map(Some).map_err(io::Error::other)
}

/// What is between the data.
fn holes(data: &[Range<u64>], size: u64) -> Vec<Hole> {
    let mut holes = Vec::new();
    let mut at = 0;
    let ends = data.iter().cloned().chain(std::iter::once(size..size));
    for part in ends {
        if part.start > at {
            holes.push(Hole {
                offset: at,
                len: part.start - at,
            });
        }
        at = part.end;
    }
    holes
}

/// Whether an entry of the last snapshot is what `stat` says, unread.
pub(super) fn is_unchanged(before: &Entry, stat: &Stat) -> bool {
    let Meta { modified, stamp, .. } = &before.meta;
    matches!(before.node, Node::File { .. })
        && before.size() == stat.size
        && *modified == walk::time(stat.modified)
        && stamp.changed == walk::time(stat.changed)
        && stamp.inode == stat.inode
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_between_the_data() {
        let hole = |offset, len| Hole { offset, len };
        assert_eq!(holes(&[], 0), []);
        assert_eq!(holes(&[], 5), [hole(0, 5)]);
        assert_eq!(holes(std::slice::from_ref(&(0..5)), 5), []);
        assert_eq!(holes(&[2..3, 5..9], 12), [hole(0, 2), hole(3, 2), hole(9, 3)]);
    }
}
