//! `check`: whether every piece of every snapshot is where the index says, and, if wanted, whether it can be
//! read. What is lost is named for each snapshot and file. Holders are looked after by [`super::mending`].

use std::collections::{BTreeSet, HashSet};

use skep_vault::{
    Content, PieceId, SnapshotId,
    piece::Decoder,
    tree::{Entry, Node},
};
use skep_wire::{PackId, message::HealthIs};

use super::{
    mending::Mended,
    meter::Meter,
    reader::{Lost, Reader},
};
use crate::api::types::{CheckDone, Skipped};

/// What was found by reading.
#[derive(Debug, Default)]
pub(super) struct Found {
    bytes: u64,
    failed: Vec<Skipped>,
}

/// What to look at, and how.
pub(super) struct Wanted {
    pub(super) roots: Vec<(SnapshotId, Content)>,
    pub(super) read_data: bool,
    /// Packs of which too few shards are left.
    pub(super) lost: BTreeSet<PackId>,
}

/// One check.
struct Check<'a> {
    reader: &'a Reader<'a>,
    wanted: &'a Wanted,
    meter: &'a Meter,
    decoder: Decoder,
    /// Folders that are whole, with everything in them, by all their pieces.
    whole: HashSet<Vec<PieceId>>,
    /// Pieces that are there, so that what several files have is read once.
    seen: BTreeSet<PieceId>,
    found: Found,
}

/// Walks through all snapshots. Folders are read always, files only if that is wanted. Blocks.
pub(super) fn read(reader: &Reader<'_>, wanted: &Wanted, meter: &Meter) -> Found {
    let mut check = Check {
        reader,
        wanted,
        meter,
        decoder: Decoder::new(),
        whole: HashSet::new(),
        seen: BTreeSet::new(),
        found: Found::default(),
    };
    for (id, root) in &wanted.roots {
        let name = id.to_string();
        let (short, _) = name.split_at(8);
        check.folder(root, &format!("{short}:"));
    }
    check.found
}

impl Check<'_> {
    fn folder(&mut self, tree: &Content, path: &str) {
        // What was whole in an earlier snapshot is so in this; what is lost is named in both.
        if self.whole.contains(&tree.pieces) || self.meter.is_stopped() {
            return;
        }
        let before = self.found.failed.len();
        match self.reader.entries(tree) {
            Ok(entries) => entries.iter().for_each(|entry| self.entry(entry, path)),
            Err(lost) => return self.fail(path, &lost),
        }
        if self.found.failed.len() == before {
            self.whole.insert(tree.pieces.clone());
        }
        self.found.bytes += tree.size;
        self.meter.add(tree.size);
    }

    fn entry(&mut self, entry: &Entry, path: &str) {
        let path = format!("{path}/{}", entry.name);
        match &entry.node {
            Node::Folder { tree } => self.folder(tree, &path),
            Node::File { content, .. } => {
                if let Err(lost) = self.file(content) {
                    self.fail(&path, &lost);
                }
            }
            Node::Symlink { .. } => {}
        }
    }

    fn file(&mut self, content: &Content) -> Result<(), Lost> {
        for id in self.reader.pieces(content, &mut self.decoder)? {
            if !self.seen.contains(&id) {
                self.piece(&id)?;
                self.seen.insert(id);
            }
        }
        Ok(())
    }

    fn piece(&mut self, id: &PieceId) -> Result<(), Lost> {
        let place = self.reader.index.locate(id).ok_or(Lost::Unlisted)?;
        let (pack, len) = (place.listed.pack, u64::from(place.entry.len));
        if self.wanted.lost.contains(&pack) {
            let text = format!("too few shards of pack {} are left", pack.short());
            return Err(Lost::Unreadable(text));
        }
        if self.wanted.read_data && !self.meter.is_stopped() {
            self.reader.piece(id, &mut self.decoder)?;
            self.found.bytes += len;
        }
        self.meter.add(len);
        Ok(())
    }

    fn fail(&mut self, path: &str, lost: &Lost) {
        self.found.failed.push(Skipped {
            path: path.to_owned(),
            reason: lost.to_string(),
        });
    }
}

/// All that is known, together.
pub(super) fn report(
    (wanted, packs): (&Wanted, usize),
    found: Found,
    mended: Mended,
    health: Option<HealthIs>,
) -> CheckDone {
    let mut failed = found.failed;
    failed.extend(wanted.lost.iter().map(|pack| Skipped {
        path: format!("pack {pack}"),
        reason: "too few of its shards are left".to_owned(),
    }));
    CheckDone {
        snapshots: wanted.roots.len(),
        packs,
        bytes: found.bytes,
        survives: health.as_ref().map_or(0, |is| is.survives),
        reachable: health.map_or(0, |is| is.reachable),
        failed,
        damaged: mended.shards,
        papers: mended.papers,
    }
}
