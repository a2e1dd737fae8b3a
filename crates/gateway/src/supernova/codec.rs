//! The messages of document 002 as text: lines, the last of which ends with a newline and NUL.
//!
//! Pure. A message that was read has names that cannot deceive or leave a folder. The document
//! defines no words; docs/dialects/supernova.md says where these come from.

use std::{fmt, net::IpAddr};

use skep_wire::path::check_component;

/// The most bytes of one message to a tracker or between peers.
pub const MESSAGE_BYTES: usize = 256 << 10;
/// The most bytes of a list that a tracker sends.
pub const FULL_LIST_BYTES: usize = 16 << 20;
/// The most bytes of a peer's name.
pub const NAME_BYTES: usize = 64;
/// The most files that one peer may list.
pub const MAX_FILES: usize = 2048;

/// What ends a message.
pub const END: &[u8] = b"\n\0";

/// The name of a peer: letters, digits, `_`, `.` and `-`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

impl Name {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When it is empty, too long, or has other characters.
    pub fn parse(text: &str) -> Result<Self, BadMessage> {
        let fits = (1..=NAME_BYTES).contains(&text.len());
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if fits && text.bytes().all(plain) {
            Ok(Self(text.into()))
        } else {
            Err(BadMessage::Name)
        }
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

/// The name of a file directly in a shared folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Box<str>);

impl FileName {
    /// Checks and takes a name, literally.
    ///
    /// # Errors
    /// When it cannot be the name of a file everywhere.
    pub fn parse(text: &str) -> Result<Self, BadMessage> {
        check_component(text).map_err(|_| BadMessage::File)?;
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

/// A message, whoever sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// To the tracker: here I am, with a name if I have one.
    Hello(Option<Name>),
    /// From the tracker: this name is free.
    Available(Name),
    /// To the tracker: I take this name.
    IWant(Name),
    /// From the tracker: you are in.
    Welcome(Name),
    /// To the tracker: here I take connections.
    Listening {
        /// An address, or `localhost`.
        host: Host,
        /// A TCP port.
        port: u16,
    },
    /// To the tracker: these are my files, all of them.
    List(Vec<FileName>),
    /// From the tracker: it is done.
    Ok,
    /// To the tracker: who has what?
    SendList,
    /// From the tracker: who has what.
    FullList(Vec<(Name, FileName)>),
    /// To the tracker: where is this peer?
    Where(Name),
    /// From the tracker: there.
    At {
        /// An address, or `localhost`.
        host: Host,
        /// A TCP port.
        port: u16,
    },
    /// To a peer: send me this file.
    Give(FileName),
    /// From a peer: so many bytes follow.
    Take(u64),
    /// To a peer: it has arrived.
    Thanks,
    /// It is not done, and why.
    Error(String),
}

/// Where a peer listens: the document writes `localhost` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host(pub IpAddr);

impl Host {
    /// An address in text, or `localhost`, which is 127.0.0.1.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.eq_ignore_ascii_case("localhost") {
            return Some(Self(IpAddr::from([127, 0, 0, 1])));
        }
        text.parse().ok().map(Self)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Why text is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadMessage {
    /// It is not UTF-8.
    #[error("the message is no text")]
    Text,
    /// There is no such word.
    #[error("the message is unknown")]
    Word,
    /// Too few words, too many, or not as many lines as announced.
    #[error("the message has too much or too little in it")]
    Shape,
    /// No name of a peer.
    #[error("a peer's name has 1 to {NAME_BYTES} letters, digits, '_', '.' or '-'")]
    Name,
    /// No name of a file.
    #[error("the message names a file that cannot be one")]
    File,
    /// Neither an address nor `localhost`, or no port.
    #[error("the message has no usable address")]
    Address,
    /// No number.
    #[error("the message has no number where one belongs")]
    Number,
}

impl Message {
    /// Its bytes, with [`END`].
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut text = match self {
            Self::List(files) => with_lines(format!("LIST {}", files.len()), files),
            Self::FullList(files) => {
                let lines = files.iter().map(|(peer, file)| format!("{peer} {file}"));
                with_lines(format!("FULLLIST {}", files.len()), lines)
            }
            short => short.to_string(),
        };
        text.push('\n');
        text.push('\0');
        text.into_bytes()
    }

    /// The message that is all of `bytes`, without [`END`].
    ///
    /// # Errors
    /// [`BadMessage`] says what is wrong with it.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadMessage> {
        let text = std::str::from_utf8(bytes).map_err(|_| BadMessage::Text)?;
        let (head, body) = match text.split_once('\n') {
            Some((head, body)) => (head, Some(body)),
            None => (text, None),
        };
        let (word, rest) = head.split_once(' ').unwrap_or((head, ""));
        let message = match (word, rest) {
            ("LIST", count) => return decode_list(count, body),
            ("FULLLIST", count) => return decode_full_list(count, body),
            ("HELLO", "") => Self::Hello(None),
            ("HELLO", name) => Self::Hello(Some(Name::parse(name)?)),
            ("AVAILABLE", name) => Self::Available(Name::parse(name)?),
            ("IWANT", name) => Self::IWant(Name::parse(name)?),
            ("WELCOME", name) => Self::Welcome(Name::parse(name)?),
            ("LISTENING", at) => address(at).map(|(host, port)| Self::Listening { host, port })?,
            ("OK", "") => Self::Ok,
            ("SENDLIST", "") => Self::SendList,
            ("WHERE", name) => Self::Where(Name::parse(name)?),
            ("AT", at) => address(at).map(|(host, port)| Self::At { host, port })?,
            ("GIVE", file) => Self::Give(FileName::parse(file)?),
            ("TAKE", size) => Self::Take(number(size)?),
            ("THANKS", "") => Self::Thanks,
            ("ERROR", why) => Self::Error(shown(why)),
            ("OK" | "SENDLIST" | "THANKS", _) => return Err(BadMessage::Shape),
            _ => return Err(BadMessage::Word),
        };
        match body {
            None => Ok(message),
            Some(_) => Err(BadMessage::Shape),
        }
    }
}

fn with_lines(mut text: String, lines: impl IntoIterator<Item = impl fmt::Display>) -> String {
    for line in lines {
        text += &format!("\n{line}");
    }
    text
}

/// Exactly as many lines as announced. Nothing is reserved for an announcement.
fn lines<'a>(count: &str, body: Option<&'a str>) -> Result<Vec<&'a str>, BadMessage> {
    let lines: Vec<_> = body.map(|body| body.split('\n').collect()).unwrap_or_default();
    if number(count)? == lines.len() as u64 {
        Ok(lines)
    } else {
        Err(BadMessage::Shape)
    }
}

fn decode_list(count: &str, body: Option<&str>) -> Result<Message, BadMessage> {
    let lines = lines(count, body)?;
    if lines.len() > MAX_FILES {
        return Err(BadMessage::Shape);
    }
    let files = lines.into_iter().map(FileName::parse);
    Ok(Message::List(files.collect::<Result<_, _>>()?))
}

/// Somebody else's names that cannot be files here are left out, not the list.
fn decode_full_list(count: &str, body: Option<&str>) -> Result<Message, BadMessage> {
    let lines = lines(count, body)?;
    let entry = |line: &str| {
        let (peer, file) = line.split_once(' ')?;
        Some((Name::parse(peer).ok()?, FileName::parse(file).ok()?))
    };
    Ok(Message::FullList(lines.into_iter().filter_map(entry).collect()))
}

fn address(text: &str) -> Result<(Host, u16), BadMessage> {
    let (host, port) = text.split_once(' ').ok_or(BadMessage::Shape)?;
    let host = Host::parse(host).ok_or(BadMessage::Address)?;
    match number(port).map(u16::try_from) {
        Ok(Ok(port @ 1..)) => Ok((host, port)),
        _ => Err(BadMessage::Address),
    }
}

fn number(text: &str) -> Result<u64, BadMessage> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(BadMessage::Number)
}

/// Somebody else's text, fit to be shown.
fn shown(text: &str) -> String {
    let harmless = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(200).map(harmless).collect()
}

/// As a person reads it in the journal: the first line.
impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hello(None) => f.write_str("HELLO"),
            Self::Hello(Some(name)) => write!(f, "HELLO {name}"),
            Self::Available(name) => write!(f, "AVAILABLE {name}"),
            Self::IWant(name) => write!(f, "IWANT {name}"),
            Self::Welcome(name) => write!(f, "WELCOME {name}"),
            Self::Listening { host, port } => write!(f, "LISTENING {host} {port}"),
            Self::List(files) => write!(f, "LIST {}", files.len()),
            Self::Ok => f.write_str("OK"),
            Self::SendList => f.write_str("SENDLIST"),
            Self::FullList(files) => write!(f, "FULLLIST {}", files.len()),
            Self::Where(name) => write!(f, "WHERE {name}"),
            Self::At { host, port } => write!(f, "AT {host} {port}"),
            Self::Give(file) => write!(f, "GIVE {file}"),
            Self::Take(size) => write!(f, "TAKE {size}"),
            Self::Thanks => f.write_str("THANKS"),
            Self::Error(why) if why.is_empty() => f.write_str("ERROR"),
            Self::Error(why) => write!(f, "ERROR {why}"),
        }
    }
}

#[cfg(test)]
mod tests;
