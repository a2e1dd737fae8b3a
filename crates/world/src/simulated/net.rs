//! A network in memory: hosts with addresses, and streams that arrive late, stall, break or never start.
//!
//! Streams lie above TLS: who dials proves its key, and so does who listens, but nothing is
//! encrypted. Every delay follows from the seed; what is delivered goes into the trace.

mod host;
mod state;
mod stream;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use host::Host;

use self::state::State;
use super::Trace;

/// How bytes travel from one host to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// From end to end, one way.
    pub latency: Duration,
    /// At most so much more, by chance: the only disorder that there is above TCP, where what was
    /// lost comes late.
    pub jitter: Duration,
    /// What all streams on the route share.
    pub bytes_per_s: u64,
}

impl Default for Route {
    /// A good local network.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1),
            jitter: Duration::ZERO,
            bytes_per_s: 1 << 30,
        }
    }
}

/// The network. Clones are the same network.
#[derive(Clone)]
pub struct Net {
    state: Arc<Mutex<State>>,
}

impl Net {
    /// A network without hosts.
    #[must_use]
    pub fn new(seed: u64, trace: Trace) -> Self {
        Self {
            state: Arc::new(Mutex::new(State::new(seed, trace))),
        }
    }

    /// The network as the programs see it that run on this host from now until its next crash.
    #[must_use]
    pub fn host(&self, ip: IpAddr) -> Host {
        let life = *self.state().lives.entry(ip).or_default();
        Host::new(Arc::clone(&self.state), ip, life)
    }

    /// Lets `name` be resolved to `ip`.
    pub fn name(&self, name: &str, ip: IpAddr) {
        self.state().names.insert(name.to_owned(), ip);
    }

    /// How bytes travel between hosts that nothing else was said about.
    pub fn set_default_route(&self, route: Route) {
        self.state().default_route = route;
    }

    /// How bytes travel from `from` to `to`, from now on.
    pub fn set_route(&self, from: IpAddr, to: IpAddr, route: Route) {
        self.state().routes.insert((from, to), route);
    }

    /// Nothing arrives at `to` from `from` until [`Net::join`]: streams stall, dials time out.
    pub fn cut(&self, from: IpAddr, to: IpAddr) {
        let mut state = self.state();
        state.note("cut", format_args!("{from} {to}"));
        state.cuts.insert((from, to));
    }

    /// What was cut arrives again, and first what was on its way.
    pub fn join(&self, from: IpAddr, to: IpAddr) {
        let mut state = self.state();
        state.note("join", format_args!("{from} {to}"));
        state.cuts.remove(&(from, to));
        state.wake_all();
    }

    /// Whether nothing arrives at `to` from `from`.
    #[must_use]
    pub fn is_cut(&self, from: IpAddr, to: IpAddr) -> bool {
        self.state().is_cut(from, to)
    }

    /// Undoes all that was cut, unplugged, hidden or given a route of its own.
    pub fn calm(&self) {
        let mut state = self.state();
        state.note("calm", format_args!(""));
        state.cuts.clear();
        state.unplugged.clear();
        state.hidden.clear();
        state.routes.clear();
        state.wake_all();
    }

    /// Unplugs a host, or plugs it in again: nothing arrives at it nor from it.
    pub fn unplug(&self, ip: IpAddr, unplugged: bool) {
        let mut state = self.state();
        state.note("unplug", format_args!("{ip} {unplugged}"));
        if unplugged {
            state.unplugged.insert(ip);
        } else {
            state.unplugged.remove(&ip);
            state.wake_all();
        }
    }

    /// Puts a host behind a router that lets no dial in, or takes the router away.
    pub fn hide(&self, ip: IpAddr, hidden: bool) {
        let mut state = self.state();
        state.note("hide", format_args!("{ip} {hidden}"));
        if hidden {
            state.hidden.insert(ip);
        } else {
            state.hidden.remove(&ip);
        }
    }

    /// Breaks all streams between two hosts, at once and on both ends.
    pub fn reset(&self, one: IpAddr, other: IpAddr) {
        let mut state = self.state();
        state.note("reset", format_args!("{one} {other}"));
        state.reset(one, other);
    }

    /// Ends the programs on a host: its streams break, its listeners are gone, and its [`Host`]s
    /// are dead. If it is unplugged, the others learn nothing of it.
    pub fn crash(&self, ip: IpAddr) {
        let mut state = self.state();
        state.note("crash", format_args!("{ip}"));
        let listeners = state.crash(ip);
        drop(state);
        drop(listeners);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
