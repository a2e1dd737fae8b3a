//! Outlines on disk: per content one file, a slot per page, each page verified whenever it is read.
//!
//! A file of 1 TiB costs no more memory than some pages. Pages may be missing (a download in progress);
//! a damaged one is told from a missing one, and both can be written again at any time.

use std::{
    collections::VecDeque,
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use skep_wire::{
    BlobId,
    chunk::ChunkHash,
    outline::{PAGE_CHUNKS, Page, VerifiedPage, page_count, page_len, verify_page},
};
use skep_world::File;

use crate::{
    home::{self, Home},
    open_files::{Part, Scope},
};

/// Pages that stay in memory: at most 128 KiB each.
const RECENT_PAGES: usize = 16;
/// What marks a slot that was written.
const MARK: u8 = b'P';
const HASH: usize = 32;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum OutlineError {
    /// The content has no such page; blobs up to one chunk have none.
    #[error("object {object} has no outline page {page}")]
    NoSuchPage {
        /// Object number.
        object: u32,
        /// Page number.
        page: u32,
    },
    /// It was not written yet.
    #[error("outline page {page} of object {object} is not here")]
    Missing {
        /// Object number.
        object: u32,
        /// Page number.
        page: u32,
    },
    /// What is on disk does not verify. Write it again.
    #[error("outline page {page} of object {object} is damaged on disk")]
    Damaged {
        /// Object number.
        object: u32,
        /// Page number.
        page: u32,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One object of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) number: u32,
    pub(crate) id: BlobId,
    pub(crate) size: u64,
}

/// Where the pages of each object of more than one chunk begin in the file.
///
/// A slot is a line of 32 bytes (the mark and the number of path hashes), room for the longest path,
/// and the leaves. Slots follow each other by object and page.
#[derive(Debug, Default)]
pub(crate) struct Slots(Vec<(u32, u64)>);

impl Slots {
    /// Of all objects' sizes, from object 0 on.
    pub(crate) fn new(sizes: impl IntoIterator<Item = u64>) -> Self {
        let mut end = 0_u64;
        let mut slots = Vec::new();
        for (object, size) in (0..).zip(sizes).filter(|(_, size)| page_count(*size) > 0) {
            slots.push((object, end));
            let last = page_count(size) - 1;
            // Sizes may come from a damaged file.
            end = end.saturating_add(last * slot_bytes(size, 0) + slot_bytes(size, last));
        }
        Self(slots)
    }

    fn at(&self, object: &Object, page: u32) -> Result<u64, OutlineError> {
        let none = OutlineError::NoSuchPage {
            object: object.number,
            page,
        };
        match self.0.binary_search_by_key(&object.number, |slot| slot.0) {
            Ok(at) if u64::from(page) < page_count(object.size) => Ok(self.0[at]
                .1
                .saturating_add(u64::from(page) * slot_bytes(object.size, 0))),
            _ => Err(none),
        }
    }
}

/// The page on which chunk `index` is; beyond any blob, a page that none has.
pub(crate) fn page_of(index: u64) -> u32 {
    u32::try_from(index / PAGE_CHUNKS).unwrap_or(u32::MAX)
}

/// How many pages a blob has.
pub(crate) fn pages(size: u64) -> Range<u32> {
    0..u32::try_from(page_count(size)).unwrap_or(u32::MAX)
}

fn slot_bytes(size: u64, page: u64) -> u64 {
    (1 + longest_path(size) + page_len(size, page)) * HASH as u64
}

/// Levels of the tree above the pages.
fn longest_path(size: u64) -> u64 {
    u64::from(page_count(size).next_power_of_two().trailing_zeros())
}

/// The outlines of one content.
pub(crate) struct Outlines {
    home: Arc<Home>,
    content: BlobId,
    slots: RwLock<Slots>,
    scope: Scope,
    /// The most recently used last.
    recent: Mutex<VecDeque<(u32, Arc<VerifiedPage>)>>,
}

impl Outlines {
    pub(crate) fn new(home: &Arc<Home>, content: BlobId, slots: Slots) -> Self {
        Self {
            home: Arc::clone(home),
            content,
            slots: RwLock::new(slots),
            scope: home.files().scope(),
            recent: Mutex::default(),
        }
    }

    /// The objects are known now; those that were known before stay where they are.
    pub(crate) fn set_slots(&self, slots: Slots) {
        *self.slots.write().unwrap_or_else(PoisonError::into_inner) = slots;
    }

    pub(crate) fn page(&self, object: &Object, number: u32) -> Result<Arc<VerifiedPage>, OutlineError> {
        if let Some(page) = self.recall(object, number) {
            return Ok(page);
        }
        let page = Arc::new(self.load(object, number)?);
        self.remember(object, &page);
        Ok(page)
    }

    /// The hash of chunk `index` of `object`.
    pub(crate) fn hash(&self, object: &Object, index: u64) -> Result<ChunkHash, OutlineError> {
        let number = page_of(index);
        let none = OutlineError::NoSuchPage {
            object: object.number,
            page: number,
        };
        self.page(object, number)?.hash(index).ok_or(none)
    }

    pub(crate) fn put(&self, object: &Object, page: VerifiedPage) -> Result<(), OutlineError> {
        let at = self.at(object, page_of(page.first_chunk()))?;
        self.file()?.write_at(at, &encode(object.size, page.page()))?;
        self.remember(object, &Arc::new(page));
        Ok(())
    }

    fn load(&self, object: &Object, page: u32) -> Result<VerifiedPage, OutlineError> {
        let number = u64::from(page);
        let at = self.at(object, page)?;
        let bytes = usize::try_from(slot_bytes(object.size, number)).expect("a slot is about 128 KiB");
        let mut raw = vec![0; bytes];
        let missing = OutlineError::Missing {
            object: object.number,
            page,
        };
        match self.file()?.read_exact_at(at, &mut raw) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Err(missing),
            done => done?,
        }
        if raw.iter().all(|byte| *byte == 0) {
            return Err(missing);
        }
        let verified =
            decode(object.size, &raw).and_then(|raw| verify_page(object.id, object.size, number, raw).ok());
        verified.ok_or(OutlineError::Damaged {
            object: object.number,
            page,
        })
    }

    fn at(&self, object: &Object, page: u32) -> Result<u64, OutlineError> {
        self.slots
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .at(object, page)
    }

    fn file(&self) -> io::Result<Arc<dyn File>> {
        self.scope
            .get(Part::Outlines, || self.home.write(&home::outlines(self.content)))
    }

    fn recall(&self, object: &Object, number: u32) -> Option<Arc<VerifiedPage>> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let at = recent
            .iter()
            .rposition(|(of, page)| (*of, page.number()) == (object.number, u64::from(number)))?;
        let found = recent.remove(at)?;
        let page = Arc::clone(&found.1);
        recent.push_back(found);
        Some(page)
    }

    fn remember(&self, object: &Object, page: &Arc<VerifiedPage>) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back((object.number, Arc::clone(page)));
        if recent.len() > RECENT_PAGES {
            recent.pop_front();
        }
    }
}

fn encode(size: u64, page: &Page) -> Vec<u8> {
    let mut raw = vec![
        MARK,
        u8::try_from(page.path.len()).expect("a path has less than 64 hashes"),
    ];
    raw.resize(HASH, 0);
    page.path.iter().for_each(|hash| raw.extend_from_slice(hash));
    let leaves_at = 1 + usize::try_from(longest_path(size)).expect("less than 64");
    raw.resize(leaves_at * HASH, 0);
    page.leaves.iter().for_each(|leaf| raw.extend_from_slice(&leaf.0));
    raw
}

fn decode(size: u64, raw: &[u8]) -> Option<Page> {
    let longest = usize::try_from(longest_path(size)).ok()?;
    let (hashes, _) = raw.as_chunks::<HASH>();
    let (line, rest) = hashes.split_first()?;
    let (path, leaves) = rest.split_at_checked(longest)?;
    if line[0] != MARK {
        return None;
    }
    Some(Page {
        path: path.get(..usize::from(line[1]))?.to_vec(),
        leaves: leaves.iter().map(|leaf| ChunkHash(*leaf)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use skep_wire::{CHUNK_BYTES, outline::Outline};
    use skep_world::{Disk as _, simulated::Disk};

    use super::*;

    /// Hashes of no bytes: outlines do not care.
    fn outline(chunks: u64, size: u64) -> Outline {
        let hashes = (0..chunks).map(|n| ChunkHash(*blake3::hash(&n.to_le_bytes()).as_bytes()));
        Outline::new(size, hashes.collect()).unwrap()
    }

    fn disk_and_home() -> (Disk, Arc<Home>) {
        let disk = Disk::new();
        let home = Home::open(disk.make_dir(Path::new("/home")).unwrap()).unwrap();
        (disk, home)
    }

    #[test]
    fn pages_of_many_objects_are_kept_apart() {
        let (_, home) = disk_and_home();
        let sizes = [
            3 * CHUNK_BYTES,
            10,
            9000 * CHUNK_BYTES + 1,
            CHUNK_BYTES,
            CHUNK_BYTES + 1,
            4096 * CHUNK_BYTES,
        ];
        let content = BlobId([1; 32]);
        let open = || Outlines::new(&home, content, Slots::new(sizes));
        let objects: Vec<_> = (0..)
            .zip(sizes)
            .filter(|(_, size)| page_count(*size) > 0)
            .map(|(number, size)| (number, size, outline(size.div_ceil(CHUNK_BYTES), size)))
            .collect();
        let outlines = open();
        let of = |(number, size, outline): &(u32, u64, Outline)| Object {
            number: *number,
            id: outline.root(),
            size: *size,
        };
        for object in &objects {
            assert!(matches!(
                outlines.page(&of(object), 0),
                Err(OutlineError::Missing { .. })
            ));
            for number in pages(object.1) {
                let page = object.2.page(u64::from(number)).unwrap();
                let page = verify_page(object.2.root(), object.1, u64::from(number), page).unwrap();
                outlines.put(&of(object), page).unwrap();
            }
        }
        let outlines = open();
        for object in &objects {
            for index in (0..object.2.hashes().len() as u64).step_by(1000) {
                assert_eq!(
                    outlines.hash(&of(object), index).unwrap(),
                    object.2.hash(index).unwrap()
                );
            }
            let beyond = pages(object.1).end;
            assert!(matches!(
                outlines.page(&of(object), beyond),
                Err(OutlineError::NoSuchPage { .. })
            ));
        }
        assert!(outlines.recent.lock().unwrap().len() <= RECENT_PAGES);
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let (disk, home) = disk_and_home();
        let size = 2 * 4096 * CHUNK_BYTES;
        let outline = outline(2 * 4096, size);
        let object = Object {
            number: 0,
            id: outline.root(),
            size,
        };
        let outlines = Outlines::new(&home, object.id, Slots::new([size]));
        crate::source::write_outline(&outlines, &object, &outline).unwrap();
        let file = Path::new("/home").join(home::outlines(object.id).as_str());
        let bits = disk.read(&file).unwrap().len() as u64 * 8;
        let used = |bit: &u64| bit % (bits / 2) < 16 || bit % (bits / 2) >= 32 * 8;
        for bit in (0..bits).step_by(4999).chain(0..16).filter(used) {
            disk.flip_bit(&file, bit).unwrap();
            let fresh = Outlines::new(&home, object.id, Slots::new([size]));
            let page = u32::from(bit >= bits / 2);
            assert!(
                matches!(fresh.load(&object, page), Err(OutlineError::Damaged { .. })),
                "bit {bit}"
            );
            assert!(fresh.load(&object, 1 - page).is_ok());
            disk.flip_bit(&file, bit).unwrap();
        }
    }
}
