//! Manifests: what a collection (a shared folder) consists of.
//!
//! A manifest is itself a blob: a line that names the format, then postcard of the entries. Only
//! checked ones exist as values, so who walks one need not fear what it names. What lies in the
//! files is not here.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{id::BlobId, name::NameError, path::RelPath};

/// What every manifest of this version begins with.
pub const MAGIC: &[u8] = b"skep-manifest-1\n";
/// The most bytes of a manifest.
pub const MAX_MANIFEST_BYTES: u64 = 1 << 30;
/// The most entries of a manifest.
pub const MAX_ENTRIES: usize = 1 << 22;
/// The most bytes of all files together: what a file system's signed offsets can name.
pub const MAX_TOTAL_BYTES: u64 = i64::MAX.unsigned_abs();

/// Bytes of the shortest entry: a path of one byte and its length, and a folder's mark.
const MIN_ENTRY_BYTES: usize = 3;
/// Bytes of an entry besides its path, at most.
const MAX_NODE_BYTES: u64 = 2 + 1 + 10 + 32 + 1;

/// A folder: its entries, ordered by the bytes of their paths.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    entries: Vec<Entry>,
    /// Where the files are among the entries: object number n is the n-th, counted from 1.
    files: Vec<u32>,
}

/// One path of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Where it lies in the folder.
    pub path: RelPath,
    /// What it is.
    pub node: Node,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    /// A folder with nothing in it. Others are known by what lies in them.
    Folder,
    /// A file.
    File {
        /// Its bytes.
        size: u64,
        /// Their hash.
        id: BlobId,
        /// Whether its owner may execute it.
        executable: bool,
    },
}

/// A file of a manifest, with its object number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileEntry<'a> {
    /// The number by which requests name it: from 1, in the manifest's order.
    pub object: u32,
    /// Where it lies in the folder.
    pub path: &'a RelPath,
    /// Its bytes.
    pub size: u64,
    /// Their hash.
    pub id: BlobId,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// Why these are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// Not one at all, or of another version.
    #[error("this is not a manifest of version 1")]
    Magic,
    /// More bytes or entries than the limits allow.
    #[error("a manifest has at most {MAX_ENTRIES} entries and {MAX_MANIFEST_BYTES} bytes")]
    TooLarge,
    /// Something cannot be read.
    #[error("entry {entry} of the manifest cannot be read")]
    Malformed {
        /// Counted from 0.
        entry: usize,
    },
    /// A path that must not be written.
    #[error("entry {entry} of the manifest: {source}")]
    Path {
        /// Counted from 0.
        entry: usize,
        /// What is wrong with it.
        source: NameError,
    },
    /// A path that is there twice or out of order.
    #[error("the manifest names {path} twice or out of order")]
    Order {
        /// The later of the two.
        path: RelPath,
    },
    /// A file, or an empty folder, with something in it.
    #[error("the manifest has something inside {path}, which is no folder that could hold it")]
    Inside {
        /// The file or empty folder.
        path: RelPath,
    },
    /// The sizes add up to more than [`MAX_TOTAL_BYTES`].
    #[error("the files of the manifest are too large")]
    TotalTooLarge,
    /// Bytes after the last entry.
    #[error("the manifest is longer than its entries")]
    Trailing,
}

/// An entry as it stands in the bytes, its path not yet checked.
#[derive(Deserialize)]
struct RawEntry<'a> {
    path: &'a str,
    node: Node,
}

impl Manifest {
    /// Of these entries, in any order.
    ///
    /// # Errors
    /// [`ManifestError`] when they cannot stand in one manifest.
    pub fn new(mut entries: Vec<Entry>) -> Result<Self, ManifestError> {
        let bytes = |entry: &Entry| entry.path.as_str().len() as u64 + MAX_NODE_BYTES;
        if entries.iter().map(bytes).sum::<u64>() + (MAGIC.len() as u64) + 10 > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Self::checked(entries)
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError`] says what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge);
        }
        let body = bytes.strip_prefix(MAGIC).ok_or(ManifestError::Magic)?;
        let (count, mut rest) =
            postcard::take_from_bytes::<usize>(body).map_err(|_| ManifestError::Malformed { entry: 0 })?;
        if count > MAX_ENTRIES {
            return Err(ManifestError::TooLarge);
        }
        let mut entries = Vec::with_capacity(count.min(rest.len() / MIN_ENTRY_BYTES));
        for entry in 0..count {
            let (one, after) = take_entry(entry, rest)?;
            entries.push(one);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(ManifestError::Trailing);
        }
        Self::checked(entries)
    }

    /// The bytes: what the collection's id is the hash of.
    ///
    /// # Panics
    /// Never: entries encode.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_extend(&self.entries, MAGIC.to_vec()).expect("entries encode")
    }

    /// All entries, ordered by path.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The files with their object numbers, in order.
    pub fn files(&self) -> impl Iterator<Item = FileEntry<'_>> {
        (1..)
            .zip(&self.files)
            .filter_map(|(object, at)| self.file_at(object, *at))
    }

    /// How many files there are: the highest object number.
    #[must_use]
    pub fn file_count(&self) -> usize {
        self.files.len()
    }

    /// The file with this object number; none for 0, which is the manifest itself, and beyond the last.
    #[must_use]
    pub fn file(&self, object: u32) -> Option<FileEntry<'_>> {
        let at = self.files.get(object.checked_sub(1)? as usize)?;
        self.file_at(object, *at)
    }

    /// Where `path` stands among the entries, if it does.
    #[must_use]
    pub fn find(&self, path: &RelPath) -> Option<usize> {
        self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()
    }

    /// Bytes of all files.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.files().map(|file| file.size).sum()
    }

    fn file_at(&self, object: u32, at: u32) -> Option<FileEntry<'_>> {
        let entry = self.entries.get(at as usize)?;
        match entry.node {
            Node::Folder => None,
            Node::File { size, id, executable } => Some(FileEntry {
                object,
                path: &entry.path,
                size,
                id,
                executable,
            }),
        }
    }

    /// The one door: every manifest has passed here.
    fn checked(entries: Vec<Entry>) -> Result<Self, ManifestError> {
        if entries.len() > MAX_ENTRIES {
            return Err(ManifestError::TooLarge);
        }
        check_order(&entries)?;
        check_nesting(&entries)?;
        check_total(&entries)?;
        let files = (0..)
            .zip(&entries)
            .filter(|(_, entry)| entry.node != Node::Folder);
        let files = files.map(|(at, _)| at).collect();
        Ok(Self { entries, files })
    }
}

fn take_entry(entry: usize, bytes: &[u8]) -> Result<(Entry, &[u8]), ManifestError> {
    let (raw, rest) =
        postcard::take_from_bytes::<RawEntry<'_>>(bytes).map_err(|_| ManifestError::Malformed { entry })?;
    let path = RelPath::parse(raw.path).map_err(|source| ManifestError::Path { entry, source })?;
    let node = raw.node;
    Ok((Entry { path, node }, rest))
}

fn check_order(entries: &[Entry]) -> Result<(), ManifestError> {
    match entries
        .windows(2)
        .find(|pair| matches!(pair, [a, b] if a.path >= b.path))
    {
        Some([_, later]) => Err(ManifestError::Order {
            path: later.path.clone(),
        }),
        _ => Ok(()),
    }
}

/// No entry lies inside another. What begins with an entry's path follows it directly, but not
/// all of that lies inside: `a`, `a-b`, `a/c`. So the check jumps to where `a/` would stand.
fn check_nesting(entries: &[Entry]) -> Result<(), ManifestError> {
    let mut inside = String::new();
    let mut rest = entries;
    while let [entry, after @ ..] = rest {
        rest = after;
        let path = entry.path.as_str();
        if !after
            .first()
            .is_some_and(|next| next.path.as_str().starts_with(path))
        {
            continue;
        }
        inside.clear();
        inside.push_str(path);
        inside.push('/');
        let at = after.partition_point(|other| other.path.as_str() < inside.as_str());
        if after
            .get(at)
            .is_some_and(|other| other.path.as_str().starts_with(&inside))
        {
            return Err(ManifestError::Inside {
                path: entry.path.clone(),
            });
        }
    }
    Ok(())
}

fn check_total(entries: &[Entry]) -> Result<(), ManifestError> {
    let total = entries.iter().try_fold(0u64, |sum, entry| match entry.node {
        Node::Folder => Some(sum),
        Node::File { size, .. } => sum.checked_add(size),
    });
    match total {
        Some(total) if total <= MAX_TOTAL_BYTES => Ok(()),
        _ => Err(ManifestError::TotalTooLarge),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(path: &str, size: u64) -> Entry {
        let id = BlobId([7; 32]);
        let executable = size % 2 == 1;
        entry(path, Node::File { size, id, executable })
    }

    fn entry(path: &str, node: Node) -> Entry {
        let path = RelPath::parse(path).unwrap();
        Entry { path, node }
    }

    /// The bytes of a manifest that nobody checked.
    fn forged(paths: &[&str]) -> Vec<u8> {
        let entries: Vec<(&str, Node)> = paths.iter().map(|path| (*path, Node::Folder)).collect();
        postcard::to_extend(&entries, MAGIC.to_vec()).unwrap()
    }

    #[test]
    fn entries_are_sorted_and_files_counted_from_one() {
        let entries = vec![
            file("b", 5),
            entry("c", Node::Folder),
            file("d/e", 0),
            file("a", 1),
        ];
        let manifest = Manifest::new(entries).unwrap();
        let files: Vec<_> = manifest
            .files()
            .map(|f| (f.object, f.path.as_str(), f.size))
            .collect();
        assert_eq!(files, [(1, "a", 1), (2, "b", 5), (3, "d/e", 0)]);
        assert_eq!(manifest.file(2), manifest.files().nth(1));
        assert_eq!((manifest.file(0), manifest.file(4)), (None, None));
        assert_eq!((manifest.file_count(), manifest.total_bytes()), (3, 6));
        assert_eq!(manifest.find(&"c".parse().unwrap()), Some(2));
        assert_eq!(manifest.find(&"d".parse().unwrap()), None);
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn an_empty_folder_has_a_manifest() {
        let manifest = Manifest::default();
        assert_eq!(manifest.encode(), [MAGIC, &[0]].concat());
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
    }

    #[test]
    fn nothing_lies_inside_a_file_or_an_empty_folder() {
        for (outer, inner) in [("a", "a/b"), ("a", "a/b/c"), ("x/y", "x/y/z")] {
            let between = format!("{outer}-b");
            for node in [Node::Folder, file("f", 1).node] {
                let entries = vec![entry(outer, node), file(&between, 1), file(inner, 1)];
                let path = RelPath::parse(outer).unwrap();
                assert_eq!(
                    Manifest::new(entries),
                    Err(ManifestError::Inside { path }),
                    "{inner}"
                );
            }
        }
        assert!(
            Manifest::new(vec![
                file("a", 1),
                file("ab/c", 1),
                file("a-b", 1),
                file("a.c", 1)
            ])
            .is_ok()
        );
    }

    #[test]
    fn a_path_stands_there_once_and_in_order() {
        let twice = Manifest::new(vec![file("a", 1), file("b", 1), file("a", 2)]);
        let path: RelPath = "a".parse().unwrap();
        assert_eq!(twice, Err(ManifestError::Order { path: path.clone() }));
        assert_eq!(
            Manifest::decode(&forged(&["b", "a"])),
            Err(ManifestError::Order { path })
        );
    }

    #[test]
    fn hostile_names_are_refused_and_named() {
        for path in crate::hostile::paths() {
            let refused = Manifest::decode(&forged(&["!", &path]));
            assert!(
                matches!(refused, Err(ManifestError::Path { entry: 1, .. })),
                "{path:.80?}"
            );
        }
    }

    #[test]
    fn what_is_no_manifest() {
        let good = Manifest::new(vec![file("a", 1)]).unwrap().encode();
        for short in 0..MAGIC.len() {
            assert_eq!(Manifest::decode(&good[..short]), Err(ManifestError::Magic));
        }
        for short in MAGIC.len()..good.len() {
            let refused = Manifest::decode(&good[..short]);
            assert_eq!(refused, Err(ManifestError::Malformed { entry: 0 }), "{short}");
        }
        let long = [&good[..], b"!"].concat();
        assert_eq!(Manifest::decode(&long), Err(ManifestError::Trailing));
    }

    #[test]
    fn counts_and_sizes_that_are_too_large() {
        let counting = |count: u64| postcard::to_extend(&count, MAGIC.to_vec()).unwrap();
        let most = MAX_ENTRIES as u64;
        assert_eq!(
            Manifest::decode(&counting(most + 1)),
            Err(ManifestError::TooLarge)
        );
        for count in [most, 1] {
            let refused = Manifest::decode(&counting(count));
            assert_eq!(refused, Err(ManifestError::Malformed { entry: 0 }));
        }
        for sizes in [[MAX_TOTAL_BYTES, 1], [u64::MAX, u64::MAX]] {
            let entries = vec![file("a", sizes[0]), file("b", sizes[1])];
            assert_eq!(Manifest::new(entries), Err(ManifestError::TotalTooLarge));
        }
        assert!(Manifest::new(vec![file("a", MAX_TOTAL_BYTES), file("b", 0)]).is_ok());
    }

    fn any_node() -> impl Strategy<Value = Node> {
        let file = |(size, id, executable)| Node::File {
            size,
            id: BlobId(id),
            executable,
        };
        prop_oneof![
            1 => Just(Node::Folder),
            5 => (0..1u64 << 40, any::<[u8; 32]>(), any::<bool>()).prop_map(file),
        ]
    }

    proptest! {
        #[test]
        fn round_trip(nodes in prop::collection::btree_map("[a-d]{1,2}(/[a-d.]{0,2}[a-d]){0,3}", any_node(), 0..20)) {
            let entries = nodes.into_iter().map(|(path, node)| entry(&path, node)).collect();
            if let Ok(manifest) = Manifest::new(entries) {
                prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
            }
        }

        #[test]
        fn inside_agrees_with_a_naive_search(paths in prop::collection::btree_set("[ab-]{1,2}(/[ab]){0,3}", 0..12)) {
            let nested = paths.iter().any(|a| paths.iter().any(|b| b.starts_with(&format!("{a}/"))));
            let entries = paths.iter().map(|path| file(path, 1)).collect();
            prop_assert_eq!(Manifest::new(entries).is_err(), nested);
        }
    }
}
