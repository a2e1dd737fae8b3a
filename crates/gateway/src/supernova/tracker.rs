//! The tracker of document 002: who is in the network, where they listen, and what they share.
//!
//! Pure: sessions (one for each connection), messages and the results of probes come in; replies
//! go out. A peer is shown to others while its connection is open and its port takes connections.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::codec::{BadMessage, FileName, Host, Message, Name};

/// How often each peer's port is tried: the document's heartbeat.
pub const PROBE_EVERY: Duration = Duration::from_secs(10);

/// The most peers that are remembered.
pub const MAX_PEERS: usize = 4096;
/// The most files in all lists together.
const MAX_FILES: usize = 32_768;

/// One connection to the tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Session(pub u64);

/// What is known of a peer, and kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// What it shares.
    pub files: Vec<FileName>,
    /// Where it takes connections.
    pub listening: Option<SocketAddr>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a message.
    Reply(Session, Message),
    /// Try to connect, and tell [`Tracker::probed`].
    Probe(Name, SocketAddr),
    /// What is kept has changed.
    Changed,
}

/// The tracker.
#[derive(Debug, Default)]
pub struct Tracker {
    /// LISTENING may name an address that is not the sender's.
    other_addresses: bool,
    peers: BTreeMap<Name, Peer>,
    sessions: BTreeMap<Session, Seat>,
    files: usize,
    next_probes: Duration,
}

#[derive(Debug, Default)]
struct Peer {
    record: Record,
    session: Option<Session>,
    /// Its port did not take the last connection.
    unreachable: bool,
    /// It has just said where it listens.
    untried: bool,
}

#[derive(Debug)]
struct Seat {
    from: IpAddr,
    name: Option<Name>,
}

impl Tracker {
    /// A tracker that knows these peers from before.
    #[must_use]
    pub fn new(known: impl IntoIterator<Item = (Name, Record)>, other_addresses: bool) -> Self {
        let mut tracker = Self {
            other_addresses,
            ..Self::default()
        };
        for (name, record) in known.into_iter().take(MAX_PEERS) {
            tracker.files += record.files.len();
            let peer = Peer {
                record,
                ..Peer::default()
            };
            tracker.peers.insert(name, peer);
        }
        tracker
    }

    /// What is kept of all peers.
    pub fn records(&self) -> impl Iterator<Item = (&Name, &Record)> {
        self.peers.iter().map(|(name, peer)| (name, &peer.record))
    }

    /// A connection was opened.
    pub fn connected(&mut self, session: Session, from: IpAddr) {
        self.sessions.insert(session, Seat { from, name: None });
    }

    /// A connection has ended: its peer is hidden.
    pub fn closed(&mut self, session: Session) {
        let seat = self.sessions.remove(&session);
        let name = seat.and_then(|seat| seat.name);
        if let Some(peer) = name.and_then(|name| self.peers.get_mut(&name)) {
            peer.session = None;
        }
    }

    /// A message came, or something that is none.
    pub fn handle(&mut self, session: Session, message: Result<Message, BadMessage>, out: &mut Vec<Effect>) {
        let Some(seat) = self.sessions.get(&session) else {
            return;
        };
        let (from, name) = (seat.from, seat.name.clone());
        let reply = match (message, name) {
            (Ok(Message::Hello(wish)), _) => self.hello(session, wish, out),
            (Ok(Message::IWant(wish)), _) => self.enter(session, wish, out),
            (Ok(Message::SendList), Some(_)) => Message::FullList(self.visible_files()),
            (Ok(Message::Where(name)), Some(_)) => self.whereabouts(&name),
            (Ok(Message::Listening { host, port }), Some(name)) => {
                self.listening(&name, from, SocketAddr::new(host.0, port), out)
            }
            (Ok(Message::List(files)), Some(name)) => self.list(&name, files, out),
            (Ok(_), None) => error("say HELLO first"),
            (Ok(_), Some(_)) => error("a tracker takes no such message"),
            (Err(bad), _) => Message::Error(bad.to_string()),
        };
        out.push(Effect::Reply(session, reply));
    }

    /// A peer's port took a connection, or did not. Returns whether it was the other way before.
    pub fn probed(&mut self, name: &Name, at: SocketAddr, answers: bool) -> bool {
        let peer = self.peers.get_mut(name);
        peer.filter(|peer| peer.record.listening == Some(at))
            .is_some_and(|peer| std::mem::replace(&mut peer.unreachable, !answers) == answers)
    }

    /// Time has passed: the ports of all connected peers are tried now and then, and those that are
    /// new at once.
    pub fn poll(&mut self, now: Duration, out: &mut Vec<Effect>) {
        let all = now >= self.next_probes;
        if all {
            self.next_probes = now + PROBE_EVERY;
        }
        let connected = self.peers.iter_mut().filter(|(_, peer)| peer.session.is_some());
        let due = connected.filter_map(|(name, peer)| {
            let is_new = std::mem::take(&mut peer.untried);
            let at = peer.record.listening.filter(|_| all || is_new)?;
            Some(Effect::Probe(name.clone(), at))
        });
        out.extend(due);
    }

    /// A known name that is not in use is welcome; whoever has none yet is offered one.
    fn hello(&mut self, session: Session, wish: Option<Name>, out: &mut Vec<Effect>) -> Message {
        match wish {
            Some(name) if self.peers.contains_key(&name) => self.enter(session, name, out),
            _ => self.suggest(),
        }
    }

    /// Gives a session a name, which nobody else has who is connected.
    fn enter(&mut self, session: Session, wish: Name, out: &mut Vec<Effect>) -> Message {
        let holder = self.peers.get(&wish).map(|peer| peer.session);
        match holder {
            Some(Some(holder)) if holder != session => return self.suggest(),
            None if !self.make_room() => return error("the network is full"),
            None => out.push(Effect::Changed),
            Some(_) => {}
        }
        self.leave_name(session);
        self.peers.entry(wish.clone()).or_default().session = Some(session);
        if let Some(seat) = self.sessions.get_mut(&session) {
            seat.name = Some(wish.clone());
        }
        Message::Welcome(wish)
    }

    /// The session's former name, if it had one, is free again.
    fn leave_name(&mut self, session: Session) {
        let former = self.sessions.get_mut(&session).and_then(|seat| seat.name.take());
        if let Some(peer) = former.and_then(|name| self.peers.get_mut(&name)) {
            peer.session = None;
        }
    }

    /// Forgets somebody who shares nothing and is not here, if there must be room for one more.
    fn make_room(&mut self) -> bool {
        if self.peers.len() < MAX_PEERS {
            return true;
        }
        let idle = |peer: &Peer| peer.session.is_none() && peer.record.files.is_empty();
        let name = self.peers.iter().find(|(_, peer)| idle(peer));
        let name = name.map(|(name, _)| name.clone());
        name.is_some_and(|name| self.peers.remove(&name).is_some())
    }

    /// The first `peer_N` that nobody has.
    fn suggest(&self) -> Message {
        let names = (1..=MAX_PEERS + 1).filter_map(|n| Name::parse(&format!("peer_{n}")).ok());
        let mut free = names.filter(|name| !self.peers.contains_key(name));
        free.next()
            .map_or_else(|| error("the network is full"), Message::Available)
    }

    fn listening(&mut self, name: &Name, from: IpAddr, at: SocketAddr, out: &mut Vec<Effect>) -> Message {
        if at.ip() != from && !self.other_addresses {
            return error("the address is not yours");
        }
        let Some(peer) = self.peers.get_mut(name) else {
            return error("say HELLO first");
        };
        if peer.record.listening != Some(at) {
            peer.record.listening = Some(at);
            out.push(Effect::Changed);
        }
        peer.unreachable = false;
        peer.untried = true;
        Message::Ok
    }

    fn list(&mut self, name: &Name, files: Vec<FileName>, out: &mut Vec<Effect>) -> Message {
        let Some(peer) = self.peers.get_mut(name) else {
            return error("say HELLO first");
        };
        let others = self.files - peer.record.files.len();
        if others + files.len() > MAX_FILES {
            return error("the network shares too many files");
        }
        self.files = others + files.len();
        if peer.record.files != files {
            peer.record.files = files;
            out.push(Effect::Changed);
        }
        Message::Ok
    }

    fn visible_files(&self) -> Vec<(Name, FileName)> {
        let visible = self.peers.iter().filter(|(_, peer)| peer.is_visible());
        let files = visible.flat_map(|(name, peer)| peer.record.files.iter().map(move |file| (name, file)));
        files.map(|(name, file)| (name.clone(), file.clone())).collect()
    }

    fn whereabouts(&self, name: &Name) -> Message {
        let peer = self.peers.get(name).filter(|peer| peer.is_visible());
        match peer.and_then(|peer| peer.record.listening) {
            Some(at) => Message::At {
                host: Host(at.ip()),
                port: at.port(),
            },
            None => error("there is no such peer now"),
        }
    }
}

impl Peer {
    fn is_visible(&self) -> bool {
        self.session.is_some() && !self.unreachable && self.record.listening.is_some()
    }
}

fn error(text: &str) -> Message {
    Message::Error(text.to_owned())
}

#[cfg(test)]
mod tests;
