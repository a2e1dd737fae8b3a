//! Which packs each snapshot needs. Found by reading its folders, which are kept near, and remembered as long
//! as no device has a newer head.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use skep_vault::{Content, PieceId, SnapshotId, piece::Decoder, tree::Node};
use skep_wire::{PackId, PeerId};
use tokio::time;

use super::{
    far::Far,
    lock,
    near::{Listing, Near},
    reader::{Lost, Reader},
    snapshots,
    state::{Owned, State},
};
use crate::core::Core;

/// How long who asks waits. The search goes on, and the next one finds its result.
const PATIENCE: Duration = Duration::from_secs(4);

/// The packs of each snapshot; of one whose folders cannot be read now, none.
pub(super) type Needs = BTreeMap<SnapshotId, Option<Arc<BTreeSet<PackId>>>>;

/// What was found last.
#[derive(Default)]
pub(crate) struct Found(Mutex<Last>);

#[derive(Default)]
struct Last {
    /// The number of each device's head then.
    heads: BTreeMap<PeerId, u64>,
    needs: Arc<Needs>,
    searching: bool,
}

impl Found {
    /// What was found for these heads, if that is all; otherwise whether this one is to search.
    fn look(&self, heads: &BTreeMap<PeerId, u64>) -> Result<Arc<Needs>, bool> {
        let mut last = lock(&self.0);
        if last.heads == *heads && last.needs.values().all(Option::is_some) {
            return Ok(last.needs.clone());
        }
        Err(!std::mem::replace(&mut last.searching, true))
    }

    fn keep(&self, heads: BTreeMap<PeerId, u64>, needs: Arc<Needs>) {
        *lock(&self.0) = Last {
            heads,
            needs,
            searching: false,
        };
    }
}

/// Which packs the snapshots need; none while that is being found out.
pub(super) async fn find(core: &Arc<Core>, state: &State, owned: Arc<Owned>) -> Option<Arc<Needs>> {
    let heads: BTreeMap<PeerId, u64> = owned
        .heads
        .iter()
        .map(|(device, known)| (*device, known.head.number))
        .collect();
    match core.backups.found.look(&heads) {
        Ok(needs) => return Some(needs),
        Err(false) => return None,
        Err(true) => {}
    }
    let far = Far::new(core, &owned);
    let (inner, state) = (core.clone(), state.clone());
    let search = move || {
        let near = Near {
            state: &state,
            far: &far,
        };
        let needs = Arc::new(search(&owned, &near, &inner.id()));
        inner.backups.found.keep(heads, needs.clone());
        needs
    };
    let work = core.world.work.clone();
    time::timeout(PATIENCE, work.call_waiting(search)).await.ok()
}

/// Reads the folders of all snapshots. Blocks.
fn search(owned: &Owned, near: &Near<'_>, device: &PeerId) -> Needs {
    let Listing { index, .. } = near.listing(owned, device, |_| true);
    let reader = Reader::new(&owned.ring, &index, near);
    // Without the indexes nothing is found again.
    let catalogs = owned.counting_heads().map(|(_, known)| &known.catalog);
    let indexes: BTreeSet<PackId> = catalogs.flat_map(|catalog| &catalog.indexes).copied().collect();
    let mut search = Search {
        reader: &reader,
        decoder: Decoder::new(),
        seen: BTreeMap::new(),
    };
    let all = snapshots::all(owned).into_iter();
    all.map(|(id, snapshot)| {
        let needed = search.folder(&snapshot.root).ok();
        (id, needed.map(|packs| Arc::new(&*packs | &indexes)))
    })
    .collect()
}

type Packs = Arc<BTreeSet<PackId>>;

struct Search<'a> {
    reader: &'a Reader<'a>,
    decoder: Decoder,
    /// Folders that several snapshots have are read once.
    seen: BTreeMap<Vec<PieceId>, Packs>,
}

impl Search<'_> {
    /// The packs of a folder, with everything below.
    fn folder(&mut self, tree: &Content) -> Result<Packs, Lost> {
        if let Some(packs) = self.seen.get(&tree.pieces) {
            return Ok(packs.clone());
        }
        let mut packs = self.content(tree)?;
        for entry in self.reader.entries(tree)? {
            match &entry.node {
                Node::Folder { tree } => packs.extend(self.folder(tree)?.iter()),
                Node::File { content, .. } => packs.extend(self.content(content)?),
                Node::Symlink { .. } => {}
            }
        }
        let packs = Arc::new(packs);
        self.seen.insert(tree.pieces.clone(), packs.clone());
        Ok(packs)
    }

    /// The packs of a content's pieces, those of its lists included.
    fn content(&mut self, content: &Content) -> Result<BTreeSet<PackId>, Lost> {
        let pieces = self.reader.all_pieces(content, &mut self.decoder)?;
        let pack = |id: &PieceId| match self.reader.index.locate(id) {
            Some(place) => Ok(place.listed.pack),
            None => Err(Lost::Unlisted),
        };
        pieces.iter().map(pack).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heads(number: u64) -> BTreeMap<PeerId, u64> {
        [(PeerId([1; 32]), number)].into()
    }

    fn needs(packs: Option<Arc<BTreeSet<PackId>>>) -> Arc<Needs> {
        Arc::new([(SnapshotId([2; 32]), packs)].into())
    }

    #[test]
    fn one_searches_and_what_is_found_holds_until_there_is_a_newer_head() {
        let found = Found::default();
        assert_eq!(found.look(&heads(1)), Err(true));
        assert_eq!(found.look(&heads(1)), Err(false), "somebody is at it");
        let all = needs(Some(Arc::default()));
        found.keep(heads(1), all.clone());
        assert_eq!(found.look(&heads(1)), Ok(all));
        assert_eq!(found.look(&heads(2)), Err(true));
    }

    #[test]
    fn what_could_not_be_read_is_looked_for_again() {
        let found = Found::default();
        found.keep(heads(1), needs(None));
        assert_eq!(found.look(&heads(1)), Err(true));
    }
}
