//! Names that people type: of peers and of shares. Names are labels; keys are identities.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing is left of it.
    #[error("a name cannot be empty")]
    Empty,
    /// More than the limit of its kind.
    #[error("a name has at most {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// A character that is not allowed in this kind of name.
    #[error("the character {0:?} cannot be in a name")]
    Character(char),
    /// A name that means something else to a file system or a shell.
    #[error("{0:?} cannot be a name")]
    Reserved(String),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a text.
            ///
            /// # Errors
            /// [`NameError`] says what is wrong with it.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name! {
    /// The name of a peer: 1 to 64 letters, digits, `_`, `.` and `-`; it does not start with `.` or `-`.
    PeerName, check_peer_name
}
name! {
    /// The name of a share: 1 to 255 bytes; a single component that any file system takes (see [`crate::path`]).
    ShareName, check_share_name
}

fn check_peer_name(text: &str) -> Result<(), NameError> {
    const LIMIT: usize = 64;
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > LIMIT {
        return Err(NameError::TooLong { limit: LIMIT });
    }
    if let Some(bad) = text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && !"_.-".contains(*c))
    {
        return Err(NameError::Character(bad));
    }
    if text.starts_with(['.', '-']) {
        return Err(NameError::Reserved(text.to_owned()));
    }
    Ok(())
}

fn check_share_name(text: &str) -> Result<(), NameError> {
    crate::path::check_component(text)?;
    if text.starts_with('.') {
        return Err(NameError::Reserved(text.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hostile;

    #[test]
    fn names_of_peers() {
        for good in ["bee", "peer_1", "A.b-c_9", &"x".repeat(64)] {
            assert_eq!(PeerName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".bee",
            "-bee",
            "a b",
            "a/b",
            "é",
            "a\n",
            "a\u{202e}",
            &"x".repeat(65),
        ] {
            assert!(PeerName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_of_shares_are_single_safe_components() {
        for bad in hostile::components().iter().chain(&hostile::paths()) {
            assert!(ShareName::parse(bad).is_err(), "{bad:.80?}");
        }
        for bad in [".hidden", "a/b"] {
            assert!(ShareName::parse(bad).is_err(), "{bad}");
        }
        for good in ["holiday pictures", "日本語", "~$x", &"x".repeat(255)] {
            assert_eq!(ShareName::parse(good).unwrap().to_string(), good);
        }
    }

    #[test]
    fn a_bad_name_does_not_deserialize() {
        for bad in ["", "..", "a\0"] {
            let bytes = postcard::to_allocvec(bad).unwrap();
            assert!(postcard::from_bytes::<PeerName>(&bytes).is_err());
            assert!(postcard::from_bytes::<ShareName>(&bytes).is_err());
        }
    }
}
