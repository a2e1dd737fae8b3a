//! The hint: which download lies where, and which chunks of it are stored. Nobody believes it.
//!
//! A label of fixed size, twice, so that one of them is whole at any time; then one bit per chunk. A bit is written after its chunk, so that what a
//! killed process leaves behind is exact; after a power cut it may say anything.

use std::{io, sync::Arc};

use roaring::RoaringTreemap;
use skep_wire::{
    BlobId, RelPath,
    record::{Content, ContentKind},
};
use skep_world::File;

use crate::{
    home::{self, Home},
    place::Place,
};

const MAGIC: &[u8; 16] = b"skep-partial-1\n\0";
const LABEL: usize = 512;
const NAME_AT: usize = 80;
const SUM_AT: usize = LABEL - 32;
const BITS_AT: u64 = 2 * LABEL as u64;
/// Bits of a content of 2^64 bytes would be more; no disk holds those.
const MAX_BITS_BYTES: u64 = 64 << 20;

/// What the hint is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    pub(super) content: Content,
    /// The hidden file's or folder's name beside the target; none: not made yet.
    pub(super) hidden: Option<RelPath>,
    /// Its inode number; 0: it was about to be made.
    pub(super) inode: u64,
    /// A folder by the target's name is being replaced.
    pub(super) replacing: bool,
}

/// The open hint of one download.
pub(super) struct Hint {
    file: Arc<dyn File>,
}

impl Label {
    pub(super) fn new(content: Content) -> Self {
        Self {
            content,
            hidden: None,
            inode: 0,
            replacing: false,
        }
    }

    fn encode(&self) -> [u8; LABEL] {
        let mut raw = [0; LABEL];
        raw[..16].copy_from_slice(MAGIC);
        raw[16..48].copy_from_slice(self.content.id.as_bytes());
        raw[48..56].copy_from_slice(&self.content.size.to_le_bytes());
        raw[56..64].copy_from_slice(&self.inode.to_le_bytes());
        raw[64] = u8::from(self.content.kind == ContentKind::Folder);
        raw[65] = u8::from(self.replacing);
        let name = self
            .hidden
            .as_ref()
            .map_or("", |name| name.file_name())
            .as_bytes();
        raw[66] = u8::try_from(name.len()).expect("a name has at most 255 bytes");
        raw[NAME_AT..NAME_AT + name.len()].copy_from_slice(name);
        let sum = *blake3::hash(&raw[..SUM_AT]).as_bytes();
        raw[SUM_AT..].copy_from_slice(&sum);
        raw
    }

    fn decode(raw: &[u8; LABEL]) -> Option<Self> {
        if raw[..16] != MAGIC[..] || raw[SUM_AT..] != blake3::hash(&raw[..SUM_AT]).as_bytes()[..] {
            return None;
        }
        let name = raw.get(NAME_AT..NAME_AT + usize::from(raw[66]))?;
        let name = std::str::from_utf8(name).ok()?;
        let word = |at: usize| raw[at..].first_chunk().map(|word| u64::from_le_bytes(*word));
        let kind = if raw[64] == 1 {
            ContentKind::Folder
        } else {
            ContentKind::File
        };
        Some(Self {
            content: Content {
                id: BlobId(*raw[16..].first_chunk()?),
                size: word(48)?,
                kind,
            },
            hidden: if name.is_empty() {
                None
            } else {
                Some(RelPath::parse(name).ok()?)
            },
            inode: word(56)?,
            replacing: raw[65] == 1,
        })
    }
}

impl Hint {
    /// The hint of `place`, with what it says; nothing if it is damaged.
    pub(super) fn open(home: &Home, place: &Place) -> io::Result<(Self, Option<(Label, RoaringTreemap)>)> {
        let file = home.write(&home::hint(place))?;
        let size = file.stat()?.size.min(BITS_AT);
        let mut raw = vec![0; usize::try_from(size).expect("two labels")];
        file.read_exact_at(0, &mut raw)?;
        let (labels, _) = raw.as_chunks::<LABEL>();
        let label = labels.iter().find_map(Label::decode);
        let hint = Self { file };
        let said = label
            .map(|label| Ok::<_, io::Error>((label, hint.bits()?)))
            .transpose()?;
        Ok((hint, said))
    }

    /// Begins anew: this download, these chunks.
    pub(super) fn write(&self, label: &Label, stored: &RoaringTreemap) -> io::Result<()> {
        self.file.set_len(0)?;
        self.label(label)?;
        let mut bytes =
            vec![0; usize::try_from(stored.max().map_or(0, |max| max / 8 + 1)).map_err(io::Error::other)?];
        for chunk in stored {
            bytes[usize::try_from(chunk / 8).map_err(io::Error::other)?] |= 1 << (chunk % 8);
        }
        self.file.write_at(BITS_AT, &bytes)
    }

    pub(super) fn label(&self, label: &Label) -> io::Result<()> {
        let raw = label.encode();
        self.file.write_at(0, &raw)?;
        self.file.write_at(LABEL as u64, &raw)
    }

    /// Notes `chunk`, which is one of `stored`.
    pub(super) fn mark(&self, chunk: u64, stored: &RoaringTreemap) -> io::Result<()> {
        let first = chunk / 8 * 8;
        let bit = |at: u64| u8::from(stored.contains(first + at)) << at;
        let byte = (0..8).map(bit).fold(0, |byte, bit| byte | bit);
        self.file.write_at(BITS_AT + chunk / 8, &[byte])
    }

    fn bits(&self) -> io::Result<RoaringTreemap> {
        let size = self.file.stat()?.size.saturating_sub(BITS_AT).min(MAX_BITS_BYTES);
        let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        self.file.read_exact_at(BITS_AT, &mut bytes)?;
        let chunks = (0u64..).step_by(8).zip(&bytes);
        let set = chunks.flat_map(|(first, byte)| {
            (0..8)
                .filter(move |at| byte >> at & 1 == 1)
                .map(move |at| first + at)
        });
        Ok(set.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_read_back_or_not_at_all() {
        let label = Label {
            content: Content {
                id: BlobId([3; 32]),
                size: 77,
                kind: ContentKind::Folder,
            },
            hidden: Some(RelPath::parse(&"n".repeat(255)).unwrap()),
            inode: 9,
            replacing: true,
        };
        let raw = label.encode();
        assert_eq!(Label::decode(&raw), Some(label));
        for at in 0..LABEL {
            let mut flipped = raw;
            flipped[at] ^= 4;
            assert_eq!(Label::decode(&flipped), None, "byte {at}");
        }
    }
}
