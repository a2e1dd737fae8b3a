//! What is there already: held against the snapshot by the names of its pieces, without fetching any.

use std::io;

use skep_vault::{
    Kind as PieceKind,
    piece::Decoder,
    tree::{Entry, Node},
};
use skep_world::raw::{File, Folder, Kind};

use super::{Run, file::Segments};

/// What has the name of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// Nothing.
    Nothing,
    /// The file, as the snapshot has it.
    Same,
    /// Something that can be replaced.
    Other,
    /// A folder, which is never replaced.
    Folder,
}

/// What has the name of the file `entry`.
pub(super) fn compare(folder: &dyn Folder, entry: &Entry, run: &Run<'_>, decoder: &mut Decoder) -> There {
    let name = entry.name.as_bytes();
    match folder.find(name) {
        Ok(None) => There::Nothing,
        Ok(Some(stat)) if stat.kind == Kind::Dir => There::Folder,
        Ok(Some(stat)) if stat.kind == Kind::File && stat.size == entry.size() => {
            let same = folder
                .file(name)
                .and_then(|file| is_same(&*file, entry, run, decoder));
            match same {
                Ok(true) => There::Same,
                _ => There::Other,
            }
        }
        _ => There::Other,
    }
}

/// Whether the file has the content and attributes of the entry.
fn is_same(file: &dyn File, entry: &Entry, run: &Run<'_>, decoder: &mut Decoder) -> io::Result<bool> {
    let Node::File { content, holes } = &entry.node else {
        return Ok(false);
    };
    let (attributes, _) = run.attributes(entry);
    let stat = file.stat()?;
    if stat.modified != attributes.modified || stat.mode != attributes.mode {
        return Ok(false);
    }
    let Ok(pieces) = run.reader.pieces(content, decoder) else {
        return Ok(false);
    };
    let mut segments = Segments::new(holes, entry.size());
    for id in pieces {
        let Some(place) = run.reader.index.locate(&id) else {
            return Ok(false);
        };
        let plain = read(file, &mut segments, place.entry.len as usize)?;
        if run.reader.namer().name(PieceKind::Data, &plain) != id {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The next `len` bytes of a file's data; fewer at the end.
fn read(file: &dyn File, segments: &mut Segments, len: usize) -> io::Result<Vec<u8>> {
    let mut plain = vec![0; len];
    let mut done = 0;
    while done < len {
        let Some((at, part)) = segments.take(len - done) else {
            break;
        };
        let got = file.read_at(at, &mut plain[done..done + part])?;
        done += got;
        if got < part {
            break;
        }
    }
    plain.truncate(done);
    Ok(plain)
}
