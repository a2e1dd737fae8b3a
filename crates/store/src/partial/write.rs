//! Writing chunks to the hidden file or folder, and reading them back.

use std::{
    io,
    sync::{Arc, MutexGuard, PoisonError, atomic::Ordering},
};

use roaring::RoaringBitmap;
use skep_wire::{CHUNK_BYTES, RelPath, chunk::chunk_count, layout::Extent, record::ContentKind};
use skep_world::{File, disk::Open};

use super::{
    Partial, PartialError, Put,
    body::{Body, load_manifest},
    hidden, names,
};
use crate::{
    extent::{Span, clip, extent_bytes, spans},
    home,
    open_files::Part,
    place::Spot,
    source::SourceError,
};

/// Files from this size on do not stay in the system's memory when they are downloaded: they would
/// drive out what people work with, and the disk may as well begin at once.
const LARGE_BYTES: u64 = 128 << 20;

impl Partial {
    /// Reads a stored chunk, as [`crate::Source::read`] does.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn read(
        &self,
        chunk: u64,
        first_unit: u16,
        units: u16,
        out: &mut [u8],
    ) -> Result<usize, SourceError> {
        if !self.is_stored(chunk) {
            return Err(SourceError::NotStored(chunk));
        }
        let none = SourceError::NoSuchChunk(chunk);
        let Some(extent) = self.body().layout.extent(chunk) else {
            return Err(none);
        };
        let range = clip(extent_bytes(&extent), first_unit, units, out.len()).ok_or(none)?;
        let mut done = 0;
        for span in spans(&extent, &range) {
            self.read_span(&span, &mut out[done..done + span.bytes])?;
            done += span.bytes;
        }
        Ok(done)
    }

    /// Reads leaf `leaf` (chunk x 64 + unit): at most 16 KiB.
    ///
    /// # Errors
    /// As [`Partial::read`].
    pub fn leaf(&self, leaf: u64, out: &mut [u8]) -> Result<usize, SourceError> {
        let (chunk, unit) = skep_wire::proof::leaf_place(leaf);
        let unit = u16::try_from(unit).map_err(|_| SourceError::NoSuchChunk(chunk))?;
        self.read(chunk, unit, 1, out)
    }

    pub(super) fn put_checked(&self, number: u64, bytes: &[u8]) -> Result<Put, PartialError> {
        if !self.claim(number)? {
            return Ok(Put::Already);
        }
        let result = self.write(number, bytes);
        let mut chunks = self.chunks();
        chunks.writing.remove(&number);
        if result.is_ok() {
            chunks.stored.insert(number);
            // A hint that was not written costs a chunk after a crash, nothing now.
            let _ = self.hint.mark(number, &chunks.stored);
        }
        drop(chunks);
        self.written.notify_all();
        result
    }

    /// Makes `number` ours to write; false if it is stored already.
    fn claim(&self, number: u64) -> Result<bool, PartialError> {
        let first = self.first_chunk();
        let mut chunks = self.chunks();
        loop {
            if chunks.stored.contains(number) {
                return Ok(false);
            }
            if number != first && !chunks.stored.contains(first) {
                return Err(PartialError::SizeNotProven { first });
            }
            if chunks.writing.insert(number) {
                return Ok(true);
            }
            chunks = self.written.wait(chunks).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write(&self, number: u64, bytes: &[u8]) -> Result<Put, PartialError> {
        if self.manifest().is_some() {
            self.hidden_or_new()?;
        }
        match self.extent(number)? {
            Extent::Piece { object, index, .. } => self.write_piece(object, index, bytes)?,
            Extent::Run { objects } => self.write_run(&objects, bytes)?,
        }
        if !self.completes_head(number) {
            return Ok(Put::Stored);
        }
        if self.begin_folder()? {
            self.remove_all_but(&self.stored());
        }
        Ok(Put::ManifestDone)
    }

    fn write_piece(&self, object: u32, index: u64, bytes: &[u8]) -> Result<(), PartialError> {
        let file = self.large_file(object)?;
        let size = self.body().object(object).map_or(0, |object| object.size);
        if size > CHUNK_BYTES && index + 1 == chunk_count(size) {
            // The last chunk has verified: the size is true, and worth its room on the disk.
            file.reserve(size)?;
        }
        // The kernel lets one writer into a file at a time, and the others spin: they rather sleep here.
        let mut unflushed = self.unflushed();
        if size >= LARGE_BYTES {
            file.write_through_at(index * CHUNK_BYTES, bytes)?;
        } else {
            file.write_at(index * CHUNK_BYTES, bytes)?;
        }
        unflushed.insert(object);
        Ok(())
    }

    /// Makes what was written of large files durable, so that little is left for [`Partial::finish`].
    /// May run beside [`Partial::put`], now and then.
    ///
    /// # Errors
    /// When the disk failed. What it has lost is not known: this download cannot be finished, and the
    /// next [`Partial::open`] begins anew.
    pub fn flush(&self) -> Result<(), PartialError> {
        let objects = std::mem::take(&mut *self.unflushed());
        for object in objects {
            let synced = self.large_file(object).and_then(|file| Ok(file.sync()?));
            if let Err(error) = synced {
                // A system reports such a failure once: nobody may take the next sync for an answer.
                self.failed.store(true, Ordering::Release);
                let hidden = self.check_hidden()?;
                self.scope.forget_all();
                return self.spoil(&hidden, error);
            }
        }
        Ok(())
    }

    fn unflushed(&self) -> MutexGuard<'_, RoaringBitmap> {
        self.unflushed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_run(&self, objects: &[(u32, u32)], mut bytes: &[u8]) -> Result<(), PartialError> {
        for (at, (object, len)) in objects.iter().enumerate() {
            let (file, rest) = bytes.split_at(*len as usize);
            bytes = rest;
            if let Err(e) = self.write_small(*object, file) {
                // The next attempt makes them anew.
                objects[..at]
                    .iter()
                    .for_each(|(object, _)| drop(self.remove_object(*object)));
                return Err(e);
            }
        }
        Ok(())
    }

    /// Writes a whole file of a folder.
    fn write_small(&self, object: u32, bytes: &[u8]) -> Result<(), PartialError> {
        let file = self.create(object)?;
        let result = file.write_at(0, bytes);
        drop(file);
        result.inspect_err(|_| drop(self.remove_object(object)))?;
        Ok(())
    }

    /// The file of an object that comes in pieces, made with the first.
    fn large_file(&self, object: u32) -> Result<Arc<dyn File>, PartialError> {
        let mut failed = None;
        let file = self.scope.get(Part::Object(object), || {
            self.open_large(object).map_err(|e| {
                failed = Some(e);
                io::ErrorKind::Other.into()
            })
        });
        file.map_err(|e| failed.unwrap_or_else(|| e.into()))
    }

    fn open_large(&self, object: u32) -> Result<Arc<dyn File>, PartialError> {
        let body = self.body();
        if object == 0 && body.content.kind == ContentKind::Folder {
            let file = self.home.write(&home::manifest(body.content.id))?;
            file.set_len(body.content.size)?;
            return Ok(file);
        }
        if object == 0 {
            let hidden = self.hidden_or_new()?;
            return Ok(self.place.dir().open(&hidden, Open::Write)?);
        }
        // Under the lock, so that two pieces do not make the file twice.
        let mut made = self.made();
        if made.contains(object) {
            let Spot { dir, path } = self.spot(object)?;
            return Ok(dir.open(&path, Open::Write)?);
        }
        let file = self.create(object)?;
        made.insert(object);
        Ok(file)
    }

    /// Makes a file of a folder that was not there.
    fn create(&self, object: u32) -> Result<Arc<dyn File>, PartialError> {
        let Spot { dir, path } = self.spot(object)?;
        let mut file = dir.open(&path, Open::CreateNew);
        if let (Err(e), Some(parent)) = (&file, path.parent())
            && e.kind() == io::ErrorKind::NotFound
        {
            self.check_hidden()?;
            dir.make_dirs(&parent)?;
            file = dir.open(&path, Open::CreateNew);
        }
        file.map_err(|e| match e.kind() {
            io::ErrorKind::AlreadyExists => self.collides(object),
            _ => e.into(),
        })
    }

    /// Only another file of the same folder can be there: two names, one to the file system.
    fn collides(&self, object: u32) -> PartialError {
        let body = self.body();
        let Some((manifest, file)) = body.manifest.as_ref().and_then(|m| Some((m, m.file(object)?))) else {
            return PartialError::Exists(self.place.host_path().display().to_string());
        };
        let folded = file.path.as_str().to_lowercase();
        let mut others = manifest.entries().iter().map(|entry| &entry.path);
        match others.find(|path| *path != file.path && path.as_str().to_lowercase() == folded) {
            Some(other) => PartialError::Collision(other.clone(), file.path.clone()),
            None => PartialError::Exists(file.path.to_string()),
        }
    }

    /// Where a file of the content lies while it is downloaded.
    fn spot(&self, object: u32) -> Result<Spot, PartialError> {
        let (dir, path) = (self.place.dir(), self.hidden()?);
        match self
            .body()
            .manifest
            .as_ref()
            .and_then(|manifest| manifest.file(object))
        {
            Some(file) => Ok(Spot::below(dir, &path, file.path)?),
            None => Ok(Spot {
                dir: Arc::clone(dir),
                path,
            }),
        }
    }

    pub(super) fn remove_object(&self, object: u32) -> Result<(), PartialError> {
        self.scope.forget(Part::Object(object));
        let Spot { dir, path } = self.spot(object)?;
        match dir.remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
            _ => Ok(()),
        }
    }

    /// Whether `number` is the last that was missing of a folder's manifest.
    fn completes_head(&self, number: u64) -> bool {
        let body = self.body();
        let head = body.layout.head_chunks();
        if body.is_known() || number >= head {
            return false;
        }
        let chunks = self.chunks();
        let stored = chunks.stored.range_cardinality(0..head);
        stored + u64::from(!chunks.stored.contains(number)) == head
    }

    /// The manifest is whole: makes the folder. True if it was there, with who knows what in it.
    pub(super) fn begin_folder(&self) -> Result<bool, PartialError> {
        let content = self.content();
        let lost = || PartialError::Lost(home::manifest(content.id).to_string());
        let manifest = load_manifest(&self.home, content)?.ok_or_else(lost)?;
        let was_there = self.hidden().is_ok();
        let hidden = self.hidden_or_new()?;
        if let Some((a, b)) = names::collision(&**self.place.dir(), &hidden, &manifest)? {
            return Err(PartialError::Collision(a, b));
        }
        self.set_body(Body::folder(content, manifest));
        Ok(was_there)
    }

    /// Where the hidden file or folder lies.
    pub(super) fn hidden(&self) -> Result<RelPath, PartialError> {
        match &self.label().hidden {
            Some(name) => Ok(self.target.beside(name)?),
            None => Err(PartialError::Lost(self.place.host_path().display().to_string())),
        }
    }

    fn hidden_or_new(&self) -> Result<RelPath, PartialError> {
        let mut label = self.label();
        if label.hidden.is_none() {
            let note = |label: &_| self.hint.label(label);
            *label = hidden::make(&**self.place.dir(), &self.target, &label, note)?;
        }
        drop(label);
        self.hidden()
    }

    /// That what has our hidden name is what we made.
    pub(super) fn check_hidden(&self) -> Result<RelPath, PartialError> {
        let path = self.hidden()?;
        let inode = self.label().inode;
        match self.place.dir().stat(&path) {
            Ok(stat) if stat.inode == inode => Ok(path),
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e.into()),
            _ => Err(PartialError::Lost(path.to_string())),
        }
    }

    pub(super) fn read_span(&self, span: &Span, out: &mut [u8]) -> io::Result<()> {
        let file = self
            .scope
            .get(Part::Object(span.object), || self.open_to_read(span.object))?;
        file.read_exact_at(span.offset, out)
    }

    fn open_to_read(&self, object: u32) -> io::Result<Arc<dyn File>> {
        let body = self.body();
        if object == 0 && body.content.kind == ContentKind::Folder {
            return self.home.write(&home::manifest(body.content.id));
        }
        let Spot { dir, path } = self.spot(object).map_err(io::Error::other)?;
        // Also for writing: a piece may be written to the same open file.
        dir.open(&path, Open::Write)
    }
}
