//! The messages of document 003 as bytes: packed structs in network byte order.
//!
//! Pure. A message that was read has a name that can be written to a folder, an address and a
//! whole hash; what it may do is decided elsewhere.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddrV4},
};

use skep_wire::path::check_component;

use crate::padded;

/// Bytes of a file name on the wire.
pub const NAME_BYTES: usize = 20;
/// Bytes of a segment, unless both sides agree on others.
pub const SEGMENT_BYTES: u32 = 8192;
/// The most bytes of a segment that may be agreed on.
pub const MAX_SEGMENT_BYTES: u32 = 1 << 20;
/// All of a DATA message but its data.
pub const DATA_HEAD_BYTES: usize = 116;

/// The first two bytes of every message.
pub const KIND_BYTES: usize = 2;

/// A file's name: one component of a path, at most [`NAME_BYTES`] long.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Box<str>);

impl FileName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it does not fit its field, or cannot be the name of a file.
    pub fn parse(text: &str) -> Result<Self, BadMessage> {
        if text.len() > NAME_BYTES {
            return Err(BadMessage::LongName);
        }
        check_component(text).map_err(|_| BadMessage::Name)?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a file. On the wire: 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileHash(pub [u8; 32]);

impl FileHash {
    /// Reads 64 hexadecimal digits, in either case.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for FileHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// That a seeder has a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Bytes of the file.
    pub file_size: u32,
    /// Its name.
    pub name: FileName,
    /// Where the seeder listens.
    pub seeder: SocketAddrV4,
    /// The file's hash.
    pub hash: FileHash,
}

/// A piece of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The file, and who sends it.
    pub of: Listing,
    /// Which piece, from 0.
    pub number: u32,
    /// As it was sent: the bytes of this piece, or those of every full one.
    pub segment_size: u32,
    /// The whole data field; after the end of the file it is padding.
    pub data: &'a [u8],
}

/// A message, of those in the document's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// To the index: this seeder has this file.
    Register(Listing),
    /// From the index to a seeder: have you?
    Confirm {
        /// As it was registered.
        file_size: u32,
        /// As it was registered.
        name: FileName,
        /// Where the index listens.
        index: SocketAddrV4,
    },
    /// To the index: I have, and this is its hash now.
    Acknowledge(Listing),
    /// From the index: this seeder has what you asked for.
    Found {
        /// What was asked for.
        name: FileName,
        /// Who has it.
        seeder: SocketAddrV4,
        /// Its hash.
        hash: FileHash,
    },
    /// What you asked for is not here.
    NotFound,
    /// To the index: who has it? To a seeder: send it.
    Request {
        /// What is wanted.
        name: FileName,
        /// Where the answer goes.
        leecher: SocketAddrV4,
    },
    /// From a seeder.
    Data(Segment<'a>),
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// There is no such type.
    #[error("the message type {0} is unknown")]
    Kind(u16),
    /// Not as many bytes as a message of its type has.
    #[error("the message has the wrong length")]
    Length,
    /// Too long a file name.
    #[error("a file name has at most {NAME_BYTES} bytes here")]
    LongName,
    /// No name of a file.
    #[error("the message names a file that cannot be one")]
    Name,
    /// No IPv4 address, or port 0.
    #[error("the message has no usable address")]
    Address,
    /// No SHA-256 in hexadecimal.
    #[error("the message has no SHA-256")]
    Hash,
}

/// Bytes of a message of this type, its type included.
///
/// # Errors
/// When there is no such type.
pub fn message_bytes(kind: u16, segment_bytes: u32) -> Result<usize, BadMessage> {
    match kind {
        0 | 2 => Ok(108),
        1 => Ok(44),
        3 => Ok(104),
        4 => Ok(2),
        5 => Ok(40),
        6 => Ok(DATA_HEAD_BYTES + segment_bytes as usize),
        _ => Err(BadMessage::Kind(kind)),
    }
}

impl<'a> Message<'a> {
    /// The number of its type.
    #[must_use]
    pub fn kind(&self) -> u16 {
        match self {
            Self::Register(_) => 0,
            Self::Confirm { .. } => 1,
            Self::Acknowledge(_) => 2,
            Self::Found { .. } => 3,
            Self::NotFound => 4,
            Self::Request { .. } => 5,
            Self::Data(_) => 6,
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(match self {
            Self::Data(segment) => DATA_HEAD_BYTES + segment.data.len(),
            _ => 108,
        });
        out.extend(self.kind().to_be_bytes());
        match self {
            Self::Register(listing) | Self::Acknowledge(listing) => {
                put_file(&mut out, listing.file_size, &listing.name);
                put_address(&mut out, listing.seeder);
                put_hash(&mut out, listing.hash);
            }
            Self::Confirm {
                file_size,
                name,
                index,
            } => {
                put_file(&mut out, *file_size, name);
                put_address(&mut out, *index);
            }
            Self::Found { name, seeder, hash } => {
                put_name(&mut out, name);
                put_address(&mut out, *seeder);
                put_hash(&mut out, *hash);
            }
            Self::NotFound => {}
            Self::Request { name, leecher } => {
                put_name(&mut out, name);
                put_address(&mut out, *leecher);
            }
            Self::Data(segment) => put_segment(&mut out, segment),
        }
        out
    }

    /// The message that is all of `bytes`. The data field of a DATA message is what follows its head.
    ///
    /// # Errors
    /// [`BadMessage`] says what is wrong with it.
    pub fn decode(mut bytes: &'a [u8]) -> Result<Self, BadMessage> {
        let from = &mut bytes;
        let kind = take_u16(from)?;
        let message = match kind {
            0 => Self::Register(take_listing(from)?),
            1 => Self::Confirm {
                file_size: take_u32(from)?,
                name: take_name(from)?,
                index: take_address(from)?,
            },
            2 => Self::Acknowledge(take_listing(from)?),
            3 => Self::Found {
                name: take_name(from)?,
                seeder: take_address(from)?,
                hash: take_hash(from)?,
            },
            4 => Self::NotFound,
            5 => Self::Request {
                name: take_name(from)?,
                leecher: take_address(from)?,
            },
            6 => return take_segment(from).map(Self::Data),
            _ => return Err(BadMessage::Kind(kind)),
        };
        if bytes.is_empty() {
            Ok(message)
        } else {
            Err(BadMessage::Length)
        }
    }
}

fn put_name(out: &mut Vec<u8>, name: &FileName) {
    out.extend(padded::field::<NAME_BYTES>(name.as_str()));
}

fn put_file(out: &mut Vec<u8>, file_size: u32, name: &FileName) {
    out.extend(file_size.to_be_bytes());
    put_name(out, name);
}

fn put_address(out: &mut Vec<u8>, address: SocketAddrV4) {
    out.extend(padded::field::<16>(&address.ip().to_string()));
    out.extend(address.port().to_be_bytes());
}

fn put_hash(out: &mut Vec<u8>, hash: FileHash) {
    out.extend(padded::field::<64>(&hash.to_string()));
}

fn put_segment(out: &mut Vec<u8>, segment: &Segment<'_>) {
    put_file(out, segment.of.file_size, &segment.of.name);
    out.extend(segment.segment_size.to_be_bytes());
    out.extend(segment.number.to_be_bytes());
    put_address(out, segment.of.seeder);
    put_hash(out, segment.of.hash);
    out.extend(segment.data);
}

fn take_u16(from: &mut &[u8]) -> Result<u16, BadMessage> {
    let bytes = padded::take(from).ok_or(BadMessage::Length)?;
    Ok(u16::from_be_bytes(*bytes))
}

fn take_u32(from: &mut &[u8]) -> Result<u32, BadMessage> {
    let bytes = padded::take(from).ok_or(BadMessage::Length)?;
    Ok(u32::from_be_bytes(*bytes))
}

fn take_name(from: &mut &[u8]) -> Result<FileName, BadMessage> {
    let field = padded::take::<NAME_BYTES>(from).ok_or(BadMessage::Length)?;
    FileName::parse(padded::text(field).ok_or(BadMessage::Name)?)
}

fn take_address(from: &mut &[u8]) -> Result<SocketAddrV4, BadMessage> {
    let field = padded::take::<16>(from).ok_or(BadMessage::Length)?;
    let port = take_u16(from)?;
    let ip = padded::text(field).and_then(|text| text.parse::<Ipv4Addr>().ok());
    match ip {
        Some(ip) if port != 0 => Ok(SocketAddrV4::new(ip, port)),
        _ => Err(BadMessage::Address),
    }
}

fn take_hash(from: &mut &[u8]) -> Result<FileHash, BadMessage> {
    let field = padded::take::<64>(from).ok_or(BadMessage::Length)?;
    FileHash::from_hex(field).ok_or(BadMessage::Hash)
}

fn take_listing(from: &mut &[u8]) -> Result<Listing, BadMessage> {
    Ok(Listing {
        file_size: take_u32(from)?,
        name: take_name(from)?,
        seeder: take_address(from)?,
        hash: take_hash(from)?,
    })
}

fn take_segment<'a>(from: &mut &'a [u8]) -> Result<Segment<'a>, BadMessage> {
    let file_size = take_u32(from)?;
    let name = take_name(from)?;
    let (segment_size, number) = (take_u32(from)?, take_u32(from)?);
    let (seeder, hash) = (take_address(from)?, take_hash(from)?);
    if from.len() > MAX_SEGMENT_BYTES as usize {
        return Err(BadMessage::Length);
    }
    Ok(Segment {
        of: Listing {
            file_size,
            name,
            seeder,
            hash,
        },
        number,
        segment_size,
        data: from,
    })
}

/// As a person reads it in the journal.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register(listing) => write!(f, "REGISTER {listing}"),
            Self::Confirm {
                file_size,
                name,
                index,
            } => write!(f, "REGISTER_CONF {name} {file_size} bytes, index {index}"),
            Self::Acknowledge(listing) => write!(f, "REGISTER_ACK {listing}"),
            Self::Found { name, seeder, hash } => write!(f, "FILE_FOUND {name} at {seeder} {hash}"),
            Self::NotFound => f.write_str("ERR_FILE_NOT_FOUND"),
            Self::Request { name, leecher } => write!(f, "REQ_FILE {name} to {leecher}"),
            Self::Data(segment) => write!(
                f,
                "DATA {} segment {}, {} of {} bytes",
                segment.of.name, segment.number, segment.segment_size, segment.of.file_size
            ),
        }
    }
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file_size,
            name,
            seeder,
            hash,
        } = self;
        write!(f, "{name} {file_size} bytes at {seeder} {hash}")
    }
}

#[cfg(test)]
mod tests;
