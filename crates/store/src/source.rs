//! A content served in place: reads in units, with the file's stamp compared before and after.
//!
//! Equal stamps do not prove equal bytes; who asked verifies what it gets.

use std::{io, sync::Arc};

use skep_wire::{
    CHUNK_BYTES, Layout,
    chunk::{Check, Expected},
    layout::Extent,
    outline::{Outline, Page, page_count, verify_page},
    record::{Content, ContentKind},
};
use skep_world::{
    File,
    disk::{Kind, Stat},
};

use crate::{
    extent::{Span, clip, extent_bytes, spans},
    hashing::{Hashing, Stopped},
    home::{self, Home},
    inventory::{Header, Inventory, Item},
    open_files::{Part, Scope},
    outlines::{Object, OutlineError, Outlines, Slots, pages},
    place::Place,
    scan::hash_chunks,
    stamp::Stamp,
};

/// A whole content, ready for serving. All methods may be called from several threads.
pub struct Source {
    home: Arc<Home>,
    place: Place,
    header: Header,
    bytes: u64,
    layout: Layout,
    outlines: Outlines,
    scope: Scope,
}

/// Why nothing was read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file is not what it was when it was scanned: withdraw.
    #[error("{0} has changed")]
    Changed(String),
    /// The file is not there any more: withdraw.
    #[error("{0} is gone")]
    Gone(String),
    /// The content has no such chunk, or the chunk no such unit.
    #[error("there is no chunk {0}")]
    NoSuchChunk(u64),
    /// The chunk is not stored (yet); only of downloads in progress.
    #[error("chunk {0} is not here")]
    NotStored(u64),
    /// An outline page is missing or damaged.
    #[error(transparent)]
    Outline(#[from] OutlineError),
    /// As the caller wished.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Source {
    /// What was found at `place` by its last scan, or by the download that ended there. Reads no file of it.
    ///
    /// # Errors
    /// [`SourceError::Io`] of kind `NotFound` if there was none, `InvalidData` if what was noted is
    /// damaged: scan again.
    pub fn open(home: &Arc<Home>, place: &Place) -> Result<Self, SourceError> {
        let inventory = Inventory::open(home.read(&home::inventory(place))?)?;
        let header = inventory.header();
        let content = header.content;
        let sizes = inventory.sizes()?;
        let bytes = sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(*size));
        let (layout, slots) = match content.kind {
            ContentKind::File => (Layout::blob(content.size), Slots::new([content.size])),
            ContentKind::Folder => (
                Layout::of_sizes(content.size, sizes.iter().copied()),
                Slots::new([content.size].into_iter().chain(sizes)),
            ),
        };
        Ok(Self {
            home: Arc::clone(home),
            place: place.clone(),
            header,
            bytes,
            layout,
            outlines: Outlines::new(home, content.id, slots),
            scope: home.files().scope(),
        })
    }

    /// What it is.
    #[must_use]
    pub fn content(&self) -> Content {
        self.header.content
    }

    /// Where it lies.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// All bytes of it: the blob's size, or the sum over the collection's files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many files it has.
    #[must_use]
    pub fn files(&self) -> u64 {
        u64::from(self.header.items)
    }

    /// The numbering of its chunks.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Has the disk fetch `chunk` from `first_unit` on, for reads that follow. Blocking, but not for
    /// long, and without an answer: the reads tell what is wrong.
    pub fn prepare(&self, chunk: u64, first_unit: u16) {
        if let Some(Extent::Piece { object, index, len }) = self.layout.extent(chunk)
            && let Some(rest) = clip(len, first_unit, u16::MAX, usize::MAX)
            && let Ok(inventory) = self.inventory(Time::Enough)
            && let Ok(item) = self.item(&inventory, object)
            && let Ok(file) = self.file(Time::Enough, object, &item)
        {
            let offset = index * CHUNK_BYTES + u64::from(rest.start);
            file.will_read(offset, u64::from(rest.end - rest.start));
        }
    }

    /// Reads `units` units of `chunk` from `first_unit` on into `out`, and returns how many bytes that
    /// is; what lies beyond the chunk's end, or does not fit, is left out.
    ///
    /// # Errors
    /// [`SourceError`]. Then `out` is of no use.
    pub fn read(
        &self,
        chunk: u64,
        first_unit: u16,
        units: u16,
        out: &mut [u8],
    ) -> Result<usize, SourceError> {
        self.read_in(Time::Enough, chunk, first_unit, units, out)
    }

    /// Reads the same, if that takes no waiting for the disk; else none. Does not block.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn read_now(
        &self,
        chunk: u64,
        first_unit: u16,
        units: u16,
        out: &mut [u8],
    ) -> Result<Option<usize>, SourceError> {
        match self.read_in(Time::None, chunk, first_unit, units, out) {
            Err(SourceError::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            read => read.map(Some),
        }
    }

    fn read_in(
        &self,
        time: Time,
        chunk: u64,
        first_unit: u16,
        units: u16,
        out: &mut [u8],
    ) -> Result<usize, SourceError> {
        let none = SourceError::NoSuchChunk(chunk);
        let Some(extent) = self.layout.extent(chunk) else {
            return Err(none);
        };
        let range = clip(extent_bytes(&extent), first_unit, units, out.len()).ok_or(none)?;
        let inventory = self.inventory(time)?;
        let mut done = 0;
        for span in spans(&extent, &range) {
            self.read_span(time, &inventory, &span, &mut out[done..done + span.bytes])?;
            done += span.bytes;
        }
        Ok(done)
    }

    /// Reads leaf `leaf` (chunk x 64 + unit): at most 16 KiB.
    ///
    /// # Errors
    /// As [`Source::read`].
    pub fn leaf(&self, leaf: u64, out: &mut [u8]) -> Result<usize, SourceError> {
        let (chunk, unit) = skep_wire::proof::leaf_place(leaf);
        let unit = u16::try_from(unit).map_err(|_| SourceError::NoSuchChunk(chunk))?;
        self.read(chunk, unit, 1, out)
    }

    /// A page of an object's outline, to be sent.
    ///
    /// # Errors
    /// [`SourceError::Outline`]; missing and damaged pages are made again by [`Source::repair_outline`].
    pub fn page(&self, object: u32, page: u32) -> Result<Page, SourceError> {
        let verified = self
            .outlines
            .page(&self.object(&self.inventory(Time::Enough)?, object)?, page)?;
        Ok(verified.page().clone())
    }

    /// What `chunk` must be.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn expected(&self, chunk: u64) -> Result<Expected, SourceError> {
        let extent = self.layout.extent(chunk).ok_or(SourceError::NoSuchChunk(chunk))?;
        Ok(Expected {
            content: self.header.content.id,
            number: chunk,
            check: self.check_of(&extent)?,
        })
    }

    /// Compares the stamps of all files. Reads none.
    ///
    /// # Errors
    /// [`SourceError::Changed`] or [`SourceError::Gone`] of the first that differs.
    pub fn check_stamps(&self) -> Result<(), SourceError> {
        for item in self.items()? {
            let item = item?;
            let stat = self
                .place
                .stat(item.path.as_ref())
                .map_err(|e| self.failed(&item, e))?;
            self.check_stamp(&item, &Stamp::from(&stat))?;
        }
        Ok(())
    }

    /// Reads and verifies one chunk: somebody says that it is bad.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if it does not verify.
    pub fn check_chunk(&self, chunk: u64, buffer: &mut Vec<u8>) -> Result<(), SourceError> {
        let expected = self.expected(chunk)?;
        buffer.resize(self.layout.chunk_bytes(chunk).unwrap_or(0) as usize, 0);
        let bytes = self.read(chunk, 0, u16::MAX, buffer)?;
        if expected.check.holds(&buffer[..bytes]) {
            return Ok(());
        }
        Err(SourceError::Changed(self.place.host_path().display().to_string()))
    }

    /// Reads and verifies all of it.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if something does not verify.
    pub fn check_bytes(&self, hashing: &Hashing<'_>) -> Result<(), SourceError> {
        let check = |chunk, buffer: &mut Vec<u8>| {
            self.check_chunk(chunk, buffer)?;
            (hashing.progress)(u64::from(self.layout.chunk_bytes(chunk).unwrap_or(0)));
            Ok::<_, SourceError>(())
        };
        hashing.each(0..self.layout.chunks(), check).map(drop)
    }

    /// Makes the outline of `object` again, out of its bytes.
    ///
    /// # Errors
    /// [`SourceError::Changed`] if the bytes are not those of the content.
    pub fn repair_outline(&self, object: u32, hashing: &Hashing<'_>) -> Result<(), SourceError> {
        let inventory = self.inventory(Time::Enough)?;
        let object = self.object(&inventory, object)?;
        let read = |offset: u64, out: &mut [u8]| {
            let span = Span {
                object: object.number,
                offset,
                bytes: out.len(),
            };
            self.read_span(Time::Enough, &inventory, &span, out)
        };
        let outline = hash_chunks(object.size, hashing, read)?;
        if outline.root() != object.id {
            return Err(SourceError::Changed(self.place.host_path().display().to_string()));
        }
        Ok(write_outline(&self.outlines, &object, &outline)?)
    }

    /// The outline of `object`, whole; it has more than one chunk.
    pub(crate) fn outline(&self, object: u32) -> Result<Option<Outline>, SourceError> {
        let object = self.object(&self.inventory(Time::Enough)?, object)?;
        let mut leaves = Vec::new();
        for page in pages(object.size) {
            leaves.extend_from_slice(self.outlines.page(&object, page)?.leaves());
        }
        Ok(Outline::new(object.size, leaves))
    }

    /// All files with their object numbers, in order.
    pub(crate) fn items(&self) -> io::Result<impl Iterator<Item = io::Result<Item>>> {
        let inventory = self.inventory(Time::Enough)?;
        Ok((0..self.header.items).map(move |number| inventory.item(number)))
    }

    /// The object number of the first of [`Source::items`].
    pub(crate) fn first_object(&self) -> u32 {
        u32::from(self.header.content.kind == ContentKind::Folder)
    }

    fn check_of(&self, extent: &Extent) -> Result<Check, SourceError> {
        let inventory = self.inventory(Time::Enough)?;
        match extent {
            Extent::Run { objects } => {
                let blobs = objects
                    .iter()
                    .map(|(object, len)| Ok((self.object(&inventory, *object)?.id, *len)));
                Ok(Check::Run(blobs.collect::<Result<_, SourceError>>()?))
            }
            Extent::Piece { object, index, len } => {
                let (object, index, len) = (self.object(&inventory, *object)?, *index, *len);
                Ok(if page_count(object.size) == 0 {
                    Check::Whole { id: object.id, len }
                } else {
                    let hash = self.outlines.hash(&object, index)?;
                    Check::Piece { hash, index, len }
                })
            }
        }
    }

    fn object(&self, inventory: &Inventory, number: u32) -> Result<Object, SourceError> {
        let Content { id, size, .. } = self.header.content;
        if number == 0 {
            return Ok(Object { number, id, size });
        }
        let item = self.item(inventory, number)?;
        Ok(Object {
            number,
            id: item.id,
            size: item.stamp.size,
        })
    }

    fn item(&self, inventory: &Inventory, object: u32) -> Result<Item, SourceError> {
        let number = object
            .checked_sub(self.first_object())
            .filter(|number| *number < self.header.items);
        let none = OutlineError::NoSuchPage { object, page: 0 };
        Ok(inventory.item(number.ok_or(none)?)?)
    }

    fn inventory(&self, time: Time) -> Result<Inventory, io::Error> {
        let open = || time.open(|| self.home.read(&home::inventory(&self.place)));
        let inventory = Inventory::open(self.scope.get(Part::Inventory, open)?)?;
        if inventory.header() != self.header {
            let text = "the place was scanned again, and holds something else";
            return Err(io::Error::new(io::ErrorKind::StaleNetworkFileHandle, text));
        }
        Ok(inventory)
    }

    fn read_span(
        &self,
        time: Time,
        inventory: &Inventory,
        span: &Span,
        out: &mut [u8],
    ) -> Result<(), SourceError> {
        if span.object < self.first_object() {
            return Ok(time.read(&*self.manifest(time)?, span.offset, out)?);
        }
        let item = self.item(inventory, span.object)?;
        let file = self.file(time, span.object, &item)?;
        let result = self.read_stamped(time, &item, &*file, span.offset, out);
        if result.is_err() && matches!(time, Time::Enough) {
            self.scope.forget(Part::Object(span.object));
        }
        result
    }

    fn read_stamped(
        &self,
        time: Time,
        item: &Item,
        file: &dyn File,
        offset: u64,
        out: &mut [u8],
    ) -> Result<(), SourceError> {
        let failed = |e| self.failed(item, e);
        self.check_stamp(item, &Stamp::from(&file.stat().map_err(failed)?))?;
        time.read(file, offset, out).map_err(failed)?;
        self.check_stamp(item, &Stamp::from(&file.stat().map_err(failed)?))
    }

    fn manifest(&self, time: Time) -> io::Result<Arc<dyn File>> {
        let open = || time.open(|| self.home.read(&home::manifest(self.header.content.id)));
        self.scope.get(Part::Object(0), open)
    }

    fn file(&self, time: Time, object: u32, item: &Item) -> Result<Arc<dyn File>, SourceError> {
        let open = || time.open(|| self.place.open(item.path.as_ref()));
        self.scope
            .get(Part::Object(object), open)
            .map_err(|e| self.failed(item, e))
    }

    fn check_stamp(&self, item: &Item, stamp: &Stamp) -> Result<(), SourceError> {
        if *stamp == item.stamp {
            return Ok(());
        }
        Err(SourceError::Changed(self.name(item)))
    }

    fn failed(&self, item: &Item, error: io::Error) -> SourceError {
        let is_other = |stat: Stat| stat.kind != Kind::File;
        match error.kind() {
            io::ErrorKind::WouldBlock => SourceError::Io(error),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SourceError::Gone(self.name(item)),
            io::ErrorKind::UnexpectedEof => SourceError::Changed(self.name(item)),
            _ if self.place.stat(item.path.as_ref()).is_ok_and(is_other) => {
                SourceError::Changed(self.name(item))
            }
            _ => SourceError::Io(error),
        }
    }

    fn name(&self, item: &Item) -> String {
        let path = self.place.host_path();
        let path = item
            .path
            .as_ref()
            .map_or_else(|| path.clone(), |below| path.join(below.as_str()));
        path.display().to_string()
    }
}

/// How long a read may take.
#[derive(Clone, Copy)]
enum Time {
    /// As long as the disk needs.
    Enough,
    /// No time: what is not open or not in the system's memory is an error of kind `WouldBlock`.
    None,
}

impl Time {
    fn open(self, open: impl FnOnce() -> io::Result<Arc<dyn File>>) -> io::Result<Arc<dyn File>> {
        match self {
            Self::Enough => open(),
            Self::None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn read(self, file: &dyn File, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Enough => file.read_exact_at(offset, out),
            Self::None => file.read_exact_now_at(offset, out),
        }
    }
}

/// Writes all pages of an outline.
pub(crate) fn write_outline(
    outlines: &Outlines,
    object: &Object,
    outline: &Outline,
) -> Result<(), OutlineError> {
    for number in 0..page_count(object.size) {
        let page = outline.page(number).expect("the outline has all pages");
        let page = verify_page(object.id, object.size, number, page).expect("the outline is of the object");
        outlines.put(object, page)?;
    }
    Ok(())
}
