//! `check`: whether every piece of every snapshot is where the index says, and, if wanted, whether it can be
//! read.

use std::collections::BTreeSet;

use skep_vault::{
    Content, PieceId, SnapshotId,
    piece::Decoder,
    tree::{Entry, Node},
};
use skep_wire::message::HealthIs;

use super::{
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

/// One check.
struct Check<'a> {
    reader: &'a Reader<'a>,
    read_data: bool,
    meter: &'a Meter,
    decoder: Decoder,
    /// Pieces that were looked at, so that what several files have is read once.
    seen: BTreeSet<PieceId>,
    found: Found,
}

/// Walks through all snapshots. Folders are read always, files only with `read_data`. Blocks.
pub(super) fn read(
    reader: &Reader<'_>,
    roots: &[(SnapshotId, Content)],
    read_data: bool,
    meter: &Meter,
) -> Found {
    let mut check = Check {
        reader,
        read_data,
        meter,
        decoder: Decoder::new(),
        seen: BTreeSet::new(),
        found: Found::default(),
    };
    for (id, root) in roots {
        let name = id.to_string();
        let (short, _) = name.split_at(8);
        check.folder(root, &format!("{short}:"));
    }
    check.found
}

impl Check<'_> {
    fn folder(&mut self, tree: &Content, path: &str) {
        // A folder that was in an earlier snapshot too was looked through there.
        let is_known = !tree.pieces.is_empty() && tree.pieces.iter().all(|id| self.seen.contains(id));
        if is_known || self.meter.is_stopped() {
            return;
        }
        match self.reader.entries(tree) {
            Ok(entries) => entries.iter().for_each(|entry| self.entry(entry, path)),
            Err(lost) => return self.fail(path, &lost),
        }
        self.seen.extend(&tree.pieces);
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
        for id in self.reader.pieces(content)? {
            if !self.seen.insert(id) {
                continue;
            }
            let place = self.reader.index.locate(&id).ok_or(Lost::Unlisted)?;
            let len = u64::from(place.entry.len);
            if self.read_data && !self.meter.is_stopped() {
                let read = self.reader.piece(&id, &mut self.decoder);
                if let Err(lost) = read {
                    // The next file with it is named too.
                    self.seen.remove(&id);
                    return Err(lost);
                }
                self.found.bytes += len;
            }
            self.meter.add(len);
        }
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
pub(super) fn report(snapshots: usize, packs: usize, found: Found, health: Option<HealthIs>) -> CheckDone {
    let mut failed = found.failed;
    let lost = health.iter().flat_map(|is| &is.lost);
    failed.extend(lost.map(|pack| Skipped {
        path: format!("pack {pack}"),
        reason: "too few of its shards are left".to_owned(),
    }));
    CheckDone {
        snapshots,
        packs,
        bytes: found.bytes,
        survives: health.as_ref().map_or(0, |is| is.survives),
        reachable: health.map_or(0, |is| is.reachable),
        failed,
    }
}
