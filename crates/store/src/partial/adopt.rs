//! Taking what verifies out of another local copy instead of fetching it.

use std::{collections::BTreeMap, io, sync::Arc};

use skep_wire::{BlobId, RelPath, layout::Extent, record::ContentKind};
use skep_world::{File, disk::Kind};

use super::{Partial, PartialError, Put, body::Body};
use crate::{
    extent::{extent_bytes, spans},
    hashing::Hashing,
    home::Home,
    open_files::{Part, Scope},
    place::Place,
    source::Source,
};

/// A local copy of something that may be like the content.
struct Donor<'a> {
    place: &'a Place,
    kind: Kind,
    /// Where a blob lies in it, as far as that was noted by a scan; none: at the place itself.
    by_id: BTreeMap<BlobId, Option<RelPath>>,
    scope: Scope,
}

impl Partial {
    /// Takes what verifies out of another local copy: an older version, or what was at the target
    /// already. Only chunks that can be checked are looked for: put the outline pages first, and
    /// [`Partial::first_chunk`] unless the donor may have it. Returns the bytes that need not be fetched.
    ///
    /// # Errors
    /// [`PartialError`]; a donor that cannot be read is none.
    pub fn adopt(&self, donor: &Place, hashing: &Hashing<'_>) -> Result<u64, PartialError> {
        let Some(donor) = Donor::open(&self.home, donor) else {
            return Ok(0);
        };
        let first = self.first_chunk();
        let mut bytes = self.adopt_chunk(&donor, first, &mut Vec::new())?;
        if !self.is_stored(first) {
            return Ok(0);
        }
        let missing = {
            let stored = self.stored();
            (0..self.layout().chunks()).filter(move |chunk| !stored.contains(*chunk))
        };
        let adopted = hashing.each(missing, |chunk, buffer| {
            let bytes = self.adopt_chunk(&donor, chunk, buffer)?;
            (hashing.progress)(bytes);
            Ok::<_, PartialError>(bytes)
        })?;
        bytes += adopted.iter().sum::<u64>();
        Ok(bytes)
    }

    fn adopt_chunk(&self, donor: &Donor<'_>, chunk: u64, buffer: &mut Vec<u8>) -> Result<u64, PartialError> {
        let extent = self.extent(chunk)?;
        if !donor.read(&self.body(), &extent, buffer) {
            return Ok(0);
        }
        let expected = match self.expected(chunk) {
            Err(PartialError::Outline(_)) => return Ok(0),
            expected => expected?,
        };
        let Ok(verified) = skep_wire::VerifiedChunk::verify(expected, &buffer[..]) else {
            return Ok(0);
        };
        match self.put_checked(chunk, verified.bytes())? {
            Put::Already => Ok(0),
            Put::Stored | Put::ManifestDone => Ok(verified.bytes().len() as u64),
        }
    }
}

impl<'a> Donor<'a> {
    fn open(home: &Arc<Home>, place: &'a Place) -> Option<Self> {
        let kind = match place.stat(None) {
            Err(e) if e.kind() == io::ErrorKind::IsADirectory => Kind::Dir,
            stat => stat.ok()?.kind,
        };
        Some(Self {
            place,
            kind,
            by_id: known(home, place).unwrap_or_default(),
            scope: home.files().scope(),
        })
    }

    /// Fills `buffer` with what may be the chunk; false if there is nothing like it.
    fn read(&self, body: &Body, extent: &Extent, buffer: &mut Vec<u8>) -> bool {
        let len = extent_bytes(extent);
        buffer.resize(len as usize, 0);
        let mut done = 0;
        spans(extent, &(0..len)).iter().all(|span| {
            let out = &mut buffer[done..done + span.bytes];
            done += span.bytes;
            let file = self.file(body, span.object);
            file.is_some_and(|file| file.read_exact_at(span.offset, out).is_ok())
        })
    }

    fn file(&self, body: &Body, object: u32) -> Option<Arc<dyn File>> {
        let id = body.object(object)?.id;
        let path = match self.by_id.get(&id) {
            Some(path) => path.clone(),
            None => self.same_path(body, object)?,
        };
        self.scope
            .get(Part::Object(object), || self.place.open(path.as_ref()))
            .ok()
    }

    /// The file that has the object's place in the donor, whatever is in it.
    fn same_path(&self, body: &Body, object: u32) -> Option<Option<RelPath>> {
        match (body.content.kind, self.kind) {
            (ContentKind::File, Kind::File) => Some(None),
            (ContentKind::Folder, Kind::Dir) => {
                Some(Some(body.manifest.as_ref()?.file(object)?.path.clone()))
            }
            _ => None,
        }
    }
}

fn known(home: &Arc<Home>, place: &Place) -> Option<BTreeMap<BlobId, Option<RelPath>>> {
    let source = Source::open(home, place).ok()?;
    let items = source.items().ok()?;
    Some(
        items
            .filter_map(Result::ok)
            .map(|item| (item.id, item.path))
            .collect(),
    )
}
