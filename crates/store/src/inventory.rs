//! Inventories: what was found at a place, file by file, so that it is served and scanned again
//! without reading it.
//!
//! A header, a record of fixed size per file in the manifest's order, then the paths. Nothing of it is
//! held in memory; each record carries a checksum over itself and its path.

use std::{io, sync::Arc};

use skep_wire::{
    BlobId, RelPath,
    manifest::MAX_ENTRIES,
    record::{Content, ContentKind},
};
use skep_world::File;

use crate::stamp::Stamp;

const MAGIC: &[u8; 16] = b"skep-inventory1\n";
const HEADER: usize = 80;
const RECORD: usize = 80;
const SUM: usize = 8;
/// Records that are read at once where all are read.
const BATCH: u32 = 4096;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    /// Beneath the place; none: the place itself.
    pub(crate) path: Option<RelPath>,
    pub(crate) id: BlobId,
    pub(crate) stamp: Stamp,
}

/// An open inventory.
pub(crate) struct Inventory {
    file: Arc<dyn File>,
    header: Header,
}

/// What it is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) content: Content,
    /// How many files.
    pub(crate) items: u32,
}

impl Inventory {
    pub(crate) fn open(file: Arc<dyn File>) -> io::Result<Self> {
        let mut raw = [0; HEADER];
        read(&*file, 0, &mut raw)?;
        let header = decode_header(&raw)?;
        Ok(Self { file, header })
    }

    pub(crate) fn header(&self) -> Header {
        self.header
    }

    /// File number `number`, from 0.
    pub(crate) fn item(&self, number: u32) -> io::Result<Item> {
        let mut raw = [0; RECORD];
        read(&*self.file, record_at(number), &mut raw)?;
        self.with_path(&raw)
    }

    /// All files' sizes, in order; not checked.
    pub(crate) fn sizes(&self) -> io::Result<Vec<u64>> {
        let mut sizes = Vec::with_capacity(self.header.items as usize);
        let mut raw = vec![0; RECORD * BATCH as usize];
        for first in (0..self.header.items).step_by(BATCH as usize) {
            let count = BATCH.min(self.header.items - first) as usize;
            let batch = &mut raw[..count * RECORD];
            read(&*self.file, record_at(first), batch)?;
            sizes.extend(batch.chunks_exact(RECORD).map(|record| u64_at(record, 0)));
        }
        Ok(sizes)
    }

    fn with_path(&self, raw: &[u8; RECORD]) -> io::Result<Item> {
        let mut path = vec![0; (u64_at(raw, 64) & 0xffff) as usize];
        read(&*self.file, u64_at(raw, 64) >> 16, &mut path)?;
        if sum(&[&raw[..RECORD - SUM], &path]) != raw[RECORD - SUM..] {
            return Err(damaged());
        }
        let path = std::str::from_utf8(&path).map_err(|_| damaged())?;
        let path = (!path.is_empty())
            .then(|| RelPath::parse(path))
            .transpose()
            .map_err(|_| damaged())?;
        let mut id = [0; 32];
        id.copy_from_slice(&raw[32..64]);
        Ok(Item {
            path,
            id: BlobId(id),
            stamp: Stamp {
                size: u64_at(raw, 0),
                mtime_ns: u64_at(raw, 8).cast_signed(),
                ctime_ns: u64_at(raw, 16).cast_signed(),
                inode: u64_at(raw, 24),
            },
        })
    }
}

/// Writes an inventory into an empty file.
pub(crate) fn write(file: &dyn File, content: Content, items: &[Item]) -> io::Result<()> {
    let items_len = u32::try_from(items.len()).map_err(|_| damaged())?;
    let mut out = Append::new(file);
    out.push(&encode_header(&Header {
        content,
        items: items_len,
    }))?;
    let mut path_at = record_at(items_len);
    for item in items {
        let path = path_bytes(item);
        out.push(&encode_record(item, path_at))?;
        path_at += path.len() as u64;
    }
    for item in items {
        out.push(path_bytes(item))?;
    }
    out.flush()
}

fn path_bytes(item: &Item) -> &[u8] {
    item.path.as_ref().map_or(b"", |path| path.as_str().as_bytes())
}

fn record_at(number: u32) -> u64 {
    HEADER as u64 + u64::from(number) * RECORD as u64
}

fn encode_header(header: &Header) -> [u8; HEADER] {
    let mut raw = [0; HEADER];
    raw[..16].copy_from_slice(MAGIC);
    raw[16..48].copy_from_slice(header.content.id.as_bytes());
    raw[48..56].copy_from_slice(&header.content.size.to_le_bytes());
    raw[56] = u8::from(header.content.kind == ContentKind::Folder);
    raw[64..72].copy_from_slice(&u64::from(header.items).to_le_bytes());
    let checksum = sum(&[&raw[..HEADER - SUM]]);
    raw[HEADER - SUM..].copy_from_slice(&checksum);
    raw
}

fn decode_header(raw: &[u8; HEADER]) -> io::Result<Header> {
    let items = u32::try_from(u64_at(raw, 64)).map_err(|_| damaged())?;
    if raw[..16] != MAGIC[..]
        || raw[HEADER - SUM..] != sum(&[&raw[..HEADER - SUM]])
        || items as usize > MAX_ENTRIES
    {
        return Err(damaged());
    }
    let mut id = [0; 32];
    id.copy_from_slice(&raw[16..48]);
    let kind = if raw[56] == 1 {
        ContentKind::Folder
    } else {
        ContentKind::File
    };
    let content = Content {
        id: BlobId(id),
        size: u64_at(raw, 48),
        kind,
    };
    Ok(Header { content, items })
}

fn encode_record(item: &Item, path_at: u64) -> [u8; RECORD] {
    let path = path_bytes(item);
    let mut raw = [0; RECORD];
    let stamp = &item.stamp;
    let words = [
        stamp.size,
        stamp.mtime_ns.cast_unsigned(),
        stamp.ctime_ns.cast_unsigned(),
        stamp.inode,
    ];
    for (at, word) in words.iter().enumerate() {
        raw[at * 8..at * 8 + 8].copy_from_slice(&word.to_le_bytes());
    }
    raw[32..64].copy_from_slice(item.id.as_bytes());
    raw[64..72].copy_from_slice(&(path_at << 16 | path.len() as u64).to_le_bytes());
    let checksum = sum(&[&raw[..RECORD - SUM], path]);
    raw[RECORD - SUM..].copy_from_slice(&checksum);
    raw
}

fn u64_at(raw: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&raw[at..at + 8]);
    u64::from_le_bytes(word)
}

fn sum(parts: &[&[u8]]) -> [u8; SUM] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    let mut out = [0; SUM];
    hasher.finalize_xof().fill(&mut out);
    out
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the inventory is damaged")
}

/// Too short is as bad as wrong.
fn read(file: &dyn File, at: u64, out: &mut [u8]) -> io::Result<()> {
    file.read_exact_at(at, out).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => damaged(),
        _ => e,
    })
}

/// Writes one thing after the other, in large steps.
struct Append<'a> {
    file: &'a dyn File,
    at: u64,
    buffer: Vec<u8>,
}

impl<'a> Append<'a> {
    const STEP: usize = 1 << 18;

    fn new(file: &'a dyn File) -> Self {
        Self {
            file,
            at: 0,
            buffer: Vec::with_capacity(Self::STEP),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > Self::STEP {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(self.at, &self.buffer)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use skep_world::{Disk as _, simulated::Disk};

    use super::*;
    use crate::home::Home;

    fn items(count: u64) -> Vec<Item> {
        let item = |n: u64| Item {
            path: Some(RelPath::parse(&format!("folder/{n:09}")).unwrap()),
            id: BlobId([n.to_le_bytes()[0]; 32]),
            stamp: Stamp {
                size: n * 1000,
                mtime_ns: -5,
                ctime_ns: i64::MAX,
                inode: n,
            },
        };
        (0..count).map(item).collect()
    }

    fn content() -> Content {
        Content {
            id: BlobId([7; 32]),
            size: 99,
            kind: ContentKind::Folder,
        }
    }

    fn written(items: &[Item]) -> (Disk, Arc<Home>, RelPath) {
        let disk = Disk::new();
        let home = Home::open(disk.make_dir(Path::new("/home")).unwrap()).unwrap();
        let path = RelPath::parse("places/x").unwrap();
        home.replace(&path, |file| write(file, content(), items)).unwrap();
        (disk, home, path)
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut all = items(2 * u64::from(BATCH) + 3);
        all[5].path = None;
        let (_, home, path) = written(&all);
        let inventory = Inventory::open(home.read(&path).unwrap()).unwrap();
        assert_eq!(
            (inventory.header().content, inventory.header().items as usize),
            (content(), all.len())
        );
        let sizes: Vec<_> = all.iter().map(|item| item.stamp.size).collect();
        assert_eq!(inventory.sizes().unwrap(), sizes);
        for at in [0, 5, 4095, 4096, 8194] {
            assert_eq!(inventory.item(at).unwrap(), all[at as usize]);
        }
    }

    #[test]
    fn damage_is_an_error_and_never_a_wrong_answer() {
        let all = items(3);
        let (disk, home, path) = written(&all);
        let file = Path::new("/home").join(path.as_str());
        let bits = disk.read(&file).unwrap().len() as u64 * 8;
        for bit in 0..bits {
            disk.flip_bit(&file, bit).unwrap();
            let read = Inventory::open(home.read(&path).unwrap());
            let read =
                read.and_then(|inventory| (0..3).map(|n| inventory.item(n)).collect::<io::Result<Vec<_>>>());
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData, "bit {bit}");
            disk.flip_bit(&file, bit).unwrap();
        }
        let whole = disk.read(&file).unwrap();
        for len in 0..whole.len() {
            disk.write(&file, &whole[..len]).unwrap();
            let read = Inventory::open(home.read(&path).unwrap());
            assert!(
                read.and_then(|inventory| inventory.item(2)).is_err(),
                "{len} bytes"
            );
        }
    }
}
