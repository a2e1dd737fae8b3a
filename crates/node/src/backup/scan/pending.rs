//! A folder of which some entries are not known yet. Whoever finds the last one stores the folder's
//! tree, and with that tells the folder above.

use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use skep_vault::{
    Content, Kind,
    sealer::Hand,
    tree::{self, Entry, Meta, Name, Node},
};

use crate::backup::lock;

/// A folder that is being put together.
pub(super) struct Pending {
    /// Where its own entry belongs.
    above: Above,
    entries: Mutex<Vec<Option<Entry>>>,
    /// Entries that are not known yet.
    open: AtomicUsize,
}

/// What is above a folder.
pub(super) enum Above {
    /// Nothing: its tree is the snapshot's root.
    Root(Arc<OnceLock<Content>>),
    /// A folder, in which it has a name and a place.
    Folder {
        pending: Arc<Pending>,
        slot: usize,
        name: Name,
        meta: Meta,
    },
}

impl Above {
    /// The folder itself could not be read.
    pub(super) fn settle_nothing(self, hand: &mut Hand<'_>) {
        if let Self::Folder { pending, slot, .. } = self {
            pending.settle(slot, None, hand);
        }
    }
}

impl Pending {
    /// A folder of so many entries. One more place is settled, with nothing, when all others have somebody
    /// who looks after them: so a folder without entries gets its tree too.
    pub(super) fn new(above: Above, entries: usize) -> Arc<Self> {
        Arc::new(Self {
            above,
            entries: Mutex::new(vec![None; entries + 1]),
            open: AtomicUsize::new(entries + 1),
        })
    }

    /// Says what is at a place: an entry, or nothing that could be stored.
    pub(super) fn settle(self: Arc<Self>, slot: usize, entry: Option<Entry>, hand: &mut Hand<'_>) {
        let (mut pending, mut slot, mut entry) = (self, slot, entry);
        while let Some(entries) = pending.put(slot, entry) {
            let tree = store(&entries, hand);
            match &pending.above {
                Above::Root(root) => {
                    let _ = root.set(tree);
                    return;
                }
                Above::Folder {
                    pending: above,
                    slot: at,
                    name,
                    meta,
                } => {
                    let (name, meta) = (name.clone(), meta.clone());
                    let node = Node::Folder { tree };
                    (slot, entry) = (*at, Some(Entry { name, node, meta }));
                    pending = above.clone();
                }
            }
        }
    }

    /// All entries, if this was the last.
    fn put(&self, slot: usize, entry: Option<Entry>) -> Option<Vec<Option<Entry>>> {
        let mut entries = lock(&self.entries);
        entries[slot] = entry;
        (self.open.fetch_sub(1, Ordering::AcqRel) == 1).then(|| std::mem::take(&mut *entries))
    }
}

/// Stores the entries of a folder.
fn store(entries: &[Option<Entry>], hand: &mut Hand<'_>) -> Content {
    let mut bytes = Vec::new();
    for entry in entries.iter().flatten() {
        tree::encode(entry, &mut bytes).expect("entries are checked when they are made");
    }
    hand.content(Kind::Tree, &bytes)
        .expect("a folder in memory is no longer than three lists above each other hold")
}
