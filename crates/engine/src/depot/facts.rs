//! The durable facts about backups as bytes, beside those of the index: a tag and ids as the key, a version and
//! postcard as the value. Tags ascend in the order in which a restore needs them.

use serde::{Serialize, de::DeserializeOwned};
use skep_wire::{
    OwnerId, PackId, PeerId, Signed,
    backup::{Head, PackRecord, Roster},
    bounded,
    message::ShardAt,
};

use super::Word;
use crate::index::Change;

const VERSION: u8 = 1;
const ROSTER: u8 = 16;
const HEAD: u8 = 17;
const PACK: u8 = 18;
const SHARD: u8 = 19;
const WORD: u8 = 20;
const DISTRUSTED: u8 = 21;

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    /// The newest of its owner.
    Roster(Signed<Roster>),
    /// The newest of its device.
    Head(Signed<Head>),
    /// Whether holders have begun to delete it.
    Pack(bool, Signed<PackRecord>),
    /// Somebody has a shard.
    Shard(PackId, ShardAt),
    /// What an owner said about deletion, counted in the order in which it came.
    Word(OwnerId, u64, Word),
    /// A peer failed audits.
    Distrusted(PeerId),
}

/// Whether a fact with this key belongs here.
pub(crate) fn is_fact(key: &[u8]) -> bool {
    key.first().is_some_and(|tag| (ROSTER..=DISTRUSTED).contains(tag))
}

impl Fact {
    /// Facts are made of records that were read before.
    fn key(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Roster(roster) => [&[ROSTER], &roster.peek().ok()?.owner.0[..]].concat(),
            Self::Head(head) => {
                let head = head.peek().ok()?;
                [&[HEAD], &head.owner.0[..], &head.device.0[..]].concat()
            }
            Self::Pack(_, record) => [&[PACK], &record.peek().ok()?.pack.0[..]].concat(),
            Self::Shard(pack, at) => [&[SHARD], &pack.0[..], &[at.shard], &at.peer.0[..]].concat(),
            Self::Distrusted(peer) => [&[DISTRUSTED], &peer.0[..]].concat(),
            Self::Word(owner, number, _) => [&[WORD], &owner.0[..], &number.to_be_bytes()[..]].concat(),
        })
    }

    /// The change that sets the fact.
    pub(super) fn set(&self) -> Change {
        let value = match self {
            Self::Roster(roster) => value(roster),
            Self::Head(head) => value(head),
            Self::Pack(dying, record) => value(&(dying, record)),
            Self::Shard(..) | Self::Distrusted(_) => value(&()),
            Self::Word(_, _, word) => value(word),
        };
        Change {
            key: self.key().unwrap_or_default(),
            value: Some(value),
        }
    }

    /// The change that removes the fact.
    pub(super) fn removed(&self) -> Change {
        Change {
            key: self.key().unwrap_or_default(),
            value: None,
        }
    }

    /// Reads a fact back; none if it is not one.
    pub(super) fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (tag, ids) = key.split_first()?;
        let (version, body) = value.split_first()?;
        let fact = match *tag {
            ROSTER => Self::Roster(read(body)?),
            HEAD => Self::Head(read(body)?),
            PACK => {
                let (dying, record) = read(body)?;
                Self::Pack(dying, record)
            }
            SHARD => {
                let (pack, rest) = ids.split_first_chunk()?;
                let (shard, peer) = rest.split_first()?;
                read::<()>(body)?;
                let (shard, peer) = (*shard, PeerId(peer.try_into().ok()?));
                Self::Shard(PackId(*pack), ShardAt { shard, peer })
            }
            WORD => {
                let (owner, number) = ids.split_first_chunk()?;
                let number = u64::from_be_bytes(number.try_into().ok()?);
                Self::Word(OwnerId(*owner), number, read(body)?)
            }
            DISTRUSTED => {
                read::<()>(body)?;
                Self::Distrusted(PeerId(ids.try_into().ok()?))
            }
            _ => return None,
        };
        (*version == VERSION && fact.key().as_deref() == Some(key)).then_some(fact)
    }
}

fn value(body: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(body, vec![VERSION]).expect("facts encode")
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    bounded::whole(body)
}
