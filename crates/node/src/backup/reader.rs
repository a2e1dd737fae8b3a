//! Pieces out of packs: found in the index, read from wherever the pack is, opened, verified.
//!
//! What lies near each other is read together: packs come in blocks, and the last ones are kept for a
//! while. Several threads read at the same time; who wants a block that another is fetching waits for it.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex},
};

use skep_vault::{
    Content, Index, KeyRing, PieceId,
    content::ContentError,
    index::Location,
    pack::{OpenError, PackKey},
    piece::{Decoder, Namer},
    tree::{self, Entry, TreeError},
};
use skep_wire::PackId;
use thiserror::Error;

use super::lock;

/// How much of a pack is read at once.
const BLOCK_BYTES: u64 = 1 << 20;
/// How many blocks are kept.
const KEPT_BLOCKS: usize = 48;
/// How many sources are tried for one piece: enough to leave out each one and each two of six shards.
pub(super) const ATTEMPTS: u32 = 22;

/// Where packs are read from. Every method blocks.
pub(crate) trait Packs: Send + Sync {
    /// How many bytes the pack has.
    ///
    /// # Errors
    /// Why that cannot be known, for people.
    fn size(&self, pack: &PackId) -> Result<u64, String>;

    /// These bytes of a pack, of which there are `size`. Attempt 0 may be answered from what is near;
    /// each following one MUST come from another source, if there is one: what came was not right.
    ///
    /// # Errors
    /// Why it cannot be had, for people.
    fn read(&self, pack: &PackId, size: u64, range: Range<u64>, attempt: u32) -> Result<Vec<u8>, String>;
}

/// Why something of a snapshot cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Lost {
    /// No pack has the piece, as far as the index knows.
    #[error("no pack is known to have a part of it")]
    Unlisted,
    /// The pack cannot be had.
    #[error("a part of it is lost: {0}")]
    Unreadable(String),
    /// Nobody has a good copy.
    #[error("a part of it is lost: every copy that could be read of pack {} is damaged", .0.short())]
    Damaged(PackId),
    /// This device may not read it.
    #[error("this device has no key for it")]
    NoKey,
    /// A list of pieces is none.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A folder is none.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

/// Reads the snapshots of an owner.
pub(crate) struct Reader<'a> {
    ring: &'a KeyRing,
    namer: Namer,
    pub(super) index: &'a Index,
    packs: &'a dyn Packs,
    blocks: Blocks,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(ring: &'a KeyRing, index: &'a Index, packs: &'a dyn Packs) -> Self {
        Self {
            ring,
            namer: Namer::new(ring.naming()),
            index,
            packs,
            blocks: Blocks::default(),
        }
    }

    /// What gives pieces their names.
    pub(super) fn namer(&self) -> &Namer {
        &self.namer
    }

    /// The plaintext of a piece.
    pub(crate) fn piece(&self, id: &PieceId, decoder: &mut Decoder) -> Result<Vec<u8>, Lost> {
        let place = self.index.locate(id).ok_or(Lost::Unlisted)?;
        let contents = &place.listed.contents;
        let key = PackKey::of(contents, self.ring).map_err(|_| Lost::NoKey)?;
        let mut last = Lost::Unlisted;
        for attempt in 0..ATTEMPTS {
            let sealed = self.sealed(&place, attempt);
            let opened = sealed.and_then(|mut sealed| {
                key.open_piece(
                    contents,
                    place.number,
                    place.entry,
                    &mut sealed,
                    &self.namer,
                    decoder,
                )
                .map_err(|e| damaged(e, place.listed.pack))
            });
            match opened {
                Ok(plain) => return Ok(plain),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The sealed bytes of a piece. What was not right once is not taken from the kept blocks again.
    fn sealed(&self, place: &Location<'_>, attempt: u32) -> Result<Vec<u8>, Lost> {
        let (pack, size) = (&place.listed.pack, u64::from(place.listed.size));
        let range = u64::from(place.offset)..u64::from(place.offset) + u64::from(place.entry.sealed_len);
        let read = |range: Range<u64>| read_exactly(self.packs, pack, size, range, attempt);
        if attempt > 0 {
            return read(range).map_err(Lost::Unreadable);
        }
        let mut sealed = Vec::new();
        for number in range.start / BLOCK_BYTES..range.end.div_ceil(BLOCK_BYTES) {
            let whole = number * BLOCK_BYTES..((number + 1) * BLOCK_BYTES).min(size);
            let block = self
                .blocks
                .get((*pack, number), || read(whole.clone()))
                .map_err(Lost::Unreadable)?;
            let from = range.start.max(whole.start) - whole.start;
            let to = range.end.min(whole.end) - whole.start;
            sealed.extend_from_slice(part(&block, from..to));
        }
        Ok(sealed)
    }

    /// The pieces of a content, in order.
    pub(crate) fn pieces(&self, content: &Content, decoder: &mut Decoder) -> Result<Vec<PieceId>, Lost> {
        content.expand(|id| self.piece(id, decoder))
    }

    /// The pieces of a content, and those of the lists that name them.
    pub(super) fn all_pieces(&self, content: &Content, decoder: &mut Decoder) -> Result<Vec<PieceId>, Lost> {
        let mut lists = Vec::new();
        let mut all = content.expand(|id| {
            lists.push(*id);
            self.piece(id, decoder)
        })?;
        all.append(&mut lists);
        Ok(all)
    }

    /// Hands a content to `each`, piece by piece.
    pub(crate) fn content<E: From<Lost>>(
        &self,
        content: &Content,
        decoder: &mut Decoder,
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut left = content.size;
        for id in self.pieces(content, decoder)? {
            let plain = self.piece(&id, decoder)?;
            left = left
                .checked_sub(plain.len() as u64)
                .ok_or(Lost::Content(ContentError::Malformed))?;
            each(&plain)?;
        }
        match left {
            0 => Ok(()),
            _ => Err(Lost::Content(ContentError::Malformed).into()),
        }
    }

    /// The entries of a folder.
    pub(crate) fn entries(&self, tree: &Content) -> Result<Vec<Entry>, Lost> {
        let mut reader = tree::Reader::new();
        let mut entries = Vec::new();
        self.content(tree, &mut Decoder::new(), |plain| {
            reader.feed(plain);
            while let Some(entry) = reader.next_entry()? {
                entries.push(entry);
            }
            Ok::<(), Lost>(())
        })?;
        reader.finish()?;
        Ok(entries)
    }
}

/// A short answer is no answer.
fn read_exactly(
    packs: &dyn Packs,
    pack: &PackId,
    size: u64,
    range: Range<u64>,
    attempt: u32,
) -> Result<Vec<u8>, String> {
    let want = range.end - range.start;
    let bytes = packs.read(pack, size, range, attempt)?;
    match bytes.len() as u64 == want {
        true => Ok(bytes),
        false => Err(format!("pack {} is cut short", pack.short())),
    }
}

fn part(block: &[u8], range: Range<u64>) -> &[u8] {
    let at = |n: u64| usize::try_from(n).expect("a block is small");
    &block[at(range.start)..at(range.end)]
}

fn damaged(error: OpenError, pack: PackId) -> Lost {
    match error {
        OpenError::NoKey(_) => Lost::NoKey,
        _ => Lost::Damaged(pack),
    }
}

type Key = (PackId, u64);
type Block = Arc<Vec<u8>>;

/// The blocks that were read last.
#[derive(Default)]
struct Blocks(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    slots: HashMap<Key, Arc<Mutex<Option<Block>>>>,
    oldest_first: VecDeque<Key>,
}

impl Blocks {
    /// The block, from memory or through `read`; one thread reads it, others wait.
    fn get(&self, key: Key, read: impl FnOnce() -> Result<Vec<u8>, String>) -> Result<Block, String> {
        let slot = lock(&self.0).slot(key);
        let mut block = lock(&slot);
        if let Some(block) = &*block {
            return Ok(block.clone());
        }
        Ok(block.insert(Arc::new(read()?)).clone())
    }
}

impl Kept {
    fn slot(&mut self, key: Key) -> Arc<Mutex<Option<Block>>> {
        if let Some(slot) = self.slots.get(&key) {
            return slot.clone();
        }
        if self.oldest_first.len() == KEPT_BLOCKS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.slots.remove(&oldest);
        }
        self.oldest_first.push_back(key);
        self.slots.entry(key).or_default().clone()
    }
}
