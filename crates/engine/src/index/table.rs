//! Things numbered by 32 bits, so that millions of references to them stay small.

use std::{
    cmp::Ordering,
    fmt,
    marker::PhantomData,
    ops::{Index, IndexMut},
};

/// The number of a `T` in its [`Table`].
pub(super) struct No<T>(u32, PhantomData<fn() -> T>);

impl<T> No<T> {
    /// The highest number there is, which nothing has.
    #[cfg(test)]
    pub(super) const LAST: Self = Self(u32::MAX, PhantomData);

    /// Any number, for tests of what only refers to things.
    #[cfg(test)]
    pub(super) fn of(no: u32) -> Self {
        Self(no, PhantomData)
    }

    /// For tables beside the [`Table`].
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Numbered things. A number is used again after its thing was removed.
pub(super) struct Table<T> {
    slots: Vec<Option<T>>,
    free: Vec<No<T>>,
}

impl<T> Table<T> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    pub(super) fn insert(&mut self, thing: T) -> No<T> {
        let no = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            let last = self.slots.len() - 1;
            No(
                u32::try_from(last).expect("memory ends before 2^32 things"),
                PhantomData,
            )
        });
        self.slots[no.index()] = Some(thing);
        no
    }

    pub(super) fn remove(&mut self, no: No<T>) -> T {
        self.free.push(no);
        self.slots[no.index()].take().expect("a number in use")
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

impl<T> Index<No<T>> for Table<T> {
    type Output = T;

    fn index(&self, no: No<T>) -> &T {
        self.slots[no.index()].as_ref().expect("a number in use")
    }
}

impl<T> IndexMut<No<T>> for Table<T> {
    fn index_mut(&mut self, no: No<T>) -> &mut T {
        self.slots[no.index()].as_mut().expect("a number in use")
    }
}

// Written out because a derive would ask the same of `T`.

impl<T> fmt::Debug for No<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "No({})", self.0)
    }
}

impl<T> Clone for No<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for No<T> {}

impl<T> PartialEq for No<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for No<T> {}

impl<T> PartialOrd for No<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for No<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_used_again_only_after_removal() {
        let mut table = Table::new();
        let (a, b) = (table.insert('a'), table.insert('b'));
        assert!(a < b);
        assert_eq!(table.remove(a), 'a');
        assert_eq!((table.len(), table[b]), (1, 'b'));
        assert!(table.insert('c') == a);
        assert_eq!((table[a], table[b]), ('c', 'b'));
    }
}
