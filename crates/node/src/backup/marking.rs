//! The first half of a prune: every piece that some snapshots need is marked.

use std::collections::HashSet;

use skep_vault::{Content, PieceId, index::Slot, piece::Decoder, tree::Node};

use super::{
    error::BackupError,
    meter::Meter,
    reader::{Lost, Reader},
};

/// Walks through folders, and reads no file.
struct Marker<'a> {
    reader: &'a Reader<'a>,
    meter: &'a Meter,
    decoder: Decoder,
    /// Folders that were walked through. By all their pieces: two folders may have some in common.
    folders: HashSet<Vec<PieceId>>,
    live: HashSet<Slot>,
}

/// The places of all pieces that these trees need. Blocks.
///
/// # Errors
/// When a folder cannot be read, or the index does not know a piece: then nobody knows what is needed.
pub(super) fn mark<'a>(
    reader: &Reader<'_>,
    roots: impl IntoIterator<Item = &'a Content>,
    meter: &Meter,
) -> Result<HashSet<Slot>, BackupError> {
    let mut marker = Marker {
        reader,
        meter,
        decoder: Decoder::new(),
        folders: HashSet::new(),
        live: HashSet::new(),
    };
    for root in roots {
        marker.folder(root)?;
    }
    Ok(marker.live)
}

impl Marker<'_> {
    fn folder(&mut self, tree: &Content) -> Result<(), BackupError> {
        if self.meter.is_stopped() {
            return Err(BackupError::Stopped);
        }
        if !self.folders.insert(tree.pieces.clone()) {
            return Ok(());
        }
        self.content(tree)?;
        for entry in self.reader.entries(tree)? {
            match &entry.node {
                Node::Folder { tree } => self.folder(tree)?,
                Node::File { content, .. } => self.content(content)?,
                Node::Symlink { .. } => {}
            }
        }
        Ok(())
    }

    fn content(&mut self, content: &Content) -> Result<(), Lost> {
        for id in self.reader.all_pieces(content, &mut self.decoder)? {
            self.live
                .insert(self.reader.index.slot(&id).ok_or(Lost::Unlisted)?);
        }
        Ok(())
    }
}
