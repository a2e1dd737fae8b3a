//! The messages in datagrams.

use std::{fmt, net::IpAddr};

use super::{
    field::{BadField, Capacity, Checksum, FileName, Name, Role, Rq},
    list::{Bringer, PeerList, Target},
    tokens::Tokens,
};

/// The most bytes of a datagram.
pub const DATAGRAM_BYTES: usize = 1400;

/// A datagram. The fields are the document's; `rq` is the number that the asker gave its request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields have the document's names")]
pub enum Message {
    Register {
        rq: Rq,
        name: Name,
        role: Role,
        ip: IpAddr,
        udp: u16,
        tcp: u16,
        capacity: Capacity,
    },
    Registered {
        rq: Rq,
    },
    RegisterDenied {
        rq: Rq,
        reason: String,
    },
    DeRegister {
        rq: Rq,
        name: Name,
    },
    /// Not in the document; some clients wait for it.
    DeRegistered {
        rq: Rq,
    },
    BackupReq {
        rq: Rq,
        file: FileName,
        size: u64,
        checksum: Checksum,
        chunk_size: Option<u64>,
    },
    /// The document's example has no number.
    BackupPlan {
        rq: Option<Rq>,
        file: FileName,
        peers: PeerList,
        chunk_size: u64,
    },
    BackupDenied {
        rq: Rq,
        reason: String,
    },
    StorageTask {
        rq: Rq,
        file: FileName,
        chunk_size: u64,
        owner: Name,
        bringer: Option<Bringer>,
    },
    StoreReq {
        rq: Rq,
        file: FileName,
        chunk: u64,
        owner: Name,
        bringer: Option<Bringer>,
    },
    ChunkOk {
        rq: Rq,
        file: FileName,
        chunk: u64,
    },
    ChunkError {
        rq: Rq,
        file: FileName,
        chunk: u64,
        reason: String,
    },
    BackupDone {
        rq: Rq,
        file: FileName,
    },
    StoreAck {
        rq: Rq,
        file: FileName,
        chunk: u64,
        size: Option<u64>,
    },
    Heartbeat {
        rq: Rq,
        name: Name,
        chunks: u64,
        timestamp: String,
    },
    /// Not in the document; some clients wait for it.
    HeartbeatOk {
        rq: Rq,
        name: Name,
    },
    RestoreReq {
        rq: Rq,
        file: FileName,
    },
    RestorePlan {
        rq: Option<Rq>,
        file: FileName,
        peers: PeerList,
        shape: Option<Shape>,
    },
    RestoreOk {
        rq: Rq,
        file: FileName,
    },
    RestoreFail {
        rq: Rq,
        file: FileName,
        reason: String,
    },
    ReplicateReq {
        rq: Rq,
        file: FileName,
        chunk: u64,
        target: Target,
    },
}

/// What a restore plan says of the file beyond the document's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Bytes of each chunk but the last.
    pub chunk_size: u64,
    /// How many chunks.
    pub chunks: u64,
    /// The file's checksum, as its owner gave it.
    pub checksum: Checksum,
}

/// A datagram that cannot be read, and what its sender may be told of that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the message makes no sense")]
pub struct Malformed {
    /// The denial that its kind has, if it has one and could be read so far.
    pub denial: Option<Message>,
}

impl Message {
    /// Reads a datagram.
    ///
    /// # Errors
    /// [`Malformed`], with the denial that belongs to it.
    pub fn decode(datagram: &[u8]) -> Result<Self, Malformed> {
        let head = datagram.get(..DATAGRAM_BYTES);
        let whole = head.is_none_or(|head| head.len() == datagram.len());
        // What is too long may be denied by its first fields, wherever the cut falls.
        let text = String::from_utf8_lossy(head.unwrap_or(datagram));
        let is_text = whole && std::str::from_utf8(datagram).is_ok();
        let read = if is_text { read(&text) } else { Err(BadField) };
        read.map_err(|_| Malformed {
            denial: denial(&text),
        })
    }

    /// The text of the datagram.
    #[must_use]
    pub fn encode(&self) -> String {
        self.to_string()
    }
}

fn denial(text: &str) -> Option<Message> {
    let mut tokens = Tokens::new(text);
    let verb = tokens.next()?;
    let rq = tokens.field().ok()?;
    let reason = "Bad_Request".to_owned();
    match verb {
        "REGISTER" => Some(Message::RegisterDenied { rq, reason }),
        "BACKUP_REQ" => Some(Message::BackupDenied { rq, reason }),
        "RESTORE_REQ" => {
            let file = tokens.field().ok()?;
            Some(Message::RestoreFail { rq, file, reason })
        }
        _ => None,
    }
}

fn read(text: &str) -> Result<Message, BadField> {
    let mut tokens = Tokens::new(text);
    let verb = tokens.next().ok_or(BadField)?;
    match verb {
        "REGISTER" => register(tokens),
        "BACKUP_PLAN" | "RESTORE_PLAN" => plan(verb, tokens),
        "HEARTBEAT" => heartbeat(tokens),
        "BACKUP_REQ" | "STORAGE_TASK" | "STORE_REQ" | "STORE_ACK" | "REPLICATE_REQ" => order(verb, tokens),
        _ => answer(verb, tokens),
    }
}

fn register(mut tokens: Tokens<'_>) -> Result<Message, BadField> {
    Ok(Message::Register {
        rq: tokens.field()?,
        name: tokens.field()?,
        role: tokens.field()?,
        ip: tokens.field()?,
        udp: tokens.field()?,
        tcp: tokens.field()?,
        capacity: tokens.field()?,
    })
}

fn heartbeat(mut tokens: Tokens<'_>) -> Result<Message, BadField> {
    let (rq, name) = (tokens.field()?, tokens.field()?);
    if tokens.clone().rest() == "OK" {
        return Ok(Message::HeartbeatOk { rq, name });
    }
    Ok(Message::Heartbeat {
        rq,
        name,
        chunks: tokens.field()?,
        timestamp: tokens.rest().to_owned(),
    })
}

fn plan(verb: &str, mut tokens: Tokens<'_>) -> Result<Message, BadField> {
    let first = tokens.next().ok_or(BadField)?;
    let mut after = tokens.clone();
    let second = after.next();
    // `rq file [list]`, or `file [list]`; a file's name may begin with a bracket too.
    let (rq, file) = match second {
        Some(file) if after.at_list() => {
            tokens = after;
            (Some(first.parse()?), file.parse()?)
        }
        _ => (None, first.parse()?),
    };
    let peers = tokens.list()?;
    if verb == "BACKUP_PLAN" {
        let chunk_size = tokens.field()?;
        return Ok(Message::BackupPlan {
            rq,
            file,
            peers,
            chunk_size,
        });
    }
    let shape = match tokens.optional()? {
        None => None,
        Some(chunk_size) => Some(Shape {
            chunk_size,
            chunks: tokens.field()?,
            checksum: tokens.field()?,
        }),
    };
    Ok(Message::RestorePlan {
        rq,
        file,
        peers,
        shape,
    })
}

/// Messages about a file that ask for something or report.
fn order(verb: &str, mut tokens: Tokens<'_>) -> Result<Message, BadField> {
    let (rq, file) = (tokens.field()?, tokens.field()?);
    Ok(match verb {
        "BACKUP_REQ" => Message::BackupReq {
            rq,
            file,
            size: tokens.field()?,
            checksum: tokens.field()?,
            chunk_size: tokens.optional()?,
        },
        "STORAGE_TASK" => Message::StorageTask {
            rq,
            file,
            chunk_size: tokens.field()?,
            owner: tokens.field()?,
            bringer: tokens.optional()?,
        },
        "STORE_REQ" => Message::StoreReq {
            rq,
            file,
            chunk: tokens.field()?,
            owner: tokens.field()?,
            bringer: tokens.optional()?,
        },
        "STORE_ACK" => Message::StoreAck {
            rq,
            file,
            chunk: tokens.field()?,
            size: tokens.optional()?,
        },
        _ => Message::ReplicateReq {
            rq,
            file,
            chunk: tokens.field()?,
            target: tokens.field()?,
        },
    })
}

/// The short ones.
fn answer(verb: &str, mut tokens: Tokens<'_>) -> Result<Message, BadField> {
    let rq = tokens.field()?;
    let reason = |tokens: Tokens<'_>| tokens.rest().to_owned();
    Ok(match verb {
        "REGISTERED" => Message::Registered { rq },
        "REGISTER-DENIED" => Message::RegisterDenied {
            rq,
            reason: reason(tokens),
        },
        "DE-REGISTER" => Message::DeRegister {
            rq,
            name: tokens.field()?,
        },
        "DE-REGISTERED" => Message::DeRegistered { rq },
        "BACKUP-DENIED" => Message::BackupDenied {
            rq,
            reason: reason(tokens),
        },
        "BACKUP_DONE" => Message::BackupDone {
            rq,
            file: tokens.field()?,
        },
        "RESTORE_REQ" => Message::RestoreReq {
            rq,
            file: tokens.field()?,
        },
        "RESTORE_OK" => Message::RestoreOk {
            rq,
            file: tokens.field()?,
        },
        "RESTORE_FAIL" => Message::RestoreFail {
            rq,
            file: tokens.field()?,
            reason: reason(tokens),
        },
        "CHUNK_OK" => Message::ChunkOk {
            rq,
            file: tokens.field()?,
            chunk: tokens.field()?,
        },
        "CHUNK_ERROR" => Message::ChunkError {
            rq,
            file: tokens.field()?,
            chunk: tokens.field()?,
            reason: reason(tokens),
        },
        _ => return Err(BadField),
    })
}

impl Message {
    fn verb(&self) -> &'static str {
        match self {
            Self::Register { .. } => "REGISTER",
            Self::Registered { .. } => "REGISTERED",
            Self::RegisterDenied { .. } => "REGISTER-DENIED",
            Self::DeRegister { .. } => "DE-REGISTER",
            Self::DeRegistered { .. } => "DE-REGISTERED",
            Self::BackupReq { .. } => "BACKUP_REQ",
            Self::BackupPlan { .. } => "BACKUP_PLAN",
            Self::BackupDenied { .. } => "BACKUP-DENIED",
            Self::StorageTask { .. } => "STORAGE_TASK",
            Self::StoreReq { .. } => "STORE_REQ",
            Self::ChunkOk { .. } => "CHUNK_OK",
            Self::ChunkError { .. } => "CHUNK_ERROR",
            Self::BackupDone { .. } => "BACKUP_DONE",
            Self::StoreAck { .. } => "STORE_ACK",
            Self::Heartbeat { .. } | Self::HeartbeatOk { .. } => "HEARTBEAT",
            Self::RestoreReq { .. } => "RESTORE_REQ",
            Self::RestorePlan { .. } => "RESTORE_PLAN",
            Self::RestoreOk { .. } => "RESTORE_OK",
            Self::RestoreFail { .. } => "RESTORE_FAIL",
            Self::ReplicateReq { .. } => "REPLICATE_REQ",
        }
    }

    /// Hands out the fields in order.
    fn fields(&self, put: &mut dyn FnMut(&[&dyn fmt::Display]) -> fmt::Result) -> fmt::Result {
        match self {
            Self::Registered { rq } | Self::DeRegistered { rq } => put(&[rq]),
            Self::RegisterDenied { rq, reason } | Self::BackupDenied { rq, reason } => put(&[rq, reason]),
            Self::DeRegister { rq, name } => put(&[rq, name]),
            Self::HeartbeatOk { rq, name } => put(&[rq, name, &"OK"]),
            Self::BackupDone { rq, file } | Self::RestoreReq { rq, file } | Self::RestoreOk { rq, file } => {
                put(&[rq, file])
            }
            Self::RestoreFail { rq, file, reason } => put(&[rq, file, reason]),
            Self::ChunkOk { rq, file, chunk } => put(&[rq, file, chunk]),
            #[rustfmt::skip]
            Self::Register { rq, name, role, ip, udp, tcp, capacity } => {
                put(&[rq, name, role, ip, udp, tcp, capacity])
            },
            #[rustfmt::skip]
            Self::ChunkError { rq, file, chunk, reason } => put(&[rq, file, chunk, reason]),
            #[rustfmt::skip]
            Self::Heartbeat { rq, name, chunks, timestamp } => put(&[rq, name, chunks, timestamp]),
            #[rustfmt::skip]
            Self::ReplicateReq { rq, file, chunk, target } => put(&[rq, file, chunk, target]),
            _ => self.fields_that_may_be_missing(put),
        }
    }

    fn fields_that_may_be_missing(
        &self,
        put: &mut dyn FnMut(&[&dyn fmt::Display]) -> fmt::Result,
    ) -> fmt::Result {
        #[rustfmt::skip]
        let optional: Option<&dyn fmt::Display> = match self {
            Self::BackupReq { rq, file, size, checksum, chunk_size } => {
                put(&[rq, file, size, checksum])?;
                chunk_size.as_ref().map(|it| it as _)
            }
            Self::StorageTask { rq, file, chunk_size, owner, bringer } => {
                put(&[rq, file, chunk_size, owner])?;
                bringer.as_ref().map(|it| it as _)
            }
            Self::StoreReq { rq, file, chunk, owner, bringer } => {
                put(&[rq, file, chunk, owner])?;
                bringer.as_ref().map(|it| it as _)
            }
            Self::StoreAck { rq, file, chunk, size } => {
                put(&[rq, file, chunk])?;
                size.as_ref().map(|it| it as _)
            }
            Self::BackupPlan { rq, file, peers, chunk_size } => {
                rq.iter().try_for_each(|rq| put(&[rq]))?;
                put(&[file, peers])?;
                Some(chunk_size)
            }
            Self::RestorePlan { rq, file, peers, shape } => {
                rq.iter().try_for_each(|rq| put(&[rq]))?;
                put(&[file, peers])?;
                shape.as_ref().map(|it| it as _)
            }
            _ => None,
        };
        optional.map_or(Ok(()), |field| put(&[field]))
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.verb())?;
        let mut put =
            |fields: &[&dyn fmt::Display]| fields.iter().try_for_each(|field| write!(f, " {field}"));
        self.fields(&mut put)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.chunk_size, self.chunks, self.checksum)
    }
}
