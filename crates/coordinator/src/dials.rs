//! Dial-backs: can others reach a peer where it says it listens?
//!
//! Each is one handshake that proves the peer's key, and nothing more is sent. The index asks for
//! one per attending peer, at the address it comes from or advertises.

use std::sync::Arc;

use skep_engine::index::{Event, SessionId};
use skep_wire::{PeerId, SigningKey, message::Endpoint};
use skep_world::World;
use tokio::{sync::Semaphore, task::JoinSet};

/// Dial-backs at the same time.
const AT_ONCE: usize = 32;
/// Dial-backs that run or wait; what goes beyond counts as not reached.
const WAITING: usize = 4096;

/// The dial-backs under way.
pub(crate) struct Dials {
    world: World,
    key: Arc<SigningKey>,
    places: Arc<Semaphore>,
    running: JoinSet<Event>,
}

impl Dials {
    /// None yet.
    pub(crate) fn new(world: World, key: Arc<SigningKey>) -> Self {
        Self {
            world,
            key,
            places: Arc::new(Semaphore::new(AT_ONCE)),
            running: JoinSet::new(),
        }
    }

    /// Dials `peer` once at `address`.
    pub(crate) fn start(&mut self, session: SessionId, peer: PeerId, address: Endpoint) {
        let (world, key, places) = (self.world.clone(), self.key.clone(), self.places.clone());
        let has_room = self.running.len() < WAITING;
        self.running.spawn(async move {
            let reached = has_room && {
                let _place = places.acquire().await;
                world.network.dial(&key, &address, Some(peer)).await.is_ok()
            };
            Event::DialedBack { session, reached }
        });
    }

    /// The next one that is done; never resolves while there is none under way.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            match self.running.join_next().await {
                Some(Ok(event)) => return event,
                Some(Err(error)) => tracing::error!(%error, "a dial-back ended early"),
                None => std::future::pending().await,
            }
        }
    }
}
