//! When to look after whom, for many who are heard from often.
//!
//! Being heard from does not move an entry, which would cost a search each time: an entry that
//! comes up too early is put off then.

use std::{collections::BTreeSet, time::Duration};

/// After how many heartbeats that did not come somebody counts as gone.
pub const MISSED: u32 = 3;

/// Whom to look after, by time.
#[derive(Debug, Clone)]
pub struct Agenda<K> {
    entries: BTreeSet<(Duration, K)>,
}

impl<K> Default for Agenda<K> {
    fn default() -> Self {
        Self {
            entries: BTreeSet::new(),
        }
    }
}

impl<K: Ord + Clone> Agenda<K> {
    /// Looks after `who` at that time.
    pub fn enter(&mut self, at: Duration, who: K) {
        self.entries.insert((at, who));
    }

    /// Strikes out an entry. Returns whether it was there.
    pub fn strike(&mut self, at: Duration, who: K) -> bool {
        self.entries.remove(&(at, who))
    }

    /// How many are looked after.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When the first entry comes up.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Duration> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// Those whose time has come. `limit` says until when each may be silent: if that is later than
    /// `now`, its entry is put off until then, and it is not in the result. The entries of those in
    /// the result stay until they are struck out.
    pub fn overdue(&mut self, now: Duration, mut limit: impl FnMut(&K) -> Duration) -> Vec<K> {
        let up = self.entries.iter().take_while(|(at, _)| *at <= now);
        let mut overdue = Vec::new();
        for (at, who) in up.cloned().collect::<Vec<_>>() {
            let limit = limit(&who);
            if limit <= now {
                overdue.push(who);
            } else {
                self.strike(at, who.clone());
                self.enter(limit, who);
            }
        }
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_was_heard_from_is_put_off_and_the_silent_stay_until_struck_out() {
        let mut agenda = Agenda::default();
        for who in ['a', 'b', 'c'] {
            agenda.enter(3 * SECOND, who);
        }
        let limit = |who: &char| if *who == 'b' { 5 * SECOND } else { 3 * SECOND };
        assert!(agenda.overdue(2 * SECOND, limit).is_empty());
        assert_eq!(agenda.overdue(3 * SECOND, limit), ['a', 'c']);
        assert!(agenda.strike(3 * SECOND, 'a') && agenda.strike(3 * SECOND, 'c'));
        assert_eq!((agenda.len(), agenda.next_wakeup()), (1, Some(5 * SECOND)));
    }
}
