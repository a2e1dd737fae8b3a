//! Tickets and links: texts that people pass on by mail or mouth.
//!
//! A ticket invites into a network, and is a secret until it is used. A link says where a share is
//! to be found, and opens nothing to those outside the network. Both are a prefix, which names
//! kind and version, and base32 (RFC 4648, lower case, no padding) of postcard and a checksum.
//! Nothing here knows whether a ticket is still good; the coordinator does.

use std::{fmt, ops::Deref, str::FromStr};

use data_encoding::BASE32_NOPAD_NOCASE;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::{
    bounded,
    endpoint::Endpoint,
    id::{NetworkId, PeerId},
    name::ShareName,
    record::{Content, Role},
};

/// The most characters of a ticket or a link.
pub const MAX_TEXT: usize = 8192;
/// The most addresses in a ticket.
pub const MAX_COORDINATORS: usize = 8;

/// The version that this module reads and writes.
const VERSION: u32 = 1;
const CHECKSUM_BYTES: usize = 4;

/// What a ticket is worth: 128 random bits, known to the coordinator by their hash. Never printed.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(pub [u8; 16]);

impl Deref for Secret {
    type Target = [u8; 16];
    fn deref(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// An invitation to join a network, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The network: a coordinator that cannot show its certificate is not of it.
    pub network: NetworkId,
    /// Where its coordinators listen. 1 to [`MAX_COORDINATORS`].
    #[serde(deserialize_with = "bounded::list::<MAX_COORDINATORS, _, _>")]
    pub coordinators: Vec<Endpoint>,
    /// Whoever has it can join.
    pub secret: Secret,
    /// The widest role it allows.
    pub role: Role,
    /// Seconds since 1970.
    pub expires_unix_s: u64,
}

/// Where a share is to be found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The network it is shared in.
    pub network: NetworkId,
    /// Who shares it.
    pub publisher: PeerId,
    /// The name it had when the link was made.
    pub name: ShareName,
    /// What it was then.
    pub content: Content,
}

/// Which of the two texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextKind {
    /// A [`Ticket`].
    Ticket,
    /// A [`Link`].
    Link,
}

/// Why a text is not a ticket, or not a link. Never repeats the text, which may hold a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TextError {
    /// Something else altogether.
    #[error("this is not a {0}; a {0} begins with skep-{0}-1:")]
    Unknown(TextKind),
    /// A ticket where a link should be, or the other way round.
    #[error("this is a {found}, where a {wanted} is needed")]
    Other {
        /// What it should be.
        wanted: TextKind,
        /// What it is.
        found: TextKind,
    },
    /// Made by a version of Skep that writes them otherwise.
    #[error("this {kind} is of version {version}; this program reads version 1")]
    Version {
        /// What it is.
        kind: TextKind,
        /// Its version.
        version: u32,
    },
    /// Characters are missing or were changed.
    #[error("this {0} is damaged; copy it again, from the first character to the last")]
    Damaged(TextKind),
}

impl fmt::Display for TextKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ticket => "ticket",
            Self::Link => "link",
        })
    }
}

impl TextKind {
    fn prefix(self) -> String {
        format!("skep-{self}-{VERSION}:")
    }

    /// What a text says it is, its version, and what follows.
    fn recognise(text: &str) -> Option<(Self, u32, &str)> {
        let (head, body) = text.split_once(':')?;
        let (kind, version) = head.strip_prefix("skep-")?.split_once('-')?;
        let kind = match kind {
            "ticket" => Self::Ticket,
            "link" => Self::Link,
            _ => return None,
        };
        Some((kind, version.parse().ok()?, body))
    }
}

fn write<T: Serialize>(kind: TextKind, value: &T, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut bytes = postcard::to_allocvec(value).map_err(|_| fmt::Error)?;
    bytes.extend_from_slice(&checksum(kind, &bytes));
    let body = BASE32_NOPAD_NOCASE.encode(&bytes).to_ascii_lowercase();
    write!(f, "{}{body}", kind.prefix())
}

fn read<T: DeserializeOwned>(wanted: TextKind, text: &str) -> Result<T, TextError> {
    let damaged = TextError::Damaged(wanted);
    let text = text.trim();
    let (found, version, body) = TextKind::recognise(text).ok_or(TextError::Unknown(wanted))?;
    if found != wanted {
        return Err(TextError::Other { wanted, found });
    }
    if version != VERSION {
        let kind = wanted;
        return Err(TextError::Version { kind, version });
    }
    if text.len() > MAX_TEXT {
        return Err(damaged);
    }
    let bytes = BASE32_NOPAD_NOCASE.decode(body.as_bytes()).map_err(|_| damaged)?;
    let (value, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(damaged)?;
    if *sum != checksum(wanted, value) {
        return Err(damaged);
    }
    bounded::whole(value).ok_or(damaged)
}

/// Covers the prefix too, so that the one cannot pass for the other.
fn checksum(kind: TextKind, bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(kind.prefix().as_bytes()).update(bytes);
    let mut sum = [0; CHECKSUM_BYTES];
    hasher.finalize_xof().fill(&mut sum);
    sum
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(TextKind::Ticket, self, f)
    }
}

impl FromStr for Ticket {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        let ticket: Self = read(TextKind::Ticket, text)?;
        if ticket.coordinators.is_empty() {
            return Err(TextError::Damaged(TextKind::Ticket));
        }
        Ok(ticket)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(TextKind::Link, self, f)
    }
}

impl FromStr for Link {
    type Err = TextError;
    fn from_str(text: &str) -> Result<Self, TextError> {
        read(TextKind::Link, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::BlobId, record::ContentKind};

    fn ticket() -> Ticket {
        Ticket {
            network: NetworkId([1; 32]),
            coordinators: vec![
                "skep.example:7700".parse().unwrap(),
                "[::1]:7701".parse().unwrap(),
            ],
            secret: Secret([0xab; 16]),
            role: Role::Both,
            expires_unix_s: 1_800_000_000,
        }
    }

    fn link() -> Link {
        Link {
            network: NetworkId([1; 32]),
            publisher: PeerId([2; 32]),
            name: "holiday".parse().unwrap(),
            content: Content {
                id: BlobId([3; 32]),
                size: 1 << 40,
                kind: ContentKind::Folder,
            },
        }
    }

    #[test]
    fn what_a_ticket_is_worth_is_never_printed() {
        let shown = format!("{:?}", ticket());
        assert!(shown.contains("Secret(..)") && !shown.contains("171"), "{shown}");
    }

    #[test]
    fn texts_round_trip_also_through_mail() {
        let text = ticket().to_string();
        assert!(text.starts_with("skep-ticket-1:"), "{text}");
        assert_eq!(text.parse(), Ok(ticket()));
        assert_eq!(format!(" {text}\r\n").parse(), Ok(ticket()));
        let (head, body) = text.split_once(':').unwrap();
        assert_eq!(format!("{head}:{}", body.to_uppercase()).parse(), Ok(ticket()));
        assert_eq!(link().to_string().parse(), Ok(link()));
    }

    #[test]
    fn errors_say_what_it_is() {
        let (wanted, found) = (TextKind::Ticket, TextKind::Link);
        let other = link().to_string().parse::<Ticket>();
        assert_eq!(other, Err(TextError::Other { wanted, found }));
        assert_eq!(
            other.unwrap_err().to_string(),
            "this is a link, where a ticket is needed"
        );
        assert!(ticket().to_string().parse::<Link>().is_err());
        let (kind, version) = (TextKind::Ticket, 2);
        let newer = ticket().to_string().replace("-1:", "-2:").parse::<Ticket>();
        assert_eq!(newer, Err(TextError::Version { kind, version }));
        for text in [
            "",
            ":",
            "skep",
            "skep-:",
            "skep-ticket:",
            "skep-ticket-x:aa",
            "magnet:?xt=x",
            "skep-tocket-1:aa",
        ] {
            assert_eq!(
                text.parse::<Ticket>(),
                Err(TextError::Unknown(TextKind::Ticket)),
                "{text}"
            );
        }
    }

    #[test]
    fn every_damage_is_noticed() {
        let text = ticket().to_string();
        for at in "skep-ticket-1:".len()..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'q' { b'r' } else { b'q' };
            for damaged in [
                String::from_utf8(changed).unwrap(),
                text[..at].to_owned(),
                text.clone() + "aa",
            ] {
                assert_eq!(
                    damaged.parse::<Ticket>(),
                    Err(TextError::Damaged(TextKind::Ticket)),
                    "{damaged}"
                );
            }
        }
        let long = text.clone() + &"a".repeat(MAX_TEXT);
        assert_eq!(long.parse::<Ticket>(), Err(TextError::Damaged(TextKind::Ticket)));
        let relabelled = link().to_string().replace("link", "ticket");
        assert_eq!(
            relabelled.parse::<Ticket>(),
            Err(TextError::Damaged(TextKind::Ticket))
        );
    }

    #[test]
    fn a_ticket_names_one_to_eight_coordinators() {
        for (count, fine) in [(0, false), (1, true), (8, true), (9, false)] {
            let mut ticket = ticket();
            ticket.coordinators = vec!["a:1".parse().unwrap(); count];
            assert_eq!(ticket.to_string().parse::<Ticket>().is_ok(), fine, "{count}");
        }
        let mut widest = ticket();
        let host = "x".repeat(255);
        widest.coordinators = vec![Endpoint { host, port: u16::MAX }; MAX_COORDINATORS];
        assert!(widest.to_string().len() <= MAX_TEXT);
        assert_eq!(widest.to_string().parse(), Ok(widest));
    }

    #[test]
    fn the_secret_is_never_printed() {
        let shown = format!("{:?}", ticket());
        assert!(!shown.contains("171") && !shown.contains("ab, "), "{shown}");
    }
}
