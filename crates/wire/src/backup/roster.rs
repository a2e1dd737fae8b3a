//! The roster: which devices speak for an owner, what each may do, and the sealed keys of each.
//!
//! One signed, numbered list takes the place of certificates and revocations: the highest number
//! wins, and who is not in it has no rights any more. Whoever has seen one takes no lower one.

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::{
    bounded,
    id::{OwnerId, PeerId},
    signed::Record,
};

/// The most devices of an owner at a time.
pub const MAX_DEVICES: usize = 32;
/// The most devices that an owner has retired.
pub const MAX_RETIRED: usize = 256;
/// The most bytes of a device's sealed keys.
const MAX_KEYS_BYTES: usize = 16 * 1024;

/// What a device may do for its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rights(u8);

impl Rights {
    /// Fetch shards, and have the keys of all epochs.
    pub const READ: Self = Self(1);
    /// Store packs, publish heads, cancel condemnations.
    pub const WRITE: Self = Self(2);
    /// Condemn packs.
    pub const PRUNE: Self = Self(4);
    /// All of them.
    pub const ALL: Self = Self(7);

    /// These and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub fn contain(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bits = u8::deserialize(deserializer)?;
        if bits & !Self::ALL.0 == 0 {
            Ok(Self(bits))
        } else {
            Err(D::Error::custom("rights that nobody knows"))
        }
    }
}

/// A device that speaks for the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// The key it signs with, and proves in connections.
    pub peer: PeerId,
    /// The X25519 public key to which its keys are sealed.
    pub sealing: [u8; 32],
    /// What it may do.
    pub rights: Rights,
    /// The owner's keys, sealed to the device. At most 16 KiB.
    #[serde(deserialize_with = "bounded::list::<MAX_KEYS_BYTES, _, _>")]
    pub keys: Vec<u8>,
}

/// A device that spoke for the owner once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// Its key.
    pub peer: PeerId,
    /// The last of its heads that counts; 0 if none does.
    pub last_head: u64,
}

/// All devices of an owner, whole and numbered. Signed by the owner's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// Whose it is.
    pub owner: OwnerId,
    /// Counts the owner's rosters up from 1.
    pub number: u64,
    /// The epoch of the keys under which data is sealed now, counted from 1.
    pub epoch: u32,
    /// Those with rights. At most [`MAX_DEVICES`].
    #[serde(deserialize_with = "bounded::list::<MAX_DEVICES, _, _>")]
    pub devices: Vec<Device>,
    /// Those without. At most [`MAX_RETIRED`].
    #[serde(deserialize_with = "bounded::list::<MAX_RETIRED, _, _>")]
    pub retired: Vec<Retired>,
}

impl Roster {
    /// The device of this key, if it has rights.
    #[must_use]
    pub fn device(&self, peer: &PeerId) -> Option<&Device> {
        self.devices.iter().find(|device| device.peer == *peer)
    }

    /// The device of this key, if it has none any more.
    #[must_use]
    pub fn retired(&self, peer: &PeerId) -> Option<&Retired> {
        self.retired.iter().find(|retired| retired.peer == *peer)
    }

    /// Whether the device of this key may do that.
    #[must_use]
    pub fn allows(&self, peer: &PeerId, right: Rights) -> bool {
        self.device(peer)
            .is_some_and(|device| device.rights.contain(right))
    }
}

impl Record for Roster {
    const DOMAIN: &'static str = "skep roster v1";
    const LIMIT: usize = MAX_DEVICES * (MAX_KEYS_BYTES + 80) + MAX_RETIRED * 48 + 128;
}
