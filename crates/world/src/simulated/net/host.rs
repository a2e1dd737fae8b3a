//! One host's view of the simulated network: dialling and listening.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use skep_wire::{PeerId, SigningKey, message::Endpoint};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    lock,
    state::{Listening, State},
    stream::stream,
};
use crate::{Network, Stream};

/// A dial gives up after that.
const DIAL_LIMIT: Duration = Duration::from_secs(10);
/// TCP tries again after that.
const RETRY: Duration = Duration::from_secs(1);

/// The network as the programs on one host see it.
pub struct Host {
    state: Arc<Mutex<State>>,
    ip: IpAddr,
    life: u64,
}

impl Host {
    pub(super) fn new(state: Arc<Mutex<State>>, ip: IpAddr, life: u64) -> Self {
        Self { state, ip, life }
    }

    /// The network, while the host lives.
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = lock(&self.state);
        if state.lives.get(&self.ip) != Some(&self.life) {
            return Err(io::Error::other("the machine crashed"));
        }
        Ok(state)
    }

    fn resolve(&self, to: &Endpoint) -> io::Result<SocketAddr> {
        let named = || self.state().ok()?.names.get(&to.host).copied();
        let ip = to
            .host
            .parse()
            .ok()
            .or_else(named)
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(SocketAddr::new(ip, to.port))
    }

    /// There and back once, again and again until it gets through.
    async fn round_trip(&self, to: IpAddr) -> io::Result<()> {
        loop {
            sleep(self.round_trip_delay(to)?).await;
            if self.gets_through(to)? {
                return Ok(());
            }
            sleep(RETRY).await;
        }
    }

    fn round_trip_delay(&self, to: IpAddr) -> io::Result<Duration> {
        let mut state = self.state()?;
        Ok(state.delay(self.ip, to) + state.delay(to, self.ip))
    }

    fn gets_through(&self, to: IpAddr) -> io::Result<bool> {
        let state = self.state()?;
        let cut = state.is_cut(self.ip, to) || state.is_cut(to, self.ip);
        Ok(state.lives.contains_key(&to) && !cut)
    }

    async fn connect(
        &self,
        me: &Arc<SigningKey>,
        to: SocketAddr,
        expect: Option<PeerId>,
    ) -> io::Result<Stream> {
        if self.state()?.hidden.contains(&to.ip()) && self.ip != to.ip() {
            return std::future::pending().await;
        }
        // TCP, then TLS.
        self.round_trip(to.ip()).await?;
        let there = self
            .state()?
            .listeners
            .get(&to)
            .map(|listening| listening.key.peer_id());
        let there = there.ok_or(io::ErrorKind::ConnectionRefused)?;
        self.round_trip(to.ip()).await?;
        if expect.is_some_and(|expected| expected != there) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "another key than expected",
            ));
        }
        self.establish(me.peer_id(), there, to)
    }

    fn establish(&self, me: PeerId, there: PeerId, to: SocketAddr) -> io::Result<Stream> {
        let mut state = self.state()?;
        if state
            .listeners
            .get(&to)
            .is_none_or(|listening| listening.key.peer_id() != there)
        {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let from = SocketAddr::new(self.ip, state.new_port(self.ip));
        let id = state.connect([from, to]);
        let ours = stream(&self.state, id, 0, there, to);
        let refused = state.offer(to, stream(&self.state, id, 1, me, from));
        // What closes takes the lock itself.
        drop(state);
        match refused {
            Ok(()) => Ok(ours),
            Err(_) => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

#[async_trait]
impl Network for Host {
    async fn dial(&self, me: &Arc<SigningKey>, to: &Endpoint, expect: Option<PeerId>) -> io::Result<Stream> {
        let to = self.resolve(to)?;
        let dialled = match timeout(DIAL_LIMIT, self.connect(me, to, expect)).await {
            Ok(dialled) => dialled,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let outcome = dialled.as_ref().err().map(io::Error::kind);
        lock(&self.state).note("dial", format_args!("{} {to} {outcome:?}", self.ip));
        dialled
    }

    async fn listen(&self, me: &Arc<SigningKey>, at: SocketAddr) -> io::Result<Box<dyn crate::Listener>> {
        if !at.ip().is_unspecified() && at.ip() != self.ip {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        let mut state = self.state()?;
        let port = if at.port() == 0 {
            state.new_port(self.ip)
        } else {
            at.port()
        };
        let at = SocketAddr::new(self.ip, port);
        if state.listeners.contains_key(&at) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let (id, arrived) = (state.new_id(), Arc::new(Notify::new()));
        let listening = Listening {
            id,
            key: Arc::clone(me),
            waiting: VecDeque::new(),
            arrived: Arc::clone(&arrived),
        };
        state.listeners.insert(at, listening);
        Ok(Box::new(Listener {
            state: Arc::clone(&self.state),
            id,
            at,
            arrived,
        }))
    }
}

struct Listener {
    state: Arc<Mutex<State>>,
    id: u64,
    at: SocketAddr,
    arrived: Arc<Notify>,
}

impl Listener {
    /// The next stream, if there is one.
    fn next(&self) -> io::Result<Option<Stream>> {
        let mut state = lock(&self.state);
        match state
            .listeners
            .get_mut(&self.at)
            .filter(|listening| listening.id == self.id)
        {
            Some(listening) => Ok(listening.waiting.pop_front()),
            None => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

#[async_trait]
impl crate::Listener for Listener {
    fn local(&self) -> SocketAddr {
        self.at
    }

    async fn accept(&self) -> io::Result<Stream> {
        loop {
            let arrived = self.arrived.notified();
            if let Some(stream) = self.next()? {
                return Ok(stream);
            }
            arrived.await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        let mine = state
            .listeners
            .get(&self.at)
            .is_some_and(|listening| listening.id == self.id);
        let waiting = if mine { state.unlisten(self.at) } else { None };
        // What closes takes the lock itself.
        drop(state);
        drop(waiting);
    }
}
