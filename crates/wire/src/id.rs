//! The identities: blobs and packs (BLAKE3 hashes), peers, networks and owners (Ed25519 keys).
//!
//! All are 32 bytes, shown and read as 64 lower-case hexadecimal digits.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Text that is not an identity.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("an id is 64 hexadecimal digits")]
pub struct ParseIdError;

macro_rules! identity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first eight hexadecimal digits, for people.
            pub fn short(&self) -> String {
                self.to_string().chars().take(8).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.short())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let bytes = HEXLOWER_PERMISSIVE
                    .decode(text.as_bytes())
                    .map_err(|_| ParseIdError)?;
                Ok(Self(bytes.try_into().map_err(|_| ParseIdError)?))
            }
        }
    };
}

identity! {
    /// A blob: the BLAKE3 hash of its bytes. Always used together with the blob's size.
    BlobId
}
identity! {
    /// A peer (one device) or a coordinator: its Ed25519 public key.
    PeerId
}
identity! {
    /// A network: the Ed25519 public key that signs its grants.
    NetworkId
}
identity! {
    /// The owner of backups, a person with one or more devices: the Ed25519 public key that signs its rosters.
    OwnerId
}
identity! {
    /// A pack of sealed pieces: the BLAKE3 hash of its bytes.
    PackId
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trip_and_wrong_lengths() {
        let id = BlobId([0xab; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for wrong in [
            "",
            "ab",
            &"ab".repeat(31),
            &"ab".repeat(33),
            &"xy".repeat(32),
            &"é".repeat(32),
        ] {
            assert_eq!(wrong.parse::<BlobId>(), Err(ParseIdError), "{wrong}");
        }
    }
}
