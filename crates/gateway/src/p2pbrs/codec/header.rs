//! The lines on connections: in front of chunks, and the answers to them.

use std::fmt;

use super::{
    field::{BadField, Checksum, FileName, Rq},
    tokens::Tokens,
};

/// The most bytes of a line, its end included.
pub const HEADER_BYTES: usize = 1024;

/// A line on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// A chunk follows.
    SendChunk {
        /// Who asks numbers its requests.
        rq: Rq,
        /// The file.
        file: FileName,
        /// Which chunk.
        chunk: u64,
        /// So many bytes follow.
        size: u64,
        /// Their checksum; some send none.
        checksum: Option<Checksum>,
    },
    /// The chunk is wanted.
    GetChunk {
        /// Who asks numbers its requests.
        rq: Rq,
        /// The file.
        file: FileName,
        /// Which chunk.
        chunk: u64,
    },
    /// The chunk follows, until the connection ends.
    ChunkData {
        /// The number of the request.
        rq: Rq,
        /// The file.
        file: FileName,
        /// Which chunk.
        chunk: u64,
        /// The checksum of the bytes.
        checksum: Option<Checksum>,
    },
    /// The chunk is stored.
    ChunkOk {
        /// The number of the request.
        rq: Rq,
        /// The file.
        file: FileName,
        /// Which chunk.
        chunk: u64,
    },
    /// The chunk is not stored, or not there.
    ChunkError {
        /// The number of the request.
        rq: Rq,
        /// The file.
        file: FileName,
        /// Which chunk.
        chunk: u64,
        /// Why.
        reason: String,
    },
}

/// A line that is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the line makes no sense")]
pub struct BadHeader;

impl Header {
    /// Reads a line, with or without its end. A line of fields without keyword is `SEND_CHUNK`.
    ///
    /// # Errors
    /// When it is longer than [`HEADER_BYTES`], no UTF-8, or not of a known form.
    pub fn decode(line: &[u8]) -> Result<Self, BadHeader> {
        if line.len() > HEADER_BYTES {
            return Err(BadHeader);
        }
        let text = std::str::from_utf8(line).map_err(|_| BadHeader)?;
        let mut tokens = Tokens::new(text);
        let without_keyword = tokens.clone();
        let read = match tokens.next() {
            Some("SEND_CHUNK") => send_chunk(tokens),
            Some("GET_CHUNK") => get_chunk(tokens),
            Some("CHUNK_DATA") => chunk_data(tokens),
            Some("CHUNK_OK") => chunk_ok(tokens),
            Some("CHUNK_ERROR") => chunk_error(tokens),
            _ => send_chunk(without_keyword),
        };
        read.map_err(|_| BadHeader)
    }

    /// The line, its end included.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        format!("{self}\n").into_bytes()
    }
}

fn send_chunk(mut tokens: Tokens<'_>) -> Result<Header, BadField> {
    Ok(Header::SendChunk {
        rq: tokens.field()?,
        file: tokens.field()?,
        chunk: tokens.field()?,
        size: tokens.field()?,
        checksum: tokens.optional()?,
    })
}

fn get_chunk(mut tokens: Tokens<'_>) -> Result<Header, BadField> {
    Ok(Header::GetChunk {
        rq: tokens.field()?,
        file: tokens.field()?,
        chunk: tokens.field()?,
    })
}

fn chunk_data(mut tokens: Tokens<'_>) -> Result<Header, BadField> {
    Ok(Header::ChunkData {
        rq: tokens.field()?,
        file: tokens.field()?,
        chunk: tokens.field()?,
        checksum: tokens.optional()?,
    })
}

fn chunk_ok(mut tokens: Tokens<'_>) -> Result<Header, BadField> {
    Ok(Header::ChunkOk {
        rq: tokens.field()?,
        file: tokens.field()?,
        chunk: tokens.field()?,
    })
}

fn chunk_error(mut tokens: Tokens<'_>) -> Result<Header, BadField> {
    Ok(Header::ChunkError {
        rq: tokens.field()?,
        file: tokens.field()?,
        chunk: tokens.field()?,
        reason: tokens.rest().to_owned(),
    })
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut checksum_of = String::new();
        if let Self::SendChunk { checksum, .. } | Self::ChunkData { checksum, .. } = self
            && let Some(checksum) = checksum
        {
            checksum_of = format!(" {checksum}");
        }
        match self {
            Self::SendChunk {
                rq,
                file,
                chunk,
                size,
                ..
            } => {
                write!(f, "SEND_CHUNK {rq} {file} {chunk} {size}{checksum_of}")
            }
            Self::GetChunk { rq, file, chunk } => write!(f, "GET_CHUNK {rq} {file} {chunk}"),
            Self::ChunkData { rq, file, chunk, .. } => {
                write!(f, "CHUNK_DATA {rq} {file} {chunk}{checksum_of}")
            }
            Self::ChunkOk { rq, file, chunk } => write!(f, "CHUNK_OK {rq} {file} {chunk}"),
            Self::ChunkError {
                rq,
                file,
                chunk,
                reason,
            } => {
                write!(f, "CHUNK_ERROR {rq} {file} {chunk} {reason}")
            }
        }
    }
}
