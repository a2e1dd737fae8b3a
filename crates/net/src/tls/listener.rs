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
    sync::Mutex,
    task::{AbortHandle, Id, JoinError, JoinSet},
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
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: u32 = 1024;
/// The pause after an error that concerns no single connection, such as no free descriptor.
const PAUSE: Duration = Duration::from_millis(50);

/// A listening socket with its handshakes, which end when it is dropped.
///
/// New connections are taken while somebody waits in [`Listener::accept`]; before that they are with the kernel.
pub(super) struct TlsListener {
    socket: TcpListener,
    local: SocketAddr,
    config: Arc<ServerConfig>,
    door: Mutex<Door>,
}

/// The handshakes under way.
#[derive(Default)]
struct Door {
    handshakes: JoinSet<Option<Stream>>,
    waiting: Waiting,
}

impl TlsListener {
    pub(super) fn start(at: SocketAddr, config: ServerConfig) -> io::Result<Self> {
        let socket = match at {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        let socket = socket.listen(BACKLOG)?;
        Ok(Self {
            local: socket.local_addr()?,
            socket,
            config: Arc::new(config),
            door: Mutex::default(),
        })
    }
}

#[async_trait]
impl Listener for TlsListener {
    fn local(&self) -> SocketAddr {
        self.local
    }

    async fn accept(&self) -> io::Result<Stream> {
        let mut door = self.door.lock().await;
        loop {
            tokio::select! {
                biased;
                Some(ended) = door.handshakes.join_next_with_id() => {
                    if let Some(stream) = door.ended(ended) {
                        return Ok(stream);
                    }
                }
                accepted = self.socket.accept() => match accepted {
                    Ok((tcp, remote)) => door.welcome(tcp, remote, &self.config),
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(error) => door.rest(&error).await,
                },
            }
        }
    }
}

impl Door {
    /// Starts a handshake, if there is a place for it.
    fn welcome(&mut self, tcp: TcpStream, remote: SocketAddr, config: &Arc<ServerConfig>) {
        let source = source(remote.ip());
        if !self.waiting.make_place(source, Instant::now()) {
            tracing::debug!(%remote, "too many handshakes at once: turned away");
            return;
        }
        let task = self.handshakes.spawn(handshake(tcp, remote, Arc::clone(config)));
        self.waiting.started(source, Instant::now(), task);
    }

    fn ended(&mut self, ended: Result<(Id, Option<Stream>), JoinError>) -> Option<Stream> {
        let (task, stream) = ended.unwrap_or_else(|error| (error.id(), None));
        self.waiting.ended(task);
        stream
    }

    /// Waits a little, so that an error which stays is not met in a tight loop.
    async fn rest(&mut self, error: &io::Error) {
        tracing::warn!(%error, "cannot accept connections for now");
        // Most likely there is no free descriptor: the oldest handshake holds one.
        self.waiting.displace_oldest(Instant::now());
        sleep(PAUSE).await;
    }
}

async fn handshake(tcp: TcpStream, remote: SocketAddr, config: Arc<ServerConfig>) -> Option<Stream> {
    let opening = async {
        let session = Session::server(config).map_err(io::Error::other)?;
        stream::open(tcp, session).await
    };
    match timeout(HANDSHAKE, opening)
        .await
        .map_err(io::Error::from)
        .flatten()
    {
        Ok(stream) => Some(stream),
        Err(error) => {
            tracing::debug!(%remote, %error, "handshake failed");
            None
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Tasks that never end, and a time at which they began.
    async fn crowd(waiting: &mut Waiting, tasks: &mut JoinSet<()>, sources: &[IpAddr]) -> Instant {
        let since = Instant::now();
        for &source in sources {
            let task = tasks.spawn(std::future::pending());
            waiting.started(source, since, task);
        }
        since
    }

    fn address(n: usize) -> IpAddr {
        IpAddr::from(u32::try_from(n).unwrap().to_be_bytes())
    }

    #[tokio::test]
    async fn one_source_displaces_only_its_own_and_only_old_ones() {
        let (mut waiting, mut tasks) = (Waiting::default(), JoinSet::new());
        crowd(&mut waiting, &mut tasks, &[address(1)]).await;
        let many = vec![address(2); HANDSHAKES_PER_SOURCE];
        let since = crowd(&mut waiting, &mut tasks, &many).await;
        assert!(!waiting.make_place(address(2), since));
        assert!(waiting.make_place(address(3), since));
        assert!(waiting.make_place(address(2), since + TIME_ENOUGH));
        assert_eq!(waiting.by_source[&address(1)], 1);
        assert_eq!(waiting.by_source[&address(2)], HANDSHAKES_PER_SOURCE - 1);
        let aborted = tasks.join_next_with_id().await.unwrap().unwrap_err();
        assert!(aborted.is_cancelled());
        waiting.ended(aborted.id());
        assert_eq!(waiting.by_source[&address(2)], HANDSHAKES_PER_SOURCE - 1);
    }

    #[tokio::test]
    async fn many_sources_displace_the_oldest() {
        let (mut waiting, mut tasks) = (Waiting::default(), JoinSet::new());
        let many: Vec<IpAddr> = (0..HANDSHAKES).map(address).collect();
        let since = crowd(&mut waiting, &mut tasks, &many).await;
        assert!(!waiting.make_place(address(HANDSHAKES), since));
        assert!(waiting.make_place(address(HANDSHAKES), since + TIME_ENOUGH));
        assert!(!waiting.by_source.contains_key(&address(0)));
        assert_eq!(waiting.by_age.len(), HANDSHAKES - 1);
    }

    #[test]
    fn a_source_is_an_address_or_a_network_of_64_bits() {
        let same = |a: &str, b: &str| source(a.parse().unwrap()) == source(b.parse().unwrap());
        assert!(same("10.0.0.1", "::ffff:10.0.0.1"));
        assert!(!same("10.0.0.1", "10.0.0.2"));
        assert!(same("2001:db8::1", "2001:db8::ffff"));
        assert!(!same("2001:db8::1", "2001:db8:0:1::1"));
    }
}
