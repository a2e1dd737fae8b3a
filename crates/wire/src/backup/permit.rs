//! A coordinator's word that a peer may read the shards of a pack, to rebuild one.

use serde::{Deserialize, Serialize};

use crate::{
    id::{NetworkId, OwnerId, PackId, PeerId},
    signed::Record,
};

/// Who may read what, and until when. Signed by the coordinator; holders believe the one that they attend.
///
/// It opens ciphertext to a peer of the network, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// In this network.
    pub network: NetworkId,
    /// Whose pack.
    pub owner: OwnerId,
    /// Which.
    pub pack: PackId,
    /// Who may read.
    pub reader: PeerId,
    /// Seconds since 1970.
    pub expires_unix_s: u64,
}

impl Record for Permit {
    const DOMAIN: &'static str = "skep permit v1";
    const LIMIT: usize = 160;
}
