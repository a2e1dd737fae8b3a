//! Dial-backs: can others reach a peer where it says it listens?
//!
//! Each is one handshake that proves the peer's key, and nothing more is sent. The index asks for
//! one per attending peer, at the address it comes from or advertises. There is one at a time for
//! each peer, so that no peer can make all others wait.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use skep_engine::index::{Event, SessionId};
use skep_wire::{PeerId, SigningKey, message::Endpoint};
use skep_world::World;
use tokio::{sync::Semaphore, task::JoinSet};

/// Dial-backs at the same time.
const AT_ONCE: usize = 32;
/// Dial-backs that run or wait; what goes beyond is never tried.
const WAITING: usize = 4096;

/// The dial-backs under way.
pub(crate) struct Dials {
    world: World,
    key: Arc<SigningKey>,
    places: Arc<Semaphore>,
    running: JoinSet<(PeerId, Event)>,
    /// Who is being dialled, and what was asked about the same peer meanwhile: the newest counts.
    peers: BTreeMap<PeerId, Option<(SessionId, Endpoint)>>,
}

impl Dials {
    /// None yet.
    pub(crate) fn new(world: World, key: Arc<SigningKey>) -> Self {
        Self {
            world,
            key,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            running: JoinSet::new(),
            peers: BTreeMap::new(),
        }
    }

    /// Dials `peer` once at `address`, after the dial to the same peer that is under way.
    pub(crate) fn start(&mut self, session: SessionId, peer: PeerId, address: Endpoint) {
        let has_room = self.peers.len() < WAITING;
        match self.peers.entry(peer) {
            Entry::Occupied(mut entry) => {
                entry.insert(Some((session, address)));
            }
            Entry::Vacant(entry) if has_room => {
                entry.insert(None);
                self.dial(session, peer, address);
            }
            Entry::Vacant(_) => {}
        }
    }

    /// The next one that is done; never resolves while there is none under way.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            match self.running.join_next().await {
                Some(Ok((peer, event))) => {
                    self.ended(peer);
                    return event;
                }
                Some(Err(error)) => tracing::error!(%error, "a dial-back ended early"),
                None => std::future::pending().await,
            }
        }
    }

    fn ended(&mut self, peer: PeerId) {
        if let Some(Some((session, address))) = self.peers.insert(peer, None) {
            self.dial(session, peer, address);
        } else {
            self.peers.remove(&peer);
        }
    }

    fn dial(&mut self, session: SessionId, peer: PeerId, address: Endpoint) {
        let (world, key, places) = (self.world.clone(), self.key.clone(), self.places.clone());
        self.running.spawn(async move {
            let _place = places.acquire().await;
            let reached = world.network.dial(&key, &address, Some(peer)).await.is_ok();
            (peer, Event::DialedBack { session, reached })
        });
    }
}
