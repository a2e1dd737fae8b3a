//! How a pack becomes shards: replicas, or a systematic erasure code.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// `data + parity` shards, any `data` of which give the pack back. One data shard means replicas.
///
/// The data shards are the pack itself, cut into equal, contiguous parts, the last one padded with
/// zeros; so a small piece of the pack is a range of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u8, u8)", into = "(u8, u8)")]
pub struct Scheme {
    data: u8,
    parity: u8,
}

/// Not `3x` and not `4+2`, or too many shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a scheme is copies like 3x, or data and parity like 4+2, of at most 32 shards")]
pub struct ParseSchemeError;

impl Scheme {
    /// The most shards of a pack.
    pub const MAX_SHARDS: usize = 32;
    /// Shards are a multiple of this: the code works on columns of so many bytes, so that any range
    /// of columns can be rebuilt by itself. Replicas need none of it.
    pub const COLUMN_BYTES: u64 = 64;

    /// At least one data shard, and at most 32 shards in all.
    #[must_use]
    pub fn new(data: u8, parity: u8) -> Option<Self> {
        let shards = usize::from(data) + usize::from(parity);
        (data >= 1 && shards <= Self::MAX_SHARDS).then_some(Self { data, parity })
    }

    /// So many copies, at least one and at most 32.
    #[must_use]
    pub fn copies(count: u8) -> Option<Self> {
        Self::new(1, count.checked_sub(1)?)
    }

    /// Shards that are needed.
    #[must_use]
    pub fn data(self) -> usize {
        usize::from(self.data)
    }

    /// Shards that may be lost.
    #[must_use]
    pub fn parity(self) -> usize {
        usize::from(self.parity)
    }

    /// Shards in all.
    #[must_use]
    pub fn shards(self) -> usize {
        self.data() + self.parity()
    }

    /// Bytes of each shard of a pack.
    #[must_use]
    pub fn shard_bytes(self, pack_bytes: u64) -> u64 {
        if self.data == 1 {
            return pack_bytes;
        }
        let columns = pack_bytes
            .div_ceil(u64::from(self.data))
            .div_ceil(Self::COLUMN_BYTES);
        columns.saturating_mul(Self::COLUMN_BYTES)
    }
}

impl TryFrom<(u8, u8)> for Scheme {
    type Error = ParseSchemeError;

    fn try_from((data, parity): (u8, u8)) -> Result<Self, ParseSchemeError> {
        Self::new(data, parity).ok_or(ParseSchemeError)
    }
}

impl From<Scheme> for (u8, u8) {
    fn from(scheme: Scheme) -> Self {
        (scheme.data, scheme.parity)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.data {
            1 => write!(f, "{}x", self.shards()),
            data => write!(f, "{data}+{}", self.parity),
        }
    }
}

impl FromStr for Scheme {
    type Err = ParseSchemeError;

    fn from_str(text: &str) -> Result<Self, ParseSchemeError> {
        let number = |text: &str| text.parse::<u8>().map_err(|_| ParseSchemeError);
        if let Some(copies) = text.strip_suffix('x') {
            return Self::copies(number(copies)?).ok_or(ParseSchemeError);
        }
        let (data, parity) = text.split_once('+').ok_or(ParseSchemeError)?;
        Self::new(number(data)?, number(parity)?).ok_or(ParseSchemeError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip() {
        for (text, data, parity) in [
            ("1x", 1, 0),
            ("3x", 1, 2),
            ("4+2", 4, 2),
            ("32x", 1, 31),
            ("24+8", 24, 8),
        ] {
            let scheme: Scheme = text.parse().unwrap();
            assert_eq!((scheme.data(), scheme.parity()), (data, parity));
            assert_eq!(scheme.to_string(), text);
        }
        for wrong in [
            "", "x", "0x", "33x", "256x", "0+2", "4+", "+2", "4+29", "4-2", "auto",
        ] {
            assert_eq!(wrong.parse::<Scheme>(), Err(ParseSchemeError), "{wrong}");
        }
    }

    #[test]
    fn shards_hold_the_pack_and_little_more() {
        for data in 1..=16u8 {
            let scheme = Scheme::new(data, 3).unwrap();
            for bytes in [1, 63, 64, 65, 1000, (16 << 20) - 1, 16 << 20] {
                let sum = scheme.shard_bytes(bytes) * u64::from(data);
                assert!(
                    (bytes..bytes + u64::from(data) * 65).contains(&sum),
                    "{scheme} {bytes}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_scheme_is_not_read() {
        for (data, parity, fine) in [(1, 0, true), (4, 2, true), (0, 3, false), (200, 200, false)] {
            assert_eq!(
                postcard::from_bytes::<Scheme>(&[data, parity]).is_ok(),
                fine,
                "{data}+{parity}"
            );
        }
    }
}
