//! Outlines: the hashes of a blob's chunks, in pages that are verified one by one.
//!
//! A page is the hashes of 4,096 chunks (the last: of what remains), which is a subtree of the
//! blob's BLAKE3 tree, with the sibling hashes on the way from that subtree up to the root. A blob
//! of up to 1 MiB has no outline: its one chunk is the blob.
//!
//! A page proves hashes, not the blob's size: who claims too few chunks can show inner nodes as
//! leaves. No bytes hash to such a leaf, so the size is proven once the last chunk has verified.

use thiserror::Error;

use crate::{
    chunk::{CHUNK_BYTES, ChunkHash, chunk_count},
    id::BlobId,
    message::OutlinePage,
    tree::{self, Hash, Place},
};

/// Chunks of a page, but for the last.
pub const PAGE_CHUNKS: u64 = 4096;

/// How many pages the outline of a blob of `size` bytes has; none up to 1 MiB.
#[must_use]
pub fn page_count(size: u64) -> u64 {
    if size <= CHUNK_BYTES {
        0
    } else {
        chunk_count(size).div_ceil(PAGE_CHUNKS)
    }
}

/// How many chunk hashes page `number` has; 0 beyond the end.
#[must_use]
pub fn page_len(size: u64, number: u64) -> u64 {
    if number >= page_count(size) {
        return 0;
    }
    (chunk_count(size) - number * PAGE_CHUNKS).min(PAGE_CHUNKS)
}

/// A page as it travels: a claim, until [`verify_page`] has seen it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The hashes of the page's chunks.
    pub leaves: Vec<ChunkHash>,
    /// Sibling hashes from the page upwards; empty if there is only one page.
    pub path: Vec<[u8; 32]>,
}

impl From<OutlinePage> for Page {
    fn from(message: OutlinePage) -> Self {
        Self {
            leaves: message.leaves.into_iter().map(ChunkHash).collect(),
            path: message.path,
        }
    }
}

impl From<Page> for OutlinePage {
    fn from(page: Page) -> Self {
        Self {
            leaves: page.leaves.into_iter().map(|leaf| leaf.0).collect(),
            path: page.path,
        }
    }
}

/// Why a page is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadPage {
    /// A blob of that size has no such page.
    #[error("the blob's outline has no page {0}")]
    NoSuchPage(u64),
    /// Too few or too many hashes for a blob of that size.
    #[error("page {0} of the outline has the wrong number of hashes")]
    Shape(u64),
    /// The hashes do not lead to the blob's id.
    #[error("page {0} of the outline does not belong to the blob")]
    Hash(u64),
}

/// Hashes of chunks that belong to their blob. Only [`verify_page`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPage {
    number: u64,
    page: Page,
}

impl VerifiedPage {
    /// Which page it is.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The index in the blob of the first chunk.
    #[must_use]
    pub fn first_chunk(&self) -> u64 {
        self.number * PAGE_CHUNKS
    }

    /// The hashes, from the first chunk on.
    #[must_use]
    pub fn leaves(&self) -> &[ChunkHash] {
        &self.page.leaves
    }

    /// The page with its path, as it can be sent on or kept and verified again.
    #[must_use]
    pub fn page(&self) -> &Page {
        &self.page
    }

    /// The same, without the word that it is verified.
    #[must_use]
    pub fn into_page(self) -> Page {
        self.page
    }

    /// The hash of the blob's chunk `index`, if it is on this page.
    #[must_use]
    pub fn hash(&self, index: u64) -> Option<ChunkHash> {
        let at = usize::try_from(index.checked_sub(self.first_chunk())?).ok()?;
        self.page.leaves.get(at).copied()
    }
}

/// Proves that the leaves of `page` are the chunk hashes of the blob `id`, if it has `size` bytes.
///
/// # Errors
/// [`BadPage`] says what is wrong.
pub fn verify_page(id: BlobId, size: u64, number: u64, page: Page) -> Result<VerifiedPage, BadPage> {
    let pages = page_count(size);
    if number >= pages {
        return Err(BadPage::NoSuchPage(number));
    }
    let siblings = tree::siblings(pages, number);
    if page.leaves.len() as u64 != page_len(size, number) || page.path.len() != siblings.len() {
        return Err(BadPage::Shape(number));
    }
    // The page is the root only where it is alone; else the root is made by the topmost merge.
    let place = if pages == 1 { Place::Root } else { Place::Inner };
    let mut node = fold(&page.leaves, place).ok_or(BadPage::Shape(number))?;
    for ((depth, sibling), hash) in siblings.iter().enumerate().rev().zip(&page.path) {
        let place = if depth == 0 { Place::Root } else { Place::Inner };
        node = if sibling.start > number {
            tree::merge(&node, hash, place)
        } else {
            tree::merge(hash, &node, place)
        };
    }
    if node != id.0 {
        return Err(BadPage::Hash(number));
    }
    Ok(VerifiedPage { number, page })
}

/// The path of page `number`, from the roots of all pages ([`Outlined::page_roots`]): so who
/// serves a page needs its leaves and these, not all leaves. None if there is no such page.
#[must_use]
pub fn page_path(page_roots: &[ChunkHash], number: u64) -> Option<Vec<[u8; 32]>> {
    let pages = page_roots.len() as u64;
    if number >= pages {
        return None;
    }
    let node = |range: std::ops::Range<u64>| {
        let from = usize::try_from(range.start).ok()?;
        let to = usize::try_from(range.end).ok()?;
        fold(page_roots.get(from..to)?, Place::Inner)
    };
    tree::siblings(pages, number)
        .into_iter()
        .rev()
        .map(node)
        .collect()
}

fn fold(row: &[ChunkHash], place: Place) -> Option<Hash> {
    // Rows are at most a page or the pages' roots: copying them costs nothing beside hashing.
    let row: Vec<Hash> = row.iter().map(|hash| hash.0).collect();
    tree::fold(&row, place)
}

/// Makes an outline from chunk hashes in order, and keeps only one page of them.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    page: Vec<ChunkHash>,
    page_roots: Vec<ChunkHash>,
}

/// What a [`Builder`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlined {
    /// The blob's id.
    pub root: BlobId,
    /// The subtree hash of each page, for [`page_path`].
    pub page_roots: Vec<ChunkHash>,
}

impl Builder {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The hash of the next chunk.
    pub fn push(&mut self, hash: ChunkHash) {
        if self.page.len() as u64 == PAGE_CHUNKS {
            self.close_page();
        }
        self.page.push(hash);
    }

    /// After the last chunk. None with fewer than two: such a blob has no outline, and its id is
    /// the plain hash of its bytes.
    #[must_use]
    pub fn finish(mut self) -> Option<Outlined> {
        let chunks = self.page_roots.len() as u64 * PAGE_CHUNKS + self.page.len() as u64;
        if chunks < 2 {
            return None;
        }
        let only_page = self.page_roots.is_empty().then(|| fold(&self.page, Place::Root));
        self.close_page();
        let root = only_page.unwrap_or_else(|| fold(&self.page_roots, Place::Root))?;
        Some(Outlined {
            root: BlobId(root),
            page_roots: self.page_roots,
        })
    }

    fn close_page(&mut self) {
        if let Some(root) = fold(&self.page, Place::Inner) {
            self.page_roots.push(ChunkHash(root));
            self.page.clear();
        }
    }
}

/// All chunk hashes of one blob of more than 1 MiB: 32 bytes for each MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    size: u64,
    hashes: Vec<ChunkHash>,
    outlined: Outlined,
}

impl Outline {
    /// Of a blob of `size` bytes; none if it has no outline or another number of chunks.
    #[must_use]
    pub fn new(size: u64, hashes: Vec<ChunkHash>) -> Option<Self> {
        if page_count(size) == 0 || hashes.len() as u64 != chunk_count(size) {
            return None;
        }
        let mut builder = Builder::new();
        hashes.iter().for_each(|hash| builder.push(*hash));
        let outlined = builder.finish()?;
        Some(Self {
            size,
            hashes,
            outlined,
        })
    }

    /// The blob's id.
    #[must_use]
    pub fn root(&self) -> BlobId {
        self.outlined.root
    }

    /// The blob's bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hash of chunk `index`.
    #[must_use]
    pub fn hash(&self, index: u64) -> Option<ChunkHash> {
        self.hashes.get(usize::try_from(index).ok()?).copied()
    }

    /// All hashes.
    #[must_use]
    pub fn hashes(&self) -> &[ChunkHash] {
        &self.hashes
    }

    /// Page `number`, to be sent; none beyond the last.
    #[must_use]
    pub fn page(&self, number: u64) -> Option<Page> {
        let path = page_path(&self.outlined.page_roots, number)?;
        let page = usize::try_from(PAGE_CHUNKS).ok()?;
        let leaves = self.hashes.chunks(page).nth(usize::try_from(number).ok()?)?;
        Some(Page {
            leaves: leaves.to_vec(),
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::{Check, chunk_len, hash_chunk};

    const MIB: u64 = CHUNK_BYTES;

    fn bytes(size: u64) -> Vec<u8> {
        (0..size).map(|n| (n % 251) as u8).collect()
    }

    fn outline_of(bytes: &[u8]) -> Outline {
        let hashes = (0..)
            .zip(bytes.chunks(1 << 20))
            .map(|(index, chunk)| hash_chunk(index, chunk));
        Outline::new(bytes.len() as u64, hashes.collect()).unwrap()
    }

    /// An outline of so many chunks whose bytes nobody has.
    fn synthetic(chunks: u64) -> Outline {
        let hashes = (0..chunks).map(|n| ChunkHash(*blake3::hash(&n.to_le_bytes()).as_bytes()));
        Outline::new(chunks * MIB, hashes.collect()).unwrap()
    }

    #[test]
    fn the_root_is_the_plain_hash() {
        for size in [
            MIB + 1,
            MIB + 1024,
            2 * MIB - 1,
            2 * MIB,
            2 * MIB + 1,
            3 * MIB,
            4 * MIB + 1023,
            5 * MIB + 1025,
            7 * MIB,
            8 * MIB - 1,
            8 * MIB + 1,
        ] {
            let bytes = bytes(size);
            let outline = outline_of(&bytes);
            assert_eq!(outline.root().0, *blake3::hash(&bytes).as_bytes(), "{size}");
            let page = outline.page(0).unwrap();
            let verified = verify_page(outline.root(), size, 0, page).unwrap();
            for (index, chunk) in (0..).zip(bytes.chunks(1 << 20)) {
                let hash = verified.hash(index).unwrap();
                let len = chunk_len(size, index);
                assert!(
                    Check::Piece { hash, index, len }.holds(chunk),
                    "{index} of {size}"
                );
            }
        }
    }

    #[test]
    fn blobs_of_one_chunk_have_no_outline() {
        for size in [0, 1, 1023, 1024, 1025, MIB - 1, MIB] {
            assert_eq!((page_count(size), page_len(size, 0)), (0, 0));
            assert_eq!(Outline::new(size, vec![ChunkHash([0; 32])]), None);
            let page = Page {
                leaves: vec![],
                path: vec![],
            };
            assert_eq!(
                verify_page(BlobId([0; 32]), size, 0, page),
                Err(BadPage::NoSuchPage(0))
            );
        }
        assert_eq!(Builder::new().finish(), None);
    }

    #[test]
    fn pages_are_a_cut_through_the_same_tree() {
        for chunks in [2, 4095, 4096, 4097, 8191, 8192, 8193, 3 * 4096, 5 * 4096 + 77] {
            let outline = synthetic(chunks);
            assert_eq!(
                Some(outline.root().0),
                fold(outline.hashes(), Place::Root),
                "{chunks}"
            );
            let pages = page_count(outline.size());
            assert_eq!(pages, chunks.div_ceil(4096));
            for number in 0..pages {
                let verified = verify_page(
                    outline.root(),
                    outline.size(),
                    number,
                    outline.page(number).unwrap(),
                );
                let verified = verified.unwrap_or_else(|e| panic!("{chunks} chunks: {e}"));
                let first = verified.first_chunk();
                assert_eq!(verified.hash(first), outline.hash(first));
                assert_eq!(verified.leaves().len() as u64, page_len(outline.size(), number));
                assert_eq!(verified.hash(first + page_len(outline.size(), number)), None);
            }
            assert_eq!(outline.page(pages), None);
        }
    }

    #[test]
    fn a_tebibyte_is_256_pages_of_8_siblings() {
        let outline = synthetic(1 << 20);
        assert_eq!((page_count(outline.size()), outline.page(256)), (256, None));
        for number in [0, 1, 127, 128, 255] {
            let page = outline.page(number).unwrap();
            assert_eq!((page.leaves.len(), page.path.len()), (4096, 8));
            verify_page(outline.root(), outline.size(), number, page).unwrap();
        }
    }

    #[test]
    fn changed_pages_are_refused() {
        let outline = synthetic(2 * 4096 + 5);
        let (root, size) = (outline.root(), outline.size());
        let page = outline.page(1).unwrap();
        let judge = |page: Page, number| verify_page(root, size, number, page);
        for at in [0, 2000, 4095] {
            let mut changed = page.clone();
            changed.leaves[at].0[31] ^= 1;
            assert_eq!(judge(changed, 1), Err(BadPage::Hash(1)));
        }
        for at in 0..page.path.len() {
            let mut changed = page.clone();
            changed.path[at][0] ^= 0x80;
            assert_eq!(judge(changed, 1), Err(BadPage::Hash(1)));
        }
        let mut swapped = page.clone();
        swapped.path.reverse();
        assert_eq!(judge(swapped, 1), Err(BadPage::Hash(1)));
        assert_eq!(judge(page.clone(), 0), Err(BadPage::Hash(0)));
        assert_eq!(judge(page.clone(), 2), Err(BadPage::Shape(2)));
        assert_eq!(judge(page.clone(), u64::MAX), Err(BadPage::NoSuchPage(u64::MAX)));
        let mut short = page.clone();
        short.leaves.pop();
        assert_eq!(judge(short, 1), Err(BadPage::Shape(1)));
        let mut long = page;
        long.path.push([0; 32]);
        assert_eq!(judge(long, 1), Err(BadPage::Shape(1)));
    }

    #[test]
    fn a_wrong_size_is_found_out_by_the_last_chunk() {
        let bytes = bytes(4 * MIB);
        let outline = outline_of(&bytes);
        // Two inner nodes as the leaves of a blob of half the size: the page itself is in order.
        let pair = |at: usize| ChunkHash(fold(&outline.hashes()[at..at + 2], Place::Inner).unwrap());
        let leaves = vec![pair(0), pair(2)];
        let page = verify_page(outline.root(), 2 * MIB, 0, Page { leaves, path: vec![] }).unwrap();
        let hash = page.hash(1).unwrap();
        let last = Check::Piece {
            hash,
            index: 1,
            len: 1 << 20,
        };
        assert!(!bytes.chunks(1 << 20).any(|chunk| last.holds(chunk)));
        // The right number of chunks, a byte too few.
        let page = verify_page(outline.root(), 4 * MIB - 1, 0, outline.page(0).unwrap()).unwrap();
        let hash = page.hash(3).unwrap();
        let len = chunk_len(4 * MIB - 1, 3);
        let last = &bytes[3 << 20..];
        assert!(!Check::Piece { hash, index: 3, len }.holds(last));
        assert!(!Check::Piece { hash, index: 3, len }.holds(&last[1..]));
    }

    #[test]
    fn a_message_carries_a_page() {
        let page = synthetic(4097).page(1).unwrap();
        assert_eq!(Page::from(OutlinePage::from(page.clone())), page);
    }
}
