//! When a backup is due: a small language, and the arithmetic behind it. Pure: time and zone come in.
//!
//! ```text
//! hourly | daily HH:MM | weekly DAY HH:MM | every N minutes | every N hours
//! ```

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::{Date, Time, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The longest `every`: a week.
const MAX_MINUTES: u32 = 7 * 24 * 60;
const DAY_S: u64 = 24 * 3600;
/// English names of days; the first three letters will do.
const DAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Monday),
    ("tuesday", Weekday::Tuesday),
    ("wednesday", Weekday::Wednesday),
    ("thursday", Weekday::Thursday),
    ("friday", Weekday::Friday),
    ("saturday", Weekday::Saturday),
    ("sunday", Weekday::Sunday),
];

/// When something is due, again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum When {
    /// An hour after the last time.
    Hourly,
    /// At this time of each day.
    Daily(Clock),
    /// At this time of one day of the week.
    Weekly(Day, Clock),
    /// So many minutes after the last time.
    Every {
        /// How many; at most a week.
        minutes: u32,
    },
}

/// A time of day, as clocks on the wall show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Clock {
    hour: i8,
    minute: i8,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Day(Weekday);

/// What is no time.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no time for a schedule; write hourly, daily 02:00, weekly sunday 02:00, every 30 minutes or every 6 hours"
)]
pub(crate) struct ParseWhenError(String);

impl When {
    /// The first time after `after` (seconds since 1970), by the clocks of this zone. Where they skip the time of
    /// day, it is as much later; where they show it twice, the first counts.
    #[must_use]
    pub(crate) fn next(&self, after: u64, zone: &TimeZone) -> u64 {
        match *self {
            Self::Hourly => after.saturating_add(3600),
            Self::Every { minutes } => after.saturating_add(u64::from(minutes) * 60),
            Self::Daily(clock) => clock.next(after, zone, |_| true),
            Self::Weekly(Day(day), clock) => clock.next(after, zone, |date| date.weekday() == day),
        }
    }
}

impl Clock {
    /// The first time after `after` that it is so late on a day that is wanted.
    fn next(self, after: u64, zone: &TimeZone, wanted: impl Fn(Date) -> bool) -> u64 {
        // Outside of the calendar there is no telling.
        self.find(after, zone, wanted)
            .unwrap_or(after.saturating_add(DAY_S))
    }

    fn find(self, after: u64, zone: &TimeZone, wanted: impl Fn(Date) -> bool) -> Option<u64> {
        let time = Time::new(self.hour, self.minute, 0, 0).ok()?;
        let from = Timestamp::from_second(i64::try_from(after).ok()?).ok()?;
        let mut date = zone.to_datetime(from).date();
        loop {
            let at = zone.to_timestamp(date.to_datetime(time)).ok()?;
            if wanted(date) && at > from {
                return u64::try_from(at.as_second()).ok();
            }
            date = date.tomorrow().ok()?;
        }
    }
}

impl FromStr for When {
    type Err = ParseWhenError;

    fn from_str(text: &str) -> Result<Self, ParseWhenError> {
        let lower = text.to_ascii_lowercase();
        let words: Vec<&str> = lower.split_whitespace().collect();
        let parsed = match words[..] {
            ["hourly"] => Some(Self::Hourly),
            ["daily", time] => clock(time).map(Self::Daily),
            ["weekly", day, time] => weekly(day, time),
            ["every", count, unit] => every(count, unit),
            _ => None,
        };
        parsed.ok_or_else(|| ParseWhenError(text.to_owned()))
    }
}

fn weekly(name: &str, time: &str) -> Option<When> {
    let is_meant = |day: &str| name.len() >= 3 && day.starts_with(name);
    let (_, day) = DAYS.into_iter().find(|(day, _)| is_meant(day))?;
    Some(When::Weekly(Day(day), clock(time)?))
}

fn every(count: &str, unit: &str) -> Option<When> {
    let minutes_each = match unit {
        "minute" | "minutes" => 1,
        "hour" | "hours" => 60,
        _ => return None,
    };
    let minutes = number(count)?.checked_mul(minutes_each)?;
    (1..=MAX_MINUTES)
        .contains(&minutes)
        .then_some(When::Every { minutes })
}

/// `02:00`, `2:00`, `23:59`
fn clock(text: &str) -> Option<Clock> {
    let (hour, minute) = text.split_once(':').filter(|(_, minute)| minute.len() == 2)?;
    let (hour, minute) = (
        i8::try_from(number(hour)?).ok()?,
        i8::try_from(number(minute)?).ok()?,
    );
    (hour < 24 && minute < 60).then_some(Clock { hour, minute })
}

/// Digits and nothing else: `parse` takes a sign too.
fn number(text: &str) -> Option<u32> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hourly => f.write_str("hourly"),
            Self::Daily(clock) => write!(f, "daily {clock}"),
            Self::Weekly(day, clock) => write!(f, "weekly {day} {clock}"),
            Self::Every { minutes } if minutes % 60 == 0 => counted(f, minutes / 60, "hour"),
            Self::Every { minutes } => counted(f, *minutes, "minute"),
        }
    }
}

fn counted(f: &mut fmt::Formatter<'_>, count: u32, unit: &str) -> fmt::Result {
    let plural = if count == 1 { "" } else { "s" };
    write!(f, "every {count} {unit}{plural}")
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = DAYS.iter().find(|(_, day)| *day == self.0);
        f.write_str(name.map_or("", |(name, _)| name))
    }
}

impl From<When> for String {
    fn from(when: When) -> Self {
        when.to_string()
    }
}

impl TryFrom<String> for When {
    type Error = ParseWhenError;

    fn try_from(text: String) -> Result<Self, ParseWhenError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Central Europe: forward at 2:00 on the last Sunday of March, back at 3:00 on that of October.
    fn zone() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn at(text: &str) -> u64 {
        let time: Timestamp = text.parse().unwrap();
        u64::try_from(time.as_second()).unwrap()
    }

    fn next(when: &str, after: &str) -> u64 {
        when.parse::<When>().unwrap().next(at(after), &zone())
    }

    #[test]
    fn what_people_write_is_read_and_written_alike() {
        for text in [
            "hourly",
            "daily 02:00",
            "weekly sunday 23:59",
            "every 30 minutes",
            "every 6 hours",
        ] {
            assert_eq!(text.parse::<When>().unwrap().to_string(), text);
        }
        for (text, means) in [
            ("  Daily   2:00 ", "daily 02:00"),
            ("weekly Thu 7:05", "weekly thursday 07:05"),
            ("every 1 hours", "every 1 hour"),
            ("every 120 minutes", "every 2 hours"),
        ] {
            assert_eq!(text.parse::<When>().unwrap().to_string(), means);
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "daily",
            "daily 24:00",
            "daily 2:60",
            "daily 2",
            "daily 2:5",
            "daily +2:00",
            "daily -1:00",
            "weekly 02:00",
            "weekly s 02:00",
            "weekly sundays 02:00",
            "every 0 minutes",
            "every 10081 minutes",
            "every 99999999999 hours",
            "every 5 days",
            "hourly 02:00",
            "monthly 1 02:00",
        ] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_next_time_is_after_and_not_at() {
        assert_eq!(
            next("daily 02:00", "2026-01-05T00:59:59Z"),
            at("2026-01-05T01:00:00Z")
        );
        assert_eq!(
            next("daily 02:00", "2026-01-05T01:00:00Z"),
            at("2026-01-06T01:00:00Z")
        );
        // That is a Monday.
        assert_eq!(
            next("weekly mon 02:00", "2026-01-05T00:00:00Z"),
            at("2026-01-05T01:00:00Z")
        );
        assert_eq!(
            next("weekly mon 02:00", "2026-01-05T01:00:00Z"),
            at("2026-01-12T01:00:00Z")
        );
        assert_eq!(
            next("weekly sun 02:00", "2026-01-05T01:00:00Z"),
            at("2026-01-11T01:00:00Z")
        );
        assert_eq!(
            next("every 90 minutes", "2026-01-05T01:00:00Z"),
            at("2026-01-05T02:30:00Z")
        );
        assert_eq!(next("hourly", "2026-01-05T01:10:00Z"), at("2026-01-05T02:10:00Z"));
    }

    #[test]
    fn clocks_that_skip_or_repeat_an_hour_neither_skip_nor_repeat_a_day() {
        // 2026-03-29, 2:30 does not exist: it is 3:30 summer time.
        assert_eq!(
            next("daily 02:30", "2026-03-28T12:00:00Z"),
            at("2026-03-29T01:30:00Z")
        );
        assert_eq!(
            next("daily 02:30", "2026-03-29T01:30:00Z"),
            at("2026-03-30T00:30:00Z")
        );
        // 2026-10-25, 2:30 comes twice: the first counts, and the second does not.
        assert_eq!(
            next("daily 02:30", "2026-10-24T12:00:00Z"),
            at("2026-10-25T00:30:00Z")
        );
        assert_eq!(
            next("daily 02:30", "2026-10-25T00:30:00Z"),
            at("2026-10-26T01:30:00Z")
        );
    }

    #[test]
    fn there_is_always_a_next_time() {
        let when: When = "daily 02:00".parse().unwrap();
        assert_eq!(when.next(u64::MAX, &zone()), u64::MAX);
        let last = u64::try_from(Timestamp::MAX.as_second()).unwrap();
        assert_eq!(when.next(last, &zone()), last + DAY_S);
    }
}
