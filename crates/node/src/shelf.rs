//! What this peer can serve, and to whom.
//!
//! An item is a content that lies on this machine, whole or growing. Who may read it follows from
//! the share records it is held under: the publisher's signed words, not this peer's opinion.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
};

use roaring::RoaringTreemap;
use skep_store::{Partial, Source, source::SourceError};
use skep_wire::{BlobId, PeerId, outline::Page, proof, record::ShareRecord};
use skep_world::Clock;
use tokio::sync::broadcast;

use crate::limit::RateLimit;

/// Everything that can be served.
pub(crate) struct Shelf {
    clock: Arc<dyn Clock>,
    items: RwLock<BTreeMap<BlobId, Arc<Item>>>,
}

/// One content.
pub(crate) struct Item {
    pub(crate) body: Body,
    /// The records it is held under.
    records: RwLock<Vec<ShareRecord>>,
    /// How fast it is served.
    pub(crate) up: Arc<RateLimit>,
    /// Tells when a growing one has grown, all who listen in the same order.
    pub(crate) grown: broadcast::Sender<()>,
}

/// The bytes.
#[derive(Clone)]
pub(crate) enum Body {
    Whole(Arc<Source>),
    Growing(Arc<Partial>),
}

impl Shelf {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            items: RwLock::default(),
        }
    }

    /// The item, if `reader` may read it. Who may not is told the same as if it were not here.
    pub(crate) fn item_for(&self, content: BlobId, reader: &PeerId) -> Option<Arc<Item>> {
        self.item(content).filter(|item| item.is_for(reader))
    }

    pub(crate) fn item(&self, content: BlobId) -> Option<Arc<Item>> {
        self.items
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&content)
            .cloned()
    }

    /// Puts a content there, in the place of an older state of the same.
    pub(crate) fn put(&self, content: BlobId, body: Body, records: Vec<ShareRecord>) -> Arc<Item> {
        let mut items = self.items.write().unwrap_or_else(PoisonError::into_inner);
        let up = items.get(&content).map(|older| older.up.clone());
        let item = Arc::new(Item {
            body,
            records: RwLock::new(records),
            up: up.unwrap_or_else(|| Arc::new(RateLimit::new(self.clock.clone(), None))),
            grown: broadcast::Sender::new(1),
        });
        items.insert(content, item.clone());
        item
    }

    pub(crate) fn remove(&self, content: BlobId) {
        self.items
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&content);
    }

    /// Whole contents whose files are not what they were. Blocking; reads stamps only.
    pub(crate) fn changed(&self) -> Vec<BlobId> {
        let items: Vec<_> = {
            let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
            items.iter().map(|(id, item)| (*id, item.clone())).collect()
        };
        let has_changed = |item: &Item| match &item.body {
            Body::Whole(source) => source.check_stamps().is_err(),
            Body::Growing(_) => false,
        };
        items
            .into_iter()
            .filter(|(_, item)| has_changed(item))
            .map(|(id, _)| id)
            .collect()
    }

    /// Whole contents, ascending.
    pub(crate) fn whole(&self) -> Vec<BlobId> {
        let items = self.items.read().unwrap_or_else(PoisonError::into_inner);
        items
            .iter()
            .filter(|(_, item)| item.is_whole())
            .map(|(id, _)| *id)
            .collect()
    }
}

impl Item {
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.body, Body::Whole(_))
    }

    /// Replaces the records it is held under.
    pub(crate) fn set_records(&self, records: Vec<ShareRecord>) {
        *self.records.write().unwrap_or_else(PoisonError::into_inner) = records;
    }

    fn is_for(&self, reader: &PeerId) -> bool {
        let records = self.records.read().unwrap_or_else(PoisonError::into_inner);
        records
            .iter()
            .any(|record| !record.withdrawn && record.is_for(reader))
    }
}

impl Body {
    /// Reads units of a chunk. Blocking.
    pub(crate) fn read(
        &self,
        chunk: u64,
        first_unit: u16,
        units: u16,
        out: &mut [u8],
    ) -> Result<usize, SourceError> {
        match self {
            Self::Whole(source) => source.read(chunk, first_unit, units, out),
            Self::Growing(partial) => partial.read(chunk, first_unit, units, out),
        }
    }

    /// Reads them, and has the disk fetch the rest of the chunk for the reads that follow. Blocking.
    pub(crate) fn read_ahead(
        &self,
        chunk: u64,
        first_unit: u16,
        units: u16,
        out: &mut [u8],
    ) -> Result<usize, SourceError> {
        if let Self::Whole(source) = self {
            source.prepare(chunk, first_unit);
        }
        self.read(chunk, first_unit, units, out)
    }

    /// Reads them if that takes no waiting for the disk; else none. Does not block.
    pub(crate) fn read_now(
        &self,
        chunk: u64,
        first_unit: u16,
        units: u16,
        out: &mut [u8],
    ) -> Result<Option<usize>, SourceError> {
        match self {
            Self::Whole(source) => source.read_now(chunk, first_unit, units, out),
            Self::Growing(_) => Ok(None),
        }
    }

    /// Bytes of a chunk; none if there is no such chunk (yet).
    pub(crate) fn chunk_bytes(&self, chunk: u64) -> Option<u32> {
        match self {
            Self::Whole(source) => source.layout().chunk_bytes(chunk),
            Self::Growing(partial) => partial.layout().chunk_bytes(chunk),
        }
    }

    /// The hashes that prove units of a chunk, and then the units. None: there is no such proof. Blocking.
    pub(crate) fn proven(&self, chunk: u64, units: Range<u64>) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(len) = self.chunk_bytes(chunk) else {
            return Ok(None);
        };
        let units = units.start..units.end.min(proof::unit_count(len));
        let mut bytes = vec![0; len as usize];
        self.read(chunk, 0, 64, &mut bytes)?;
        let expected = match self {
            Self::Whole(source) => source.expected(chunk)?,
            Self::Growing(partial) => match partial.expected(chunk) {
                Ok(expected) => expected,
                Err(_) => return Err(SourceError::NotStored(chunk)),
            },
        };
        let Ok(hashes) = proof::prove(&expected.check, &bytes, &units) else {
            return Ok(None);
        };
        let within = proof::unit_bytes(len, &units);
        let mut out = hashes.concat();
        out.extend_from_slice(&bytes[within.start as usize..within.end as usize]);
        Ok(Some(out))
    }

    /// A page of an outline. Blocking.
    pub(crate) fn page(&self, object: u32, page: u32) -> Result<Page, SourceError> {
        match self {
            Self::Whole(source) => source.page(object, page),
            Self::Growing(partial) => partial.page(object, page),
        }
    }

    /// The chunks that can be read; none: all.
    pub(crate) fn stored(&self) -> Option<RoaringTreemap> {
        match self {
            Self::Whole(_) => None,
            Self::Growing(partial) => Some(partial.stored()),
        }
    }
}
