//! The shape of the BLAKE3 tree, over any row of equal subtrees.
//!
//! The tree is left-complete: the left child of a node over `n` subtrees covers the largest power
//! of two less than `n`. Rows here are chunks of a blob, pages of chunks, or units of a chunk;
//! [`crate::outline`] and [`crate::proof`] say which.

use std::ops::Range;

use blake3::hazmat::{self, Mode};

/// A chaining value, or the hash of the whole blob at the top.
pub(crate) type Hash = [u8; 32];

/// What a node's hash is for: only the one node above all bytes is the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Above all bytes of the blob.
    Root,
    /// Somewhere below.
    Inner,
}

/// How many of `count` subtrees (at least two) lie left of the split.
pub(crate) fn left_count(count: u64) -> u64 {
    count.div_ceil(2).next_power_of_two()
}

/// The hash of the node above `left` and `right`.
pub(crate) fn merge(left: &Hash, right: &Hash, place: Place) -> Hash {
    match place {
        Place::Root => *hazmat::merge_subtrees_root(left, right, Mode::Hash).as_bytes(),
        Place::Inner => hazmat::merge_subtrees_non_root(left, right, Mode::Hash),
    }
}

/// The two ranges of subtrees below the node over `range` (at least two).
pub(crate) fn split(range: &Range<u64>) -> (Range<u64>, Range<u64>) {
    let middle = range.start + left_count(range.end - range.start);
    (range.start..middle, middle..range.end)
}

/// The hash of the node over `row`; a row of one is its own hash, whatever its place.
///
/// An empty row has no node.
pub(crate) fn fold(row: &[Hash], place: Place) -> Option<Hash> {
    if let [hash] = row {
        return Some(*hash);
    }
    let (left, right) = row.split_at_checked(usize::try_from(left_count(row.len() as u64)).ok()?)?;
    Some(merge(
        &fold(left, Place::Inner)?,
        &fold(right, Place::Inner)?,
        place,
    ))
}

/// On the way down from the top of `count` subtrees to subtree `index`: the range that is not
/// taken at each node, from the top. Empty ranges never occur.
pub(crate) fn siblings(count: u64, index: u64) -> Vec<Range<u64>> {
    let mut out = Vec::new();
    let mut range = 0..count;
    while range.contains(&index) && range.end - range.start > 1 {
        let (left, right) = split(&range);
        let (taken, other) = if left.contains(&index) {
            (left, right)
        } else {
            (right, left)
        };
        out.push(other);
        range = taken;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_left_side_is_the_largest_smaller_power_of_two() {
        let lefts: Vec<u64> = (2..=9).map(left_count).collect();
        assert_eq!(lefts, [1, 2, 2, 4, 4, 4, 4, 8]);
    }

    #[test]
    fn siblings_and_the_subtree_itself_cover_the_row_once() {
        for count in 1..40 {
            for index in 0..count {
                let mut covered = vec![index];
                covered.extend(siblings(count, index).into_iter().flatten());
                covered.sort_unstable();
                assert_eq!(covered, (0..count).collect::<Vec<_>>(), "{index} of {count}");
            }
        }
        assert_eq!(siblings(3, 7), []);
    }

    #[test]
    fn an_empty_row_has_no_node() {
        assert_eq!(fold(&[], Place::Root), None);
        assert_eq!(fold(&[[1; 32]], Place::Root), Some([1; 32]));
    }
}
