//! Relative paths that are safe to write on any machine.
//!
//! A [`RelPath`] cannot leave the folder it is resolved in, names no device, and cannot deceive
//! the person who reads it. It says nothing about symbolic links: those are the business of who
//! opens files.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

use crate::name::NameError;

/// The most bytes of a path.
pub const MAX_PATH_BYTES: usize = 4096;
/// The most bytes of one component.
pub const MAX_COMPONENT_BYTES: usize = 255;

/// A relative path: `/` between components, each of which any file system takes.
///
/// Ordered by bytes, the `/` included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct RelPath(Box<str>);

impl RelPath {
    /// Checks and takes a text.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_PATH_BYTES {
            return Err(NameError::TooLong {
                limit: MAX_PATH_BYTES,
            });
        }
        check_no_home(text)?;
        text.split('/').try_for_each(check_inner_component)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The components, at least one.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The last component.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// All but the last component; none for a single one.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('/').map(|(parent, _)| Self(parent.into()))
    }

    /// `self/below`.
    ///
    /// # Errors
    /// When the whole becomes too long.
    pub fn join(&self, below: &RelPath) -> Result<Self, NameError> {
        Self::parse(&format!("{}/{}", self.0, below.0))
    }
}

/// Checks a path of a single component.
///
/// # Errors
/// [`NameError`] says what is wrong with it.
pub fn check_component(text: &str) -> Result<(), NameError> {
    check_no_home(text)?;
    check_inner_component(text)
}

/// Refuses what a shell takes for a home folder. `~$x`, as office programs make them, is none.
fn check_no_home(text: &str) -> Result<(), NameError> {
    if text.starts_with('~') && !text.starts_with("~$") {
        let first = text.split('/').next().unwrap_or(text);
        return Err(reserved(first));
    }
    Ok(())
}

fn check_inner_component(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > MAX_COMPONENT_BYTES {
        return Err(NameError::TooLong {
            limit: MAX_COMPONENT_BYTES,
        });
    }
    if let Some(bad) = text.chars().find(|c| is_forbidden(*c)) {
        return Err(NameError::Character(bad));
    }
    // A trailing dot covers `.` and `..`; Windows drops trailing dots and spaces.
    if text.ends_with(['.', ' ']) || has_drive(text) || is_device(text) {
        return Err(reserved(text));
    }
    Ok(())
}

fn reserved(text: &str) -> NameError {
    NameError::Reserved(text.chars().take(MAX_COMPONENT_BYTES).collect())
}

/// Separators of any system, and what deceives.
fn is_forbidden(c: char) -> bool {
    matches!(c, '/' | '\\') || deceives(c)
}

/// Control characters, line separators, and the controls with which right-to-left text can make
/// a name read differently from what it is.
pub(crate) fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `C:` and `C:name`, which Windows resolves elsewhere.
fn has_drive(text: &str) -> bool {
    matches!(text.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic())
}

/// The names that Windows gives to devices in every folder, also with an extension.
fn is_device(text: &str) -> bool {
    let stem = text
        .split(['.', ':'])
        .next()
        .unwrap_or(text)
        .trim_end_matches(' ');
    let upper = stem.to_ascii_uppercase();
    let numbered = upper.strip_prefix("COM").or_else(|| upper.strip_prefix("LPT"));
    if let Some(number) = numbered {
        let mut rest = number.chars();
        let digit = rest
            .next()
            .is_some_and(|c| c.is_ascii_digit() || "¹²³".contains(c));
        return digit && rest.next().is_none();
    }
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&upper.as_str())
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RelPath {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}
