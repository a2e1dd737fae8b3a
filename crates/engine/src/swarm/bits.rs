//! A set of chunk numbers as a bitmap with a summary above it, so that the next member of a set, or of the
//! intersection of two, is found by looking at a few words even in a content of a million chunks.

use roaring::RoaringTreemap;

const WORD: u64 = 64;

/// A set of numbers below a length that is fixed when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits {
    len: u64,
    count: u64,
    words: Vec<u64>,
    /// Bit n: word n is not zero.
    summary: Vec<u64>,
}

impl Bits {
    /// The empty set of numbers below `len`.
    pub(super) fn new(len: u64) -> Self {
        let words = index(len.div_ceil(WORD));
        Self {
            len,
            count: 0,
            words: vec![0; words],
            summary: vec![0; words.div_ceil(64)],
        }
    }

    /// What of `members` is below `len`.
    pub(super) fn from_treemap(len: u64, members: &RoaringTreemap) -> Self {
        let mut set = Self::new(len);
        members
            .iter()
            .take_while(|&member| member < len)
            .for_each(|member| {
                set.insert(member);
            });
        set
    }

    /// How many members there are.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn contains(&self, member: u64) -> bool {
        let (word, mask) = place(member);
        member < self.len && self.words[word] & mask != 0
    }

    /// Whether it was not a member before. Numbers beyond the length are left out.
    pub(super) fn insert(&mut self, member: u64) -> bool {
        if member >= self.len || self.contains(member) {
            return false;
        }
        let (word, mask) = place(member);
        self.words[word] |= mask;
        self.summary[word / 64] |= 1 << (word % 64);
        self.count += 1;
        true
    }

    /// Whether it was a member.
    pub(super) fn remove(&mut self, member: u64) -> bool {
        if !self.contains(member) {
            return false;
        }
        let (word, mask) = place(member);
        self.words[word] &= !mask;
        if self.words[word] == 0 {
            self.summary[word / 64] &= !(1 << (word % 64));
        }
        self.count -= 1;
        true
    }

    /// The first member that is not below `from`.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        search(
            from,
            self.len,
            self.summary.len(),
            |at| self.summary[at],
            |at| self.words[at],
        )
    }

    /// The first number not below `from` that is a member of both. Both have the same length.
    pub(super) fn next_in_both(&self, other: &Self, from: u64) -> Option<u64> {
        debug_assert_eq!(self.len, other.len);
        let summary = |at| self.summary[at] & other.summary[at];
        search(from, self.len, self.summary.len(), summary, |at| {
            self.words[at] & other.words[at]
        })
    }

    /// All members, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let member = self.next(from)?;
            from = member + 1;
            Some(member)
        })
    }
}

/// The number of the first set bit not below `from`, in words of which a summary says where they may be not zero.
fn search(
    from: u64,
    len: u64,
    summaries: usize,
    summary: impl Fn(usize) -> u64,
    word: impl Fn(usize) -> u64,
) -> Option<u64> {
    if from >= len {
        return None;
    }
    let first = index(from / WORD);
    let here = word(first) & (u64::MAX << (from % WORD));
    if here != 0 {
        return Some(number(first, here));
    }
    let next = first + 1;
    let mut mask = u64::MAX << (next % 64);
    for at in next / 64..summaries {
        let mut some = summary(at) & mask;
        while some != 0 {
            let candidate = at * 64 + some.trailing_zeros() as usize;
            let bits = word(candidate);
            if bits != 0 {
                return Some(number(candidate, bits));
            }
            some &= some - 1;
        }
        mask = u64::MAX;
    }
    None
}

fn number(word: usize, bits: u64) -> u64 {
    word as u64 * WORD + u64::from(bits.trailing_zeros())
}

fn place(member: u64) -> (usize, u64) {
    (index(member / WORD), 1 << (member % WORD))
}

fn index(word: u64) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn finds_members_across_summary_words() {
        let mut set = Bits::new(1 << 20);
        for member in [0, 63, 64, 4095, 4096, 1_000_000] {
            assert!(set.insert(member) && !set.insert(member));
        }
        assert!(!set.insert(1 << 20), "beyond the length");
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 4095, 4096, 1_000_000]);
        assert_eq!(set.next(4097), Some(1_000_000));
        assert_eq!(set.next(1_000_001), None);
        assert!(set.remove(1_000_000) && !set.remove(1_000_000));
        assert_eq!(set.next(4097), None);
        assert_eq!(set.count(), 5);
    }

    proptest! {
        #[test]
        fn behaves_like_a_tree_set(
            len in 1_u64..10_000,
            left in prop::collection::vec(0_u64..10_000, 0..200),
            right in prop::collection::vec(0_u64..10_000, 0..200),
            from in 0_u64..10_000,
        ) {
            let model = |members: &[u64]| members.iter().copied().filter(|&m| m < len).collect::<BTreeSet<_>>();
            let bits = |members: &[u64]| Bits::from_treemap(len, &members.iter().copied().collect());
            let (a, b) = (bits(&left), bits(&right));
            prop_assert_eq!(a.iter().collect::<BTreeSet<_>>(), model(&left));
            let common = model(&left).intersection(&model(&right)).copied().find(|&m| m >= from);
            prop_assert_eq!(a.next_in_both(&b, from), common);
            let (mut rest, mut gone) = (model(&left), a);
            for member in right {
                prop_assert_eq!(gone.remove(member), rest.remove(&member));
                prop_assert_eq!(gone.next(0), rest.first().copied());
            }
            prop_assert_eq!(gone, Bits::from_treemap(len, &rest.into_iter().collect()));
        }
    }
}
