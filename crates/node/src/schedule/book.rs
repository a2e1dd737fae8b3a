//! The schedules of a peer, what came of them last, and which is due. Pure: time and zone come in.
//!
//! A schedule remembers when its last run began. It is due when its next time after that has come, so any
//! number of times that were missed, because the machine was off or its clock was set, are made up for by one.

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::when::When;
use crate::api::types::{BackupRequest, ScheduleLine, ScheduleResult};

/// The most schedules of a peer.
const MAX_SCHEDULES: usize = 64;
/// When a run that failed is tried again, unless its next time comes first.
const RETRY_S: u64 = 10 * 60;

/// All schedules of a peer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Book {
    /// Counts all that there ever were: a number is never given to another one.
    last_number: u64,
    schedules: Vec<Schedule>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Schedule {
    number: u64,
    when: When,
    request: BackupRequest,
    /// Seconds since 1970 when its last run began, or else when it was made.
    since: u64,
    /// What came of the last run.
    last: Option<ScheduleResult>,
}

impl Schedule {
    fn due(&self, now: u64, zone: &TimeZone) -> u64 {
        // A clock that was set back is believed: nothing waits for a time that was never reached.
        let regular = self.when.next(self.since.min(now), zone);
        match self.last.as_ref().filter(|last| last.error.is_some()) {
            Some(failed) => regular.min(failed.at.min(now).saturating_add(RETRY_S)),
            None => regular,
        }
    }
}

impl Book {
    /// Takes a schedule in and returns its number; none if there are too many, or were.
    pub(crate) fn add(&mut self, when: When, request: BackupRequest, now: u64) -> Option<u64> {
        if self.schedules.len() >= MAX_SCHEDULES {
            return None;
        }
        self.last_number = self.last_number.checked_add(1)?;
        self.schedules.push(Schedule {
            number: self.last_number,
            when,
            request,
            since: now,
            last: None,
        });
        Some(self.last_number)
    }

    /// Removes a schedule. Returns whether there was one.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let before = self.schedules.len();
        self.schedules.retain(|schedule| schedule.number != number);
        self.schedules.len() < before
    }

    /// The one that has been due for longest, and what it backs up.
    pub(super) fn due(&self, now: u64, zone: &TimeZone) -> Option<(u64, BackupRequest)> {
        let due = |schedule: &&Schedule| schedule.due(now, zone);
        let first = self.schedules.iter().min_by_key(due)?;
        (first.due(now, zone) <= now).then(|| (first.number, first.request.clone()))
    }

    /// When one is due next.
    pub(crate) fn next(&self, now: u64, zone: &TimeZone) -> Option<u64> {
        self.schedules
            .iter()
            .map(|schedule| schedule.due(now, zone))
            .min()
    }

    /// A run that began then has ended. Its schedule may be gone by now.
    pub(super) fn ran(&mut self, number: u64, began: u64, result: ScheduleResult) {
        if let Some(schedule) = self.schedules.iter_mut().find(|s| s.number == number) {
            (schedule.since, schedule.last) = (began, Some(result));
        }
    }

    /// All of them, as people see them.
    pub(crate) fn lines(&self, now: u64, zone: &TimeZone, running: Option<u64>) -> Vec<ScheduleLine> {
        let line = |schedule: &Schedule| ScheduleLine {
            number: schedule.number,
            when: schedule.when.to_string(),
            request: schedule.request.clone(),
            next: schedule.due(now, zone),
            waiting: schedule.due(now, zone) <= now,
            running: running == Some(schedule.number),
            last: schedule.last.clone(),
        };
        self.schedules.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 3600;
    const HOUR: u64 = 3600;

    fn book(whens: &[&str], now: u64) -> Book {
        let mut book = Book::default();
        for when in whens {
            let added = book.add(when.parse().unwrap(), BackupRequest::default(), now);
            assert!(added.is_some());
        }
        book
    }

    fn due(book: &Book, now: u64) -> Option<u64> {
        book.due(now, &TimeZone::UTC).map(|(number, _)| number)
    }

    fn result(at: u64, error: Option<&str>) -> ScheduleResult {
        ScheduleResult {
            at,
            error: error.map(str::to_owned),
            ..ScheduleResult::default()
        }
    }

    #[test]
    fn what_was_missed_is_made_up_for_once() {
        let mut book = book(&["daily 02:00"], 10 * DAY);
        assert_eq!(due(&book, 10 * DAY + 2 * HOUR - 1), None);
        // The machine was off for five days.
        let now = 15 * DAY + 7 * HOUR;
        assert_eq!(due(&book, now), Some(1));
        book.ran(1, now, result(now + 60, None));
        assert_eq!(due(&book, now + 60), None);
        assert_eq!(book.next(now, &TimeZone::UTC), Some(16 * DAY + 2 * HOUR));
    }

    #[test]
    fn a_clock_that_jumps_runs_it_once_and_does_not_stop_it() {
        let mut book = book(&["daily 02:00"], 10 * DAY);
        let far = 4000 * DAY;
        assert_eq!(due(&book, far), Some(1));
        book.ran(1, far, result(far, None));
        // The clock is set right again.
        let now = 11 * DAY;
        assert_eq!(due(&book, now), None);
        assert_eq!(book.next(now, &TimeZone::UTC), Some(11 * DAY + 2 * HOUR));
        book.ran(1, now, result(now, None));
        assert_eq!(due(&book, 11 * DAY + 2 * HOUR), Some(1));
    }

    #[test]
    fn a_run_that_failed_is_tried_again_soon() {
        let mut book = book(&["weekly sun 02:00"], 10 * DAY);
        let now = 20 * DAY;
        assert_eq!(due(&book, now), Some(1));
        book.ran(1, now, result(now + 5, Some("nobody is there")));
        assert_eq!(due(&book, now + 5 + RETRY_S - 1), None);
        assert_eq!(due(&book, now + 5 + RETRY_S), Some(1));
        book.ran(1, now + 5 + RETRY_S, result(now + 5 + RETRY_S, None));
        assert_eq!(due(&book, now + DAY), None);
        // Sooner if it is due sooner.
        book.ran(1, now, result(now, Some("no")));
        let mut often = self::book(&["every 2 minutes"], now);
        often.ran(1, now, result(now, Some("no")));
        assert_eq!(often.next(now, &TimeZone::UTC), Some(now + 120));
    }

    #[test]
    fn who_waited_longest_goes_first_and_numbers_are_not_reused() {
        let mut book = book(&["every 2 hours", "every 1 hour", "daily 02:00"], 10 * DAY);
        let now = 10 * DAY + 3 * HOUR;
        assert_eq!(due(&book, now), Some(2));
        assert!(book.remove(2) && !book.remove(2));
        assert_eq!(due(&book, now), Some(1));
        book.ran(2, now, result(now, None));
        assert!(book.remove(3));
        let again = book.add("hourly".parse().unwrap(), BackupRequest::default(), now);
        assert_eq!(again, Some(4));
        assert_eq!(book.lines(now, &TimeZone::UTC, Some(4)).len(), 2);
        while book.add(When::Hourly, BackupRequest::default(), now).is_some() {}
        assert_eq!(book.lines(now, &TimeZone::UTC, None).len(), MAX_SCHEDULES);
    }

    #[test]
    fn a_forged_book_overflows_nothing() {
        let mut book = book(&["every 1 hour"], u64::MAX);
        book.ran(1, u64::MAX, result(u64::MAX, Some("no")));
        assert_eq!(book.next(u64::MAX, &TimeZone::UTC), Some(u64::MAX));
        book.last_number = u64::MAX;
        assert_eq!(book.add(When::Hourly, BackupRequest::default(), 0), None);
    }

    #[test]
    fn the_book_is_read_as_it_was_written() {
        let mut book = book(&["weekly fri 18:30", "every 30 minutes"], 5);
        book.ran(1, 6, result(7, Some("no")));
        let text = serde_json::to_string(&book).unwrap();
        assert_eq!(serde_json::from_str::<Book>(&text).unwrap(), book);
    }
}
