//! The durable facts as bytes: a tag and ids as the key, a version and postcard as the value.
//!
//! Tags ascend in the order in which a restore needs them: what others refer to comes first.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use skep_wire::{
    BlobId, PeerId, ShareName, Signed,
    record::{Grant, Revocations, Role, ShareRecord},
};

use super::{Change, RestoreError};

/// The first byte of every value.
const VERSION: u8 = 1;

/// BLAKE3 of a ticket's secret.
pub(super) type TicketHash = [u8; 32];

/// Whether a key belongs to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Standing {
    /// It does.
    Active,
    /// It left; its name waits for it.
    Left,
    /// It must not come back.
    Revoked,
}

/// What is kept of a key that joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MemberFact {
    /// The newest grant; names the key.
    pub(super) grant: Signed<Grant>,
    /// Whether it still holds.
    pub(super) standing: Standing,
    /// The ticket it was given for.
    pub(super) ticket: TicketHash,
    /// Whether the key was known before that.
    pub(super) returning: bool,
}

/// What is kept of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Invitation {
    /// The widest role it allows.
    pub(super) role: Role,
    /// How many keys may still join with it.
    pub(super) uses_left: u32,
    /// Until when.
    pub(super) expires_unix_s: u64,
}

/// What a peer last said of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Profile {
    /// Bytes it offers to others.
    pub(super) capacity_bytes: u64,
    /// Bytes of that in use.
    pub(super) used_bytes: u64,
    /// Where it stands.
    pub(super) site: Option<String>,
    /// When it came or went.
    pub(super) last_seen_unix_s: u64,
}

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    Member(PeerId, MemberFact),
    Revocations(Signed<Revocations>),
    Invitation(TicketHash, Invitation),
    Profile(PeerId, Profile),
    Share(PeerId, ShareName, Signed<ShareRecord>),
    /// The peer has proven to have all of the content.
    Holding(PeerId, BlobId),
}

/// What a fact is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key<'a> {
    Member(PeerId),
    Revocations,
    Invitation(TicketHash),
    Profile(PeerId),
    Share(PeerId, &'a ShareName),
    Holding(PeerId, BlobId),
}

impl Key<'_> {
    fn encode(&self) -> Vec<u8> {
        match self {
            Key::Member(peer) => [&[1], &peer.0[..]].concat(),
            Key::Revocations => vec![2],
            Key::Invitation(ticket) => [&[3], &ticket[..]].concat(),
            Key::Profile(peer) => [&[4], &peer.0[..]].concat(),
            Key::Share(peer, name) => [&[5], &peer.0[..], name.as_str().as_bytes()].concat(),
            Key::Holding(peer, content) => [&[6], &peer.0[..], &content.0[..]].concat(),
        }
    }

    /// The change that removes the fact.
    pub(super) fn removed(&self) -> Change {
        Change {
            key: self.encode(),
            value: None,
        }
    }
}

impl Fact {
    fn key(&self) -> Key<'_> {
        match self {
            Fact::Member(peer, _) => Key::Member(*peer),
            Fact::Revocations(_) => Key::Revocations,
            Fact::Invitation(ticket, _) => Key::Invitation(*ticket),
            Fact::Profile(peer, _) => Key::Profile(*peer),
            Fact::Share(peer, name, _) => Key::Share(*peer, name),
            Fact::Holding(peer, content) => Key::Holding(*peer, *content),
        }
    }

    /// The change that sets the fact.
    pub(super) fn set(&self) -> Change {
        let value = match self {
            Fact::Member(_, member) => value(member),
            Fact::Revocations(list) => value(list),
            Fact::Invitation(_, invitation) => value(invitation),
            Fact::Profile(_, profile) => value(profile),
            Fact::Share(_, _, record) => value(record),
            Fact::Holding(..) => value(&()),
        };
        Change {
            key: self.key().encode(),
            value: Some(value),
        }
    }

    /// Reads a fact back.
    pub(super) fn decode(key: &[u8], value: &[u8]) -> Result<Self, RestoreError> {
        let bad = |problem| RestoreError {
            key: key.to_vec(),
            problem,
        };
        let (version, body) = value.split_first().ok_or(bad("it is empty"))?;
        if *version != VERSION {
            return Err(bad("it has another version"));
        }
        let (tag, ids) = key.split_first().ok_or(bad("it has no key"))?;
        read(*tag, ids, body).ok_or(bad("it is damaged"))
    }
}

fn value(body: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(body, vec![VERSION]).expect("facts encode")
}

fn read(tag: u8, ids: &[u8], body: &[u8]) -> Option<Fact> {
    Some(match tag {
        1 => Fact::Member(PeerId(exact(ids)?), parse(body)?),
        2 if ids.is_empty() => Fact::Revocations(parse(body)?),
        3 => Fact::Invitation(exact(ids)?, parse(body)?),
        4 => Fact::Profile(PeerId(exact(ids)?), parse(body)?),
        5 => {
            let (peer, name) = ids.split_at_checked(32)?;
            let name = ShareName::parse(std::str::from_utf8(name).ok()?).ok()?;
            Fact::Share(PeerId(exact(peer)?), name, parse(body)?)
        }
        6 => {
            let (peer, content) = ids.split_at_checked(32)?;
            parse::<()>(body)?;
            Fact::Holding(PeerId(exact(peer)?), BlobId(exact(content)?))
        }
        _ => return None,
    })
}

fn exact(bytes: &[u8]) -> Option<[u8; 32]> {
    bytes.try_into().ok()
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    match postcard::take_from_bytes(body) {
        Ok((parsed, [])) => Some(parsed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use skep_wire::{
        NetworkId, PeerName, SigningKey,
        record::{Audience, Content, ContentKind},
    };

    use super::*;

    fn every_fact() -> Vec<Fact> {
        let key = SigningKey::from_seed([7; 32]);
        let (peer, network) = (key.peer_id(), NetworkId([1; 32]));
        let grant = Grant {
            network,
            peer,
            name: PeerName::parse("ada").unwrap(),
            role: Role::Both,
            serial: 1,
            expires_unix_s: 0,
        };
        let revocations = Revocations {
            network,
            number: 1,
            serials: vec![3, 4],
        };
        let name = ShareName::parse("a file").unwrap();
        let share = ShareRecord {
            network,
            publisher: peer,
            name: name.clone(),
            sequence: 1,
            content: Content {
                id: BlobId([2; 32]),
                size: 5,
                kind: ContentKind::File,
            },
            bytes: 5,
            audience: Audience::Everyone,
            withdrawn: false,
        };
        let member = MemberFact {
            grant: Signed::new(&grant, &key),
            standing: Standing::Left,
            ticket: [9; 32],
            returning: true,
        };
        let invitation = Invitation {
            role: Role::Owner,
            uses_left: 3,
            expires_unix_s: 77,
        };
        vec![
            Fact::Member(peer, member),
            Fact::Revocations(Signed::new(&revocations, &key)),
            Fact::Invitation([8; 32], invitation),
            Fact::Profile(peer, Profile::default()),
            Fact::Share(peer, name, Signed::new(&share, &key)),
            Fact::Holding(peer, BlobId([2; 32])),
        ]
    }

    #[test]
    fn every_fact_reads_back_and_tags_ascend() {
        let changes: Vec<Change> = every_fact().iter().map(Fact::set).collect();
        for (fact, change) in every_fact().iter().zip(&changes) {
            let value = change.value.as_ref().unwrap();
            assert_eq!(Fact::decode(&change.key, value).as_ref(), Ok(fact));
            assert_eq!(fact.key().removed().key, change.key);
        }
        assert!(changes.is_sorted_by(|a, b| a.key < b.key));
    }

    #[test]
    fn cut_and_flipped_facts_are_errors_and_never_panic() {
        for Change { key, value } in every_fact().iter().map(Fact::set) {
            let value = value.unwrap();
            for cut in 0..value.len() {
                assert!(Fact::decode(&key, &value[..cut]).is_err());
            }
            for cut in 0..key.len() {
                let _ = Fact::decode(&key[..cut], &value);
            }
            let longer = [&value[..], &[0]].concat();
            assert_eq!(Fact::decode(&key, &longer).unwrap_err().problem, "it is damaged");
            let newer = [&[2], &value[1..]].concat();
            assert_eq!(
                Fact::decode(&key, &newer).unwrap_err().problem,
                "it has another version"
            );
        }
    }
}
