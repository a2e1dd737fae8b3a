//! What came of all rounds, and the table of it.

use std::{collections::BTreeMap, time::Duration};

use super::{
    draw::STRUCK,
    fault::{Blow, Fault},
    play::Played,
    scenario::Scenario,
};
use crate::{Outcome, bench::report::render};

/// The sums, by scenario.
#[derive(Default)]
pub(super) struct Tally {
    rows: BTreeMap<String, Row>,
}

#[derive(Clone, Default)]
struct Row {
    kills: u32,
    errors: u32,
    missed: u32,
    restarts: u32,
    failures: u32,
    time: Duration,
}

impl Row {
    fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.errors += other.errors;
        self.missed += other.missed;
        self.restarts += other.restarts;
        self.failures += other.failures;
        self.time += other.time;
    }

    fn cells(&self, title: &str) -> Vec<String> {
        let counts = [self.kills, self.errors, self.missed, self.restarts, self.failures];
        let mut cells = vec![title.to_owned()];
        cells.extend(counts.map(|count| count.to_string()));
        cells.push(format!("{:.1}", self.time.as_secs_f64()));
        cells
    }
}

impl Tally {
    /// A round that broke nothing.
    pub(super) fn played(&mut self, title: &str, fault: &Fault, played: &Played) {
        let row = self.row(title);
        row.restarts += u32::from(played.was_restarted);
        match fault.blow {
            _ if !played.has_struck => row.missed += 1,
            Blow::Kill => row.kills += 1,
            Blow::Full | Blow::Broken => row.errors += 1,
        }
    }

    /// A round that broke a promise.
    pub(super) fn failed(&mut self, title: &str, fault: Option<&Fault>) {
        let row = self.row(title);
        row.failures += 1;
        match fault.map(|fault| fault.blow) {
            Some(Blow::Kill) => row.kills += 1,
            Some(_) => row.errors += 1,
            None => {}
        }
    }

    /// How long the rounds of a point took.
    pub(super) fn took(&mut self, title: &str, time: Duration) {
        self.row(title).time += time;
    }

    /// How many rounds broke a promise.
    pub(super) fn failures(&self) -> u32 {
        self.rows.values().map(|row| row.failures).sum()
    }

    /// Each that these scenarios strike was killed so often, or it says who was not.
    pub(super) fn expect_kills(&self, each: u32, scenarios: &[&Scenario]) -> Outcome {
        for struck in STRUCK {
            let is_struck = scenarios.iter().any(|scenario| scenario.strikes() == struck);
            let kills = self.all_of(struck).kills;
            if is_struck && kills < each {
                return Err(format!("{kills} kills of {struck} happened, and not {each}").into());
            }
        }
        Ok(())
    }

    /// The sums of the rows in which one of this kind is struck.
    fn all_of(&self, struck: &str) -> Row {
        let is_of_it = |title: &str| {
            title
                .split_once('/')
                .is_some_and(|(_, who)| who.starts_with(struck))
        };
        let mut all = Row::default();
        let rows = self.rows.iter().filter(|(title, _)| is_of_it(title));
        rows.for_each(|(_, row)| all.add(row));
        all
    }

    /// One line for each scenario, one for each that was struck by number, and one for all.
    pub(super) fn table(&self) -> String {
        let head = [
            "scenario/struck",
            "killed",
            "errors",
            "missed",
            "restarted",
            "FAILED",
            "s",
        ];
        let mut all = Row::default();
        let mut lines = vec![head.map(str::to_owned).to_vec()];
        for (title, row) in &self.rows {
            all.add(row);
            lines.push(row.cells(title));
        }
        for struck in STRUCK {
            lines.push(self.all_of(struck).cells(&format!("all of {struck}")));
        }
        lines.push(all.cells("all"));
        render(&lines)
    }

    fn row(&mut self, title: &str) -> &mut Row {
        self.rows.entry(title.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::scenario::ALL, *};

    #[test]
    fn the_last_line_has_the_sums() {
        let mut tally = Tally::default();
        let kill: Fault = "kill:fsync:1".parse().unwrap();
        let full: Fault = "ENOSPC:fsync:1".parse().unwrap();
        let struck = Played {
            has_struck: true,
            ..Played::default()
        };
        tally.played("a/x", &kill, &struck);
        tally.played("b/x", &full, &struck);
        tally.played("b/x", &kill, &Played::default());
        tally.failed("b/x", Some(&full));
        tally.took("a/x", Duration::from_millis(1500));
        let table = tally.table();
        let last: Vec<&str> = table.lines().last().unwrap().split('|').map(str::trim).collect();
        assert_eq!(last[1..8], ["all", "1", "2", "1", "0", "1", "1.5"]);
        assert_eq!(tally.failures(), 1);
    }

    #[test]
    fn kills_are_counted_by_who_was_struck() {
        let mut tally = Tally::default();
        let kill: Fault = "kill:fsync:1".parse().unwrap();
        let struck = Played {
            has_struck: true,
            ..Played::default()
        };
        for title in ["backup/holder", "rebuild/holder-2", "backup/owner"] {
            tally.played(title, &kill, &struck);
        }
        tally.played("get/owner", &kill, &Played::default());
        let scenarios: Vec<&Scenario> = ALL.iter().filter(|it| it.strikes() != "coordinator").collect();
        assert!(tally.expect_kills(1, &scenarios).is_ok());
        let error = tally.expect_kills(2, &scenarios).unwrap_err();
        assert!(error.to_string().contains("1 kills of owner"), "{error}");
        let row = tally.all_of("holder");
        assert_eq!((row.kills, row.missed), (2, 0));
    }
}
