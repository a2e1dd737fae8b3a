//! What messages are made of.

use serde::{Deserialize, Serialize};

use crate::{
    backup::{PackRecord, Scheme},
    bounded,
    endpoint::Endpoint,
    id::{BlobId, PackId, PeerId},
    name::{PeerName, ShareName},
    record::{Grant, Role, ShareRecord},
    signed::Signed,
};

const MAX_SHARDS: usize = Scheme::MAX_SHARDS;

/// What a connection is for; said in the hello by who dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lane {
    /// To a coordinator.
    Control,
    /// Between peers: requests, have-updates, pings. One per pair.
    Talk,
    /// Between peers: contents. At most four per pair.
    Bulk,
}

/// Why something was denied. The text beside it is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The sender has no valid grant here, or none for this.
    NotAllowed,
    /// The grant was revoked.
    Revoked,
    /// The grant or the ticket has expired.
    Expired,
    /// The ticket's secret is not known here, or was used up.
    BadTicket,
    /// The name belongs to another key.
    NameInUse,
    /// The network has as many peers as it takes.
    Full,
    /// The ticket does not allow this role.
    RoleTooWide,
    /// Nothing here by that name or id.
    NotFound,
    /// What was asked is gone or changed.
    Changed,
    /// Several things have that name.
    Ambiguous,
    /// A sequence that is not higher than the one on record.
    Stale,
    /// The proof of holding was wrong.
    NotVerified,
    /// Too much at once; try later.
    Busy,
    /// The message makes no sense here.
    BadRequest,
    /// Something failed inside.
    Internal,
    /// It cannot be placed or kept: too few peers, too little space.
    NoRoom,
}

/// What one who has a leaf can compute and nobody else: `keyed BLAKE3(nonce, leaf)`.
///
/// Leaves are the units of [`crate::UNIT_BYTES`] of all chunks: leaf = chunk number x 64 + unit.
/// Deposited by verified holders; a newcomer must answer one (document "Napster-like p2p network").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triple {
    /// The key of the hash; secret until it is asked.
    pub nonce: [u8; 32],
    /// Which leaf of the content.
    pub leaf: u64,
    /// The hash.
    pub answer: [u8; 32],
}

/// A peer says that it has a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Which.
    pub content: BlobId,
    /// All of it, or a part that grows.
    pub complete: bool,
}

/// A question for a newcomer: answer with `keyed BLAKE3(nonce, leaf)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Of which content.
    pub content: BlobId,
    /// The key of the hash.
    pub nonce: [u8; 32],
    /// Which leaf.
    pub leaf: u64,
}

/// The answer to a [`Question`], with triples of the newcomer's own for the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Of which content.
    pub content: BlobId,
    /// The hash, or none when the bytes cannot be read any more.
    pub answer: Option<[u8; 32]>,
    /// At most 8.
    #[serde(deserialize_with = "bounded::list::<8, _, _>")]
    pub triples: Vec<Triple>,
}

/// Somebody who has a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its key.
    pub peer: PeerId,
    /// Its name.
    pub name: PeerName,
    /// Where it listens; none when it cannot be dialled and must be introduced.
    pub address: Option<Endpoint>,
    /// Whether it has all of it.
    pub complete: bool,
}

/// A share as the coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// The publisher's own words, to be verified.
    pub record: Signed<ShareRecord>,
    /// The publisher's name in the network.
    pub publisher: PeerName,
    /// The publisher's grant, so that its key and name are verified offline.
    pub grant: Signed<Grant>,
    /// Verified holders that are online, complete ones only.
    pub holders: u32,
}

/// Presence as document "P2PBRS" and DESIGN call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// Heard from lately.
    Online,
    /// Three heartbeats missed, or gone.
    Offline,
    /// Away for so long that its data is counted as lost.
    Failed,
}

/// A peer as the coordinator lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRow {
    /// Its key.
    pub peer: PeerId,
    /// Its name.
    pub name: PeerName,
    /// Its role.
    pub role: Role,
    /// Whether it is there.
    pub presence: Presence,
    /// Whether the coordinator could dial it.
    pub reachable: bool,
    /// Bytes it offers to others.
    pub capacity_bytes: u64,
    /// Bytes of that in use.
    pub used_bytes: u64,
    /// Seconds since 1970 when it was last heard from.
    pub last_seen_unix_s: u64,
}

/// A peer that keeps something of an owner's backups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keeper {
    /// Its key.
    pub peer: PeerId,
    /// Its name.
    pub name: PeerName,
    /// Whether it is there.
    pub presence: Presence,
}

/// What shares are looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Query {
    /// All.
    All,
    /// All words occur in the name or the publisher's name, without regard to ASCII case. At most 16 words of 255 bytes.
    Words(#[serde(deserialize_with = "bounded::words")] Vec<String>),
    /// This name, of this publisher if one is given.
    Name {
        /// The publisher's name.
        publisher: Option<PeerName>,
        /// The share's name.
        name: ShareName,
    },
    /// This content.
    Id(BlobId),
}

/// A pack that is to be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewPack {
    /// Which.
    pub pack: PackId,
    /// Its bytes.
    pub size: u64,
}

/// Who shall keep a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackPlan {
    /// Which.
    pub pack: PackId,
    /// Shard n goes to the n-th. At most [`Scheme::MAX_SHARDS`].
    #[serde(deserialize_with = "bounded::list::<MAX_SHARDS, _, _>")]
    pub holders: Vec<PeerId>,
}

/// A shard that somebody keeps, and its owner's word on the pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldShard {
    /// Signed by a device of the owner.
    pub record: Signed<PackRecord>,
    /// Which shard.
    pub shard: u8,
}

/// A shard by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardName {
    /// Of which pack.
    pub pack: PackId,
    /// Which.
    pub shard: u8,
}

/// Who has a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardAt {
    /// Which.
    pub shard: u8,
    /// Who.
    pub peer: PeerId,
}

/// A pack, and who has what of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocatedPack {
    /// Signed by a device of the owner.
    pub record: Signed<PackRecord>,
    /// Online or not. At most 64.
    #[serde(deserialize_with = "bounded::list::<64, _, _>")]
    pub held: Vec<ShardAt>,
}

/// A pack that a device has condemned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Sentence {
    /// Which.
    pub pack: PackId,
    /// Who says so.
    pub device: PeerId,
    /// The highest number of its condemnations that name the pack.
    pub number: u64,
}

/// What a holder keeps of an owner's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Paper {
    /// The newest roster.
    Roster,
    /// The newest head of a device.
    Head,
    /// The list of packs of a head.
    List,
    /// What is condemned.
    Docket,
}

/// A paper that was not on the disk as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedPaper {
    /// Which.
    pub paper: Paper,
    /// Whether it is written again.
    pub mended: bool,
}

/// The newest head of a device that somebody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeadNumber {
    /// Whose.
    pub device: PeerId,
    /// Its number.
    pub number: u64,
}

/// Someone to read a shard from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSource {
    /// Which shard it has.
    pub shard: u8,
    /// Who and where.
    pub holder: Holder,
}

/// How well a pack is kept, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// All of its shards.
    Whole,
    /// Some are lost; it can be restored, and survives the loss of another.
    Degraded,
    /// It can be restored, and does not survive the loss of another.
    AtRisk,
    /// Too few shards are left.
    Lost,
}
