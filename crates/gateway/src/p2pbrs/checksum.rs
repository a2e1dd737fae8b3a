//! Checksums of files and chunks: CRC32 (IEEE), MD5 or SHA-1.
//!
//! They find damage, not malice: that is all that this protocol asks of them.

use std::str::FromStr;

use md5::Md5;
use sha1::{Digest, Sha1};

use super::codec::{BadField, Checksum};

/// Which checksum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kind {
    /// 8 digits.
    #[default]
    Crc32,
    /// 32 digits.
    Md5,
    /// 40 digits.
    Sha1,
}

impl Kind {
    /// The kind of a checksum that came, by its length; leading zeros may be missing.
    #[must_use]
    pub fn of(checksum: &Checksum) -> Self {
        match checksum.as_str().len() {
            ..=8 => Self::Crc32,
            9..=32 => Self::Md5,
            _ => Self::Sha1,
        }
    }
}

impl FromStr for Kind {
    type Err = BadField;

    fn from_str(text: &str) -> Result<Self, BadField> {
        match text.to_ascii_lowercase().as_str() {
            "crc32" => Ok(Self::Crc32),
            "md5" => Ok(Self::Md5),
            "sha1" | "sha-1" => Ok(Self::Sha1),
            _ => Err(BadField),
        }
    }
}

/// A checksum in the making.
#[derive(Clone)]
pub enum Hasher {
    /// CRC32.
    Crc32(crc32fast::Hasher),
    /// MD5.
    Md5(Md5),
    /// SHA-1.
    Sha1(Sha1),
}

impl Hasher {
    /// Of nothing yet.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
            Kind::Md5 => Self::Md5(Md5::new()),
            Kind::Sha1 => Self::Sha1(Sha1::new()),
        }
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc32(hasher) => hasher.update(bytes),
            Self::Md5(hasher) => hasher.update(bytes),
            Self::Sha1(hasher) => hasher.update(bytes),
        }
    }

    /// The checksum, with all its digits.
    #[must_use]
    pub fn finish(self) -> Checksum {
        let text = match self {
            Self::Crc32(hasher) => format!("{:08x}", hasher.finalize()),
            Self::Md5(hasher) => hex(&hasher.finalize()),
            Self::Sha1(hasher) => hex(&hasher.finalize()),
        };
        text.parse().expect("8, 32 or 40 hexadecimal digits")
    }
}

/// The checksum of these bytes.
#[must_use]
pub fn of(kind: Kind, bytes: &[u8]) -> Checksum {
    let mut hasher = Hasher::new(kind);
    hasher.update(bytes);
    hasher.finish()
}

/// Whether two checksums of one kind are equal: leading zeros and case do not count.
#[must_use]
pub fn same(one: &Checksum, other: &Checksum) -> bool {
    let digits = |checksum: &Checksum| checksum.as_str().trim_start_matches('0').to_ascii_lowercase();
    digits(one) == digits(other)
}

/// Whether the bytes have the checksum, of whichever kind it is.
#[must_use]
pub fn matches(expected: &Checksum, bytes: &[u8]) -> bool {
    same(expected, &of(Kind::of(expected), bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checksum(text: &str) -> Checksum {
        text.parse().unwrap()
    }

    #[test]
    fn the_published_check_values_come_out() {
        assert_eq!(of(Kind::Crc32, b"123456789").as_str(), "cbf43926");
        assert_eq!(of(Kind::Md5, b"abc").as_str(), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(
            of(Kind::Sha1, b"abc").as_str(),
            "a9993e364706816aba3e25717850c26c9cd0d89d"
        );
        assert_eq!(of(Kind::Crc32, b"").as_str(), "00000000");
    }

    #[test]
    fn zeros_in_front_and_case_do_not_count() {
        assert!(matches(&checksum("CBF43926"), b"123456789"));
        assert!(matches(&checksum("0"), b"") && matches(&checksum("00000000"), b""));
        assert!(!matches(&checksum("cbf43927"), b"123456789"));
        let zeros = of(Kind::Crc32, &[0xff; 4]);
        assert!(matches(
            &checksum(zeros.as_str().trim_start_matches('0')),
            &[0xff; 4]
        ));
    }
}
