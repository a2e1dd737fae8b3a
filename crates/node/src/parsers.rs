//! Doors for `fuzz/` to parsers that are nobody else's affair: schedules, patterns, headers of HTTP.
//!
//! Nothing is decided here: each function does with such bytes what the program does.

use std::{ops::Range, path::Path};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jiff::tz::TimeZone;

use crate::{
    api::{
        blobs::{Wanted, wanted},
        guard::admit,
    },
    backup,
    schedule::{book::Book, when::When},
};

/// A file of schedules, as it is written again, and when one of them is due next.
#[must_use]
pub fn schedules(text: &[u8], now_unix_s: u64) -> Option<(Vec<u8>, Option<u64>)> {
    let book: Book = serde_json::from_slice(text).ok()?;
    let _ = book.lines(now_unix_s, &TimeZone::UTC, None);
    let written = serde_json::to_vec(&book).ok()?;
    Some((written, book.next(now_unix_s, &TimeZone::UTC)))
}

/// A time for a schedule in the words of a person, as it is written again, and when it comes next.
#[must_use]
pub fn when(text: &str, after_unix_s: u64) -> Option<(String, u64)> {
    let when: When = text.parse().ok()?;
    Some((when.to_string(), when.next(after_unix_s, &TimeZone::UTC)))
}

/// Whether a file `.skepignore` in the folder `/` says something about the file `path`.
#[must_use]
pub fn mentions(text: &[u8], path: &Path) -> bool {
    backup::compile_rules(Path::new("/"), text).is_some_and(|rules| !rules.matched(path, false).is_none())
}

/// What a header `Range` asks for of a file of `size` bytes, if it is a part.
#[must_use]
pub fn range(value: &str, size: u64) -> Option<Range<u64>> {
    match wanted(value, size) {
        Wanted::Part(range) => Some(range),
        Wanted::All | Wanted::Nothing => None,
    }
}

/// Whether the API on port 80 lets a request with these headers in.
#[must_use]
pub fn is_admitted(headers: &[(&str, &[u8])], token: &str) -> bool {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) {
            map.append(name, value);
        }
    }
    admit(&map, 80, token).is_ok()
}
