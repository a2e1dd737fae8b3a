//! The bytes of one simulated file: as programs see them, and as a power cut would leave them.
//!
//! Both are sparse maps of blocks which share what is equal.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Bytes of a block: what a power cut keeps or drops as one.
pub(super) const BLOCK: u64 = BLOCK_LEN as u64;
const BLOCK_LEN: usize = 4096;

type Block = Arc<[u8; BLOCK_LEN]>;

#[derive(Clone, Default)]
struct Image {
    blocks: BTreeMap<u64, Block>,
    size: u64,
}

/// The bytes of a file.
#[derive(Default)]
pub(super) struct Contents {
    live: Image,
    durable: Image,
    /// Blocks that differ, or may, between the two.
    dirty: BTreeSet<u64>,
    reserved_blocks: u64,
}

impl Contents {
    pub(super) fn size(&self) -> u64 {
        self.live.size
    }

    /// Blocks that the file takes up: what is reserved, and what was written beyond.
    pub(super) fn blocks(&self) -> u64 {
        self.reserved_blocks + self.live.blocks.range(self.reserved_blocks..).count() as u64
    }

    /// Blocks that writing there would take up in addition.
    pub(super) fn growth(&self, offset: u64, len: usize) -> u64 {
        let new = |block: &u64| *block >= self.reserved_blocks && !self.live.blocks.contains_key(block);
        blocks_of(offset, len as u64).filter(new).count() as u64
    }

    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> usize {
        self.live.read_at(offset, out)
    }

    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) {
        self.dirty.extend(blocks_of(offset, bytes.len() as u64));
        self.live.write_at(offset, bytes);
    }

    pub(super) fn set_len(&mut self, size: u64) {
        self.dirty
            .extend(self.live.blocks.range(size / BLOCK..).map(|(block, _)| *block));
        if size < self.live.size {
            self.reserved_blocks = self.reserved_blocks.min(size.div_ceil(BLOCK));
        }
        self.live.set_len(size);
    }

    pub(super) fn reserve(&mut self, size: u64) {
        self.reserved_blocks = self.reserved_blocks.max(size.div_ceil(BLOCK));
    }

    /// Makes everything durable.
    pub(super) fn sync(&mut self) {
        self.settle(|| true);
    }

    /// What a failed sync does on Linux: the cache counts as clean, the disk has nothing.
    pub(super) fn lose_track(&mut self) {
        self.dirty.clear();
    }

    /// A power cut: of what was not synced, `keep` says block by block what reached the disk.
    pub(super) fn crash(&mut self, keep: impl FnMut() -> bool) {
        self.settle(keep);
        self.live = self.durable.clone();
        self.reserved_blocks = 0;
    }

    /// Turns one bit, on the disk and in the cache, as decay does. Holes do not decay.
    pub(super) fn flip_bit(&mut self, bit: u64) {
        let (block, within) = (bit / 8 / BLOCK, (bit / 8 % BLOCK) as usize);
        for image in [&mut self.live, &mut self.durable] {
            if let Some(block) = image.blocks.get_mut(&block) {
                Arc::make_mut(block)[within] ^= 1 << (bit % 8);
            }
        }
    }

    fn settle(&mut self, mut keep: impl FnMut() -> bool) {
        let resized = keep();
        for block in std::mem::take(&mut self.dirty) {
            match self.live.blocks.get(&block) {
                Some(bytes) if keep() => {
                    self.durable.blocks.insert(block, Arc::clone(bytes));
                }
                // Cut off: that goes with the size.
                None if resized => {
                    self.durable.blocks.remove(&block);
                }
                _ => {}
            }
        }
        let size = if resized {
            self.live.size
        } else {
            self.durable.size
        };
        self.durable.set_len(size);
    }
}

impl Image {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> usize {
        let len = out
            .len()
            .min(usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX));
        let mut done = 0;
        while done < len {
            let (block, within) = place(offset + done as u64);
            let step = (len - done).min(BLOCK_LEN - within);
            let target = &mut out[done..done + step];
            match self.blocks.get(&block) {
                Some(bytes) => target.copy_from_slice(&bytes[within..within + step]),
                None => target.fill(0),
            }
            done += step;
        }
        len
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let (block, within) = place(offset + done as u64);
            let step = (bytes.len() - done).min(BLOCK_LEN - within);
            let target = self
                .blocks
                .entry(block)
                .or_insert_with(|| Arc::new([0; BLOCK_LEN]));
            Arc::make_mut(target)[within..within + step].copy_from_slice(&bytes[done..done + step]);
            done += step;
        }
        if !bytes.is_empty() {
            self.size = self.size.max(offset + bytes.len() as u64);
        }
    }

    fn set_len(&mut self, size: u64) {
        let (block, within) = place(size);
        self.blocks.split_off(&size.div_ceil(BLOCK));
        if let Some(last) = self.blocks.get_mut(&block) {
            Arc::make_mut(last)[within..].fill(0);
        }
        self.size = size;
    }
}

fn blocks_of(offset: u64, len: u64) -> std::ops::Range<u64> {
    if len == 0 {
        return 0..0;
    }
    offset / BLOCK..(offset + len).div_ceil(BLOCK)
}

/// The block of an offset, and where in the block it is.
fn place(offset: u64) -> (u64, usize) {
    (offset / BLOCK, (offset % BLOCK) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(contents: &Contents) -> Vec<u8> {
        let mut out = vec![0xee; usize::try_from(contents.size()).unwrap()];
        assert_eq!(contents.read_at(0, &mut out), out.len());
        out
    }

    #[test]
    fn a_power_cut_drops_what_was_not_synced() {
        let mut contents = Contents::default();
        contents.write_at(0, &[1; 5000]);
        contents.sync();
        contents.write_at(4000, &[2; 3000]);
        contents.crash(|| false);
        assert_eq!(bytes(&contents), vec![1; 5000]);
    }

    #[test]
    fn a_torn_write_is_old_or_new_block_by_block() {
        let mut contents = Contents::default();
        contents.write_at(0, &[1; 3 * 4096]);
        contents.sync();
        contents.write_at(0, &[2; 3 * 4096]);
        let mut coin = [true, true, false, true].into_iter();
        contents.crash(|| coin.next().unwrap());
        assert_eq!(bytes(&contents), [[2; 4096], [1; 4096], [2; 4096]].concat());
    }

    #[test]
    fn cutting_and_extending_leaves_zeros() {
        let mut contents = Contents::default();
        contents.write_at(0, &[1; 6000]);
        contents.set_len(10);
        contents.set_len(6000);
        assert_eq!(bytes(&contents), [vec![1; 10], vec![0; 5990]].concat());
        contents.sync();
        contents.crash(|| false);
        assert_eq!(bytes(&contents), [vec![1; 10], vec![0; 5990]].concat());
    }

    #[test]
    fn a_file_takes_up_what_is_reserved_or_written() {
        let mut contents = Contents::default();
        contents.set_len(1 << 40);
        assert_eq!(contents.blocks(), 0);
        contents.reserve(8192);
        assert_eq!(
            (
                contents.blocks(),
                contents.growth(0, 8192),
                contents.growth(8191, 2)
            ),
            (2, 0, 1)
        );
        contents.write_at(8192, &[1]);
        assert_eq!(contents.blocks(), 3);
        contents.set_len(1);
        assert_eq!(contents.blocks(), 1);
    }
}
