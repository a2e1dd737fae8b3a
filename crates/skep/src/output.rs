//! What is printed, and where: results on stdout, everything else on stderr.

use std::{
    fmt::Display,
    io::{self, IsTerminal, Write},
};

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;
use skep_node::api::types::Skipped;

use crate::{exit::Exit, failure::Failure, globals::Globals};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default();

/// Where a command prints.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) json: bool,
    pub(crate) quiet: bool,
}

impl Output {
    pub(crate) fn new(globals: &Globals) -> Self {
        Self {
            json: globals.json,
            quiet: globals.quiet,
        }
    }

    /// Whether a person looks at the error stream.
    pub(crate) fn is_watched(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// A line of the result.
    pub(crate) fn line(&self, line: impl Display) {
        // A reader that has gone is no error of ours: `skep ls | head`.
        let _ = writeln!(anstream::stdout(), "{line}");
    }

    /// Something a person may like to know.
    pub(crate) fn note(&self, line: impl Display) {
        if !self.quiet && !self.json {
            let _ = writeln!(anstream::stderr(), "{line}");
        }
    }

    /// What may be said, and that it may be said now.
    pub(crate) fn prompt(&self, menu: &str) {
        let between = if menu.is_empty() { "" } else { "\n" };
        let _ = write!(anstream::stderr(), "{menu}{between}> ");
    }

    /// One object of the result, with its `event`; for people, the text.
    pub(crate) fn event<T: Serialize>(&self, event: &str, value: &T, text: impl Display) {
        if !self.json {
            return self.line(text);
        }
        let mut object = serde_json::json!({ "event": event });
        let value = serde_json::to_value(value).expect("events are JSON");
        if let (Some(object), serde_json::Value::Object(value)) = (object.as_object_mut(), value) {
            object.extend(value);
        }
        self.line(object);
    }

    /// A list: one object per row, or a table.
    pub(crate) fn rows<T: Serialize>(&self, rows: &[T], head: &[&str], row: impl Fn(&T) -> Vec<String>) {
        if self.json {
            for row in rows {
                self.line(serde_json::to_string(row).expect("rows are JSON"));
            }
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if !self.quiet {
            table.set_header(head.iter().map(|word| word.to_uppercase()));
        }
        for item in rows {
            table.add_row(row(item).into_iter().map(|cell| printable(&cell)));
        }
        for line in table.to_string().lines() {
            self.line(line.trim_end());
        }
    }

    /// Says what failed, about what, and what to do next.
    pub(crate) fn fail(&self, failure: &Failure) -> Exit {
        let body = &failure.body;
        if self.json {
            self.event("error", body, "");
        } else {
            let mut stream = anstream::stderr();
            let message = printable(&body.message);
            let _ = writeln!(stream, "{ERROR}error{ERROR:#}: {message}");
            if !body.hint.is_empty() {
                let _ = writeln!(stream, "{HINT}hint{HINT:#}: {}", printable(&body.hint));
            }
        }
        failure.exit
    }
}

/// Names come from others: control and direction-changing characters are shown, not obeyed.
pub(crate) fn printable(text: &str) -> String {
    let harmless = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        !c.is_control() && !turns
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if harmless(c) {
            out.push(c)
        } else {
            out.extend(c.escape_unicode())
        }
    }
    out
}

/// Names what was left out.
pub(crate) fn left_out(out: &Output, skipped: &[Skipped]) {
    for skipped in skipped {
        let path = printable(&skipped.path);
        out.note(format!("left out: {path}: {}", skipped.reason));
    }
}

/// `2026-11-21 15:04` by this machine's clock, of seconds since 1970.
pub(crate) fn date(unix_s: u64) -> String {
    date_in(unix_s, &TimeZone::system())
}

fn date_in(unix_s: u64, zone: &TimeZone) -> String {
    let second = i64::try_from(unix_s).unwrap_or(i64::MAX);
    let time = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
    zone.to_datetime(time).strftime("%Y-%m-%d %H:%M").to_string()
}

/// The same, if it ever was.
pub(crate) fn date_or_never(unix_s: Option<u64>) -> String {
    unix_s.map_or_else(|| "never".to_owned(), date)
}

/// `1.4 GiB`
pub(crate) fn bytes(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// `1.4 GiB/s`
pub(crate) fn rate(bytes_per_second: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "for people"
    )]
    let whole = bytes_per_second.max(0.0) as u64;
    format!("{}/s", bytes(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar_and_the_zone() {
        let utc = |unix_s| date_in(unix_s, &TimeZone::UTC);
        assert_eq!(utc(951_782_399), "2000-02-28 23:59");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00");
        let there = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(date_in(1_782_864_000, &there), "2026-07-01 02:00");
        assert_eq!(utc(u64::MAX), "9999-12-30 22:00");
    }

    #[test]
    fn names_cannot_play_with_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(printable("photo\u{202e}gpj.exe"), "photo\\u{202e}gpj.exe");
        assert_eq!(printable("Übung 7.pdf"), "Übung 7.pdf");
    }
}
