//! What a simulated network is made of: hosts, routes, listeners, and the bytes under way.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use skep_wire::SigningKey;
use tokio::{sync::Notify, time::Instant};

use super::Route;
use crate::{Stream, simulated::Trace};

/// Most bytes under way, and arrived but not read, in one direction of a stream.
pub(super) const WINDOW: usize = 256 << 10;
/// Most streams that wait to be accepted by one listener.
const BACKLOG: usize = 128;
/// Where ports begin that nobody asked for by number.
const FIRST_FREE_PORT: u16 = 49_152;

/// One end of a connection: 0 dialled, 1 listened.
pub(super) type Side = usize;

pub(super) struct State {
    pub(super) lives: BTreeMap<IpAddr, u64>,
    pub(super) names: BTreeMap<String, IpAddr>,
    pub(super) default_route: Route,
    pub(super) routes: BTreeMap<(IpAddr, IpAddr), Route>,
    pub(super) cuts: BTreeSet<(IpAddr, IpAddr)>,
    pub(super) unplugged: BTreeSet<IpAddr>,
    pub(super) hidden: BTreeSet<IpAddr>,
    pub(super) listeners: BTreeMap<SocketAddr, Listening>,
    /// When each route will have sent what it was given.
    busy_until: BTreeMap<(IpAddr, IpAddr), Instant>,
    ports: BTreeMap<IpAddr, u16>,
    connections: BTreeMap<u64, Connection>,
    next_id: u64,
    rng: StdRng,
    trace: Trace,
}

/// A listener and the streams that it has not taken yet.
pub(super) struct Listening {
    pub(super) id: u64,
    pub(super) key: Arc<SigningKey>,
    pub(super) waiting: VecDeque<Stream>,
    pub(super) arrived: Arc<Notify>,
}

/// Both directions of a stream. Pipe `n` carries what side `n` sends.
struct Connection {
    ends: [SocketAddr; 2],
    pipes: [Pipe; 2],
}

/// One direction.
struct Pipe {
    under_way: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    last_arrival: Instant,
    end: Option<(Instant, End)>,
    /// The sender is no more, as the receiver learns then.
    gone: Option<Instant>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// How a direction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As it should: all was sent.
    Shutdown,
    /// Broken.
    Reset,
}

/// How much there is room for.
pub(super) enum Room {
    Bytes(usize),
    /// None until the other side has read.
    Full,
    /// None, and then this side learns that the other is gone.
    BrokenThen(Instant),
    /// The stream is no more.
    Broken,
}

/// What there is to read.
pub(super) enum Received {
    Bytes(usize),
    End(End),
    /// Nothing before then.
    Later(Instant),
    /// Nothing, as far as one can say.
    Nothing,
}

impl Pipe {
    fn new(now: Instant) -> Self {
        Self {
            under_way: VecDeque::new(),
            bytes: 0,
            last_arrival: now,
            end: None,
            gone: None,
            reader: None,
            writer: None,
        }
    }

    fn wake(&mut self) {
        self.reader
            .take()
            .into_iter()
            .chain(self.writer.take())
            .for_each(Waker::wake);
    }

    /// Drops what nobody will read.
    fn discard(&mut self) {
        self.under_way.clear();
        self.wake();
    }

    /// Takes what has arrived, at most one piece of it, so that readers meet short reads.
    fn take(&mut self, now: Instant, room: usize) -> Result<Vec<u8>, Received> {
        let Some((arrives, piece)) = self.under_way.front_mut() else {
            return Err(match self.end {
                Some((arrives, _)) if arrives > now => Received::Later(arrives),
                Some((_, end)) => Received::End(end),
                None => Received::Nothing,
            });
        };
        if *arrives > now {
            return Err(Received::Later(*arrives));
        }
        let rest = piece.split_off(room.min(piece.len()));
        let taken = std::mem::replace(piece, rest);
        if piece.is_empty() {
            self.under_way.pop_front();
        }
        self.bytes -= taken.len();
        self.writer.take().into_iter().for_each(Waker::wake);
        Ok(taken)
    }
}

impl State {
    pub(super) fn new(seed: u64, trace: Trace) -> Self {
        Self {
            lives: BTreeMap::new(),
            names: BTreeMap::new(),
            default_route: Route::default(),
            routes: BTreeMap::new(),
            cuts: BTreeSet::new(),
            unplugged: BTreeSet::new(),
            hidden: BTreeSet::new(),
            listeners: BTreeMap::new(),
            busy_until: BTreeMap::new(),
            ports: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_id: 0,
            rng: StdRng::seed_from_u64(seed),
            trace,
        }
    }

    pub(super) fn note(&self, what: &str, about: fmt::Arguments<'_>) {
        self.trace.note("net", &format!("{what} {about}"), &[]);
    }

    pub(super) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A port of `ip` that nobody had yet.
    pub(super) fn new_port(&mut self, ip: IpAddr) -> u16 {
        let port = self.ports.entry(ip).or_insert(FIRST_FREE_PORT);
        let taken = *port;
        *port = taken.checked_add(1).unwrap_or(FIRST_FREE_PORT);
        taken
    }

    /// Whether nothing gets from one host to the other.
    pub(super) fn is_cut(&self, from: IpAddr, to: IpAddr) -> bool {
        let unplugged = self.unplugged.contains(&from) || self.unplugged.contains(&to);
        from != to && (unplugged || self.cuts.contains(&(from, to)))
    }

    /// How long the next bytes take on their way, without those before them.
    pub(super) fn delay(&mut self, from: IpAddr, to: IpAddr) -> Duration {
        if from == to {
            return Duration::ZERO;
        }
        let route = self.route(from, to);
        route.latency + route.jitter.mul_f64(self.rng.random())
    }

    fn route(&self, from: IpAddr, to: IpAddr) -> Route {
        self.routes
            .get(&(from, to))
            .copied()
            .unwrap_or(self.default_route)
    }

    /// A new connection between the two.
    pub(super) fn connect(&mut self, ends: [SocketAddr; 2]) -> u64 {
        let (id, now) = (self.new_id(), Instant::now());
        self.note("connect", format_args!("{id} {} {}", ends[0], ends[1]));
        let pipes = [Pipe::new(now), Pipe::new(now)];
        self.connections.insert(id, Connection { ends, pipes });
        id
    }

    /// Gives a stream to its listener; an error if that has too many.
    pub(super) fn offer(&mut self, at: SocketAddr, stream: Stream) -> Result<(), Stream> {
        match self.listeners.get_mut(&at) {
            Some(listening) if listening.waiting.len() < BACKLOG => {
                listening.waiting.push_back(stream);
                listening.arrived.notify_one();
                Ok(())
            }
            _ => Err(stream),
        }
    }

    /// Whether this side may write, and how much.
    pub(super) fn room(&mut self, id: u64, side: Side, waker: &Waker) -> Room {
        let Some(connection) = self.connections.get(&id) else {
            return Room::Broken;
        };
        let [from, to] = connection.route(1 - side);
        let gone = connection.pipes[1 - side].gone.filter(|_| !self.is_cut(from, to));
        if connection.pipes[side].end.is_some() || gone.is_some_and(|at| at <= Instant::now()) {
            return Room::Broken;
        }
        let Some(pipe) = self.pipe(id, side) else {
            return Room::Broken;
        };
        pipe.writer = Some(waker.clone());
        match (WINDOW.saturating_sub(pipe.bytes), gone) {
            (0, Some(at)) => Room::BrokenThen(at),
            (0, None) => Room::Full,
            (room, _) => Room::Bytes(room),
        }
    }

    /// Puts bytes on their way; to nowhere, if the other side is gone.
    pub(super) fn send(&mut self, id: u64, side: Side, bytes: Vec<u8>) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if bytes.is_empty() || connection.pipes[side].end.is_some() {
            return;
        }
        let gone = connection.pipes[1 - side].gone.is_some();
        let arrives = self.arrival(connection.route(side), bytes.len());
        let Some(pipe) = self.pipe(id, side) else { return };
        pipe.bytes += bytes.len();
        pipe.last_arrival = pipe.last_arrival.max(arrives);
        if !gone {
            pipe.under_way.push_back((pipe.last_arrival, bytes));
            pipe.reader.take().into_iter().for_each(Waker::wake);
        }
    }

    /// Reads what has arrived for this side.
    pub(super) fn receive(&mut self, id: u64, side: Side, out: &mut [u8], waker: &Waker) -> Received {
        let Some(connection) = self.connections.get(&id).filter(|c| c.pipes[side].gone.is_none()) else {
            return Received::End(End::Reset);
        };
        let [from, to] = connection.route(1 - side);
        let cut = self.is_cut(from, to);
        let Some(pipe) = self.pipe(id, 1 - side) else {
            return Received::Nothing;
        };
        pipe.reader = Some(waker.clone());
        if cut {
            return Received::Nothing;
        }
        match pipe.take(Instant::now(), out.len()) {
            Ok(taken) => {
                out[..taken.len()].copy_from_slice(&taken);
                self.trace.note("net", &format!("deliver {id} {side}"), &taken);
                Received::Bytes(taken.len())
            }
            Err(nothing) => nothing,
        }
    }

    /// This side sends no more.
    pub(super) fn finish(&mut self, id: u64, side: Side, end: End) {
        let Some(connection) = self.connections.get(&id) else {
            return;
        };
        if connection.pipes[side].end.is_some() {
            return;
        }
        let arrives = self.arrival(connection.route(side), 0);
        let Some(pipe) = self.pipe(id, side) else { return };
        pipe.last_arrival = pipe.last_arrival.max(arrives);
        pipe.end = Some((pipe.last_arrival, end));
        pipe.wake();
    }

    /// This side is no more.
    pub(super) fn close(&mut self, id: u64, side: Side) {
        self.finish(id, side, End::Reset);
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let [sent, received] = sent_and_received(&mut connection.pipes, side);
        sent.gone.get_or_insert(sent.last_arrival);
        received.discard();
        if received.gone.is_some() {
            self.note("close", format_args!("{id}"));
            self.connections.remove(&id);
        }
    }

    pub(super) fn reset(&mut self, one: IpAddr, other: IpAddr) {
        let now = Instant::now();
        for connection in self
            .connections
            .values_mut()
            .filter(|connection| connection.joins(one, other))
        {
            for pipe in &mut connection.pipes {
                pipe.end = Some((now, End::Reset));
                pipe.gone = Some(now);
                pipe.discard();
            }
        }
    }

    /// Ends the programs on a host. What waits for its listeners closes when the result is dropped,
    /// which takes the lock of this state.
    #[must_use]
    pub(super) fn crash(&mut self, ip: IpAddr) -> Vec<Listening> {
        *self.lives.entry(ip).or_default() += 1;
        let ended: Vec<(u64, Side)> = self
            .connections
            .iter()
            .flat_map(|(id, connection)| [(*id, 0), (*id, 1)].map(|end| (end, connection.ends[end.1].ip())))
            .filter_map(|(end, at)| (at == ip).then_some(end))
            .collect();
        for (id, side) in ended {
            self.close(id, side);
        }
        let listeners: Vec<_> = self
            .listeners
            .keys()
            .filter(|at| at.ip() == ip)
            .copied()
            .collect();
        listeners.into_iter().filter_map(|at| self.unlisten(at)).collect()
    }

    /// Ends a listener. What waits for it closes when the result is dropped.
    pub(super) fn unlisten(&mut self, at: SocketAddr) -> Option<Listening> {
        let listening = self.listeners.remove(&at)?;
        listening.arrived.notify_waiters();
        Some(listening)
    }

    pub(super) fn wake_all(&mut self) {
        let pipes = self
            .connections
            .values_mut()
            .flat_map(|connection| &mut connection.pipes);
        pipes.for_each(Pipe::wake);
    }

    fn pipe(&mut self, id: u64, side: Side) -> Option<&mut Pipe> {
        Some(&mut self.connections.get_mut(&id)?.pipes[side])
    }

    /// When bytes arrive that are sent now, behind all others on the route.
    fn arrival(&mut self, [from, to]: [IpAddr; 2], bytes: usize) -> Instant {
        let now = Instant::now();
        let ahead = self
            .busy_until
            .get(&(from, to))
            .map_or(now, |until| now.max(*until));
        let bytes_per_s = self.route(from, to).bytes_per_s.max(1);
        let sent = ahead + Duration::from_nanos(bytes as u64 * 1_000_000_000 / bytes_per_s);
        if from != to {
            self.busy_until.insert((from, to), sent);
        }
        sent + self.delay(from, to)
    }
}

impl Connection {
    /// From where to where a side sends.
    fn route(&self, side: Side) -> [IpAddr; 2] {
        [self.ends[side].ip(), self.ends[1 - side].ip()]
    }

    fn joins(&self, one: IpAddr, other: IpAddr) -> bool {
        self.route(0) == [one, other] || self.route(1) == [one, other]
    }
}

fn sent_and_received(pipes: &mut [Pipe; 2], side: Side) -> [&mut Pipe; 2] {
    let [dialled, listened] = pipes;
    if side == 0 {
        [dialled, listened]
    } else {
        [listened, dialled]
    }
}
