//! One TLS session without I/O: bytes of the network in and out, plaintext in and out.
//!
//! It drives rustls' unbuffered state machine, which decrypts in place and encrypts into a buffer
//! of the caller. So reads and writes of the network can be as large as the load asks for, where
//! rustls' buffered interface reads 4 KiB at a time.

use std::{io, sync::Arc};

use rustls::{
    ClientConfig, CommonState, Error, ServerConfig,
    client::UnbufferedClientConnection,
    pki_types::ServerName,
    server::UnbufferedServerConnection,
    unbuffered::{
        ConnectionState, EncodeError, EncodeTlsData, EncryptError, InsufficientSizeError, UnbufferedStatus,
        WriteTraffic,
    },
};
use skep_wire::{PeerId, message::ALPN};
use tokio::io::ReadBuf;

use super::{
    buffer::Buffer,
    identity::{io_error, peer_id},
};

/// The most plaintext in one record (RFC 8446, 5.1).
const RECORD_BYTES: usize = 16 << 10;
/// What encryption adds to a record: header, type, tag.
const OVERHEAD_BYTES: usize = 5 + 1 + 16;
/// Smallest room for reading from the network.
const LEAST_READ_BYTES: usize = 4 << 10;
/// The most bytes of the network that wait to be decrypted.
pub(super) const INCOMING_BYTES: usize = 256 << 10;
/// The most bytes that wait to be sent before more is encrypted.
pub(super) const OUTGOING_BYTES: usize = 256 << 10;

/// A session, from its first byte to its last.
pub(super) struct Session {
    connection: Connection,
    /// From the network, not decrypted yet.
    incoming: Buffer,
    /// Decrypted, and more than the reader had room for.
    plaintext: Buffer,
    /// To the network.
    pub(super) outgoing: Buffer,
    peer_closed: bool,
}

enum Connection {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

/// What to do when data may be sent.
#[derive(Clone, Copy)]
enum Act<'a> {
    Nothing,
    Encrypt(&'a [u8]),
    SayFarewell,
}

/// Where the state machine stands after a step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It may go on at once.
    Again,
    /// Nothing goes on without more bytes from the network.
    NeedsInput,
    /// Data may be sent, and what was to be done then is done; there is nothing to read for now.
    MayWrite,
    /// The other side has said that nothing more comes.
    PeerClosed,
    /// Both sides have.
    Closed,
}

/// Where a step puts what it makes.
struct Sinks<'a, 'b> {
    target: Option<&'a mut ReadBuf<'b>>,
    plaintext: &'a mut Buffer,
    outgoing: &'a mut Buffer,
}

impl Session {
    pub(super) fn client(config: ClientConfig) -> Result<Self, Error> {
        // The name is neither sent nor checked: the key is the identity.
        let name = ServerName::try_from("skep.invalid").expect("it is a valid name");
        let connection = UnbufferedClientConnection::new(Arc::new(config), name)?;
        Ok(Self::new(Connection::Client(connection)))
    }

    pub(super) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Connection::Server(connection)))
    }

    fn new(connection: Connection) -> Self {
        Self {
            connection,
            incoming: Buffer::default(),
            plaintext: Buffer::default(),
            outgoing: Buffer::default(),
            peer_closed: false,
        }
    }

    /// Goes on with the handshake as far as possible. True when it is done. What is to be sent is in
    /// `outgoing`, also after an error.
    pub(super) fn handshake(&mut self) -> io::Result<bool> {
        loop {
            match self.step(Act::Nothing, None)? {
                Step::Again => {}
                Step::MayWrite if !self.state().is_handshaking() => return Ok(true),
                Step::MayWrite | Step::NeedsInput => return Ok(false),
                Step::PeerClosed | Step::Closed => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
    }

    /// After the handshake: the other side's key, if it also agrees on what is spoken.
    pub(super) fn peer(&self) -> io::Result<PeerId> {
        let state = self.state();
        if state.alpn_protocol() != Some(ALPN) {
            return Err(invalid("the other side speaks no protocol that is spoken here"));
        }
        state
            .peer_certificates()
            .and_then(|certificates| peer_id(certificates.first()?))
            .ok_or_else(|| invalid("the other side has shown no key"))
    }

    /// Room for bytes from the network.
    pub(super) fn incoming_room(&mut self) -> io::Result<&mut [u8]> {
        let most = INCOMING_BYTES.saturating_sub(self.incoming.len());
        if most == 0 {
            return Err(invalid("a record without end"));
        }
        let room = self.incoming.room(LEAST_READ_BYTES);
        let most = room.len().min(most);
        Ok(&mut room[..most])
    }

    /// `count` bytes came from the network. `all` says that they took all of the room: then there
    /// is more under way, and the next room is larger.
    pub(super) fn arrived(&mut self, count: usize, all: bool) {
        self.incoming.fill(count);
        if all {
            let most = INCOMING_BYTES.saturating_sub(self.incoming.len());
            self.incoming.room((2 * count).min(most));
        }
    }

    /// Nothing came for now.
    pub(super) fn is_quiet(&mut self) {
        self.incoming.settle();
        self.plaintext.settle();
    }

    /// Moves plaintext into `target`. False when more bytes from the network are needed for any;
    /// true without any at the end.
    pub(super) fn read(&mut self, target: &mut ReadBuf<'_>) -> io::Result<bool> {
        let before = target.filled().len();
        let waiting = self.plaintext.len().min(target.remaining());
        target.put_slice(&self.plaintext.filled()[..waiting]);
        self.plaintext.consume(waiting);
        while target.remaining() > 0 && !self.peer_closed {
            match self.step(Act::Nothing, Some(target))? {
                Step::Again | Step::PeerClosed => {}
                Step::MayWrite | Step::NeedsInput | Step::Closed => break,
            }
        }
        Ok(self.peer_closed || target.filled().len() > before)
    }

    /// Encrypts some of `data` into `outgoing`. Returns how much; nothing if `outgoing` is full.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let room = OUTGOING_BYTES.saturating_sub(self.outgoing.len());
        let data = &data[..data.len().min(room)];
        if !data.is_empty() {
            self.when_writable(Act::Encrypt(data))?;
        }
        Ok(data.len())
    }

    /// Puts the farewell into `outgoing`.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.when_writable(Act::SayFarewell)
    }

    fn when_writable(&mut self, act: Act<'_>) -> io::Result<()> {
        loop {
            match self.step(act, None)? {
                Step::MayWrite => return Ok(()),
                Step::Again | Step::PeerClosed => {}
                Step::NeedsInput | Step::Closed => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    fn step(&mut self, act: Act<'_>, target: Option<&mut ReadBuf<'_>>) -> io::Result<Step> {
        match self.step_once(act, target) {
            Ok(Step::PeerClosed) => {
                self.peer_closed = true;
                Ok(Step::PeerClosed)
            }
            Ok(step) => Ok(step),
            Err(error) => {
                // One step more puts the alert into `outgoing` that tells the other side.
                let _ = self.step_once(Act::Nothing, None);
                Err(io_error(error))
            }
        }
    }

    fn step_once(&mut self, act: Act<'_>, target: Option<&mut ReadBuf<'_>>) -> Result<Step, Error> {
        let sinks = Sinks {
            target,
            plaintext: &mut self.plaintext,
            outgoing: &mut self.outgoing,
        };
        let (discard, step) = match &mut self.connection {
            Connection::Client(c) => sinks.take(c.process_tls_records(self.incoming.filled()), act),
            Connection::Server(c) => sinks.take(c.process_tls_records(self.incoming.filled()), act),
        };
        self.incoming.consume(discard);
        step
    }

    fn state(&self) -> &CommonState {
        match &self.connection {
            Connection::Client(connection) => connection,
            Connection::Server(connection) => connection,
        }
    }
}

impl Sinks<'_, '_> {
    /// Handles what a step led to. Returns how many incoming bytes are done with.
    fn take<D>(mut self, status: UnbufferedStatus<'_, '_, D>, act: Act<'_>) -> (usize, Result<Step, Error>) {
        let mut discard = status.discard;
        let step = status.state.and_then(|state| match state {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record?;
                    discard += record.discard;
                    self.put_plaintext(record.payload);
                }
                Ok(Step::Again)
            }
            ConnectionState::EncodeTlsData(mut data) => self.encode(&mut data).map(|()| Step::Again),
            ConnectionState::TransmitTlsData(data) => {
                // It is in `outgoing`, which leaves in order.
                data.done();
                Ok(Step::Again)
            }
            ConnectionState::WriteTraffic(mut traffic) => {
                self.act(&mut traffic, act).map(|()| Step::MayWrite)
            }
            ConnectionState::BlockedHandshake => Ok(Step::NeedsInput),
            ConnectionState::PeerClosed => Ok(Step::PeerClosed),
            ConnectionState::Closed => Ok(Step::Closed),
            // Early data, which is never allowed.
            _ => Err(Error::HandshakeNotComplete),
        });
        (discard, step)
    }

    fn put_plaintext(&mut self, payload: &[u8]) {
        let now = self
            .target
            .as_ref()
            .map_or(0, |t| t.remaining().min(payload.len()));
        let (now, later) = payload.split_at(now);
        if let Some(target) = &mut self.target {
            target.put_slice(now);
        }
        if !later.is_empty() {
            self.plaintext.room(later.len())[..later.len()].copy_from_slice(later);
            self.plaintext.fill(later.len());
        }
    }

    fn encode<D>(&mut self, data: &mut EncodeTlsData<'_, D>) -> Result<(), Error> {
        let least = match data.encode(&mut []) {
            Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) => required_size,
            _ => 0,
        };
        let encoded = data.encode(self.outgoing.room(least));
        let count = encoded.map_err(|_| Error::General("a handshake message does not fit".into()))?;
        self.outgoing.fill(count);
        Ok(())
    }

    fn act<D>(&mut self, traffic: &mut WriteTraffic<'_, D>, act: Act<'_>) -> Result<(), Error> {
        let (least, data) = match act {
            Act::Nothing => return Ok(()),
            Act::Encrypt(data) => (
                data.len() + data.len().div_ceil(RECORD_BYTES) * OVERHEAD_BYTES,
                data,
            ),
            Act::SayFarewell => (RECORD_BYTES, [].as_slice()),
        };
        let mut put = |room: &mut [u8]| match act {
            Act::SayFarewell => traffic.queue_close_notify(room),
            _ => traffic.encrypt(data, room),
        };
        let mut written = put(self.outgoing.room(least));
        if let Err(EncryptError::InsufficientSize(InsufficientSizeError { required_size })) = written {
            // An update of keys goes before the data.
            written = put(self.outgoing.room(required_size));
        }
        self.outgoing.fill(written.map_err(|_| Error::EncryptError)?);
        Ok(())
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
