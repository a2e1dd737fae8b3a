//! Where the chunks of a file go: to peers with room, in turn, each chunk to so many of them.
//!
//! Chunk `i` belongs on `list[i mod n]` and, with more than one replica, on the next ones; the one
//! after those is its fallback.

/// Somebody with room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<P> {
    /// Who.
    pub who: P,
    /// Bytes that are neither used nor promised.
    pub free_bytes: u64,
}

/// A file, cut into chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of each chunk but the last; not 0.
    pub chunk_bytes: u64,
}

impl Cut {
    /// How many chunks; none of an empty file.
    #[must_use]
    pub fn chunks(self) -> u64 {
        self.size.div_ceil(self.chunk_bytes)
    }

    /// Bytes of one chunk; 0 beyond the end.
    #[must_use]
    pub fn len(self, chunk: u64) -> u64 {
        let start = chunk.saturating_mul(self.chunk_bytes);
        self.size.saturating_sub(start).min(self.chunk_bytes)
    }

    /// Whether there is nothing to place.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.size == 0
    }
}

/// Chooses peers for a file: most room first, at most `most`, no more than have something to do,
/// such that each has room for all chunks of which it is a target. None when they have not.
///
/// Fewer peers than replicas are better than none: each then gets every chunk.
#[must_use]
pub fn choose<P: Ord + Copy>(
    mut candidates: Vec<Candidate<P>>,
    cut: Cut,
    replicas: usize,
    most: usize,
) -> Option<Vec<P>> {
    candidates.sort_unstable_by_key(|one| (std::cmp::Reverse(one.free_bytes), one.who));
    let useful = usize::try_from(cut.chunks()).unwrap_or(usize::MAX);
    candidates.truncate(most.min(useful.saturating_add(replicas)));
    if cut.is_empty() {
        return Some(candidates.into_iter().map(|one| one.who).collect());
    }
    (1..=candidates.len()).rev().find_map(|n| {
        let list = &candidates[..n];
        fits(list, cut, replicas).then(|| list.iter().map(|one| one.who).collect())
    })
}

/// Whether each of a list has room for all chunks of which it is a target.
#[must_use]
pub fn fits<P>(list: &[Candidate<P>], cut: Cut, replicas: usize) -> bool {
    let has_room = |(place, one): (usize, &Candidate<P>)| {
        cut.is_empty() || one.free_bytes >= load(cut, replicas, list.len(), place)
    };
    list.iter().enumerate().all(has_room)
}

/// The places in a list of `n` where a chunk belongs.
pub fn targets(chunk: u64, replicas: usize, n: usize) -> impl Iterator<Item = usize> {
    (0..replicas.min(n)).map(move |k| place(chunk, k, n))
}

/// The place in a list of `n` where a chunk goes when a target fails; none if all are targets.
#[must_use]
pub fn fallback(chunk: u64, replicas: usize, n: usize) -> Option<usize> {
    (replicas < n).then(|| place(chunk, replicas, n))
}

/// Whom to give one more copy of `bytes`: the one with the most room of those who `may` have it.
pub fn one_more<P: Ord + Copy>(
    candidates: impl Iterator<Item = Candidate<P>>,
    bytes: u64,
    may: impl Fn(&P) -> bool,
) -> Option<P> {
    candidates
        .filter(|one| one.free_bytes >= bytes && may(&one.who))
        .max_by_key(|one| (one.free_bytes, std::cmp::Reverse(one.who)))
        .map(|one| one.who)
}

fn place(chunk: u64, after: usize, n: usize) -> usize {
    let turn = chunk % n as u64;
    (usize::try_from(turn).unwrap_or(0) + after) % n
}

/// Bytes that come to one place of a list of `n`.
fn load(cut: Cut, replicas: usize, n: usize, place: usize) -> u64 {
    let (chunks, n) = (cut.chunks(), n as u64);
    let last = chunks - 1;
    let short = cut.chunk_bytes - cut.len(last);
    let mut bytes = 0u64;
    for k in 0..(replicas as u64).min(n) {
        // The chunks whose k-th target it is are `first`, `first + n`, ...
        let first = (place as u64 + n - k) % n;
        let count = chunks.saturating_sub(first).div_ceil(n);
        bytes = bytes.saturating_add(count.saturating_mul(cut.chunk_bytes));
        if last % n == first {
            bytes = bytes.saturating_sub(short);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn candidates(free: &[u64]) -> Vec<Candidate<usize>> {
        let one = |(who, free_bytes): (usize, &u64)| Candidate {
            who,
            free_bytes: *free_bytes,
        };
        free.iter().enumerate().map(one).collect()
    }

    #[test]
    fn most_room_first_and_nobody_without_a_task() {
        let cut = Cut {
            size: 10_000,
            chunk_bytes: 4096,
        };
        assert_eq!(cut.chunks(), 3);
        let free = [20_000, 50_000, 30_000, 40_000, 50_000];
        assert_eq!(choose(candidates(&free), cut, 1, 8), Some(vec![1, 4, 3, 2]));
        assert_eq!(choose(candidates(&free), cut, 1, 2), Some(vec![1, 4]));
        assert_eq!(choose(candidates(&[]), cut, 1, 8), None);
        let empty = Cut { size: 0, ..cut };
        assert_eq!(choose(candidates(&[]), empty, 1, 8), Some(vec![]));
    }

    #[test]
    fn room_is_counted_to_the_byte() {
        let cut = Cut {
            size: 10_000,
            chunk_bytes: 4096,
        };
        assert_eq!(choose(candidates(&[10_000]), cut, 1, 8), Some(vec![0]));
        assert_eq!(choose(candidates(&[9_999]), cut, 1, 8), None);
        assert_eq!(choose(candidates(&[5_904, 4_096]), cut, 1, 8), Some(vec![0, 1]));
        assert_eq!(choose(candidates(&[10_000, 10]), cut, 1, 8), Some(vec![0]));
        assert_eq!(choose(candidates(&[10_000, 9_999]), cut, 2, 8), Some(vec![0]));
    }

    #[test]
    fn targets_are_next_to_each_other_and_the_fallback_follows() {
        assert_eq!(targets(4, 2, 3).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(fallback(4, 2, 3), Some(0));
        assert_eq!(targets(4, 3, 2).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(fallback(4, 2, 2), None);
    }

    #[test]
    fn one_more_copy_goes_where_the_most_room_is() {
        let pick = |bytes, not| one_more(candidates(&[5, 9, 9, 7]).into_iter(), bytes, |who| *who != not);
        assert_eq!((pick(1, 0), pick(1, 1), pick(10, 0)), (Some(1), Some(2), None));
    }

    proptest! {
        #[test]
        fn the_load_is_what_the_targets_sum_up_to(
            size in 1u64..3000, chunk_bytes in 1u64..200, replicas in 1usize..4, n in 1usize..6,
        ) {
            let cut = Cut { size, chunk_bytes };
            let mut sums = vec![0; n];
            for chunk in 0..cut.chunks() {
                for place in targets(chunk, replicas, n) {
                    sums[place] += cut.len(chunk);
                }
            }
            let loads: Vec<u64> = (0..n).map(|place| load(cut, replicas, n, place)).collect();
            prop_assert_eq!(loads, sums);
        }
    }
}
