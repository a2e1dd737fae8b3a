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
pub fn deceives(c: char) -> bool {
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
    let is = |name: &&str| stem.eq_ignore_ascii_case(name);
    let is_numbered = |port: &str, number: &str| {
        let digit = matches!(number, "¹" | "²" | "³") || matches!(number.as_bytes(), [b'0'..=b'9']);
        digit && (port.eq_ignore_ascii_case("COM") || port.eq_ignore_ascii_case("LPT"))
    };
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].iter().any(is)
        || stem
            .split_at_checked(3)
            .is_some_and(|(port, number)| is_numbered(port, number))
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

#[cfg(test)]
mod tests {
    use std::path::{Component, Path};

    use proptest::prelude::*;

    use super::*;
    use crate::hostile;

    /// What a path must be for whoever resolves it, by the rules of this system.
    fn stays_beneath(path: &RelPath) -> bool {
        let normal = |component| matches!(component, Component::Normal(_));
        let resolved = Path::new(path.as_str()).components();
        resolved.clone().all(normal) && resolved.count() == path.components().count()
    }

    #[test]
    fn hostile_paths_are_refused_whichever_way_they_come() {
        for text in hostile::paths() {
            assert!(RelPath::parse(&text).is_err(), "{text:.80?}");
            let bytes = postcard::to_allocvec(&text).unwrap();
            assert!(postcard::from_bytes::<RelPath>(&bytes).is_err(), "{text:.80?}");
        }
        for text in hostile::components() {
            assert!(check_component(&text).is_err(), "{text:.80?}");
        }
    }

    #[test]
    fn awkward_paths_are_allowed_and_stay_beneath() {
        for text in hostile::awkward() {
            let path = RelPath::parse(&text).unwrap_or_else(|e| panic!("{text:.80?}: {e}"));
            assert!(stays_beneath(&path), "{text:.80?}");
            let bytes = postcard::to_allocvec(&path).unwrap();
            assert_eq!(postcard::from_bytes(&bytes), Ok(path));
        }
    }

    #[test]
    fn reasons_name_what_is_wrong() {
        let reason = |text| RelPath::parse(text).unwrap_err().to_string();
        assert_eq!(reason("a//b"), "a name cannot be empty");
        assert_eq!(reason("a\nb"), "the character '\\n' cannot be in a name");
        assert_eq!(
            reason("x/\u{202e}y"),
            "the character '\\u{202e}' cannot be in a name"
        );
        assert_eq!(reason("x/nul.txt"), "\"nul.txt\" cannot be a name");
        assert_eq!(reason("~/x"), "\"~\" cannot be a name");
        assert_eq!(reason(&"x".repeat(256)), "a name has at most 255 bytes");
    }

    #[test]
    fn parts_of_a_path() {
        let path = RelPath::parse("a/b/c.txt").unwrap();
        assert_eq!(path.components().collect::<Vec<_>>(), ["a", "b", "c.txt"]);
        assert_eq!(path.file_name(), "c.txt");
        assert_eq!(path.parent(), RelPath::parse("a/b").ok());
        assert_eq!(RelPath::parse("a").unwrap().parent(), None);
        assert_eq!(
            RelPath::parse("a/b").unwrap().join(&"c.txt".parse().unwrap()),
            Ok(path)
        );
        let long = RelPath::parse(&("x/".repeat(2000) + "x")).unwrap();
        assert!(long.join(&long).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_stays_beneath(text in "([a-zA-Z.~:\\\\$ ]{0,4}/?){0,6}|\\PC{0,20}") {
            if let Ok(path) = RelPath::parse(&text) {
                prop_assert!(stays_beneath(&path));
                prop_assert_eq!(path.as_str(), text);
            }
        }
    }
}
