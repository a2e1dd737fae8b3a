//! What all parts of a running peer share.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_wire::{
    PeerId, PeerName, Signed,
    message::{Endpoint, Hello, Lane},
    record::{Grant, Revocations, Role},
};
use skep_world::World;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    backup::Backups,
    buffers::Buffers,
    catalog::{Catalog, Entry, Membership},
    config::Config,
    fetch::Downloads,
    hold::Hold,
    home::Home,
    limit::RateLimit,
    links::Links,
    outgoing::Outgoing,
    schedule::Schedules,
    session::Session,
    shelf::Shelf,
    trust::Trust,
    uplink::Uplink,
};

/// One running peer, seen from inside.
pub(crate) struct Core {
    pub(crate) world: World,
    pub(crate) config: Config,
    pub(crate) home: Home,
    pub(crate) store: Arc<skep_store::Home>,
    pub(crate) catalog: Catalog,
    pub(crate) hold: Hold,
    pub(crate) trust: Trust,
    pub(crate) grant: Grant,
    pub(crate) signed_grant: Signed<Grant>,
    pub(crate) listen: SocketAddr,
    pub(crate) capacity_bytes: u64,
    pub(crate) session: Session,
    pub(crate) links: Links,
    pub(crate) shelf: Shelf,
    pub(crate) downloads: Downloads,
    pub(crate) up: Arc<RateLimit>,
    pub(crate) down: RateLimit,
    pub(crate) buffers: Buffers,
    /// Who is served next.
    pub(crate) uplink: Arc<Uplink>,
    pub(crate) backups: Backups,
    pub(crate) schedules: Schedules,
    /// What holders may read before they have it.
    pub(crate) outgoing: Outgoing,
    pub(crate) served_bytes: AtomicU64,
    pub(crate) received_bytes: AtomicU64,
    /// Everything that runs in the background belongs to this and ends with `cancel`.
    pub(crate) tasks: TaskTracker,
    pub(crate) cancel: CancellationToken,
    pub(crate) started: Duration,
}

impl Core {
    pub(crate) fn id(&self) -> PeerId {
        self.home.key.peer_id()
    }

    pub(crate) fn name(&self) -> &PeerName {
        &self.grant.name
    }

    pub(crate) fn role(&self) -> Role {
        self.grant.role
    }

    pub(crate) fn unix_s(&self) -> u64 {
        self.world.clock.now().unix_s
    }

    pub(crate) fn mono(&self) -> Duration {
        self.world.clock.now().mono
    }

    /// Where the network's coordinators are, as far as this peer knows.
    pub(crate) fn coordinators(&self) -> Vec<Endpoint> {
        self.membership().coordinators
    }

    pub(crate) fn membership(&self) -> Membership {
        self.catalog
            .state()
            .membership
            .clone()
            .expect("a running peer has a membership")
    }

    /// What this peer says first on a connection.
    pub(crate) fn hello(&self, lane: Lane) -> Hello {
        Hello {
            features: 0,
            agent: self.config.agent.clone(),
            lane,
            grant: Some(self.signed_grant.clone()),
            certificate: None,
            revocations: self.trust.revocations_number(),
        }
    }

    /// Takes a newer list of revocations: believed at once, kept, and applied to open links.
    pub(crate) async fn learn_revocations(&self, list: Signed<Revocations>) {
        if !self.trust.learn(&list) {
            return;
        }
        if let Err(error) = self.catalog.commit(vec![Entry::Revocations(list)]).await {
            tracing::warn!("revocations are believed but could not be kept: {error}");
        }
        self.links.close_revoked(self);
    }

    pub(crate) fn count_served(&self, bytes: u64) {
        self.served_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// `bytes` came from `peer` and were what they should be: it is served the better for it.
    pub(crate) fn count_received(&self, peer: PeerId, bytes: u64) {
        self.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.uplink.received(peer, bytes);
    }

    /// Runs `job` in the background until it ends or the peer stops.
    pub(crate) fn spawn(&self, job: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = job => {}
            }
        });
    }
}
