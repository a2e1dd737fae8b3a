//! A byte queue in one piece of memory, which grows under load and shrinks again when it is quiet.

use std::ops::Range;

/// What a quiet buffer keeps.
const KEPT_BYTES: usize = 4 << 10;
/// A time between two rests in which fewer bytes moved is a quiet one.
const QUIET_BYTES: usize = 8 << 10;
/// So many quiet times in a row, and the buffer shrinks.
const QUIET_TIMES: u32 = 8;

/// Bytes between where they are written and where they are consumed. All memory is initialised, once.
#[derive(Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    filled: Range<usize>,
    /// Bytes filled in since the last [`Buffer::settle`].
    moved: usize,
    quiet: u32,
}

impl Buffer {
    pub(super) fn len(&self) -> usize {
        self.filled.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// The waiting bytes.
    pub(super) fn filled(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled.clone()]
    }

    /// Room for at least `least` more bytes, and all that there is.
    pub(super) fn room(&mut self, least: usize) -> &mut [u8] {
        let waiting = self.filled.len();
        let fits = self.bytes.len() - self.filled.end >= least;
        if waiting <= self.filled.start || !fits {
            self.bytes.copy_within(self.filled.clone(), 0);
            self.filled = 0..waiting;
        }
        let wanted = waiting + least;
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted.next_multiple_of(KEPT_BYTES), 0);
        }
        &mut self.bytes[self.filled.end..]
    }

    /// `count` bytes were written into the room.
    pub(super) fn fill(&mut self, count: usize) {
        debug_assert!(self.filled.end + count <= self.bytes.len());
        self.filled.end += count;
        self.moved += count;
    }

    /// `count` of the waiting bytes are not needed any more.
    pub(super) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.filled.len());
        self.filled.start += count;
    }

    /// There is nothing to do for now: memory goes back after a while without load.
    pub(super) fn settle(&mut self) {
        let moved = std::mem::take(&mut self.moved);
        self.quiet = if moved < QUIET_BYTES { self.quiet + 1 } else { 0 };
        if self.quiet >= QUIET_TIMES && self.filled.is_empty() && self.bytes.len() > KEPT_BYTES {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in_across_growth_and_compaction() {
        let mut buffer = Buffer::default();
        let (mut next_in, mut next_out) = (0u8, 0u8);
        for round in 0..300 {
            let count = round * 37 % 1000;
            for byte in &mut buffer.room(count)[..count] {
                *byte = next_in;
                next_in = next_in.wrapping_add(1);
            }
            buffer.fill(count);
            let taken = buffer.len() * 2 / 3;
            for byte in &buffer.filled()[..taken] {
                assert_eq!(*byte, next_out);
                next_out = next_out.wrapping_add(1);
            }
            buffer.consume(taken);
        }
        assert!(buffer.bytes.len() <= KEPT_BYTES);
    }

    #[test]
    fn memory_goes_back_after_quiet_uses_but_never_with_bytes_in_it() {
        let mut buffer = Buffer::default();
        buffer.room(1 << 20);
        buffer.fill(1);
        (0..100).for_each(|_| buffer.settle());
        assert_eq!(buffer.len(), 1);
        buffer.consume(1);
        buffer.settle();
        assert_eq!(buffer.bytes.len(), 0);
    }
}
