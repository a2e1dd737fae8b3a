//! One file: written under a hidden name, verified piece by piece, renamed.

use std::{io, ops::Range, path::PathBuf, sync::Arc};

use skep_vault::{
    Content,
    piece::Decoder,
    tree::{Entry, Hole, Node},
};
use skep_world::raw::{File, Folder};
use thiserror::Error;

use super::{
    Run, existing,
    folder::{Open, Place},
};
use crate::backup::reader::Lost;

/// A file to be restored.
pub(super) struct Job {
    pub(super) open: Arc<Open>,
    pub(super) entry: Entry,
    /// Its path in the snapshot.
    pub(super) path: PathBuf,
}

/// Why a file is not there.
#[derive(Debug, Error)]
enum Failed {
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error("it could not be written: {0}")]
    Io(#[from] io::Error),
    #[error("something else is there; --overwrite replaces it")]
    Exists,
    #[error("the restore was stopped")]
    Stopped,
}

impl Job {
    /// Restores the file, or says why not.
    pub(super) fn run(self, run: &Run<'_>, decoder: &mut Decoder) {
        match self.restore(run, decoder) {
            Ok(()) => run.count(&self.entry),
            Err(Failed::Stopped) => {}
            Err(error) => run.fail(&self.path, error),
        }
        self.open.close(run);
    }

    fn restore(&self, run: &Run<'_>, decoder: &mut Decoder) -> Result<(), Failed> {
        let Node::File { content, holes } = &self.entry.node else {
            return Ok(());
        };
        let Place::Folder(folder) = &self.open.place else {
            return read(content, run, decoder, |_| Ok(()));
        };
        let there = match self.open.is_new {
            true => existing::There::Nothing,
            false => existing::compare(&**folder, &self.entry, run, decoder),
        };
        match there {
            existing::There::Nothing => self.write(&**folder, content, holes, run, decoder),
            existing::There::Same => {
                run.meter.add(content.size);
                Ok(())
            }
            existing::There::Other if run.overwrite => self.write(&**folder, content, holes, run, decoder),
            existing::There::Other | existing::There::Folder => Err(Failed::Exists),
        }
    }

    fn write(
        &self,
        folder: &dyn Folder,
        content: &Content,
        holes: &[Hole],
        run: &Run<'_>,
        decoder: &mut Decoder,
    ) -> Result<(), Failed> {
        let name = self.entry.name.as_bytes();
        let hidden = hidden(name);
        let file = make(folder, &hidden)?;
        let written = self
            .fill(&*file, content, holes, run, decoder)
            .and_then(|()| Ok(folder.rename(&hidden, name, run.overwrite)?));
        if written.is_err() {
            folder.remove(&hidden)?;
        }
        match written {
            Err(Failed::Io(error)) if error.kind() == io::ErrorKind::AlreadyExists => Err(Failed::Exists),
            written => written,
        }
    }

    fn fill(
        &self,
        file: &dyn File,
        content: &Content,
        holes: &[Hole],
        run: &Run<'_>,
        decoder: &mut Decoder,
    ) -> Result<(), Failed> {
        let mut data = Segments::new(holes, self.entry.size());
        read(content, run, decoder, |plain| data.write(plain, file))?;
        if !holes.is_empty() {
            file.set_len(self.entry.size())?;
        }
        let (attributes, xattrs) = run.attributes(&self.entry);
        Ok(file.set(&attributes, &xattrs)?)
    }
}

/// Makes a file, in the place of what a restore that was interrupted left under this name.
fn make(folder: &dyn Folder, hidden: &[u8]) -> io::Result<Box<dyn File>> {
    match folder.make_file(hidden) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            folder.remove(hidden)?;
            folder.make_file(hidden)
        }
        made => made,
    }
}

/// Hands a content to `each`, and counts it.
fn read(
    content: &Content,
    run: &Run<'_>,
    decoder: &mut Decoder,
    mut each: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Failed> {
    run.reader.content(content, decoder, |plain| {
        if run.meter.is_stopped() {
            return Err(Failed::Stopped);
        }
        run.meter.add(plain.len() as u64);
        Ok(each(plain)?)
    })
}

/// The name of a file until it is whole: the same each time, so that what is left over is found.
fn hidden(name: &[u8]) -> Vec<u8> {
    let hash = blake3::hash(name).to_hex();
    let (short, _) = hash.split_at(16);
    format!(".skep-restoring-{short}").into_bytes()
}

/// Where the data of a file belongs, between its holes.
pub(in crate::backup) struct Segments {
    parts: std::vec::IntoIter<Range<u64>>,
    now: Range<u64>,
}

impl Segments {
    pub(in crate::backup) fn new(holes: &[Hole], size: u64) -> Self {
        let mut parts = Vec::new();
        let mut at = 0;
        for hole in holes {
            parts.push(at..hole.offset);
            at = hole.offset + hole.len;
        }
        parts.push(at..size);
        Self {
            parts: parts.into_iter(),
            now: 0..0,
        }
    }

    /// Where the next bytes go: at most `want` of them; none at the end.
    pub(in crate::backup) fn take(&mut self, want: usize) -> Option<(u64, usize)> {
        while self.now.is_empty() {
            self.now = self.parts.next()?;
        }
        let len = usize::try_from(self.now.end - self.now.start).map_or(want, |left| left.min(want));
        let at = self.now.start;
        self.now.start += len as u64;
        Some((at, len))
    }

    fn write(&mut self, mut plain: &[u8], file: &dyn File) -> io::Result<()> {
        while !plain.is_empty() {
            let too_long = || io::Error::other("it is longer than its folder says");
            let (at, len) = self.take(plain.len()).ok_or_else(too_long)?;
            let (now, later) = plain.split_at(len);
            file.write_at(at, now)?;
            plain = later;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_goes_between_the_holes() {
        let hole = |offset, len| Hole { offset, len };
        let mut segments = Segments::new(&[hole(0, 2), hole(5, 10)], 20);
        let mut taken = Vec::new();
        while let Some(part) = segments.take(4) {
            taken.push(part);
        }
        assert_eq!(taken, [(2, 3), (15, 4), (19, 1)]);
        assert_eq!(Segments::new(&[], 0).take(4), None);
    }

    #[test]
    fn hidden_names_fit_everywhere() {
        assert!(hidden(&[b'x'; 255]).len() < 64);
        assert_ne!(hidden(b"a"), hidden(b"b"));
    }
}
