//! Who was heard from lately, by the monotonic clock.

use std::{collections::BTreeMap, time::Duration};

use crate::agenda::{Agenda, MISSED};

/// Those who are alive: each is to be heard from again within the patience.
#[derive(Debug, Clone)]
pub struct Liveness<K> {
    patience: Duration,
    alive: BTreeMap<K, Row>,
    agenda: Agenda<K>,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    heard: Duration,
    /// Its entry in the agenda.
    due: Duration,
}

impl<K: Ord + Clone> Liveness<K> {
    /// Nobody; whoever comes may be silent for `patience`.
    #[must_use]
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            alive: BTreeMap::new(),
            agenda: Agenda::default(),
        }
    }

    /// With so long between heartbeats, of which [`MISSED`] may be missed.
    #[must_use]
    pub fn of_heartbeats(heartbeat: Duration) -> Self {
        Self::new(heartbeat * MISSED)
    }

    /// It was heard from. Returns whether it was not alive before.
    pub fn heard(&mut self, now: Duration, who: &K) -> bool {
        if let Some(row) = self.alive.get_mut(who) {
            row.heard = now;
            return false;
        }
        let due = now + self.patience;
        self.alive.insert(who.clone(), Row { heard: now, due });
        self.agenda.enter(due, who.clone());
        true
    }

    /// It is not to be heard from any more. Returns whether it was alive.
    pub fn forget(&mut self, who: &K) -> bool {
        let row = self.alive.remove(who);
        row.is_some_and(|row| self.agenda.strike(row.due, who.clone()))
    }

    /// Whether it is alive.
    #[must_use]
    pub fn is_alive(&self, who: &K) -> bool {
        self.alive.contains_key(who)
    }

    /// When it was last heard from, if it is alive.
    #[must_use]
    pub fn last_heard(&self, who: &K) -> Option<Duration> {
        self.alive.get(who).map(|row| row.heard)
    }

    /// Those who were silent for too long; they are not alive any more.
    pub fn silent(&mut self, now: Duration) -> Vec<K> {
        let (alive, patience) = (&mut self.alive, self.patience);
        let silent = self.agenda.overdue(now, |who| {
            let Some(row) = alive.get_mut(who) else {
                return Duration::ZERO;
            };
            let limit = row.heard + patience;
            if limit > now {
                row.due = limit;
            }
            limit
        });
        for who in &silent {
            self.forget(who);
        }
        silent
    }

    /// When [`Self::silent`] may have something to tell.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Duration> {
        self.agenda.next_wakeup()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn three_missed_heartbeats_end_it_and_the_next_one_begins_anew() {
        let mut liveness = Liveness::of_heartbeats(10 * SECOND);
        assert!(liveness.heard(SECOND, &"a") && liveness.heard(SECOND, &"b"));
        assert!(!liveness.heard(20 * SECOND, &"b"));
        assert!(liveness.silent(30 * SECOND).is_empty());
        assert_eq!(liveness.silent(31 * SECOND), ["a"]);
        assert!(!liveness.is_alive(&"a") && liveness.is_alive(&"b"));
        assert_eq!(liveness.next_wakeup(), Some(50 * SECOND));
        assert_eq!(liveness.silent(50 * SECOND), ["b"]);
        assert_eq!(liveness.next_wakeup(), None);
        assert!(liveness.heard(51 * SECOND, &"a"), "it is back");
    }

    #[test]
    fn the_forgotten_are_not_told() {
        let mut liveness = Liveness::new(SECOND);
        liveness.heard(SECOND, &1);
        assert!(liveness.forget(&1) && !liveness.forget(&1));
        assert!(liveness.silent(9 * SECOND).is_empty());
    }
}
