//! Takes TCP connections and shakes hands with many at a time, whatever the others do.
//!
//! Whoever connects has [`HANDSHAKE`] to prove a key. Only so many may try at a time, in all and
//! from one address; one too many displaces the oldest, if that has had time enough, or is turned away.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use rustls::ServerConfig;
use skep_world::{Listener, Stream};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Mutex, mpsc},
    task::{AbortHandle, Id, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::{session::Session, stream};

/// The longest handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// An older handshake gives way to a new one when there are too many.
const TIME_ENOUGH: Duration = Duration::from_millis(500);
/// The most handshakes at a time.
const HANDSHAKES: usize = 1024;
/// The most of them from one address (one /64 network of IPv6).
const HANDSHAKES_PER_SOURCE: usize = 512;
/// Finished ones that wait to be taken.
const READY: usize = 64;
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// The pause after an error that concerns no single connection, such as no free descriptor.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening socket with its handshakes.
pub(super) struct TlsListener {
    local: SocketAddr,
    ready: Mutex<mpsc::Receiver<Stream>>,
    /// The accepting task; aborted when this is dropped, and its handshakes with it.
    _accepting: JoinSet<()>,
}

impl TlsListener {
    pub(super) fn start(at: SocketAddr, config: ServerConfig) -> io::Result<Self> {
        let socket = match at {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        let listener = socket.listen(BACKLOG)?;
        let local = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(READY);
        let door = Door {
            config: Arc::new(config),
            ready: sender,
            handshakes: JoinSet::new(),
            waiting: Waiting::default(),
        };
        let mut accepting = JoinSet::new();
        accepting.spawn(door.accept_all(listener));
        Ok(Self {
            local,
            ready: Mutex::new(ready),
            _accepting: accepting,
        })
    }
}

#[async_trait]
impl Listener for TlsListener {
    fn local(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> io::Result<Stream> {
        let stream = self.ready.lock().await.recv().await;
        stream.ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

/// Where connections come in.
struct Door {
    config: Arc<ServerConfig>,
    ready: mpsc::Sender<Stream>,
    handshakes: JoinSet<()>,
    waiting: Waiting,
}

impl Door {
    async fn accept_all(mut self, listener: TcpListener) {
        loop {
            tokio::select! {
                biased;
                Some(ended) = self.handshakes.join_next_with_id() => {
                    self.waiting.ended(ended.map_or_else(|e| e.id(), |(id, ())| id));
                }
                accepted = listener.accept() => match accepted {
                    Ok((tcp, remote)) => self.welcome(tcp, remote),
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(error) => self.rest(&error).await,
                },
            }
        }
    }

    /// Starts a handshake, if there is a place for it.
    fn welcome(&mut self, tcp: TcpStream, remote: SocketAddr) {
        let source = source(remote.ip());
        if !self.waiting.make_place(source, Instant::now()) {
            tracing::debug!(%remote, "too many handshakes at once: turned away");
            return;
        }
        let handshake = handshake(tcp, remote, Arc::clone(&self.config), self.ready.clone());
        let handle = self.handshakes.spawn(handshake);
        self.waiting.started(source, Instant::now(), handle);
    }

    /// Waits a little, so that an error which stays is not met in a tight loop.
    async fn rest(&mut self, error: &io::Error) {
        tracing::warn!(%error, "cannot accept connections for now");
        // Most likely there is no free descriptor: the oldest handshake holds one.
        self.waiting.displace_oldest(Instant::now());
        sleep(PAUSE).await;
    }
}

async fn handshake(
    tcp: TcpStream,
    remote: SocketAddr,
    config: Arc<ServerConfig>,
    ready: mpsc::Sender<Stream>,
) {
    let opening = async {
        let session = Session::server(config).map_err(io::Error::other)?;
        stream::open(tcp, session).await
    };
    match timeout(HANDSHAKE, opening).await {
        // The listener may be gone by now, and the connection goes with it.
        Ok(Ok(stream)) => drop(ready.send(stream).await),
        Ok(Err(error)) => tracing::debug!(%remote, %error, "handshake failed"),
        Err(_) => tracing::debug!(%remote, "handshake took too long"),
    }
}

/// An error of a connection that went away before it was accepted (`accept(2)`).
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

/// What counts as one source: an address, or the 64 bits of IPv6 that a single host is given.
fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

/// The handshakes under way, oldest first.
#[derive(Default)]
struct Waiting {
    next: u64,
    by_age: BTreeMap<u64, Handshake>,
    by_task: BTreeMap<Id, u64>,
    by_source: BTreeMap<IpAddr, usize>,
}

struct Handshake {
    source: IpAddr,
    since: Instant,
    task: AbortHandle,
}

impl Waiting {
    /// Makes sure that one more from `source` is within the bounds; false if it cannot.
    fn make_place(&mut self, source: IpAddr, now: Instant) -> bool {
        let from_source = self.by_source.get(&source).copied().unwrap_or(0);
        if from_source >= HANDSHAKES_PER_SOURCE {
            return self.displace(now, |h| h.source == source);
        }
        self.by_age.len() < HANDSHAKES || self.displace(now, |_| true)
    }

    fn displace_oldest(&mut self, now: Instant) {
        self.displace(now, |_| true);
    }

    /// Ends the oldest of those that `which` picks; false if that is too young.
    fn displace(&mut self, now: Instant, which: impl Fn(&Handshake) -> bool) -> bool {
        let Some((&age, oldest)) = self.by_age.iter().find(|(_, h)| which(h)) else {
            return false;
        };
        if now.duration_since(oldest.since) < TIME_ENOUGH {
            return false;
        }
        oldest.task.abort();
        self.forget(age);
        true
    }

    fn started(&mut self, source: IpAddr, since: Instant, task: AbortHandle) {
        self.by_task.insert(task.id(), self.next);
        *self.by_source.entry(source).or_default() += 1;
        let handshake = Handshake { source, since, task };
        self.by_age.insert(self.next, handshake);
        self.next += 1;
    }

    fn ended(&mut self, task: Id) {
        if let Some(age) = self.by_task.get(&task).copied() {
            self.forget(age);
        }
    }

    fn forget(&mut self, age: u64) {
        let Some(handshake) = self.by_age.remove(&age) else {
            return;
        };
        self.by_task.remove(&handshake.task.id());
        if let Some(count) = self.by_source.get_mut(&handshake.source) {
            *count -= 1;
            if *count == 0 {
                self.by_source.remove(&handshake.source);
            }
        }
    }
}
