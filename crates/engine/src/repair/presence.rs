//! Who is there, and for how long the others have been away. The time does not count while more than
//! half of all are away: then it is rather this coordinator that lost its network.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use skep_wire::{PackId, PeerId};

/// Whether a peer's shards count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Online,
    /// Away, and this long of it counts.
    Away(Duration),
    Failed,
}

#[derive(Debug)]
struct Row {
    standing: Standing,
    packs: BTreeSet<PackId>,
}

/// All holders, and peers that may become one.
#[derive(Debug)]
pub(super) struct Attendance {
    repair_after: Duration,
    rows: BTreeMap<PeerId, Row>,
    /// How many are [`Standing::Away`].
    away: usize,
    failed: usize,
    /// Until when time was counted.
    counted: Duration,
    most_away: bool,
    most_away_changed: bool,
}

impl Attendance {
    pub(super) fn new(now: Duration, repair_after: Duration) -> Self {
        Self {
            repair_after,
            rows: BTreeMap::new(),
            away: 0,
            failed: 0,
            counted: now,
            most_away: false,
            most_away_changed: false,
        }
    }

    pub(super) fn standing(&self, peer: &PeerId) -> Standing {
        let row = self.rows.get(peer);
        row.map_or(Standing::Away(Duration::ZERO), |row| row.standing)
    }

    pub(super) fn packs_of(&self, peer: &PeerId) -> Vec<PackId> {
        let row = self.rows.get(peer);
        row.map_or(Vec::new(), |row| row.packs.iter().copied().collect())
    }

    pub(super) fn add_pack(&mut self, peer: PeerId, pack: PackId) {
        self.row(peer).packs.insert(pack);
    }

    pub(super) fn drop_pack(&mut self, peer: &PeerId, pack: &PackId) {
        if let Some(row) = self.rows.get_mut(peer) {
            row.packs.remove(pack);
        }
    }

    pub(super) fn come(&mut self, peer: PeerId) {
        self.set(peer, Standing::Online);
    }

    /// Whoever has failed stays failed until it comes back.
    pub(super) fn go(&mut self, peer: PeerId) {
        if self.row(peer).standing == Standing::Online {
            self.set(peer, Standing::Away(Duration::ZERO));
        }
    }

    /// Takes out a peer that has failed. Returns what it held.
    pub(super) fn remove(&mut self, peer: &PeerId) -> BTreeSet<PackId> {
        let row = self.rows.remove(peer);
        self.failed -= usize::from(row.is_some());
        row.map_or(BTreeSet::new(), |row| row.packs)
    }

    pub(super) fn fail(&mut self, peer: PeerId) {
        self.set(peer, Standing::Failed);
    }

    /// Whether more than half of those that have not failed are away.
    pub(super) fn most_are_away(&self) -> bool {
        self.most_away
    }

    /// Whether that is news since it was last asked.
    pub(super) fn most_away_changed(&mut self) -> bool {
        std::mem::take(&mut self.most_away_changed)
    }

    /// Counts the time. Returns who has failed or become urgent.
    pub(super) fn advance(&mut self, now: Duration, urgent_after: Duration) -> Vec<PeerId> {
        let passed = now.saturating_sub(self.counted);
        self.counted = now.max(self.counted);
        if self.most_away || passed.is_zero() {
            return Vec::new();
        }
        let mut changed = Vec::new();
        for (peer, row) in &mut self.rows {
            let Standing::Away(before) = row.standing else {
                continue;
            };
            let away = before + passed;
            row.standing = Standing::Away(away);
            if away >= self.repair_after || before < urgent_after && away >= urgent_after {
                changed.push(*peer);
            }
        }
        for peer in &changed {
            let Standing::Away(away) = self.standing(peer) else {
                continue;
            };
            if away >= self.repair_after {
                self.fail(*peer);
            }
        }
        changed
    }

    /// When [`Attendance::advance`] will return somebody.
    pub(super) fn next_wakeup(&self, urgent_after: Duration) -> Option<Duration> {
        if self.most_away || self.away == 0 {
            return None;
        }
        let left = |row: &Row| match row.standing {
            Standing::Away(away) if away < urgent_after => Some(urgent_after.min(self.repair_after) - away),
            Standing::Away(away) => Some(self.repair_after.saturating_sub(away)),
            _ => None,
        };
        let soonest = self.rows.values().filter_map(left).min()?;
        Some(self.counted + soonest)
    }

    /// Who was never seen is away.
    fn row(&mut self, peer: PeerId) -> &mut Row {
        let known = self.rows.len();
        self.rows.entry(peer).or_insert_with(|| Row {
            standing: Standing::Away(Duration::ZERO),
            packs: BTreeSet::new(),
        });
        if self.rows.len() > known {
            self.away += 1;
            self.weigh();
        }
        self.rows.get_mut(&peer).expect("it was just put there")
    }

    fn set(&mut self, peer: PeerId, standing: Standing) {
        let before = std::mem::replace(&mut self.row(peer).standing, standing);
        for (standing, step) in [(before, -1), (standing, 1)] {
            match standing {
                Standing::Away(_) => self.away = self.away.saturating_add_signed(step),
                Standing::Failed => self.failed = self.failed.saturating_add_signed(step),
                Standing::Online => {}
            }
        }
        self.weigh();
    }

    fn weigh(&mut self) {
        let most_away = self.away * 2 > self.rows.len() - self.failed;
        self.most_away_changed |= most_away != self.most_away;
        self.most_away = most_away;
    }
}
