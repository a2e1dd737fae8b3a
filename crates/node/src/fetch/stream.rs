//! A file read in order while it comes: for a pipe, or for a player that seeks.
//!
//! Nothing is kept: chunks are verified and held until the reader takes them, a few ahead of it. What
//! is on this machine already is read from there. Of a chunk of which little is wanted only those
//! units are fetched, with the hashes that prove them.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, atomic::AtomicU64},
};

use bytes::{Bytes, BytesMut};
use roaring::RoaringTreemap;
use skep_engine::swarm::Failure;
use skep_net::{AskError, Link};
use skep_wire::{
    BlobId, CHUNK_BYTES, UNIT_BYTES, VerifiedChunk,
    chunk::{Check, Expected, UNITS_PER_CHUNK, chunk_len},
    message::Reason,
    outline::{PAGE_CHUNKS, VerifiedPage, verify_page},
    proof,
    record::ContentKind,
};
use tokio::sync::mpsc;

use super::{
    control::{Control, Wish},
    error::GetError,
    goal::Goal,
    job::failure_of,
    reader::Reader,
    resolve,
    wanted::Wanted,
};
use crate::core::Core;

/// Chunks that wait for a slow reader, beside those that were read ahead.
const HANDED_OVER: usize = 2;
/// Pages of an outline that are kept: a reader goes forward.
const PAGES: usize = 4;
/// Who wants more of a chunk gets all of it.
const MOST_UNITS: u64 = UNITS_PER_CHUNK / 2;

/// A file that can be read, here or elsewhere.
#[derive(Clone)]
pub struct Stream(Arc<File>);

/// What its readers share.
pub(super) struct File {
    pub(super) core: Arc<Core>,
    pub(super) goal: Arc<Goal>,
    pages: tokio::sync::Mutex<BTreeMap<u64, Arc<VerifiedPage>>>,
}

/// What became of asking a holder for a chunk.
pub(super) enum Came {
    /// The bytes of it that are wanted, verified.
    Good(Bytes),
    /// Other bytes.
    Bad,
    /// None.
    Failed(Failure),
}

/// Finds the file that is meant.
///
/// # Errors
/// [`GetError`]: there is none, or it is a folder.
pub(crate) async fn open(core: &Arc<Core>, what: &str) -> Result<Stream, GetError> {
    let wanted = Wanted::parse(what)?;
    let choice = resolve::resolve(core, &wanted).await?;
    let control = Arc::new(Control::new(core.world.clock.clone(), Wish::Run, None));
    let _watched = control.watch();
    let goal = Arc::new(Goal::of(core, &choice, &control).await?);
    if goal.content.kind == ContentKind::Folder {
        return Err(GetError::IsFolder(goal.name.clone()));
    }
    Ok(Stream(Arc::new(File {
        core: core.clone(),
        goal,
        pages: tokio::sync::Mutex::default(),
    })))
}

impl Stream {
    /// The id of its bytes.
    #[must_use]
    pub fn id(&self) -> BlobId {
        self.0.goal.content.id
    }

    /// How many they are, as its publisher says.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.goal.content.size
    }

    /// The bytes of `range`, in order, cut anywhere; an error is the last. Dropping the receiver ends it.
    #[must_use]
    pub fn read(&self, range: Range<u64>) -> mpsc::Receiver<Result<Bytes, GetError>> {
        let (out, bytes) = mpsc::channel(HANDED_OVER);
        let range = range.start..range.end.min(self.size());
        if !range.is_empty() {
            let reader = Reader::new(self.0.clone(), range, out);
            self.0.core.spawn(reader.run());
        }
        bytes
    }
}

impl File {
    pub(super) fn size(&self) -> u64 {
        self.goal.content.size
    }

    /// Chunks that are here although the file is not: it is being downloaded.
    pub(super) fn stored(&self) -> RoaringTreemap {
        let item = self.core.shelf.item(self.goal.content.id);
        item.and_then(|item| item.body.stored()).unwrap_or_default()
    }

    /// What of `chunk` is wanted, counted from its beginning.
    fn wanted(&self, chunk: u64, range: &Range<u64>) -> Range<u32> {
        let start = chunk * CHUNK_BYTES;
        let len = chunk_len(self.size(), chunk);
        let at = |byte: u64| {
            let within = byte.saturating_sub(start).min(u64::from(len));
            u32::try_from(within).expect("at most a chunk")
        };
        at(range.start)..at(range.end)
    }

    /// What of `chunk` is wanted, if it is on this machine.
    pub(super) async fn local(&self, chunk: u64, range: &Range<u64>) -> Option<Bytes> {
        let item = self.core.shelf.item(self.goal.origin)?;
        let len = chunk_len(self.size(), chunk);
        let parts = match &self.goal.part {
            Some(part) => part.stretches(chunk),
            None => vec![super::part::Stretch {
                chunk,
                offset: 0,
                len,
            }],
        };
        let wanted = self.wanted(chunk, range);
        let read = move || {
            let mut all = BytesMut::with_capacity(len as usize);
            for part in parts {
                let (first, units, skip) = part.units();
                let mut bytes = vec![0; usize::from(units) * usize::try_from(UNIT_BYTES).expect("16 KiB")];
                let read = item.body.read(part.chunk, first, units, &mut bytes).ok()?;
                all.extend_from_slice(bytes[..read].get(skip..skip + part.len as usize)?);
            }
            clip(all, &wanted)
        };
        self.core.world.work.call(read).await
    }

    /// What of `chunk` is wanted, from a holder.
    pub(super) async fn fetch(
        &self,
        link: &Link,
        chunk: u64,
        range: &Range<u64>,
        arrived: Arc<AtomicU64>,
    ) -> Came {
        let check = match self.check(link, chunk).await {
            Ok(check) => check,
            Err(failure) => return Came::Failed(failure),
        };
        let wanted = self.wanted(chunk, range);
        let unit = u32::try_from(UNIT_BYTES).expect("16 KiB");
        let units = u64::from(wanted.start / unit)..u64::from(wanted.end.div_ceil(unit));
        let same = self
            .goal
            .part
            .as_ref()
            .map_or(Some(chunk), |part| part.piece(chunk));
        if let Some(same) = same
            && units.end - units.start <= MOST_UNITS
        {
            match self
                .fetch_units(link, same, &check, units, &wanted, arrived.clone())
                .await
            {
                // It offers no proofs.
                Err(AskError::Refused {
                    reason: Reason::BadRequest,
                    ..
                }) => {}
                Err(error) => return Came::Failed(failure_of(&error)),
                Ok(came) => return came,
            }
        }
        self.fetch_whole(link, chunk, check, &wanted, arrived).await
    }

    async fn fetch_whole(
        &self,
        link: &Link,
        chunk: u64,
        check: Check,
        wanted: &Range<u32>,
        arrived: Arc<AtomicU64>,
    ) -> Came {
        let len = chunk_len(self.size(), chunk);
        self.core.down.pass(u64::from(len)).await;
        let read = self
            .goal
            .read(link, chunk, len as usize, BytesMut::new(), arrived)
            .await;
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => return Came::Failed(failure_of(&error)),
        };
        let expected = Expected {
            content: self.goal.content.id,
            number: chunk,
            check,
        };
        let verified = move || VerifiedChunk::verify(expected, bytes);
        let good = self.core.world.work.call(verified).await.ok();
        good.and_then(|chunk| clip(chunk.into_bytes(), wanted))
            .map_or(Came::Bad, Came::Good)
    }

    /// Some units of a chunk of the origin, with their proof.
    async fn fetch_units(
        &self,
        link: &Link,
        chunk: u64,
        check: &Check,
        units: Range<u64>,
        wanted: &Range<u32>,
        arrived: Arc<AtomicU64>,
    ) -> Result<Came, AskError> {
        let len = u32::try_from(check.len()).expect("at most a chunk");
        let hashes = proof::hash_count(len, &units) * 32;
        let within = proof::unit_bytes(len, &units);
        let number = |n: u64| u16::try_from(n).expect("a chunk has 64 units");
        let mut request = self
            .goal
            .units(chunk, number(units.start), number(units.end - units.start));
        request.proof = true;
        self.core.down.pass(within.len() as u64).await;
        let most = hashes + within.len();
        let mut read = link.read(&request, most, BytesMut::new(), Some(arrived)).await?;
        if read.len() != most {
            return Ok(Came::Bad);
        }
        let bytes = read.split_off(hashes);
        let (hashes, _) = read.as_chunks::<32>();
        if proof::verify(check, &units, hashes, &bytes).is_err() {
            return Ok(Came::Bad);
        }
        let wanted = wanted.start - within.start..wanted.end - within.start;
        Ok(clip(bytes, &wanted).map_or(Came::Bad, Came::Good))
    }

    /// What a chunk is verified with.
    async fn check(&self, link: &Link, index: u64) -> Result<Check, Failure> {
        let content = &self.goal.content;
        let len = chunk_len(content.size, index);
        if content.size <= CHUNK_BYTES {
            return Ok(Check::Whole { id: content.id, len });
        }
        let page = self.page(link, index / PAGE_CHUNKS).await?;
        let hash = page.hash(index).ok_or(Failure::Missing)?;
        Ok(Check::Piece { hash, index, len })
    }

    /// A page of the outline. One is asked for at a time: most chunks share theirs.
    async fn page(&self, link: &Link, number: u64) -> Result<Arc<VerifiedPage>, Failure> {
        let mut pages = self.pages.lock().await;
        if let Some(page) = pages.get(&number) {
            return Ok(page.clone());
        }
        let content = &self.goal.content;
        let wire = u32::try_from(number).map_err(|_| Failure::Missing)?;
        let claim = self.goal.page(link, 0, wire).await?;
        let verified = verify_page(content.id, content.size, number, claim).map_err(|error| {
            tracing::warn!("{:?} sent a wrong outline page: {error}", link.peer());
            Failure::Missing
        })?;
        let page = Arc::new(verified);
        pages.insert(number, page.clone());
        if pages.len() > PAGES {
            pages.pop_first();
        }
        Ok(page)
    }
}

fn clip(bytes: BytesMut, wanted: &Range<u32>) -> Option<Bytes> {
    let bytes = bytes.freeze();
    (bytes.len() >= wanted.end as usize).then(|| bytes.slice(wanted.start as usize..wanted.end as usize))
}
