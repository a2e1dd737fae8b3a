//! A part of a folder: which bytes of the whole's chunks it consists of.
//!
//! A part is a content of its own, a file or a folder with a manifest made here, whose chunks are
//! numbered anew. It is read from holders of the whole, whose numbering is another. No I/O.

use roaring::RoaringTreemap;
use skep_wire::{
    BlobId, CHUNK_BYTES, Layout, Manifest, RelPath, UNIT_BYTES,
    layout::Extent,
    manifest::{Entry, Node},
    record::{Content, ContentKind},
};

/// A part, and how it lies in the whole.
pub(crate) struct Part {
    /// What it is by itself.
    pub(crate) content: Content,
    /// Its manifest's bytes, if it is a folder: nobody else has them.
    pub(crate) manifest: Option<Vec<u8>>,
    layout: Layout,
    whole: Layout,
    /// Object numbers in the whole, by object number in the part.
    objects: Vec<u32>,
}

/// Bytes to read from one chunk of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// The chunk's number in the whole.
    pub(crate) chunk: u64,
    /// Where in the chunk.
    pub(crate) offset: u32,
    /// How many bytes.
    pub(crate) len: u32,
}

impl Stretch {
    /// The first unit and the number of units that cover it, and where in them it begins.
    pub(crate) fn units(&self) -> (u16, u16, usize) {
        let unit = u32::try_from(UNIT_BYTES).expect("16 KiB");
        let first = self.offset / unit;
        let end = (self.offset + self.len).div_ceil(unit);
        let number = |n: u32| u16::try_from(n).expect("a chunk has 64 units");
        (
            number(first),
            number(end - first),
            (self.offset - first * unit) as usize,
        )
    }
}

impl Part {
    /// What lies at `path` in the folder; none if nothing does.
    pub(crate) fn of(manifest: &Manifest, manifest_bytes: u64, path: &RelPath) -> Option<Self> {
        let whole = Layout::collection(manifest_bytes, manifest);
        let file = manifest.files().find(|file| file.path == path);
        match file {
            Some(file) => {
                let content = Content {
                    id: file.id,
                    size: file.size,
                    kind: ContentKind::File,
                };
                let layout = Layout::blob(file.size);
                let objects = vec![file.object];
                Some(Self {
                    content,
                    manifest: None,
                    layout,
                    whole,
                    objects,
                })
            }
            None => Self::folder(manifest, whole, path),
        }
    }

    fn folder(manifest: &Manifest, whole: Layout, path: &RelPath) -> Option<Self> {
        let mut entries = Vec::new();
        let mut objects = vec![0];
        let mut is_there = false;
        let mut files = manifest.files().map(|file| file.object);
        for entry in manifest.entries() {
            let object = matches!(entry.node, Node::File { .. })
                .then(|| files.next())
                .flatten();
            is_there |= entry.path == *path;
            let below = entry
                .path
                .as_str()
                .strip_prefix(path.as_str())
                .and_then(|p| p.strip_prefix('/'));
            let Some(Ok(below)) = below.map(RelPath::parse) else {
                continue;
            };
            entries.push(Entry {
                path: below,
                node: entry.node.clone(),
            });
            objects.extend(object);
        }
        if entries.is_empty() && !is_there {
            return None;
        }
        let manifest = Manifest::new(entries).ok()?;
        let encoded = manifest.encode();
        let size = encoded.len() as u64;
        let id = BlobId(*blake3::hash(&encoded).as_bytes());
        let layout = Layout::collection(size, &manifest);
        let content = Content {
            id,
            size,
            kind: ContentKind::Folder,
        };
        Some(Self {
            content,
            manifest: Some(encoded),
            layout,
            whole,
            objects,
        })
    }

    /// The object's number in the whole.
    pub(crate) fn object(&self, object: u32) -> Option<u32> {
        self.objects.get(object as usize).copied()
    }

    /// The chunk of the whole that is the same as this one, unless it lies in a run.
    pub(crate) fn piece(&self, chunk: u64) -> Option<u64> {
        let [stretch] = self.stretches(chunk)[..] else {
            return None;
        };
        let extent = self.whole.extent(stretch.chunk)?;
        matches!(extent, Extent::Piece { .. }).then_some(stretch.chunk)
    }

    /// The chunks of the part that somebody has who has these of the whole.
    pub(crate) fn chunks_of(&self, whole: &RoaringTreemap) -> RoaringTreemap {
        let has = |chunk: &u64| self.stretches(*chunk).iter().all(|s| whole.contains(s.chunk));
        (0..self.layout.chunks()).filter(has).collect()
    }

    /// What a chunk of the part consists of, in order.
    pub(crate) fn stretches(&self, chunk: u64) -> Vec<Stretch> {
        let mut all: Vec<Stretch> = Vec::new();
        let objects = match self.layout.extent(chunk) {
            Some(Extent::Piece { object, index, len }) => vec![(object, index, len)],
            Some(Extent::Run { objects }) => objects
                .into_iter()
                .map(|(object, len)| (object, 0, len))
                .collect(),
            None => Vec::new(),
        };
        for (object, index, len) in objects {
            let Some(next) = self.find(object, index, len) else {
                return Vec::new();
            };
            match all.last_mut() {
                Some(last) if last.chunk == next.chunk && last.offset + last.len == next.offset => {
                    last.len += next.len;
                }
                _ => all.push(next),
            }
        }
        all.retain(|stretch| stretch.len > 0);
        all
    }

    fn find(&self, object: u32, index: u64, len: u32) -> Option<Stretch> {
        let object = self.object(object)?;
        let chunks = self.whole.object_chunks(object);
        let chunk = chunks.start + index;
        match self.whole.extent(chunk) {
            Some(Extent::Run { objects }) => {
                let before = objects.iter().take_while(|(other, _)| *other != object);
                let offset = before.map(|(_, len)| len).sum();
                Some(Stretch { chunk, offset, len })
            }
            _ => Some(Stretch {
                chunk,
                offset: 0,
                len,
            }),
        }
    }
}

const _: () = assert!(CHUNK_BYTES <= u32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn manifest() -> Manifest {
        let file = |path: &str, size: u64| Entry {
            path: RelPath::parse(path).unwrap(),
            node: Node::File {
                size,
                id: BlobId([u8::try_from(size % 251).unwrap(); 32]),
                executable: false,
            },
        };
        let empty = Entry {
            path: RelPath::parse("z/empty").unwrap(),
            node: Node::Folder,
        };
        Manifest::new(vec![
            file("a", 10),
            file("d/big", 2 * MIB + 5),
            file("d/none", 0),
            file("d/x", 20),
            file("d/y", 30),
            file("e", 40),
            empty,
        ])
        .unwrap()
    }

    fn part(path: &str) -> Option<Part> {
        Part::of(&manifest(), 500, &RelPath::parse(path).unwrap())
    }

    #[test]
    fn a_small_file_is_a_stretch_of_a_run() {
        let part = part("d/y").unwrap();
        assert_eq!(part.content.size, 30);
        // The run is a, d/x, d/y, e; it comes after the manifest's chunk.
        assert_eq!(
            part.stretches(0),
            [Stretch {
                chunk: 1,
                offset: 30,
                len: 30
            }]
        );
        assert_eq!(part.stretches(1), []);
    }

    #[test]
    fn a_large_file_is_its_own_chunks() {
        let part = part("d/big").unwrap();
        assert_eq!(
            part.stretches(0),
            [Stretch {
                chunk: 2,
                offset: 0,
                len: 1 << 20
            }]
        );
        assert_eq!(
            part.stretches(2),
            [Stretch {
                chunk: 4,
                offset: 0,
                len: 5
            }]
        );
        assert_eq!(part.object(0), Some(2));
    }

    #[test]
    fn a_folder_has_a_manifest_of_its_own_and_its_neighbours_in_one_stretch() {
        let part = part("d").unwrap();
        assert_eq!(part.layout.total_bytes(), part.content.size + 2 * MIB + 55);
        assert!(part.manifest.is_some());
        assert_eq!(
            part.stretches(1),
            [Stretch {
                chunk: 1,
                offset: 10,
                len: 50
            }]
        );
        assert_eq!(
            part.stretches(2),
            [Stretch {
                chunk: 2,
                offset: 0,
                len: 1 << 20
            }]
        );
        assert_eq!(part.object(1), Some(2));
    }

    #[test]
    fn empty_files_and_folders_are_parts_and_nothing_is_none() {
        assert_eq!(part("d/none").unwrap().stretches(0), []);
        assert!(part("z/empty").is_some());
        assert!(part("z").is_some());
        for nothing in ["b", "d/b", "a/b", "dd"] {
            assert!(part(nothing).is_none(), "{nothing}");
        }
    }

    #[test]
    fn who_has_some_of_the_whole_has_some_of_the_part() {
        let part = part("d").unwrap();
        let has =
            |whole: &[u64]| -> Vec<u64> { part.chunks_of(&whole.iter().copied().collect()).iter().collect() };
        assert!(has(&[]).is_empty());
        assert_eq!(has(&[0, 3]), [0, 3]);
        assert_eq!(has(&[1, 2]), [1, 2]);
        assert_eq!(has(&[0, 1, 2, 3, 4]), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn units_cover_a_stretch() {
        let stretch = Stretch {
            chunk: 0,
            offset: 16384 + 7,
            len: 16384,
        };
        assert_eq!(stretch.units(), (1, 2, 7));
        let whole = Stretch {
            chunk: 0,
            offset: 0,
            len: 1 << 20,
        };
        assert_eq!(whole.units(), (0, 64, 0));
    }
}
