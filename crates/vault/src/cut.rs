//! Where contents are cut into pieces: FastCDC (Xia et al., "The Design of Fast Content-Defined
//! Chunking for Data Deduplication Based Storage Systems", TPDS 2020), keyed.
//!
//! Cuts depend on the bytes around them and not on their place, so after an insertion the pieces
//! behind it are the same again. The table of the rolling hash is changed by a key of the owner: the
//! lengths of pieces, which holders might guess from packs, then say less about well-known files.
//! That raises the price of guessing and promises no more.

use std::{borrow::Cow, ops::Range};

use fastcdc::v2020::{self, Normalization};

use crate::{keys::NamingKey, piece::MAX_PIECE_BYTES};

/// No piece is shorter, but the last. A quarter of the average, as the paper has it.
pub const MIN_BYTES: usize = AVERAGE_BYTES / 4;
/// What pieces aim at. Each costs about 100 bytes in indexes and tags, 0.04 % of this; an edit costs one or
/// two of them, so 64 edits all over a file of 1 GiB cost 3 %.
pub const AVERAGE_BYTES: usize = 256 << 10;
/// No piece is longer. Four times the average, as the paper has it; a reader allocates no more for one.
pub const MAX_BYTES: usize = MAX_PIECE_BYTES;

/// Decides where to cut.
pub struct Cutter {
    gear: Cow<'static, [u64]>,
    gear_shifted: Cow<'static, [u64]>,
    strict: u64,
    loose: u64,
}

impl Cutter {
    /// Cuts as this owner's devices do.
    #[must_use]
    pub fn new(key: &NamingKey) -> Self {
        let seed = key.derive("skep 2026 cut v1");
        let (first, _) = seed.split_first_chunk().expect("32 bytes have 8");
        Self::with_seed(u64::from_le_bytes(*first))
    }

    fn with_seed(seed: u64) -> Self {
        let (gear, gear_shifted) = v2020::get_gear_with_seed(seed);
        let (strict, loose) = v2020::select_masks(AVERAGE_BYTES, Normalization::Level1);
        Self {
            gear,
            gear_shifted,
            strict,
            loose,
        }
    }

    /// Bytes of the piece at the start of `window`; none if it takes more bytes to know.
    ///
    /// [`MAX_BYTES`] are always enough; `last` says that nothing follows. Nothing is no piece.
    #[must_use]
    pub fn cut(&self, window: &[u8], last: bool) -> Option<usize> {
        let is_enough = last || window.len() >= MAX_BYTES;
        if window.is_empty() || !is_enough {
            return None;
        }
        if window.len() <= MIN_BYTES {
            return Some(window.len());
        }
        let (_, len) = v2020::cut_gear(
            window,
            MIN_BYTES,
            AVERAGE_BYTES,
            MAX_BYTES,
            self.strict,
            self.loose,
            self.strict << 1,
            self.loose << 1,
            &self.gear,
            &self.gear_shifted,
        );
        Some(len)
    }

    /// The pieces of a content that lies in memory.
    pub fn ranges<'a>(&'a self, content: &'a [u8]) -> impl Iterator<Item = Range<usize>> + 'a {
        let mut start = 0;
        std::iter::from_fn(move || {
            let len = self.cut(&content[start..], true)?;
            start += len;
            Some(start - len..start)
        })
    }
}

/// Cuts a content that comes bit by bit. Holds at most [`MAX_BYTES`] and what was fed last.
pub struct Stream<'a> {
    cutter: &'a Cutter,
    buffer: Vec<u8>,
}

impl<'a> Stream<'a> {
    /// At the beginning of a content.
    #[must_use]
    pub fn new(cutter: &'a Cutter) -> Self {
        Self {
            cutter,
            buffer: Vec::new(),
        }
    }

    /// Takes the next bytes, and gives the pieces that are certain now to `emit`.
    pub fn feed(&mut self, bytes: &[u8], emit: impl FnMut(&[u8])) {
        self.buffer.extend_from_slice(bytes);
        self.drain(false, emit);
    }

    /// The content ends here: gives the last pieces to `emit`. The next content can follow.
    pub fn finish(&mut self, emit: impl FnMut(&[u8])) {
        self.drain(true, emit);
    }

    fn drain(&mut self, last: bool, mut emit: impl FnMut(&[u8])) {
        let mut start = 0;
        while let Some(len) = self.cutter.cut(&self.buffer[start..], last) {
            emit(&self.buffer[start..start + len]);
            start += len;
        }
        self.buffer.drain(..start);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;
    use rand::{RngCore, SeedableRng, rngs::StdRng};

    use super::*;

    /// Reproducible without any library: the output of BLAKE3 for a name.
    fn content(name: &str, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        blake3::Hasher::new()
            .update(name.as_bytes())
            .finalize_xof()
            .fill(&mut bytes);
        bytes
    }

    fn lengths(cutter: &Cutter, content: &[u8]) -> Vec<usize> {
        cutter.ranges(content).map(|range| range.len()).collect()
    }

    #[test]
    fn the_cuts_of_version_1() {
        let bytes = content("cut", 4 << 20);
        let zeros = vec![0; (2 << 20) + 5];
        let mut text = String::new();
        for (name, seed, content) in [
            ("noise", 0, &bytes),
            ("noise, keyed", 0x0123_4567_89ab_cdef, &bytes),
            ("zeros", 0, &zeros),
        ] {
            text += &format!("{name}: {:?}\n", lengths(&Cutter::with_seed(seed), content));
        }
        assert_eq!(text, include_str!("golden/cut.txt"));
    }

    #[test]
    fn pieces_keep_to_their_lengths() {
        let bytes = content("lengths", 64 << 20);
        let cut = lengths(&Cutter::with_seed(5), &bytes);
        let (last, whole) = cut.split_last().unwrap();
        assert!(whole.iter().all(|len| (MIN_BYTES..=MAX_BYTES).contains(len)));
        assert!(*last <= MAX_BYTES);
        let average = bytes.len() / cut.len();
        assert!(
            (AVERAGE_BYTES * 8 / 10..AVERAGE_BYTES * 14 / 10).contains(&average),
            "{average}"
        );
    }

    #[test]
    fn short_contents_are_one_piece_and_empty_ones_none() {
        let cutter = Cutter::with_seed(5);
        assert_eq!(lengths(&cutter, &[]), [0; 0]);
        for len in [1, 1000, MIN_BYTES] {
            assert_eq!(lengths(&cutter, &content("short", len)), [len]);
        }
        assert_eq!(cutter.cut(&content("more", MAX_BYTES - 1), false), None);
    }

    #[test]
    fn sixty_edits_in_a_gigabyte_cost_less_than_three_percent() {
        // A sixteenth of it: 4 edits in 64 MiB.
        let before = content("edits", 64 << 20);
        let cutter = Cutter::with_seed(9);
        let known: HashSet<_> = cutter
            .ranges(&before)
            .map(|range| blake3::hash(&before[range]))
            .collect();
        let mut after = before;
        for place in [5 << 20, 21 << 20, 38 << 20, 60 << 20] {
            after.splice(place..place + 3, *b"inserted");
        }
        let new: usize = cutter
            .ranges(&after)
            .filter(|range| !known.contains(&blake3::hash(&after[range.clone()])))
            .map(|range| range.len())
            .sum();
        assert!(new * 100 < after.len() * 3, "{new} of {}", after.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_stream_cuts_as_memory_does(seed: u64, len in 0usize..5 << 20, step in 1usize..2 << 20) {
            let mut bytes = vec![0; len];
            StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
            let cutter = Cutter::with_seed(seed);
            let (mut stream, mut lens, mut joined) = (Stream::new(&cutter), Vec::new(), Vec::new());
            let mut take = |piece: &[u8]| {
                lens.push(piece.len());
                joined.extend_from_slice(piece);
            };
            bytes.chunks(step).for_each(|fed| stream.feed(fed, &mut take));
            stream.finish(&mut take);
            prop_assert_eq!(lens, lengths(&cutter, &bytes));
            prop_assert_eq!(joined, bytes);
        }
    }
}
