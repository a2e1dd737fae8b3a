//! From a chunk's units to the bytes of files.

use std::ops::Range;

use skep_wire::{CHUNK_BYTES, layout::Extent, proof::unit_bytes};

/// Some bytes of one object, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) object: u32,
    pub(crate) offset: u64,
    pub(crate) bytes: usize,
}

pub(crate) fn extent_bytes(extent: &Extent) -> u32 {
    match extent {
        Extent::Piece { len, .. } => *len,
        Extent::Run { objects } => objects.iter().map(|(_, len)| len).sum(),
    }
}

/// Which bytes of a chunk these units are, as far as they fit `room`. None beyond the chunk's end; the
/// empty chunk has one unit of no bytes.
pub(crate) fn clip(len: u32, first_unit: u16, units: u16, room: usize) -> Option<Range<u32>> {
    let first = u64::from(first_unit);
    let range = unit_bytes(len, &(first..first + u64::from(units)));
    if range.start == len && first > 0 {
        return None;
    }
    let room = u32::try_from(room).unwrap_or(u32::MAX);
    Some(range.start..range.end.min(range.start.saturating_add(room)))
}

/// Where the bytes `range` of a chunk lie.
pub(crate) fn spans(extent: &Extent, range: &Range<u32>) -> Vec<Span> {
    match extent {
        Extent::Piece { object, index, .. } => vec![Span {
            object: *object,
            offset: index * CHUNK_BYTES + u64::from(range.start),
            bytes: range.len(),
        }],
        Extent::Run { objects } => run_spans(objects, range),
    }
}

fn run_spans(objects: &[(u32, u32)], range: &Range<u32>) -> Vec<Span> {
    let mut end = 0;
    let mut out = Vec::new();
    for (object, len) in objects {
        let begin = end;
        end += len;
        let (from, to) = (begin.max(range.start), end.min(range.end));
        if from < to {
            out.push(Span {
                object: *object,
                offset: u64::from(from - begin),
                bytes: (to - from) as usize,
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(object: u32, offset: u64, bytes: usize) -> Span {
        Span {
            object,
            offset,
            bytes,
        }
    }

    #[test]
    fn units_are_clipped_to_the_chunk_and_the_room() {
        assert_eq!(clip(40_000, 0, 64, 1 << 20), Some(0..40_000));
        assert_eq!(clip(40_000, 2, 64, 1 << 20), Some(32_768..40_000));
        assert_eq!(clip(40_000, 1, 1, 100), Some(16_384..16_484));
        assert_eq!(clip(40_000, 3, 1, 100), None);
        assert_eq!(clip(40_000, u16::MAX, u16::MAX, 100), None);
        assert_eq!(clip(0, 0, 1, 0), Some(0..0));
        assert_eq!(clip(0, 1, 1, 0), None);
    }

    #[test]
    fn a_range_of_a_run_meets_only_the_files_it_touches() {
        let run = Extent::Run {
            objects: vec![(2, 10), (3, 5), (7, 20)],
        };
        assert_eq!(extent_bytes(&run), 35);
        assert_eq!(
            spans(&run, &(0..35)),
            [span(2, 0, 10), span(3, 0, 5), span(7, 0, 20)]
        );
        assert_eq!(
            spans(&run, &(8..16)),
            [span(2, 8, 2), span(3, 0, 5), span(7, 0, 1)]
        );
        assert_eq!(spans(&run, &(10..15)), [span(3, 0, 5)]);
        assert_eq!(spans(&run, &(12..12)), []);
    }
}
