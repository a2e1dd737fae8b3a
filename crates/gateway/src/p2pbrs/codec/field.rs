//! The fields of messages: each can only be made by the function that checks it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The most bytes of a request number.
const RQ_BYTES: usize = 20;
/// The most bytes of a peer's name.
const NAME_BYTES: usize = 64;
/// The most bytes of a file's name as it is sent.
pub const FILE_BYTES: usize = 400;

/// It is not what the field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a field makes no sense")]
pub struct BadField;

/// The number of a request, as whoever asked wrote it: `01` stays `01`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rq(Box<str>);

impl Rq {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u64> for Rq {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl FromStr for Rq {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        let fits = (1..=RQ_BYTES).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        fits.then(|| Self(text.into())).ok_or(BadField)
    }
}

/// A peer's name: `[A-Za-z0-9_.-]{1,64}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name(Box<str>);

impl Name {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        let fits = (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(is_allowed);
        fits.then(|| Self(text.into())).ok_or(BadField)
    }
}

/// A file's name as it is sent: no white space; percent-encoding stands for it.
///
/// Two of them are the same file if they are sent alike. What they mean in a file system is decided
/// by whoever writes there: see [`FileName::decoded`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileName(Box<str>);

impl FileName {
    /// The wire's form of a local name.
    ///
    /// # Errors
    /// When it is too long or has characters that no name should have.
    pub fn encode(local: &str) -> Result<Self, BadField> {
        let mut text = String::with_capacity(local.len());
        for c in local.chars() {
            if c == '%' || c.is_whitespace() {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    text.push_str(&format!("%{byte:02X}"));
                }
            } else {
                text.push(c);
            }
        }
        text.parse()
    }

    /// The local name. What is no percent-encoding of UTF-8 stands for itself: not everybody encodes.
    #[must_use]
    pub fn decoded(&self) -> String {
        let mut bytes = Vec::with_capacity(self.0.len());
        let mut rest = self.0.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let escaped = (*first == b'%').then(|| after.split_first_chunk::<2>()).flatten();
            match escaped.and_then(|([high, low], after)| Some((hex(*high)? << 4 | hex(*low)?, after))) {
                Some((byte, after)) => {
                    bytes.push(byte);
                    rest = after;
                }
                None => {
                    bytes.push(*first);
                    rest = after;
                }
            }
        }
        String::from_utf8(bytes).unwrap_or_else(|_| self.0.to_string())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

impl FromStr for FileName {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        let is_bad = |c: char| c.is_whitespace() || c.is_control();
        let fits = (1..=FILE_BYTES).contains(&text.len()) && !text.contains(is_bad);
        fits.then(|| Self(text.into())).ok_or(BadField)
    }
}

/// The checksum of a file or chunk as it is sent: 1 to 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum(Box<str>);

impl Checksum {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Checksum {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        let fits = (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        fits.then(|| Self(text.into())).ok_or(BadField)
    }
}

/// What a peer does for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// It backs up its own files.
    Owner,
    /// It holds chunks of others.
    Storage,
    /// Both.
    Both,
}

impl Role {
    /// Whether it holds chunks.
    #[must_use]
    pub fn stores(self) -> bool {
        self != Self::Owner
    }

    /// Whether it may back up files.
    #[must_use]
    pub fn owns(self) -> bool {
        self != Self::Storage
    }
}

impl FromStr for Role {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        match text.to_ascii_uppercase().as_str() {
            "OWNER" => Ok(Self::Owner),
            "STORAGE" => Ok(Self::Storage),
            "BOTH" => Ok(Self::Both),
            _ => Err(BadField),
        }
    }
}

/// Storage that a peer offers: a number with B, KB, MB or GB (powers of 1024); a bare one is MB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Capacity {
    /// The same in bytes.
    pub bytes: u64,
}

impl FromStr for Capacity {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at_checked(end).ok_or(BadField)?;
        let factor: u64 = match unit.to_ascii_uppercase().as_str() {
            "B" => 1,
            "KB" => 1 << 10,
            "" | "MB" => 1 << 20,
            "GB" => 1 << 30,
            _ => return Err(BadField),
        };
        let number: u64 = digits.parse().map_err(|_| BadField)?;
        let bytes = number.checked_mul(factor).ok_or(BadField)?;
        Ok(Self { bytes })
    }
}

/// In MB where that is exact, as the document has it: not everybody reads the other units.
impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes.trailing_zeros() {
            20.. => write!(f, "{}MB", self.bytes >> 20),
            10.. => write!(f, "{}KB", self.bytes >> 10),
            _ => write!(f, "{}B", self.bytes),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "OWNER",
            Self::Storage => "STORAGE",
            Self::Both => "BOTH",
        })
    }
}

impl fmt::Display for Rq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacities_are_read_in_all_units() {
        let bytes = |text: &str| text.parse().map(|capacity: Capacity| capacity.bytes);
        assert_eq!(bytes("1024MB"), Ok(1 << 30));
        assert_eq!(bytes("5"), Ok(5 << 20));
        assert_eq!(bytes("7b"), Ok(7));
        assert_eq!(bytes("3KB"), Ok(3072));
        assert_eq!(bytes("0"), Ok(0));
        for bad in [
            "",
            "MB",
            "-1MB",
            "1TB",
            "1.5GB",
            "99999999999999999999",
            "18446744073709551615MB",
        ] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
        for (bytes, text) in [
            (1 << 30, "1024MB"),
            (3 << 20, "3MB"),
            (3072, "3KB"),
            (7, "7B"),
            (0, "0MB"),
        ] {
            assert_eq!(Capacity { bytes }.to_string(), text);
        }
    }

    #[test]
    fn file_names_are_percent_encoded_and_back() {
        for name in ["a.txt", "my photo 100%.jpg", "Ünï\u{a0}code\t.bin", "%41", "100%"] {
            let sent = FileName::encode(name).unwrap();
            assert!(!sent.as_str().contains(char::is_whitespace), "{sent}");
            assert_eq!(sent.decoded(), name);
        }
        assert_eq!(FileName::encode("a b%").unwrap().as_str(), "a%20b%25");
        for literal in ["100%", "%zz", "%e", "%FF"] {
            assert_eq!(literal.parse::<FileName>().unwrap().decoded(), literal);
        }
        assert!("".parse::<FileName>().is_err() && "a\0b".parse::<FileName>().is_err());
        assert!(FileName::encode(&" ".repeat(200)).is_err());
    }

    #[test]
    fn names_and_request_numbers_have_their_characters() {
        assert!("Alice_1.x-y".parse::<Name>().is_ok() && "a".repeat(64).parse::<Name>().is_ok());
        for bad in ["", "a b", "a:b", "é", &"a".repeat(65)] {
            assert!(bad.parse::<Name>().is_err(), "{bad}");
        }
        assert!("01".parse::<Rq>().is_ok() && "RQ#1".parse::<Rq>().is_ok());
        assert!("".parse::<Rq>().is_err() && "1".repeat(21).parse::<Rq>().is_err());
    }
}
