//! The name of an entry: bytes that are one component of a path, on any Unix.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use skep_wire::{name::NameError, path};
use thiserror::Error;

/// 1 to 255 bytes, without `/` and NUL, neither `.` nor `..`. Ordered by bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Bytes that lead out of a folder, or are no name at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("this is no name of an entry of a folder")]
pub struct BadName;

impl Name {
    /// Checks and takes the bytes.
    ///
    /// # Errors
    /// [`BadName`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BadName> {
        let long = bytes.len() > 255;
        let special = matches!(bytes, b"" | b"." | b"..");
        if long || special || bytes.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(BadName);
        }
        Ok(Self(bytes.into()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the name means the same on every system, and does not deceive who reads it. What fails this
    /// is restored on a Unix system only.
    ///
    /// # Errors
    /// [`NameError`] says what is wrong.
    pub fn check_anywhere(&self) -> Result<(), NameError> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => path::check_component(text),
            Err(_) => Err(NameError::Character(char::REPLACEMENT_CHARACTER)),
        }
    }
}

/// For people: what is not text or could deceive is shown as its code.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match path::deceives(c) || c == '\\' {
                    true => write!(f, "{}", c.escape_default())?,
                    false => write!(f, "{c}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        Self::parse(&bytes).map_err(D::Error::custom)
    }
}
