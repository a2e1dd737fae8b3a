//! Whose turn it is: a queue, least recently handed out first, which is rotated and never sorted.

use std::collections::{VecDeque, vec_deque};

/// Those who take turns, each at most once. Whoever was handed out goes to the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turns<T>(VecDeque<T>);

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: PartialEq> Turns<T> {
    /// Nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whoever comes has not had a turn yet: it is first. The caller knows that it is not there.
    pub fn come(&mut self, who: T) {
        self.0.push_front(who);
    }

    /// Whoever comes waits until all others had a turn. The caller knows that it is not there.
    pub fn queue(&mut self, who: T) {
        self.0.push_back(who);
    }

    /// Takes somebody out of the queue. Returns whether it was there.
    pub fn go(&mut self, who: &T) -> bool {
        let before = self.0.len();
        self.0.retain(|other| other != who);
        self.0.len() < before
    }

    /// How many take turns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose turn is next comes first.
    pub fn iter(&self) -> vec_deque::Iter<'_, T> {
        self.0.iter()
    }

    /// All of them, beginning with number `start`, which is below [`Self::len`] or 0.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = &T> {
        self.0.range(start..).chain(self.0.range(..start))
    }

    /// Hands out the first `room`, without those passed over, and moves all that were looked at to
    /// the end; returns the room that is left.
    ///
    /// When all of them were handed out at once, the queue turns by one: askers take the first ones first.
    pub fn hand_out(
        &mut self,
        room: usize,
        passes_over: impl Fn(&T) -> bool,
        mut each: impl FnMut(&T),
    ) -> usize {
        let (mut left, mut passed) = (room, 0);
        for who in &self.0 {
            if left == 0 {
                break;
            }
            passed += 1;
            if !passes_over(who) {
                each(who);
                left -= 1;
            }
        }
        let turn = if passed == self.0.len() {
            passed.min(1)
        } else {
            passed
        };
        self.0.rotate_left(turn);
        left
    }
}

impl<T> IntoIterator for Turns<T> {
    type Item = T;
    type IntoIter = vec_deque::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T: PartialEq> IntoIterator for &'a Turns<T> {
    type Item = &'a T;
    type IntoIter = vec_deque::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(turns: &mut Turns<u8>, not: u8) -> Option<u8> {
        let mut given = None;
        turns.hand_out(1, |who| *who == not, |who| given = Some(*who));
        given
    }

    #[test]
    fn everybody_gets_a_turn_and_newcomers_are_first() {
        let mut turns = Turns::new();
        turns.come(2);
        turns.come(1);
        assert_eq!([0; 4].map(|_| one(&mut turns, 9).unwrap()), [1, 2, 1, 2]);
        turns.come(3);
        assert_eq!([0; 4].map(|_| one(&mut turns, 9).unwrap()), [3, 1, 2, 3]);
        assert!(turns.go(&1) && !turns.go(&1));
        assert_eq!([0; 3].map(|_| one(&mut turns, 9).unwrap()), [2, 3, 2]);
    }

    #[test]
    fn who_asks_is_passed_over() {
        let mut turns = Turns::new();
        turns.come(1);
        assert_eq!(one(&mut turns, 1), None);
        turns.come(2);
        assert_eq!([0; 3].map(|_| one(&mut turns, 1)), [Some(2); 3]);
    }
}
