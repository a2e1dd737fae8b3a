//! The index of document 004: which peer provides which content, at which port.
//!
//! Pure: datagrams and the time come in, answers and connections to try go out. The document's
//! queue, from whose front a provider is taken and at whose back it is put again, is
//! [`skep_engine::directory::Providers`]; its set of names is the keys of that.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
    time::Duration,
};

use rand::{SeedableRng, rngs::SmallRng};
use skep_engine::directory::{Pick, Providers};

use super::codec::{Answer, Name, Pdu, Request, pdu};

/// How often each provider's port is tried.
pub const PROBE_EVERY: Duration = Duration::from_secs(15);

/// The most listings, of all peers together.
const MAX_LISTINGS: usize = 16_384;

/// A content at a peer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The content.
    pub content: Name,
    /// The peer.
    pub peer: Name,
}

/// Where a peer provides a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What, and who.
    pub key: Key,
    /// Its host and the content's TCP port.
    pub at: SocketAddrV4,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send answers to the sender of the datagram that is being handled, or of an earlier one.
    Answer {
        /// Where to.
        to: SocketAddrV4,
        /// What, in order.
        answers: Vec<Answer>,
    },
    /// Try to connect, and tell [`Index::probed`].
    Probe(Listing),
    /// A provider is listed from now on.
    Listed(Listing),
    /// A provider is not listed any more.
    Dropped(Key),
}

/// The index.
#[derive(Debug)]
pub struct Index {
    providers: Providers<Name, Name>,
    at: BTreeMap<Key, SocketAddrV4>,
    /// How many listings each peer has, and its host.
    peers: BTreeMap<Name, Peer>,
    /// Registrations that wait until it is known whether the former provider is gone.
    contested: BTreeMap<Key, Contest>,
    /// Where the round of probes is, and when it goes on.
    probed_up_to: Option<Key>,
    next_round: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Peer {
    host: Ipv4Addr,
    listings: usize,
}

#[derive(Debug, Clone, Copy)]
struct Contest {
    from: SocketAddrV4,
    port: u16,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            providers: Providers::default(),
            at: BTreeMap::new(),
            peers: BTreeMap::new(),
            contested: BTreeMap::new(),
            probed_up_to: None,
            next_round: PROBE_EVERY,
        }
    }
}

impl Index {
    /// Lists what was listed before a restart.
    pub fn restore(&mut self, listings: impl IntoIterator<Item = Listing>) {
        for listing in listings.into_iter().take(MAX_LISTINGS) {
            self.list(&listing);
        }
    }

    /// Whether a registered peer has this host.
    #[must_use]
    pub fn knows(&self, host: Ipv4Addr) -> bool {
        self.peers.values().any(|peer| peer.host == host)
    }

    /// A datagram came. Names are listed only for the registered and the trusted.
    pub fn handle(&mut self, from: SocketAddrV4, datagram: &[u8], is_trusted: bool, out: &mut Vec<Effect>) {
        let answers = match Request::decode(&pdu(datagram)) {
            Ok(Request::Register { peer, content, port }) => {
                match self.register(from, Key { content, peer }, port, out) {
                    Some(answer) => vec![answer],
                    None => return,
                }
            }
            Ok(Request::Search { peer: _, content }) => vec![self.search(&content)],
            Ok(Request::List) if is_trusted || self.knows(*from.ip()) => self.names(),
            Ok(Request::List) => vec![error("only registered peers may see the list")],
            Ok(Request::Deregister { peer, content }) => {
                vec![self.deregister(from, &Key { content, peer }, out)]
            }
            Ok(Request::Download { .. }) => vec![error("the index has no contents")],
            Err(bad) => vec![Answer::Error(bad.to_string())],
        };
        out.push(Effect::Answer { to: from, answers });
    }

    /// A provider took a connection, or did not.
    pub fn probed(&mut self, probe: &Listing, is_there: bool, out: &mut Vec<Effect>) {
        if !is_there && self.at.get(&probe.key) == Some(&probe.at) {
            self.unlist(&probe.key, out);
        }
        let Some(Contest { from, port }) = self.contested.remove(&probe.key) else {
            return;
        };
        let is_free = !self.at.contains_key(&probe.key);
        let answer = is_free.then(|| self.register(from, probe.key.clone(), port, out));
        let answer = answer.flatten().unwrap_or_else(|| already_provides(&probe.key));
        let answers = vec![answer];
        out.push(Effect::Answer { to: from, answers });
    }

    /// Time has passed: at most `most` providers are to be tried. Each has its turn in a round.
    pub fn poll(&mut self, now: Duration, most: usize, out: &mut Vec<Effect>) {
        if now < self.next_round {
            return;
        }
        let listing = |(key, at): (&Key, &SocketAddrV4)| Listing {
            key: key.clone(),
            at: *at,
        };
        let due: Vec<Listing> = match self.probed_up_to.take() {
            Some(last) => self.at.range(last..).skip(1).take(most).map(listing).collect(),
            None => self.at.iter().take(most).map(listing).collect(),
        };
        if due.len() == most {
            self.probed_up_to = due.last().map(|listing| listing.key.clone());
        } else {
            self.next_round = now + PROBE_EVERY;
        }
        out.extend(due.into_iter().map(Effect::Probe));
    }

    /// The answer; none: it comes when the former provider has been tried.
    fn register(&mut self, from: SocketAddrV4, key: Key, port: u16, out: &mut Vec<Effect>) -> Option<Answer> {
        let host = *from.ip();
        if self.peers.get(&key.peer).is_some_and(|peer| peer.host != host) {
            return Some(error(&format!("the name {} is in use by another host", key.peer)));
        }
        if let Some(at) = self.at.get(&key).copied() {
            if at.port() == port {
                return Some(already_provides(&key));
            }
            let contest = Contest { from, port };
            if self.contested.insert(key.clone(), contest).is_none() {
                out.push(Effect::Probe(Listing { key, at }));
            }
            return None;
        }
        if self.at.len() >= MAX_LISTINGS {
            return Some(error("the index is full"));
        }
        let done = format!("{} provides {}", key.peer, key.content);
        let at = SocketAddrV4::new(host, port);
        let listing = Listing { key, at };
        self.list(&listing);
        out.push(Effect::Listed(listing));
        Some(Answer::Done(done))
    }

    fn search(&mut self, content: &Name) -> Answer {
        // Turns need no luck.
        let mut rng = SmallRng::seed_from_u64(0);
        let peer = self.providers.pick(content, Pick::RoundRobin, &mut rng, |_| true);
        let at = peer.and_then(|peer| {
            let content = content.clone();
            self.at.get(&Key { content, peer })
        });
        match at {
            Some(at) => Answer::Provider {
                host: *at.ip(),
                port: at.port(),
            },
            None => error(&format!("nobody provides {content}")),
        }
    }

    fn names(&self) -> Vec<Answer> {
        let names = self.providers.contents();
        let count = Answer::Listed(names.len().to_string());
        let name = |name: &Name| Answer::Listed(name.as_str().to_owned());
        std::iter::once(count).chain(names.map(name)).collect()
    }

    fn deregister(&mut self, from: SocketAddrV4, key: &Key, out: &mut Vec<Effect>) -> Answer {
        match self.at.get(key) {
            Some(at) if at.ip() == from.ip() => {
                self.unlist(key, out);
                Answer::Done(format!("{} no longer provides {}", key.peer, key.content))
            }
            Some(_) => error(&format!("the name {} is in use by another host", key.peer)),
            None => error(&format!("{} does not provide {}", key.peer, key.content)),
        }
    }

    fn list(&mut self, listing: &Listing) {
        let Listing { key, at } = listing;
        let host = *at.ip();
        if self.at.insert(key.clone(), *at).is_none() {
            let peer = self.peers.entry(key.peer.clone());
            peer.or_insert(Peer { host, listings: 0 }).listings += 1;
        }
        self.providers.list_last(&key.content, &key.peer);
    }

    fn unlist(&mut self, key: &Key, out: &mut Vec<Effect>) {
        self.at.remove(key);
        self.providers.unlist(&key.content, &key.peer);
        if let Some(peer) = self.peers.get_mut(&key.peer) {
            peer.listings -= 1;
            if peer.listings == 0 {
                self.peers.remove(&key.peer);
            }
        }
        out.push(Effect::Dropped(key.clone()));
    }
}

/// The bytes of answers, one PDU each.
pub fn encode(answers: &[Answer]) -> impl Iterator<Item = Pdu> {
    answers.iter().map(Answer::encode)
}

fn error(text: &str) -> Answer {
    Answer::Error(text.to_owned())
}

fn already_provides(key: &Key) -> Answer {
    error(&format!("{} already provides {}", key.peer, key.content))
}

#[cfg(test)]
mod tests;
