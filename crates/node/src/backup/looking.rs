//! Into snapshots: what is in one, what differs between two, the bytes of a file.

use std::path::{Path, PathBuf};

use skep_vault::{
    Content,
    piece::Decoder,
    tree::{Entry, Node},
};

use super::{
    error::BackupError,
    reader::{Lost, Reader},
    restoring,
};
use crate::api::types::{Difference, EntryLine};

/// The most rows of an answer.
const MAX_ROWS: usize = 1_000_000;

/// What is in a snapshot, or in a folder of it, with everything below.
pub(super) fn list(reader: &Reader<'_>, root: &Content, path: &Path) -> Result<Vec<EntryLine>, BackupError> {
    let mut lines = Vec::new();
    match entry_at(reader, root, path)? {
        None => below(reader, root, "", &mut lines)?,
        Some(entry) => {
            let shown = format!("/{}", path.display().to_string().trim_matches('/'));
            lines.push(line(&entry, shown.clone()));
            if let Node::Folder { tree } = &entry.node {
                below(reader, tree, &shown, &mut lines)?;
            }
        }
    }
    Ok(lines)
}

fn below(
    reader: &Reader<'_>,
    tree: &Content,
    path: &str,
    lines: &mut Vec<EntryLine>,
) -> Result<(), BackupError> {
    for entry in reader.entries(tree)? {
        let path = format!("{path}/{}", entry.name);
        if lines.len() >= MAX_ROWS {
            return Err(BackupError::NotInSnapshot(PathBuf::from(path)));
        }
        lines.push(line(&entry, path.clone()));
        if let Node::Folder { tree } = &entry.node {
            below(reader, tree, &path, lines)?;
        }
    }
    Ok(())
}

fn line(entry: &Entry, path: String) -> EntryLine {
    EntryLine {
        path,
        kind: kind(entry).to_owned(),
        bytes: entry.size(),
        mode: entry.meta.mode,
        modified: entry.meta.modified.unix_s,
    }
}

fn kind(entry: &Entry) -> &'static str {
    match entry.node {
        Node::File { .. } => "file",
        Node::Folder { .. } => "folder",
        Node::Symlink { .. } => "symlink",
    }
}

/// What is other in `new` than in `old`. Folders that are the same are not read.
pub(super) fn differ(
    reader: &Reader<'_>,
    old: &Content,
    new: &Content,
) -> Result<Vec<Difference>, BackupError> {
    let mut rows = Vec::new();
    folders(reader, Some(old), Some(new), "", &mut rows)?;
    Ok(rows)
}

fn folders(
    reader: &Reader<'_>,
    old: Option<&Content>,
    new: Option<&Content>,
    path: &str,
    rows: &mut Vec<Difference>,
) -> Result<(), BackupError> {
    if old == new {
        return Ok(());
    }
    let read = |tree: Option<&Content>| tree.map_or(Ok(Vec::new()), |tree| reader.entries(tree));
    let (old, new) = (read(old)?, read(new)?);
    let (mut old, mut new) = (old.into_iter().peekable(), new.into_iter().peekable());
    loop {
        let (before, after) = match (old.peek(), new.peek()) {
            (None, None) => return Ok(()),
            (Some(a), Some(b)) if a.name == b.name => (old.next(), new.next()),
            (Some(a), Some(b)) if a.name < b.name => (old.next(), None),
            (Some(_), None) => (old.next(), None),
            _ => (None, new.next()),
        };
        entries(reader, before.as_ref(), after.as_ref(), path, rows)?;
    }
}

fn entries(
    reader: &Reader<'_>,
    before: Option<&Entry>,
    after: Option<&Entry>,
    path: &str,
    rows: &mut Vec<Difference>,
) -> Result<(), BackupError> {
    let Some(either) = after.or(before) else {
        return Ok(());
    };
    let path = format!("{path}/{}", either.name);
    let change = match (before, after) {
        (None, _) => Some("added"),
        (_, None) => Some("removed"),
        (Some(before), Some(after)) => changed(before, after).then_some("changed"),
    };
    if let Some(change) = change {
        rows.push(Difference {
            path: path.clone(),
            change: change.to_owned(),
            before: before.map_or(0, Entry::size),
            after: after.map_or(0, Entry::size),
        });
    }
    folders(reader, before.and_then(tree), after.and_then(tree), &path, rows)
}

/// Whether something else is there than before; times and modes of folders are not told.
fn changed(before: &Entry, after: &Entry) -> bool {
    match (&before.node, &after.node) {
        (Node::Folder { .. }, Node::Folder { .. }) => false,
        (a, b) => a != b || before.meta.mode != after.meta.mode,
    }
}

fn tree(entry: &Entry) -> Option<&Content> {
    match &entry.node {
        Node::Folder { tree } => Some(tree),
        _ => None,
    }
}

/// Hands the bytes of a file to `each`, holes as zeros, as long as that says yes.
pub(super) fn cat(
    reader: &Reader<'_>,
    root: &Content,
    path: &Path,
    mut each: impl FnMut(Vec<u8>) -> bool,
) -> Result<(), BackupError> {
    let entry = entry_at(reader, root, path)?;
    let no_file = || BackupError::NoFile(path.to_owned());
    let entry = entry.ok_or_else(no_file)?;
    let Node::File { content, holes } = &entry.node else {
        return Err(no_file());
    };
    let mut segments = restoring::Segments::new(holes, entry.size());
    let mut at = 0;
    let sent = reader.content(content, &mut Decoder::new(), |plain| {
        let mut plain = plain;
        while !plain.is_empty() {
            let Some((start, len)) = segments.take(plain.len()) else {
                return Err(Ended::Lost(Lost::Content(
                    skep_vault::content::ContentError::Malformed,
                )));
            };
            let (now, later) = plain.split_at(len);
            if !zeros(start - at, &mut each) || !each(now.to_vec()) {
                return Err(Ended::Unwanted);
            }
            at = start + len as u64;
            plain = later;
        }
        Ok(())
    });
    match sent {
        Ok(()) => {
            zeros(entry.size() - at, &mut each);
            Ok(())
        }
        Err(Ended::Unwanted) => Ok(()),
        Err(Ended::Lost(lost)) => Err(lost.into()),
    }
}

/// Why the bytes of a file end before their end.
enum Ended {
    Unwanted,
    Lost(Lost),
}

impl From<Lost> for Ended {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

fn zeros(mut count: u64, each: &mut impl FnMut(Vec<u8>) -> bool) -> bool {
    while count > 0 {
        let now = count.min(1 << 20);
        if !each(vec![0; usize::try_from(now).unwrap_or(1 << 20)]) {
            return false;
        }
        count -= now;
    }
    true
}

/// What lies at a path of a snapshot; none: its root.
fn entry_at(reader: &Reader<'_>, root: &Content, path: &Path) -> Result<Option<Entry>, BackupError> {
    let not_there = || BackupError::NotInSnapshot(path.to_owned());
    let names = restoring::parse_path(path).map_err(|_| not_there())?;
    let mut found: Option<Entry> = None;
    for name in names {
        let tree = match &found {
            None => root,
            Some(Entry {
                node: Node::Folder { tree },
                ..
            }) => tree,
            Some(_) => return Err(not_there()),
        };
        let entries = reader.entries(tree)?;
        let entry = entries.into_iter().find(|entry| entry.name == name);
        found = Some(entry.ok_or_else(not_there)?);
    }
    Ok(found)
}
