//! What a download is after: a whole share, a part of a folder, or just its manifest.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64},
};

use bytes::BytesMut;
use skep_engine::swarm::{Failure, Have};
use skep_net::{AskError, Link};
use skep_store::{Hashing, Partial, Place, partial::Opened, partial::PartialError};
use skep_wire::{
    BlobId, CHUNK_BYTES, Manifest, RelPath, UNIT_BYTES, VerifiedChunk,
    chunk::{UNITS_PER_CHUNK, hash_chunk},
    message::{OutlinePage, Read, WantOutline},
    outline::{Outline, Page, page_count},
    record::{Content, ContentKind, ShareRecord},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    control::Control,
    error::GetError,
    job::{Job, failure_of},
    part::Part,
    resolve::Choice,
    run,
    target::Target,
};
use crate::{core::Core, shelf::Body};

/// The goal of one download.
pub(crate) struct Goal {
    /// What is to lie at the target.
    pub(crate) content: Content,
    /// What holders are asked for: the content itself, or the folder it is a part of.
    pub(crate) origin: BlobId,
    /// For people.
    pub(crate) name: String,
    /// How it lies in the origin, if it is a part.
    pub(crate) part: Option<Part>,
    /// The record it can be offered to others under; none: it is not a share by itself.
    pub(crate) record: Option<ShareRecord>,
}

impl Goal {
    /// What the person has chosen. Of a part, the folder's manifest is looked at first.
    pub(crate) async fn of(
        core: &Arc<Core>,
        choice: &Choice,
        control: &Arc<Control>,
    ) -> Result<Self, GetError> {
        let record = choice.record.clone();
        let (content, origin, name) = (record.content, record.content.id, record.name.to_string());
        let Some(path) = &choice.sub else {
            return Ok(Self {
                content,
                origin,
                name,
                part: None,
                record: Some(record),
            });
        };
        let nothing = || GetError::NoSuchPart {
            share: name.clone(),
            part: path.clone(),
        };
        if content.kind == ContentKind::File {
            return Err(nothing());
        }
        let manifest = manifest(core, content, &name, control).await?;
        let part = Part::of(&manifest, content.size, path).ok_or_else(nothing)?;
        let name = format!("{name}/{path}");
        Ok(Self {
            content: part.content,
            origin,
            name,
            part: Some(part),
            record: None,
        })
    }
}

impl Goal {
    /// The bytes of a chunk, from somebody who has the origin. `len` is how many they are.
    pub(crate) async fn read(
        &self,
        link: &Link,
        chunk: u64,
        len: usize,
        buffer: BytesMut,
        arrived: Arc<AtomicU64>,
    ) -> Result<BytesMut, AskError> {
        let Some(part) = &self.part else {
            let units = u16::try_from(UNITS_PER_CHUNK).expect("64");
            let request = self.units(chunk, 0, units);
            return link.read(&request, len, buffer, Some(arrived)).await;
        };
        let mut bytes = buffer;
        for stretch in part.stretches(chunk) {
            let (first_unit, units, skip) = stretch.units();
            let request = self.units(stretch.chunk, first_unit, units);
            let most = usize::from(units) * usize::try_from(UNIT_BYTES).expect("16 KiB");
            let read = link
                .read(&request, most, BytesMut::new(), Some(arrived.clone()))
                .await?;
            // Too few bytes do not verify, and the holder is blamed for it then.
            let wanted = read.get(skip..).unwrap_or_default();
            bytes.extend_from_slice(&wanted[..wanted.len().min(stretch.len as usize)]);
        }
        Ok(bytes)
    }

    /// What a holder has of this that has so much of the origin.
    pub(crate) fn have(&self, origin: Have) -> Have {
        match (&self.part, origin) {
            (Some(part), Have::Some(chunks)) => Have::Some(part.chunks_of(&chunks)),
            (_, have) => have,
        }
    }

    /// The request for units of a chunk of the origin.
    pub(crate) fn units(&self, chunk: u64, first_unit: u16, units: u16) -> Read {
        Read {
            content: self.origin,
            chunk,
            first_unit,
            units,
            proof: false,
        }
    }

    /// A page of an object's outline, not verified.
    pub(crate) async fn page(&self, link: &Link, object: u32, page: u32) -> Result<Page, Failure> {
        let in_origin = match &self.part {
            Some(part) => part.object(object).ok_or(Failure::Missing)?,
            None => object,
        };
        let request = WantOutline {
            content: self.origin,
            object: in_origin,
            page,
        };
        let answer = link.ask::<_, OutlinePage>(&request).await;
        answer.map(Page::from).map_err(|error| failure_of(&error))
    }
}

/// The manifest of a folder, from this machine or from its holders.
async fn manifest(
    core: &Arc<Core>,
    content: Content,
    name: &str,
    control: &Arc<Control>,
) -> Result<Manifest, GetError> {
    let local = core.shelf.item(content.id).map(|item| item.body.clone());
    let bytes = match local {
        Some(body @ Body::Whole(_)) => {
            let read = move || read_head(&body, content.size);
            core.world.work.call(read).await.map_err(GetError::Source)?
        }
        _ => fetch_manifest(core, content, name, control).await?,
    };
    Manifest::decode(&bytes).map_err(|e| GetError::Store {
        share: name.to_owned(),
        source: PartialError::BadManifest(e),
    })
}

fn read_head(body: &Body, size: u64) -> Result<Vec<u8>, skep_store::source::SourceError> {
    let mut bytes = vec![0; usize::try_from(size).expect("manifests fit memory")];
    let chunk_bytes = usize::try_from(CHUNK_BYTES).expect("1 MiB");
    for (chunk, out) in (0..).zip(bytes.chunks_mut(chunk_bytes)) {
        body.read(chunk, 0, 64, out)?;
    }
    Ok(bytes)
}

/// Downloads the manifest as a file of the home, reads it and removes it.
async fn fetch_manifest(
    core: &Arc<Core>,
    content: Content,
    name: &str,
    control: &Arc<Control>,
) -> Result<Vec<u8>, GetError> {
    let folder = crate::home::name("manifests");
    let file = crate::home::name(&content.id.to_string());
    let home = core.home.dir.clone();
    let path = core.home.path.join(folder.as_str());
    let fail = |e: std::io::Error| GetError::Target {
        path: path.clone(),
        why: e.to_string(),
    };
    let made = move || home.make_dirs(&folder).and_then(|()| home.dir(&folder));
    let dir = core.world.work.call(made).await.map_err(fail)?;
    let target = Target {
        place: Place::new(dir.clone(), file.clone()),
        path: path.clone(),
        exists: false,
    };
    let goal = Goal {
        content: Content {
            kind: ContentKind::File,
            ..content
        },
        origin: content.id,
        name: name.to_owned(),
        part: None,
        record: None,
    };
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let job = Job::open(core, control, goal, target, Vec::new(), stop).await?;
    let (news, inbox) = mpsc::channel(64);
    run::run(&job, None, news, inbox).await?;
    super::finish::durable(&job, true).await?;
    let read = move || {
        let limit = usize::try_from(content.size).expect("manifests fit memory");
        let bytes = dir.read_whole(&file, limit)?.unwrap_or_default();
        dir.remove_file(&file)?;
        Ok(bytes)
    };
    core.world.work.call(read).await.map_err(fail)
}

/// Opens what is at the target; a manifest that was made here is put into it at once. Blocking.
pub(crate) fn open(
    core: &Core,
    goal: &Goal,
    place: &Place,
    donors: &[Place],
    stop: &AtomicBool,
) -> Result<Opened, PartialError> {
    let hashing = Hashing {
        workers: core.config.workers,
        progress: &|_| {},
        stop,
    };
    let opened = Partial::open(&core.store, place, goal.content, &hashing)?;
    if let Opened::Partial(partial) = &opened {
        if let Some(manifest) = goal.part.as_ref().and_then(|part| part.manifest.as_deref()) {
            plant(partial, manifest)?;
        }
        for donor in donors {
            partial.adopt(donor, &hashing)?;
        }
    }
    Ok(opened)
}

/// Puts the chunks of the manifest, the one that proves the size first.
fn plant(partial: &Partial, manifest: &[u8]) -> Result<(), PartialError> {
    let chunk_bytes = usize::try_from(CHUNK_BYTES).expect("1 MiB");
    let chunks: Vec<&[u8]> = manifest.chunks(chunk_bytes).collect();
    let size = manifest.len() as u64;
    let hashes = (0..)
        .zip(&chunks)
        .map(|(index, bytes)| hash_chunk(index, bytes))
        .collect();
    if let Some(outline) = Outline::new(size, hashes) {
        for number in 0..page_count(size) {
            let page = u32::try_from(number).expect("a manifest has one page");
            if let Some(claim) = outline.page(number) {
                partial.put_page(0, page, claim)?;
            }
        }
    }
    let last = partial.first_chunk();
    for number in std::iter::once(last).chain(0..last) {
        let bytes = usize::try_from(number)
            .ok()
            .and_then(|at| chunks.get(at))
            .copied()
            .unwrap_or_default();
        let verified = VerifiedChunk::verify(partial.expected(number)?, bytes);
        partial.put(
            &verified.map_err(|_| PartialError::OtherContent(BlobId(*blake3::hash(manifest).as_bytes())))?,
        )?;
    }
    Ok(())
}

/// The name that the target gets if the person gives none.
pub(crate) fn own_name(choice: &Choice) -> String {
    let of_part = choice.sub.as_ref().map(RelPath::file_name);
    of_part.map_or_else(|| choice.record.name.to_string(), str::to_owned)
}
