//! Version 1 of the protocol, byte by byte as `docs/protocol.md` tells it: what a peer of the first release speaks.
//!
//! Nothing here comes from `skep-wire` or `skep-net`: if those change so that an old peer is not understood any more, or
//! does not understand, the simulation fails. It knows only what the inspector says, and is never to be improved.

use std::time::Duration;

use skep_world::Stream;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

pub(crate) const JOIN: u16 = 0x0100;
pub(crate) const ATTEND: u16 = 0x0102;
pub(crate) const HOLD: u16 = 0x0107;
pub(crate) const ANSWERS: u16 = 0x0109;
pub(crate) const LOOKUP: u16 = 0x010c;
pub(crate) const FIND: u16 = 0x010e;
const HELLO: u16 = 0x0001;
const REFUSED: u16 = 0x0002;
const UNSUPPORTED: u16 = 0x0003;
const DONE: u16 = 0x0004;
const PING: u16 = 0x0005;
const READ: u16 = 0x0202;
const CREDIT: u16 = 0x0203;
const SEGMENT: u16 = 0x0210;
const SEGMENT_LAST: u16 = 0x0211;

/// What a connection is for, by its number.
pub(crate) const CONTROL: u64 = 0;
pub(crate) const BULK: u64 = 2;

/// An answer's request has this bit.
const ANSWER: u32 = 1 << 31;
/// A whole chunk, and two segments more.
const WINDOW: u64 = (1 << 20) + 2 * 131_072;
/// The limit of the longest answer: a page of shares.
const LARGEST: u32 = 262_144;
const PATIENCE: Duration = Duration::from_secs(15);

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Refused, for the reason of this number.
    Refused(u64),
    /// The connection, or something that cannot be read.
    Broken(String),
}

/// A connection; one request at a time.
pub(crate) struct Connection {
    stream: Stream,
    requests: u32,
}

struct Frame {
    kind: u16,
    request: u32,
    body: Vec<u8>,
}

impl Connection {
    /// Says hello, with the signed grant as it was received, and hears it.
    pub(crate) async fn open(stream: Stream, lane: u64, grant: Option<&[u8]>) -> Result<Self, Failure> {
        let mut connection = Self { stream, requests: 0 };
        let hello = Words::new().number(0).data(b"skep 0.1.0").number(lane);
        let hello = match grant {
            Some(grant) => hello.flag(true).bytes(grant),
            None => hello.flag(false),
        };
        connection.write(HELLO, 0, hello.flag(false).number(0)).await?;
        connection.write(CREDIT, 0, Words::new().number(WINDOW)).await?;
        match connection.read().await? {
            Frame { kind: HELLO, .. } => Ok(connection),
            other => Err(other.unexpected()),
        }
    }

    /// Asks, and waits for the answer's body, which is of the type that follows the question's.
    pub(crate) async fn ask(&mut self, kind: u16, body: Words) -> Result<Vec<u8>, Failure> {
        self.request(kind, body).await?;
        match self.answer().await? {
            answer if answer.kind == kind + 1 => Ok(answer.body),
            other => Err(other.unexpected()),
        }
    }

    /// All of a chunk of a content.
    pub(crate) async fn chunk(&mut self, content: &[u8; 32], chunk: u64) -> Result<Vec<u8>, Failure> {
        let body = Words::new().bytes(content).number(chunk);
        self.request(READ, body.number(0).number(64).flag(false)).await?;
        let mut bytes = Vec::new();
        loop {
            let answer = self.answer().await?;
            match answer.kind {
                SEGMENT | SEGMENT_LAST => bytes.extend(answer.body),
                _ => return Err(answer.unexpected()),
            }
            if answer.kind == SEGMENT_LAST {
                return Ok(bytes);
            }
        }
    }

    async fn request(&mut self, kind: u16, body: Words) -> Result<(), Failure> {
        self.requests += 1;
        self.write(kind, self.requests, body).await
    }

    /// The next frame of the answer. Questions from there are answered meanwhile, and news are passed over.
    async fn answer(&mut self) -> Result<Frame, Failure> {
        loop {
            let frame = self.read().await?;
            match frame.request {
                0 if frame.kind == REFUSED => return Err(frame.unexpected()),
                0 => {}
                request if request == self.requests | ANSWER => return Ok(frame),
                request if request & ANSWER != 0 => return Err(frame.unexpected()),
                request if frame.kind == PING => self.write(DONE, request | ANSWER, Words::new()).await?,
                request => {
                    let body = Words::new().number(frame.kind.into());
                    self.write(UNSUPPORTED, request | ANSWER, body).await?;
                }
            }
        }
    }

    async fn write(&mut self, kind: u16, request: u32, body: Words) -> Result<(), Failure> {
        let length = u32::try_from(body.0.len()).expect("what is said here is short");
        let mut bytes = Vec::from(length.to_be_bytes());
        bytes.extend(kind.to_be_bytes());
        bytes.extend(request.to_be_bytes());
        bytes.extend(body.0);
        self.stream.writer.write_all(&bytes).await.map_err(broken)?;
        self.stream.writer.flush().await.map_err(broken)
    }

    async fn read(&mut self) -> Result<Frame, Failure> {
        let frame = async {
            let length = self.stream.reader.read_u32().await?;
            let kind = self.stream.reader.read_u16().await?;
            let request = self.stream.reader.read_u32().await?;
            if length > LARGEST {
                return Err(std::io::Error::other(
                    "a frame is longer than any that is heard here",
                ));
            }
            let mut body = vec![0; length as usize];
            self.stream.reader.read_exact(&mut body).await?;
            Ok::<_, std::io::Error>(Frame { kind, request, body })
        };
        timeout(PATIENCE, frame)
            .await
            .map_err(|_| Failure::Broken("nothing is said".to_owned()))?
            .map_err(broken)
    }
}

impl Frame {
    fn unexpected(self) -> Failure {
        match (self.kind, Heard(&self.body).number()) {
            (REFUSED, Ok(reason)) => Failure::Refused(reason),
            (kind, _) => Failure::Broken(format!("type {kind:#06x} is not expected here")),
        }
    }
}

fn broken(error: impl ToString) -> Failure {
    Failure::Broken(error.to_string())
}

/// The body of a message that is being put together.
pub(crate) struct Words(Vec<u8>);

impl Words {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// 7 bits per byte, lowest first.
    pub(crate) fn number(mut self, mut number: u64) -> Self {
        while number > 127 {
            self.0.push(number.to_le_bytes()[0] | 128);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
        self
    }

    pub(crate) fn flag(mut self, flag: bool) -> Self {
        self.0.push(flag.into());
        self
    }

    pub(crate) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    /// Data or text: its length, then itself.
    pub(crate) fn data(self, data: &[u8]) -> Self {
        self.number(data.len() as u64).bytes(data)
    }
}

/// What is left to read of a body.
pub(crate) struct Heard<'a>(pub(crate) &'a [u8]);

impl<'a> Heard<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Failure> {
        let (bytes, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| broken("too short"))?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn id(&mut self) -> Result<[u8; 32], Failure> {
        self.bytes(32)?.try_into().map_err(broken)
    }

    pub(crate) fn number(&mut self) -> Result<u64, Failure> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.bytes(1)?[0];
            number |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Ok(number);
            }
        }
        Err(broken("a number that does not end"))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Failure> {
        match self.bytes(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(broken("neither yes nor no")),
        }
    }

    pub(crate) fn data(&mut self) -> Result<&'a [u8], Failure> {
        let length = usize::try_from(self.number()?).map_err(broken)?;
        self.bytes(length)
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, Failure> {
        str::from_utf8(self.data()?).map_err(broken)
    }

    /// A record and its signature; returns the record.
    pub(crate) fn signed(&mut self) -> Result<Heard<'a>, Failure> {
        let record = self.data()?;
        match self.data()?.len() {
            64 => Ok(Heard(record)),
            _ => Err(broken("a signature has 64 bytes")),
        }
    }

    /// What is read for each element of a list.
    pub(crate) fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Failure>,
    ) -> Result<Vec<T>, Failure> {
        (0..self.number()?).map(|_| element(self)).collect()
    }

    /// What is read if it is there.
    pub(crate) fn option<T>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        self.flag()?.then(|| value(self)).transpose()
    }

    /// Nothing may be left.
    pub(crate) fn end(&self) -> Result<(), Failure> {
        match self.0 {
            [] => Ok(()),
            rest => Err(broken(format!("{} bytes too many", rest.len()))),
        }
    }
}
