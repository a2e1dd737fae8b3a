//! The PDUs of document 004 as bytes: one byte of type, 100 bytes of data.
//!
//! Pure. The same letter means one thing on the way to the index and another on the way back, so
//! there are two types. The stream of a download is in [`stream`](super::stream).

use std::{fmt, net::Ipv4Addr};

use skep_wire::path::check_component;

use crate::padded;

/// Bytes of a PDU.
pub const PDU_BYTES: usize = 101;
/// Bytes of its data.
pub const DATA_BYTES: usize = 100;
/// The most bytes of a name; its field has one more, for the NUL.
pub const NAME_BYTES: usize = 9;

/// A PDU as it travels.
pub type Pdu = [u8; PDU_BYTES];

/// The name of a peer or of a content: at most [`NAME_BYTES`], and fit to be a file's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// Checks and takes a name; the spaces that pad it are cut off.
    ///
    /// # Errors
    /// When it does not fit its field, or cannot be the name of a file.
    pub fn parse(text: &str) -> Result<Self, BadPdu> {
        let text = text.trim_matches(' ');
        if text.len() > NAME_BYTES {
            return Err(BadPdu::LongName);
        }
        check_component(text).map_err(|_| BadPdu::Name)?;
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a peer asks the index, and another peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `R`: `peer` provides `content` at this TCP port.
    Register {
        /// Who.
        peer: Name,
        /// What.
        content: Name,
        /// Where, on the host that the datagram came from.
        port: u16,
    },
    /// `S`: who provides `content`?
    Search {
        /// Who asks.
        peer: Name,
        /// What is wanted.
        content: Name,
    },
    /// `O`: what is there?
    List,
    /// `T`: `peer` no longer provides `content`.
    Deregister {
        /// Who.
        peer: Name,
        /// What.
        content: Name,
    },
    /// `D`, to a peer: send it.
    Download {
        /// Who asks; some programs leave it out.
        peer: Option<Name>,
        /// What is wanted.
        content: Name,
    },
}

/// What the index answers, and what a peer does that cannot send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `A`: done.
    Done(String),
    /// `E`: not done, and why.
    Error(String),
    /// `S`: a provider is there.
    Provider {
        /// Its host. 0.0.0.0: that of the index.
        host: Ipv4Addr,
        /// Its TCP port.
        port: u16,
    },
    /// `O`: a number first, and then as many names.
    Listed(String),
}

/// Why bytes are no PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPdu {
    /// There is no such type.
    #[error("the type {0:?} is unknown")]
    Kind(char),
    /// Too long a name.
    #[error("a name has at most {NAME_BYTES} bytes here")]
    LongName,
    /// No name that a file can have.
    #[error("the name cannot be one")]
    Name,
    /// No number of a port.
    #[error("the port is no number from 1 to 65535")]
    Port,
    /// No IPv4 address.
    #[error("the address is none")]
    Address,
}

/// A datagram as a PDU: what a shorter one lacks is NUL, what a longer one has besides is dropped.
#[must_use]
pub fn pdu(datagram: &[u8]) -> Pdu {
    let mut pdu = [0; PDU_BYTES];
    for (to, from) in pdu.iter_mut().zip(datagram) {
        *to = *from;
    }
    pdu
}

impl Request {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Pdu {
        match self {
            Self::Register { peer, content, port } => write(
                b'R',
                &[
                    (0, peer.as_str()),
                    (10, content.as_str()),
                    (20, &port.to_string()),
                ],
            ),
            Self::Search { peer, content } => write(b'S', &[(0, peer.as_str()), (10, content.as_str())]),
            Self::List => write(b'O', &[]),
            Self::Deregister { peer, content } => write(b'T', &[(0, peer.as_str()), (10, content.as_str())]),
            Self::Download { peer, content } => {
                let peer = peer.as_ref().map_or("", Name::as_str);
                write(b'D', &[(0, peer), (10, content.as_str())])
            }
        }
    }

    /// A `D` as some programs have it, with the content's name in front.
    #[must_use]
    pub fn encode_content_first(peer: &Name, content: &Name) -> Pdu {
        write(b'D', &[(0, content.as_str()), (10, peer.as_str())])
    }

    /// Whether it asks for the download of `content`, wherever that stands.
    #[must_use]
    pub fn wants(&self, content: &Name) -> bool {
        matches!(self, Self::Download { peer, content: second }
            if second == content || peer.as_ref() == Some(content))
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`BadPdu`] says what is wrong with it.
    pub fn decode(pdu: &Pdu) -> Result<Self, BadPdu> {
        let [kind, ..] = *pdu;
        match kind {
            b'R' => Ok(Self::Register {
                peer: name(pdu, 0)?,
                content: name(pdu, 10)?,
                port: port(pdu)?,
            }),
            b'S' => Ok(Self::Search {
                peer: name(pdu, 0)?,
                content: name(pdu, 10)?,
            }),
            b'O' => Ok(Self::List),
            b'T' => Ok(Self::Deregister {
                peer: name(pdu, 0)?,
                content: name(pdu, 10)?,
            }),
            b'D' => download(pdu),
            _ => Err(BadPdu::Kind(char::from(kind))),
        }
    }
}

impl Answer {
    /// Its bytes; text that is too long is cut.
    ///
    /// The document does not say where the name in an `O` stands. It is written where text
    /// starts and also in the field of a content's name; readers look at either.
    #[must_use]
    pub fn encode(&self) -> Pdu {
        match self {
            Self::Done(text) => write(b'A', &[(0, text)]),
            Self::Error(text) => write(b'E', &[(0, text)]),
            Self::Provider { host, port } => write(b'S', &[(0, &host.to_string()), (20, &port.to_string())]),
            Self::Listed(text) if text.len() <= NAME_BYTES => write(b'O', &[(0, text), (10, text)]),
            Self::Listed(text) => write(b'O', &[(0, text)]),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`BadPdu`] says what is wrong with it.
    pub fn decode(pdu: &Pdu) -> Result<Self, BadPdu> {
        let [kind, data @ ..] = pdu;
        match kind {
            b'A' => Ok(Self::Done(shown(data))),
            b'E' => Ok(Self::Error(shown(data))),
            b'S' => Ok(Self::Provider {
                host: host(pdu)?,
                port: port(pdu)?,
            }),
            b'O' => {
                let first = shown(data);
                let second = || shown(field(pdu, 10, 10));
                Ok(Self::Listed(if first.is_empty() { second() } else { first }))
            }
            _ => Err(BadPdu::Kind(char::from(*kind))),
        }
    }
}

/// A PDU with text at places of its data.
fn write(kind: u8, fields: &[(usize, &str)]) -> Pdu {
    let mut pdu = [0; PDU_BYTES];
    let [first, data @ ..] = &mut pdu;
    *first = kind;
    for (at, text) in fields {
        let text = padded::field::<DATA_BYTES>(text);
        let text = text.iter().take_while(|&&byte| byte != 0);
        for (to, from) in data.iter_mut().skip(*at).zip(text) {
            *to = *from;
        }
    }
    pdu
}

/// So many bytes of the data.
fn field(pdu: &Pdu, at: usize, bytes: usize) -> &[u8] {
    pdu.get(1 + at..1 + at + bytes).unwrap_or_default()
}

fn name(pdu: &Pdu, at: usize) -> Result<Name, BadPdu> {
    Name::parse(padded::text(field(pdu, at, 10)).ok_or(BadPdu::Name)?)
}

fn port(pdu: &Pdu) -> Result<u16, BadPdu> {
    let text = padded::text(field(pdu, 20, 6)).ok_or(BadPdu::Port)?;
    let digits = text.trim_matches(' ');
    match digits.parse() {
        Ok(port @ 1..) if digits.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(BadPdu::Port),
    }
}

/// The document's own transcript shows the host `0`.
fn host(pdu: &Pdu) -> Result<Ipv4Addr, BadPdu> {
    let text = padded::text(field(pdu, 0, 20)).ok_or(BadPdu::Address)?;
    match text.trim_matches(' ') {
        "0" => Ok(Ipv4Addr::UNSPECIFIED),
        text => text.parse().map_err(|_| BadPdu::Address),
    }
}

/// With the content in its own field, or in front where there is nothing in that.
fn download(pdu: &Pdu) -> Result<Request, BadPdu> {
    match field(pdu, 10, 1) {
        [0] => Ok(Request::Download {
            peer: None,
            content: name(pdu, 0)?,
        }),
        _ => Ok(Request::Download {
            peer: name(pdu, 0).ok(),
            content: name(pdu, 10)?,
        }),
    }
}

/// Somebody else's text, whatever its bytes are.
fn shown(data: &[u8]) -> String {
    let end = data.iter().position(|&byte| byte == 0).unwrap_or(data.len());
    let text = String::from_utf8_lossy(data.get(..end).unwrap_or_default());
    text.trim_matches(' ').to_owned()
}

/// As a person reads it in the journal.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Register { peer, content, port } => write!(f, "R {peer} {content} {port}"),
            Self::Search { peer, content } => write!(f, "S {peer} {content}"),
            Self::List => f.write_str("O"),
            Self::Deregister { peer, content } => write!(f, "T {peer} {content}"),
            Self::Download {
                peer: Some(peer),
                content,
            } => write!(f, "D {peer} {content}"),
            Self::Download { peer: None, content } => write!(f, "D {content}"),
        }
    }
}

/// As a person reads it in the journal.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(text) => write!(f, "A {text}"),
            Self::Error(text) => write!(f, "E {text}"),
            Self::Provider { host, port } => write!(f, "S {host} {port}"),
            Self::Listed(text) => write!(f, "O {text}"),
        }
    }
}

#[cfg(test)]
mod tests;
