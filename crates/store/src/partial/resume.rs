//! Opening a download: nothing that was left behind is believed before it was hashed.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Condvar, Mutex, RwLock, atomic::AtomicBool},
};

use roaring::{RoaringBitmap, RoaringTreemap};
use skep_wire::{
    CHUNK_BYTES, RelPath,
    manifest::{MAX_MANIFEST_BYTES, ManifestError},
    record::{Content, ContentKind},
};
use skep_world::Dir;

use super::{
    Chunks, Opened, Partial, PartialError,
    body::{Body, load_manifest},
    hidden::{self, Target},
    hint::{Hint, Label},
    replace,
};
use crate::{
    extent::{extent_bytes, spans},
    hashing::{Hashing, Stopped},
    home::{self, Home},
    inventory::{self, Item},
    outlines::Outlines,
    place::Place,
    source::{Source, SourceError},
    stamp::Stamp,
};

pub(super) fn open(
    home: &Arc<Home>,
    place: &Place,
    content: Content,
    hashing: &Hashing<'_>,
) -> Result<Opened, PartialError> {
    if content.kind == ContentKind::Folder && content.size > MAX_MANIFEST_BYTES {
        return Err(PartialError::BadManifest(ManifestError::TooLarge));
    }
    let target = Target::new(place.name()?);
    let (hint, said) = Hint::open(home, place)?;
    let said = match said {
        Some((label, claimed)) if label.content == content => Some((label, claimed)),
        Some((label, _)) => discard(home, place, &target, label).map(|()| None)?,
        None => None,
    };
    if said.as_ref().is_some_and(|(label, _)| label.replacing) && place.stat(None).is_ok() {
        replace::carry_over(home, place, &target, content)?;
    }
    if let Some(source) = finished(home, place, content)? {
        // The last thing that a crash can have left out.
        place.dir().sync(target.parent())?;
        home.remove(&home::hint(place))?;
        return Ok(Opened::Finished(Box::new(source)));
    }
    let (label, claimed) = said.unwrap_or_else(|| (Label::new(content), RoaringTreemap::new()));
    let mut partial = new(home, place, target, hint, label);
    partial.resume(&claimed, hashing)?;
    Ok(Opened::Partial(Box::new(partial)))
}

fn new(home: &Arc<Home>, place: &Place, target: Target, hint: Hint, label: Label) -> Partial {
    let body = Body::head(label.content);
    Partial {
        home: Arc::clone(home),
        place: place.clone(),
        target,
        outlines: Outlines::new(home, body.content.id, body.slots()),
        body: RwLock::new(Arc::new(body)),
        hint,
        label: Mutex::new(label),
        chunks: Mutex::new(Chunks {
            stored: RoaringTreemap::new(),
            writing: BTreeSet::new(),
        }),
        written: Condvar::new(),
        unflushed: Mutex::default(),
        failed: AtomicBool::new(false),
        made: Mutex::new(RoaringBitmap::new()),
        scope: home.files().scope(),
    }
}

/// Removes what a download of something else to the same place left behind.
fn discard(home: &Arc<Home>, place: &Place, target: &Target, mut label: Label) -> Result<(), PartialError> {
    let dir = place.dir();
    replace::put_back(&**dir, target, place.name()?, &label)?;
    if label.replacing {
        replace::carry_over(home, place, target, label.content)?;
    }
    if let Some(path) = hidden::find(&**dir, target, &mut label)? {
        remove(home, dir, &path, label.content)?;
    }
    Ok(())
}

/// Removes a hidden file, or of a hidden folder what the content has in it.
pub(super) fn remove(
    home: &Home,
    dir: &Arc<dyn Dir>,
    path: &RelPath,
    content: Content,
) -> Result<(), PartialError> {
    match content.kind {
        ContentKind::File => dir.remove_file(path)?,
        ContentKind::Folder => replace::remove_folder(dir, path, load_manifest(home, content)?.as_ref())?,
    }
    Ok(())
}

/// The content at its place, if it is there whole: an earlier download was finished but for the
/// caller's hearing of it.
pub(super) fn finished(
    home: &Arc<Home>,
    place: &Place,
    content: Content,
) -> Result<Option<Source>, PartialError> {
    match check_finished(home, place, content) {
        Ok(source) => Ok(source),
        // Nothing is noted of the place, or not so that it could be read; or it is something else.
        Err(SourceError::Io(e))
            if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) =>
        {
            Ok(None)
        }
        Err(SourceError::Changed(_) | SourceError::Gone(_)) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn check_finished(home: &Arc<Home>, place: &Place, content: Content) -> Result<Option<Source>, SourceError> {
    let mut source = Source::open(home, place)?;
    if source.content() != content {
        return Ok(None);
    }
    if content.kind == ContentKind::File && restamp(home, &source)? {
        source = Source::open(home, place)?;
    }
    source.check_stamps()?;
    Ok(Some(source))
}

/// The inventory was written before the file got its name, which moved its change time.
pub(super) fn restamp(home: &Home, source: &Source) -> Result<bool, SourceError> {
    let Some(item) = source.items()?.next().transpose()? else {
        return Ok(false);
    };
    let stat = match source.place().stat(None) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        stat => stat?,
    };
    let stamp = Stamp::from(&stat);
    if stamp == item.stamp || !stamp.is_renamed(&item.stamp) {
        return Ok(false);
    }
    let item = Item { stamp, ..item };
    let content = source.content();
    home.note(source.place(), content.id, |file| {
        inventory::write(file, content, &[item])
    })?;
    Ok(true)
}

impl Partial {
    fn resume(&mut self, claimed: &RoaringTreemap, hashing: &Hashing<'_>) -> Result<(), PartialError> {
        self.find_hidden()?;
        let content = self.content();
        let head = self.layout().head_chunks();
        if load_manifest_if_folder(&self.home, content)? {
            self.chunks().stored.insert_range(0..head);
            self.begin_folder()?;
        } else if content.kind == ContentKind::Folder || self.hidden().is_ok() {
            self.verify(claimed.iter().filter(|chunk| *chunk < head), hashing)?;
        }
        if self.manifest().is_some() {
            self.verify(claimed.iter().filter(|chunk| *chunk >= head), hashing)?;
            self.remove_all_but(&self.stored());
        }
        let label = self.label().clone();
        Ok(self.hint.write(&label, &self.chunks().stored)?)
    }

    fn find_hidden(&self) -> Result<(), PartialError> {
        let mut label = self.label();
        if hidden::find(&**self.place.dir(), &self.target, &mut label)?.is_none() {
            label.hidden = None;
        }
        Ok(())
    }

    /// Files of which `stored` has no chunk may be half written. They are made anew.
    pub(super) fn remove_all_but(&self, stored: &RoaringTreemap) {
        let (manifest, layout) = (self.manifest(), self.layout());
        let files = manifest.iter().flat_map(|manifest| manifest.files());
        for file in files.filter(|file| file.size > 0) {
            if !layout
                .object_chunks(file.object)
                .any(|chunk| stored.contains(chunk))
            {
                // What stays in the way shows when the file is made anew.
                let _ = self.remove_object(file.object);
            } else if file.size > CHUNK_BYTES {
                self.made().insert(file.object);
            }
        }
    }

    /// Hashes the claimed chunks; what verifies is stored, the rest is not.
    fn verify(
        &self,
        claimed: impl Iterator<Item = u64> + Send,
        hashing: &Hashing<'_>,
    ) -> Result<(), PartialError> {
        let chunks = self.layout().chunks();
        let verified = hashing.each(claimed.take_while(|chunk| *chunk < chunks), |chunk, buffer| {
            let good = self.verify_chunk(chunk, buffer)?;
            (hashing.progress)(buffer.len() as u64);
            Ok::<_, PartialError>((chunk, good))
        })?;
        for (chunk, good) in verified {
            if good {
                self.chunks().stored.insert(chunk);
            }
        }
        Ok(())
    }

    fn verify_chunk(&self, chunk: u64, buffer: &mut Vec<u8>) -> Result<bool, PartialError> {
        let extent = self.extent(chunk)?;
        let len = extent_bytes(&extent);
        buffer.resize(len as usize, 0);
        let mut done = 0;
        for span in spans(&extent, &(0..len)) {
            let end = done + span.bytes;
            match self.read_span(&span, &mut buffer[done..end]) {
                Err(e) if is_loss(&e) => return Ok(false),
                read => read?,
            }
            done = end;
        }
        match self.expected(chunk) {
            Ok(expected) => Ok(expected.check.holds(buffer)),
            // Without its page nothing can be said: as if it was not there.
            Err(PartialError::Outline(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn load_manifest_if_folder(home: &Home, content: Content) -> Result<bool, PartialError> {
    Ok(content.kind == ContentKind::Folder && load_manifest(home, content)?.is_some())
}

/// The file is not there, or not as long as it was.
fn is_loss(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(
        error.kind(),
        E::NotFound | E::UnexpectedEof | E::NotADirectory | E::IsADirectory
    )
}

impl From<SourceError> for PartialError {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::Io(e) => e.into(),
            SourceError::Outline(e) => e.into(),
            SourceError::Stopped(Stopped) => Self::Stopped(Stopped),
            SourceError::NoSuchChunk(chunk) | SourceError::NotStored(chunk) => Self::NoSuchChunk(chunk),
            SourceError::Changed(name) | SourceError::Gone(name) => Self::Lost(name),
        }
    }
}
