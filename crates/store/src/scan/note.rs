//! Writing down what a scan found, and recalling what the last one did.

use std::{io, sync::Arc};

use skep_wire::{
    Manifest, RelPath,
    manifest::{Entry, MAX_MANIFEST_BYTES, Node},
    outline::page_count,
    record::{Content, ContentKind},
};

use super::{
    ScanError,
    hash::{Blob, hash_chunks},
    walk::Found,
};
use crate::{
    hashing::Hashing,
    home::Home,
    inventory::{self, Item},
    outlines::{Object, OutlineError, Outlines, Slots},
    place::Place,
    source::{Source, SourceError, write_outline},
};

/// Finds in the last scan of `place` what did not change since. Returns it if nothing did.
pub(super) fn recall(home: &Arc<Home>, place: &Place, files: &mut [Found]) -> Option<Source> {
    let last = Source::open(home, place).ok()?;
    // What cannot be read any more is simply not known.
    let _ = recall_from(&last, files);
    files.iter().all(|file| file.blob.is_some()).then_some(last)
}

/// Both lists are ordered by path: one pass.
fn recall_from(last: &Source, files: &mut [Found]) -> Result<(), SourceError> {
    let mut items = (last.first_object()..).zip(last.items()?);
    let mut next = items.next();
    for file in files {
        while let Some((object, item)) = next.take() {
            let item = item?;
            if item.path < file.path {
                next = items.next();
                continue;
            }
            if item.path == file.path && item.stamp == file.stamp {
                file.blob = recall_blob(last, object, &item);
            }
            next = Some((object, Ok(item)));
            break;
        }
    }
    Ok(())
}

fn recall_blob(last: &Source, object: u32, item: &Item) -> Option<Blob> {
    let outline = match page_count(item.stamp.size) {
        0 => None,
        _ => Some(Box::new(last.outline(object).ok()??)),
    };
    Some(Blob { id: item.id, outline })
}

/// Notes a single file.
pub(super) fn keep_file(
    home: &Arc<Home>,
    place: &Place,
    files: Vec<Found>,
    last: Option<Source>,
) -> Result<Source, ScanError> {
    let known = files
        .iter()
        .find_map(|file| Some((file.blob.as_ref()?.id, file.stamp.size)));
    let (id, size) = known.expect("a file that is not skipped is known");
    let content = Content {
        id,
        size,
        kind: ContentKind::File,
    };
    keep(home, place, content, None, files, last)
}

/// Notes a folder, and makes its manifest.
pub(super) fn keep_folder(
    home: &Arc<Home>,
    place: &Place,
    files: Vec<Found>,
    empty: Vec<RelPath>,
    last: Option<Source>,
    hashing: &Hashing<'_>,
) -> Result<Source, ScanError> {
    let manifest = manifest(&files, empty)?.encode();
    if manifest.len() as u64 > MAX_MANIFEST_BYTES {
        return Err(ScanError::TooLarge);
    }
    let head = hash_manifest(&manifest, hashing)?;
    let content = Content {
        id: head.id,
        size: manifest.len() as u64,
        kind: ContentKind::Folder,
    };
    home.keep_manifest(head.id, &manifest).map_err(ScanError::Home)?;
    drop(manifest);
    keep(home, place, content, Some(&head), files, last)
}

fn manifest(files: &[Found], empty: Vec<RelPath>) -> Result<Manifest, ScanError> {
    let folders = empty.into_iter().map(|path| Entry {
        path,
        node: Node::Folder,
    });
    let files = files.iter().filter_map(|file| {
        let node = Node::File {
            size: file.stamp.size,
            id: file.blob.as_ref()?.id,
            executable: file.executable,
        };
        let path = file.path.clone()?;
        Some(Entry { path, node })
    });
    Manifest::new(files.chain(folders).collect()).map_err(|_| ScanError::TooLarge)
}

fn hash_manifest(bytes: &[u8], hashing: &Hashing<'_>) -> Result<Blob, ScanError> {
    let size = bytes.len() as u64;
    if page_count(size) == 0 {
        return Ok(Blob::small(bytes));
    }
    let copy = |offset: u64, out: &mut [u8]| -> Result<(), ScanError> {
        let from = usize::try_from(offset).expect("within the bytes");
        out.copy_from_slice(&bytes[from..from + out.len()]);
        Ok(())
    };
    let quiet = Hashing {
        progress: &|_| {},
        ..*hashing
    };
    let outline = hash_chunks(size, &quiet, copy)?;
    Ok(Blob {
        id: outline.root(),
        outline: Some(Box::new(outline)),
    })
}

/// Writes outlines and inventory, unless the last scan wrote the same.
fn keep(
    home: &Arc<Home>,
    place: &Place,
    content: Content,
    head: Option<&Blob>,
    files: Vec<Found>,
    last: Option<Source>,
) -> Result<Source, ScanError> {
    let sizes = head.map(|_| content.size).into_iter();
    let sizes = sizes.chain(files.iter().map(|file| file.stamp.size));
    let outlines = Outlines::new(home, content.id, Slots::new(sizes));
    if let Some(head) = head {
        keep_outline(&outlines, 0, content.size, head)?;
    }
    if let Some(last) = last.filter(|last| last.content() == content) {
        return Ok(last);
    }
    let mut items = Vec::with_capacity(files.len());
    for (number, file) in (u32::from(head.is_some())..).zip(files) {
        let blob = file.blob.expect("what is not known was removed");
        keep_outline(&outlines, number, file.stamp.size, &blob)?;
        items.push(Item {
            path: file.path,
            id: blob.id,
            stamp: file.stamp,
        });
    }
    home.note(place, content.id, |file| inventory::write(file, content, &items))
        .map_err(ScanError::Home)?;
    drop(items);
    Source::open(home, place).map_err(|e| ScanError::Home(io::Error::other(e)))
}

fn keep_outline(outlines: &Outlines, number: u32, size: u64, blob: &Blob) -> Result<(), ScanError> {
    let Some(outline) = &blob.outline else {
        return Ok(());
    };
    let object = Object {
        number,
        id: blob.id,
        size,
    };
    write_outline(outlines, &object, outline).map_err(home_error)
}

fn home_error(error: OutlineError) -> ScanError {
    match error {
        OutlineError::Io(e) => ScanError::Home(e),
        other => ScanError::Home(io::Error::other(other)),
    }
}
