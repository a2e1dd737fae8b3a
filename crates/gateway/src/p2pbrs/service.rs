//! The server's driver: one socket, one ledger, and the state machine between them.

use std::{io, net::SocketAddr, path::Path, time::Duration};

use rand::Rng;
use skep_ledger::CommitError;
use skep_world::World;
use thiserror::Error;
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    codec::DATAGRAM_BYTES,
    server::{Config, Effects, Output, Server},
};
use crate::{
    journal::{Journal, Over, Way},
    keep::{HomeError, Keep},
};

/// Datagrams that are handled before anything else gets its turn.
const READ_AT_ONCE: usize = 256;
/// Changes that may wait for a commit; with more, nothing is read.
const WAITING_CHANGES: usize = 8192;
/// Room for datagrams that wait in the system, if it gives so much.
const RECEIVE_BYTES: usize = 4 << 20;

/// Why a server did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The address cannot be listened on.
    #[error("the server cannot listen on {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// A server that listens.
pub struct Service {
    world: World,
    journal: Journal,
    socket: UdpSocket,
    listen: SocketAddr,
    server: Server,
    keep: Keep,
}

impl Service {
    /// Opens the home and the socket. Port 0 is any.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        world: World,
        home: &Path,
        listen: SocketAddr,
        config: Config,
        journal: Journal,
    ) -> Result<Self, StartError> {
        let (opening, home) = (world.clone(), home.to_owned());
        let (keep, facts) = world.work.call(move || Keep::open(&opening, &home)).await?;
        let failed = |source| StartError::Listen { listen, source };
        let socket = UdpSocket::bind(listen).await.map_err(failed)?;
        let listen = socket.local_addr().map_err(failed)?;
        // A small queue only means that more is sent again.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BYTES);
        let first_rq = world.entropy.rng().random_range(1_000..1_000_000_000);
        let server = Server::new(config, world.clock.now().mono, first_rq, facts);
        Ok(Self {
            world,
            journal,
            socket,
            listen,
            server,
            keep,
        })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Serves until `stop`.
    ///
    /// # Errors
    /// When the ledger can promise nothing any more.
    pub async fn run(self, stop: &CancellationToken) -> Result<(), CommitError> {
        let (batches, to_commit) = mpsc::channel(1);
        let (tell, durable) = mpsc::channel(1);
        let keeping = tokio::spawn(self.keep.run(to_commit, tell));
        let mut pump = Pump {
            world: self.world,
            journal: self.journal,
            socket: self.socket,
            server: self.server,
            waiting: Effects::default(),
            is_committing: false,
            batches,
            durable,
        };
        pump.run(stop).await;
        pump.end(keeping).await
    }
}

/// Moves datagrams, effects and batches.
struct Pump {
    world: World,
    journal: Journal,
    socket: UdpSocket,
    server: Server,
    /// What waits for the next commit.
    waiting: Effects,
    is_committing: bool,
    batches: mpsc::Sender<Effects>,
    durable: mpsc::Receiver<Vec<Output>>,
}

impl Pump {
    async fn run(&mut self, stop: &CancellationToken) {
        let start = Instant::now()
            .checked_sub(self.now())
            .unwrap_or_else(Instant::now);
        loop {
            let wakeup = self
                .server
                .next_wakeup()
                .unwrap_or(self.now() + Duration::from_secs(60));
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                outputs = self.durable.recv() => match outputs {
                    Some(outputs) => {
                        self.is_committing = false;
                        self.send(outputs).await;
                    }
                    // The ledger is broken; its task says why.
                    None => return,
                },
                readable = self.socket.readable(), if self.waiting.changes.len() < WAITING_CHANGES => {
                    if readable.is_ok() {
                        self.read().await;
                    }
                }
                () = sleep_until(start + wakeup) => {}
            }
            let (now, mut effects) = (self.now(), Effects::default());
            self.server.poll(now, &mut effects);
            self.take_in(effects).await;
            self.commit();
        }
    }

    fn now(&self) -> Duration {
        self.world.clock.now().mono
    }

    async fn read(&mut self) {
        let mut datagram = [0; DATAGRAM_BYTES + 1];
        for _ in 0..READ_AT_ONCE {
            let Ok((size, from)) = self.socket.try_recv_from(&mut datagram) else {
                return;
            };
            let bytes = datagram.get(..size).unwrap_or_default();
            self.journal
                .message(Way::Received, Over::Udp, from, String::from_utf8_lossy(bytes));
            let mut effects = Effects::default();
            self.server.handle(self.now(), from, bytes, &mut effects);
            self.take_in(effects).await;
        }
    }

    /// What changes nothing leaves at once, unless it would overtake a promise.
    async fn take_in(&mut self, mut effects: Effects) {
        let is_free = self.waiting.is_empty() && !self.is_committing;
        if is_free && effects.changes.is_empty() {
            return self.send(effects.outputs).await;
        }
        self.waiting.changes.append(&mut effects.changes);
        self.waiting.outputs.append(&mut effects.outputs);
    }

    fn commit(&mut self) {
        if !self.is_committing && !self.waiting.is_empty() {
            let batch = std::mem::take(&mut self.waiting);
            self.is_committing = self.batches.try_send(batch).is_ok();
        }
    }

    async fn send(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Note(text) => self.journal.note(text),
                Output::Send { to, text } => {
                    self.journal.message(Way::Sent, Over::Udp, to, &text);
                    if let Err(error) = self.socket.send_to(text.as_bytes(), to).await {
                        self.journal.note(format_args!("not sent to {to}: {error}"));
                    }
                }
            }
        }
    }

    /// Commits what waits, sends what became durable, and ends the ledger's task.
    async fn end(mut self, keeping: JoinHandle<Result<(), CommitError>>) -> Result<(), CommitError> {
        if self.is_committing {
            let outputs = self.durable.recv().await.unwrap_or_default();
            self.send(outputs).await;
        }
        if !self.waiting.is_empty() {
            let batch = std::mem::take(&mut self.waiting);
            if self.batches.send(batch).await.is_ok() {
                let outputs = self.durable.recv().await.unwrap_or_default();
                self.send(outputs).await;
            }
        }
        drop(self.batches);
        keeping.await.unwrap_or(Ok(()))
    }
}
