//! An index that runs: [`Index`] with a datagram socket, a clock and a ledger.
//!
//! Answers leave once what they promise is durable; while that is written, datagrams wait in the
//! socket and are then handled together.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    time::Duration,
};

use skep_ledger::{Change, CommitError};
use skep_world::World;
use tokio::{
    net::{TcpStream, UdpSocket},
    sync::mpsc,
    task::JoinHandle,
    time::{interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    codec::{Answer, PDU_BYTES, Request, pdu},
    index::{Effect, Index, Key, Listing, encode},
};
use crate::{
    journal::{Journal, Over, Way},
    keep::{Facts, Keep},
    own::{self, StartError},
    strangers::{Strangers, Trust},
};

/// The most datagrams that are handled before something is written.
const TOGETHER: usize = 64;
/// The most ports that are tried at once.
const MAX_PROBES: usize = 64;
/// How long a provider may take to accept a connection.
const PROBE_WITHIN: Duration = Duration::from_secs(3);
/// How often it is looked whether somebody is to be tried.
const TICK: Duration = Duration::from_secs(1);

/// What an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the index remembers.
    pub home: PathBuf,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Whom the bounds towards strangers do not meet.
    pub trust: Trust,
}

/// A running index.
pub struct Server {
    local: SocketAddrV4,
    stop: CancellationToken,
    run: JoinHandle<()>,
}

impl Server {
    /// Starts an index.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(world: World, journal: Journal, config: Config) -> Result<Self, StartError> {
        let at = config.listen;
        own::v4(at)?;
        let failed = |source| StartError::Listen { at, source };
        let socket = UdpSocket::bind(at).await.map_err(failed)?;
        let local = own::v4(socket.local_addr().map_err(failed)?)?;
        let (keep, facts) = Keep::open(&world, &config.home)?;
        let mut index = Index::default();
        index.restore(listings(&facts));
        let stop = CancellationToken::new();
        let (probed, results) = mpsc::channel(MAX_PROBES);
        let service = Service {
            world,
            journal,
            socket,
            index,
            keep,
            strangers: Strangers::new(config.trust),
            tasks: TaskTracker::new(),
            probed,
            stop: stop.clone(),
        };
        let run = tokio::spawn(service.run(results));
        Ok(Self { local, stop, run })
    }

    /// Where it listens.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.local.into()
    }

    /// Stops.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.run.await;
    }
}

struct Service {
    world: World,
    journal: Journal,
    socket: UdpSocket,
    index: Index,
    keep: Keep,
    strangers: Strangers,
    tasks: TaskTracker,
    probed: mpsc::Sender<(Listing, bool)>,
    stop: CancellationToken,
}

impl Service {
    async fn run(mut self, mut results: mpsc::Receiver<(Listing, bool)>) {
        let mut ticks = interval(TICK);
        loop {
            let mut out = Vec::new();
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                _ = ticks.tick() => {
                    let room = MAX_PROBES.saturating_sub(self.tasks.len());
                    self.index.poll(self.world.clock.now().mono, room, &mut out);
                }
                Some((listing, is_there)) = results.recv() => {
                    self.index.probed(&listing, is_there, &mut out);
                }
                _ = self.socket.readable() => self.read(&mut out),
            }
            if let Err(error) = self.perform(out).await {
                self.journal
                    .note(format_args!("the listings cannot be kept: {error}"));
                break;
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Handles what waits in the socket, but not for ever.
    fn read(&mut self, out: &mut Vec<Effect>) {
        let mut buffer = [0; 2 * PDU_BYTES];
        for _ in 0..TOGETHER {
            match self.socket.try_recv_from(&mut buffer) {
                Ok((bytes, SocketAddr::V4(from))) => {
                    self.take(from, buffer.get(..bytes).unwrap_or_default(), out);
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Somebody did not get an answer.
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, from: SocketAddrV4, datagram: &[u8], out: &mut Vec<Effect>) {
        match Request::decode(&pdu(datagram)) {
            Ok(request) => self
                .journal
                .message(Way::Received, Over::Udp, from.into(), request),
            Err(bad) => self.journal.note(format_args!("from {from}: {bad}")),
        }
        let ip = IpAddr::from(*from.ip());
        let mut effects = Vec::new();
        self.index
            .handle(from, datagram, self.strangers.trusts(ip), &mut effects);
        let now = self.world.clock.now().mono;
        let is_known = self.index.knows(*from.ip());
        effects.retain(|effect| match effect {
            Effect::Answer { answers, .. } if !is_known => {
                let bytes = answers.len() * PDU_BYTES;
                self.strangers.may_answer(now, ip, datagram.len(), bytes)
            }
            _ => true,
        });
        out.append(&mut effects);
    }

    async fn perform(&mut self, out: Vec<Effect>) -> Result<(), CommitError> {
        let changes: Vec<Change> = out.iter().filter_map(change).collect();
        if !changes.is_empty() {
            self.keep.commit(changes).await?;
        }
        for effect in out {
            match effect {
                Effect::Answer { to, answers } => self.answer(to, &answers).await,
                Effect::Probe(listing) => self.probe(listing),
                Effect::Listed(Listing { key, at }) => {
                    self.journal
                        .note(format_args!("{} provides {} at {at}", key.peer, key.content));
                }
                Effect::Dropped(key) => {
                    self.journal
                        .note(format_args!("{} does not provide {}", key.peer, key.content));
                }
            }
        }
        Ok(())
    }

    async fn answer(&self, to: SocketAddrV4, answers: &[Answer]) {
        for (answer, pdu) in answers.iter().zip(encode(answers)) {
            // A datagram may always be lost: who asks, asks again.
            if self.socket.send_to(&pdu, to).await.is_ok() {
                self.journal.message(Way::Sent, Over::Udp, to.into(), answer);
            }
        }
    }

    fn probe(&self, listing: Listing) {
        let (probed, stop) = (self.probed.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            let connected = timeout(PROBE_WITHIN, TcpStream::connect(listing.at));
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                outcome = connected => {
                    let is_there = matches!(outcome, Ok(Ok(_)));
                    let _ = probed.send((listing, is_there)).await;
                }
            }
        });
    }
}

/// A listing is kept as the `R` that registered it, behind the host that sent it.
fn change(effect: &Effect) -> Option<Change> {
    match effect {
        Effect::Listed(Listing { key, at }) => {
            let request = Request::Register {
                peer: key.peer.clone(),
                content: key.content.clone(),
                port: at.port(),
            };
            let value = [&at.ip().octets()[..], &request.encode()].concat();
            Some(Change {
                key: fact_key(key),
                value: Some(value),
            })
        }
        Effect::Dropped(key) => Some(Change {
            key: fact_key(key),
            value: None,
        }),
        Effect::Answer { .. } | Effect::Probe(_) => None,
    }
}

fn fact_key(key: &Key) -> Vec<u8> {
    format!("{}\0{}", key.content, key.peer).into_bytes()
}

fn listings(facts: &Facts) -> impl Iterator<Item = Listing> {
    facts.iter().filter_map(|(_, value)| {
        let (host, request) = value.split_first_chunk::<4>()?;
        match Request::decode(&pdu(request)) {
            Ok(Request::Register { peer, content, port }) => Some(Listing {
                key: Key { content, peer },
                at: SocketAddrV4::new((*host).into(), port),
            }),
            _ => None,
        }
    })
}
