//! Who is registered: names, endpoints, roles, and room.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use skep_engine::directory::{Candidate, Claim, Liveness, Names};

use super::super::codec::{Bringer, Capacity, Name, Role};

/// The number of a peer; a name may come to mean another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct PeerNo(pub(super) u32);

/// What is kept of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Peer {
    pub(super) name: Name,
    pub(super) role: Role,
    /// Where others reach it, and where its connections come from.
    pub(super) ip: IpAddr,
    /// Where it takes datagrams: who it is.
    pub(super) endpoint: SocketAddr,
    /// Where its registration came from, if it does not send from where it listens.
    pub(super) came_from: SocketAddr,
    pub(super) tcp: u16,
    pub(super) capacity_bytes: u64,
    /// It has left; its files wait for it under its name and address.
    pub(super) departed: bool,
}

impl Peer {
    /// Where it takes chunks.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.tcp)
    }

    /// How it is announced to those to whom it will bring chunks.
    pub(super) fn bringer(&self) -> Bringer {
        Bringer {
            ip: self.ip,
            udp: self.endpoint.port(),
            tcp: self.tcp,
        }
    }
}

/// A registration as it came.
#[derive(Debug, Clone)]
pub(super) struct Application {
    pub(super) name: Name,
    pub(super) role: Role,
    pub(super) ip: IpAddr,
    pub(super) udp: u16,
    pub(super) tcp: u16,
    pub(super) capacity: Capacity,
}

/// How a registration went.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Registration {
    /// It is registered, anew or again.
    Done(PeerNo),
    /// Somebody else has the name.
    NameInUse,
    /// There is no room for another peer.
    Full,
}

#[derive(Debug, Default, Clone, Copy)]
struct Room {
    used: u64,
    promised: u64,
}

/// All peers.
pub(super) struct Peers {
    most: usize,
    rows: BTreeMap<PeerNo, Peer>,
    room: BTreeMap<PeerNo, Room>,
    names: Names<SocketAddr>,
    by_endpoint: BTreeMap<SocketAddr, PeerNo>,
    /// Only of those that do not send from where they listen.
    by_origin: BTreeMap<SocketAddr, PeerNo>,
    departed: BTreeMap<(Name, IpAddr), PeerNo>,
    alive: Liveness<PeerNo>,
    next: u32,
}

impl Peers {
    pub(super) fn new(heartbeat: Duration, most: usize) -> Self {
        Self {
            most,
            rows: BTreeMap::new(),
            room: BTreeMap::new(),
            names: Names::default(),
            by_endpoint: BTreeMap::new(),
            by_origin: BTreeMap::new(),
            departed: BTreeMap::new(),
            alive: Liveness::of_heartbeats(heartbeat),
            next: 0,
        }
    }

    /// Takes in a peer that was kept; it counts as heard from now.
    pub(super) fn restore(&mut self, now: Duration, no: PeerNo, peer: Peer) {
        self.next = self.next.max(no.0 + 1);
        self.enter(now, no, peer);
    }

    /// Takes in a registration that came from `origin`.
    pub(super) fn register(&mut self, now: Duration, origin: SocketAddr, it: Application) -> Registration {
        let endpoint = SocketAddr::new(origin.ip(), it.udp);
        let no = match self.names.claim(it.name.as_str(), &endpoint) {
            Claim::Own | Claim::Renames(_) => self.by_endpoint.get(&endpoint).copied(),
            Claim::Taken(holder) => {
                let no = self.by_endpoint.get(&holder).copied();
                let has_failed = no.is_some_and(|no| !self.alive.is_alive(&no));
                if !has_failed || holder.ip() != origin.ip() {
                    return Registration::NameInUse;
                }
                no
            }
            Claim::New if self.is_full() => return Registration::Full,
            Claim::New => self.departed.get(&(it.name.clone(), it.ip)).copied(),
        };
        let no = no.unwrap_or_else(|| self.number());
        self.withdraw(no);
        let peer = Peer {
            name: it.name,
            role: it.role,
            ip: it.ip,
            endpoint,
            came_from: origin,
            tcp: it.tcp,
            capacity_bytes: it.capacity.bytes,
            departed: false,
        };
        self.enter(now, no, peer);
        Registration::Done(no)
    }

    /// The peer leaves; its files wait for it.
    pub(super) fn depart(&mut self, no: PeerNo) {
        self.withdraw(no);
        self.alive.forget(&no);
        if let Some(peer) = self.rows.get_mut(&no) {
            peer.departed = true;
            self.departed.insert((peer.name.clone(), peer.ip), no);
        }
    }

    /// The peer is forgotten altogether.
    pub(super) fn forget(&mut self, no: PeerNo) {
        self.withdraw(no);
        self.alive.forget(&no);
        self.room.remove(&no);
        self.rows.remove(&no);
    }

    fn number(&mut self) -> PeerNo {
        let no = PeerNo(self.next);
        self.next += 1;
        no
    }

    fn enter(&mut self, now: Duration, no: PeerNo, peer: Peer) {
        if peer.departed {
            self.departed.insert((peer.name.clone(), peer.ip), no);
        } else {
            self.names.assign(peer.name.as_str(), peer.endpoint);
            self.by_endpoint.insert(peer.endpoint, no);
            if peer.came_from != peer.endpoint {
                self.by_origin.insert(peer.came_from, no);
            }
            self.alive.heard(now, &no);
        }
        self.rows.insert(no, peer);
    }

    /// Takes the peer out of all indexes.
    fn withdraw(&mut self, no: PeerNo) {
        let Some(peer) = self.rows.get(&no) else { return };
        if peer.departed {
            self.departed.remove(&(peer.name.clone(), peer.ip));
            return;
        }
        self.names.remove(peer.name.as_str());
        self.by_endpoint.remove(&peer.endpoint);
        if self.by_origin.get(&peer.came_from) == Some(&no) {
            self.by_origin.remove(&peer.came_from);
        }
    }

    /// How many are registered.
    pub(super) fn registered(&self) -> usize {
        self.by_endpoint.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.registered() >= self.most
    }

    /// Who sends from `origin`.
    pub(super) fn at(&self, origin: SocketAddr) -> Option<PeerNo> {
        let by_endpoint = self.by_endpoint.get(&origin);
        by_endpoint.or_else(|| self.by_origin.get(&origin)).copied()
    }

    /// The peer of that name, if it sends from `origin`.
    pub(super) fn named(&self, name: &Name, origin: SocketAddr) -> Option<PeerNo> {
        let endpoint = self.names.endpoint(name.as_str())?;
        let no = *self.by_endpoint.get(endpoint)?;
        let peer = self.rows.get(&no)?;
        (peer.endpoint == origin || peer.came_from == origin).then_some(no)
    }

    pub(super) fn get(&self, no: PeerNo) -> Option<&Peer> {
        self.rows.get(&no)
    }

    /// The peer, if it is registered and was heard from lately.
    pub(super) fn live(&self, no: PeerNo) -> Option<&Peer> {
        self.rows.get(&no).filter(|_| self.alive.is_alive(&no))
    }

    /// It was heard from. Returns whether it had failed before.
    pub(super) fn heard(&mut self, now: Duration, no: PeerNo) -> bool {
        self.alive.heard(now, &no)
    }

    /// Those that have failed since the last time.
    pub(super) fn failed(&mut self, now: Duration) -> Vec<PeerNo> {
        self.alive.silent(now)
    }

    pub(super) fn next_wakeup(&self) -> Option<Duration> {
        self.alive.next_wakeup()
    }

    /// Some that have failed, the first numbers first.
    pub(super) fn all_failed(&self) -> impl Iterator<Item = PeerNo> {
        let registered = self.by_endpoint.values().copied();
        registered.filter(|no| !self.alive.is_alive(no))
    }

    /// The live storage peers and their room.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate<PeerNo>> {
        let stores = |(no, peer): &(&PeerNo, &Peer)| peer.role.stores() && self.alive.is_alive(no);
        self.rows.iter().filter(stores).map(|(no, peer)| {
            let Room { used, promised } = self.room.get(no).copied().unwrap_or_default();
            Candidate {
                who: *no,
                free_bytes: peer.capacity_bytes.saturating_sub(used.saturating_add(promised)),
            }
        })
    }

    /// Keeps room for a chunk that is to come.
    pub(super) fn promise(&mut self, no: PeerNo, bytes: u64) {
        self.room.entry(no).or_default().promised += bytes;
    }

    /// The chunk will not come, or has come.
    pub(super) fn release(&mut self, no: PeerNo, bytes: u64) {
        let room = self.room.entry(no).or_default();
        room.promised = room.promised.saturating_sub(bytes);
    }

    /// The peer holds so many more bytes.
    pub(super) fn fill(&mut self, no: PeerNo, bytes: u64) {
        self.room.entry(no).or_default().used += bytes;
    }

    /// The peer holds so many bytes less.
    pub(super) fn drain(&mut self, no: PeerNo, bytes: u64) {
        let room = self.room.entry(no).or_default();
        room.used = room.used.saturating_sub(bytes);
    }
}
