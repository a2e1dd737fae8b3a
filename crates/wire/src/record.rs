//! The signed records of the trust model: grants, coordinators' certificates, revocations, shares.
//!
//! The network key signs the first three, a publisher signs its shares. Peers verify all of them
//! offline. A coordinator can withhold a record, never forge one.

use serde::{Deserialize, Serialize};

use crate::{
    bounded,
    id::{BlobId, NetworkId, PeerId},
    name::{PeerName, ShareName},
    signed::Record,
};

/// What a peer does in the network (document "P2PBRS", COEN 366: OWNER, STORAGE or BOTH).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Shares and backs up; keeps nothing for others.
    Owner,
    /// Keeps what others back up.
    Storage,
    /// Both.
    Both,
}

impl Role {
    /// Whether a ticket for `self` lets somebody join as `wanted`: a role may be narrowed, not widened.
    #[must_use]
    pub fn allows(self, wanted: Role) -> bool {
        self == Role::Both || self == wanted
    }
}

/// The network's word that a key belongs to it. Signed by the network key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The network.
    pub network: NetworkId,
    /// Who it is about.
    pub peer: PeerId,
    /// The name it goes by, unique in the network.
    pub name: PeerName,
    /// What it may do.
    pub role: Role,
    /// Counts the network's grants up from 1; revocations name it.
    pub serial: u64,
    /// Seconds since 1970; 0 means never.
    pub expires_unix_s: u64,
}

/// The network's word that a key is one of its coordinators. Signed by the network key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorCertificate {
    /// The network.
    pub network: NetworkId,
    /// The coordinator's own key, the one it uses in TLS.
    pub coordinator: PeerId,
    /// Seconds since 1970; 0 means never.
    pub expires_unix_s: u64,
}

/// All grants that hold no more, whole, numbered: the highest number wins. Signed by the network key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// The network.
    pub network: NetworkId,
    /// Counts the lists up from 1.
    pub number: u64,
    /// Serials of revoked grants, ascending.
    #[serde(deserialize_with = "bounded::ascending")]
    pub serials: Vec<u64>,
}

/// Whether a share is one file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentKind {
    /// One blob.
    File,
    /// A collection: a manifest blob and the blobs it names.
    Folder,
}

/// What a share is: the blob, or the manifest of the collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Content {
    /// The blob, or the collection's manifest.
    pub id: BlobId,
    /// Bytes of the blob or of the manifest named by `id`.
    pub size: u64,
    /// Which of the two it is.
    pub kind: ContentKind,
}

/// Who may find and read a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// Every peer of the network.
    Everyone,
    /// These peers and the publisher. At most 256.
    Peers(#[serde(deserialize_with = "bounded::list::<256, _, _>")] Vec<PeerId>),
}

/// A publisher gives a name to a content. Signed by the publisher's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRecord {
    /// The network it is said in.
    pub network: NetworkId,
    /// Who says it.
    pub publisher: PeerId,
    /// The name, one per publisher.
    pub name: ShareName,
    /// Counts what the publisher said under this name up from 1; the highest wins.
    pub sequence: u64,
    /// What the name means.
    pub content: Content,
    /// All bytes of it: the blob's size, or the sum over the files of the collection. For display; proven by a download.
    pub bytes: u64,
    /// Who may see it.
    pub audience: Audience,
    /// The name means nothing any more.
    pub withdrawn: bool,
}

impl ShareRecord {
    /// Whether `peer` may find and read it.
    #[must_use]
    pub fn is_for(&self, peer: &PeerId) -> bool {
        match &self.audience {
            Audience::Everyone => true,
            Audience::Peers(peers) => *peer == self.publisher || peers.contains(peer),
        }
    }
}

impl Record for Grant {
    const DOMAIN: &'static str = "skep grant v1";
    const LIMIT: usize = 512;
}

impl Record for CoordinatorCertificate {
    const DOMAIN: &'static str = "skep coordinator certificate v1";
    const LIMIT: usize = 256;
}

impl Record for Revocations {
    const DOMAIN: &'static str = "skep revocations v1";
    const LIMIT: usize = 256 * 1024;
}

impl Record for ShareRecord {
    const DOMAIN: &'static str = "skep share record v1";
    const LIMIT: usize = 16 * 1024;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(audience: Audience) -> ShareRecord {
        ShareRecord {
            network: NetworkId([0xff; 32]),
            publisher: PeerId([1; 32]),
            name: ShareName::parse(&"x".repeat(255)).unwrap(),
            sequence: u64::MAX,
            content: Content {
                id: BlobId([0xff; 32]),
                size: u64::MAX,
                kind: ContentKind::Folder,
            },
            bytes: u64::MAX,
            audience,
            withdrawn: true,
        }
    }

    fn bytes<T: Serialize>(record: &T) -> usize {
        postcard::to_allocvec(record).unwrap().len()
    }

    #[test]
    fn roles_are_narrowed_and_not_widened() {
        for role in [Role::Owner, Role::Storage, Role::Both] {
            assert!(Role::Both.allows(role) && role.allows(role));
            assert_eq!(role.allows(Role::Both), role == Role::Both);
        }
        assert!(!Role::Owner.allows(Role::Storage) && !Role::Storage.allows(Role::Owner));
    }

    #[test]
    fn a_share_is_for_its_audience_and_its_publisher() {
        let [publisher, friend, stranger] = [1, 2, 3].map(|n| PeerId([n; 32]));
        assert!(share(Audience::Everyone).is_for(&stranger));
        let closed = share(Audience::Peers(vec![friend]));
        assert!(closed.is_for(&publisher) && closed.is_for(&friend) && !closed.is_for(&stranger));
    }

    #[test]
    fn an_audience_has_at_most_256_peers() {
        for (count, fine) in [(256, true), (257, false)] {
            let bytes = postcard::to_allocvec(&Audience::Peers(vec![PeerId([7; 32]); count])).unwrap();
            assert_eq!(postcard::from_bytes::<Audience>(&bytes).is_ok(), fine, "{count}");
        }
    }

    #[test]
    fn the_longest_records_keep_to_their_limits() {
        let grant = Grant {
            network: NetworkId([0xff; 32]),
            peer: PeerId([0xff; 32]),
            name: PeerName::parse(&"x".repeat(64)).unwrap(),
            role: Role::Both,
            serial: u64::MAX,
            expires_unix_s: u64::MAX,
        };
        assert!(bytes(&grant) <= Grant::LIMIT);
        let longest = share(Audience::Peers(vec![PeerId([0xff; 32]); 256]));
        assert!(bytes(&longest) <= ShareRecord::LIMIT);
    }
}
