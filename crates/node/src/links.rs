//! Connections to other peers: dialled, accepted, or asked for through the coordinator.
//!
//! Whoever is at the other end has shown a grant of this network before anything else happens, and
//! what it asks is answered on any of them. A peer that cannot be dialled is introduced by the
//! coordinator: it dials here instead.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use skep_net::{Inbox, Limits, Link, OpenError};
use skep_wire::{
    PeerId,
    message::{Done, Endpoint, Holder, Introduce, Lane, NewRevocations, Reason},
};
use skep_world::{Listener, Stream};
use thiserror::Error;
use tokio::{sync::Notify, task::JoinSet, time};

use crate::{core::Core, serve};

/// A peer that is as far as this, there and back, is reached over several connections: one alone is slow to
/// start there, and slow to recover from a loss.
const FAR: Duration = Duration::from_millis(10);
/// Bulk connections between two peers at most; more do not carry more.
const BULK_PER_PEER: usize = 6;
/// Connections to all peers at most.
const LINKS: usize = 2048;
/// How long an introduced peer has to dial.
const INTRODUCTION: Duration = Duration::from_secs(10);

/// All connections to other peers.
pub(crate) struct Links {
    peers: Mutex<BTreeMap<PeerId, Lines>>,
    /// Wakes those who wait for a connection, in the order in which they came.
    arrivals: Notify,
}

/// The connections to one peer.
#[derive(Default)]
struct Lines {
    talk: Vec<Link>,
    bulk: Vec<Link>,
}

/// Why there is no connection to a peer.
#[derive(Debug, Error)]
pub(crate) enum LinkError {
    /// It cannot be dialled, nor could the coordinator make it dial here.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// Who answered has no valid grant of this network.
    #[error("it is not a peer of this network ({0:?})")]
    NotAdmitted(Reason),
    /// It said no.
    #[error("it denied the connection: {0}")]
    Denied(String),
}

impl Links {
    pub(crate) fn new() -> Self {
        Self {
            peers: Mutex::new(BTreeMap::new()),
            arrivals: Notify::new(),
        }
    }

    /// A connection of that kind to `holder`: one that is there, or a new one.
    pub(crate) async fn to(&self, core: &Arc<Core>, holder: &Holder, lane: Lane) -> Result<Link, LinkError> {
        if let Some(link) = self.open_one(&holder.peer, lane) {
            return Ok(link);
        }
        let unreachable = match &holder.address {
            Some(address) => match dial(core, holder.peer, address, lane).await {
                Err(LinkError::Unreachable(why)) => why,
                outcome => return outcome,
            },
            None => "it does not take connections".to_owned(),
        };
        self.introduced(core, &holder.peer, lane)
            .await
            .ok_or(LinkError::Unreachable(unreachable))
    }

    /// Asks the coordinator to make `peer` dial here, and waits for it.
    async fn introduced(&self, core: &Arc<Core>, peer: &PeerId, lane: Lane) -> Option<Link> {
        core.session
            .ask::<_, Done>(&Introduce { peer: *peer })
            .await
            .ok()?;
        let arrived = async {
            loop {
                let arrival = self.arrivals.notified();
                if let Some(link) = self.open_one(peer, lane) {
                    return link;
                }
                arrival.await;
            }
        };
        time::timeout(INTRODUCTION, arrived).await.ok()
    }

    /// Opens as many bulk connections to `holder` as there may be, if it is far. Says whether there are several.
    pub(crate) async fn widen(&self, core: &Arc<Core>, holder: &Holder, round_trip: Duration) -> bool {
        let Some(address) = holder.address.as_ref().filter(|_| round_trip >= FAR) else {
            return false;
        };
        if self.bulk(&holder.peer) > 1 {
            return true;
        }
        let mut dials = JoinSet::new();
        for _ in 1..BULK_PER_PEER {
            let (core, peer, address) = (core.clone(), holder.peer, address.clone());
            dials.spawn(async move { dial(&core, peer, &address, Lane::Bulk).await.map(drop) });
        }
        // Those that fail are missed by nobody.
        dials.join_all().await;
        self.bulk(&holder.peer) > 1
    }

    /// The bulk connection to `peer` that has the least to do.
    pub(crate) fn next_bulk(&self, peer: &PeerId) -> Option<Link> {
        self.open_one(peer, Lane::Bulk)
    }

    /// How many bulk connections to `peer` are open.
    pub(crate) fn bulk(&self, peer: &PeerId) -> usize {
        let peers = self.peers();
        let open = |lines: &Lines| lines.bulk.iter().filter(|link| !link.is_closed()).count();
        peers.get(peer).map_or(0, open)
    }

    /// The coordinator says that `peer` wants a connection and cannot make it.
    pub(crate) async fn dial_for(&self, core: &Arc<Core>, peer: PeerId, address: &Endpoint) {
        for lane in [Lane::Talk, Lane::Bulk] {
            if self.open_one(&peer, lane).is_none()
                && let Err(error) = dial(core, peer, address, lane).await
            {
                tracing::debug!("dialling {} for {peer:?} failed: {error}", address.host);
                return;
            }
        }
    }

    /// Closes the connections of peers whose grants hold no more.
    pub(crate) fn close_revoked(&self, core: &Core) {
        for lines in self.peers().values() {
            for link in lines.talk.iter().chain(&lines.bulk) {
                if let Err(reason) = core.trust.admit(core.unix_s(), link.peer(), link.hello()) {
                    link.refuse(reason, "the grant holds no more");
                }
            }
        }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        let open = |lines: &Lines| {
            let all = lines.talk.iter().chain(&lines.bulk);
            all.filter(|link| !link.is_closed()).count()
        };
        self.peers().values().map(open).sum()
    }

    pub(crate) fn close_all(&self) {
        for lines in self.peers().values() {
            lines.talk.iter().chain(&lines.bulk).for_each(Link::close);
        }
    }

    /// Of those that are open, the one with the fewest answers outstanding: a connection that has lost packets
    /// is slow for a while, and the others need not wait for it. Equals take turns.
    fn open_one(&self, peer: &PeerId, lane: Lane) -> Option<Link> {
        let mut peers = self.peers();
        let all = peers.get_mut(peer)?.of(lane);
        all.retain(|link| !link.is_closed());
        let least = (0..all.len()).min_by_key(|&at| all[at].waiting())?;
        let link = all.remove(least);
        all.push(link.clone());
        Some(link)
    }

    /// Keeps a connection, if there is room for it.
    fn keep(&self, link: &Link, lane: Lane) -> bool {
        let mut peers = self.peers();
        peers.retain(|_, lines| lines.sweep());
        let total: usize = peers
            .values()
            .map(|lines| lines.talk.len() + lines.bulk.len())
            .sum();
        let lines = peers.entry(link.peer()).or_default();
        let all = lines.of(lane);
        if total >= LINKS || all.len() >= BULK_PER_PEER {
            return false;
        }
        all.push(link.clone());
        drop(peers);
        self.arrivals.notify_waiters();
        true
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<PeerId, Lines>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    fn of(&mut self, lane: Lane) -> &mut Vec<Link> {
        if lane == Lane::Bulk {
            &mut self.bulk
        } else {
            &mut self.talk
        }
    }

    /// Drops closed connections; says whether any is left.
    fn sweep(&mut self) -> bool {
        self.talk.retain(|link| !link.is_closed());
        self.bulk.retain(|link| !link.is_closed());
        !(self.talk.is_empty() && self.bulk.is_empty())
    }
}

/// Takes connections until the peer stops.
pub(crate) async fn accept(core: Arc<Core>, listener: Box<dyn Listener>) {
    loop {
        match listener.accept().await {
            Ok(stream) => {
                let core = core.clone();
                core.clone().spawn(async move {
                    if let Err(error) = welcome(&core, stream).await {
                        tracing::debug!("a connection was not taken: {error}");
                    }
                });
            }
            Err(error) => return tracing::error!("no more connections are taken: {error}"),
        }
    }
}

async fn dial(core: &Arc<Core>, peer: PeerId, at: &Endpoint, lane: Lane) -> Result<Link, LinkError> {
    let unreachable =
        |e: &dyn std::fmt::Display| LinkError::Unreachable(format!("{}:{}: {e}", at.host, at.port));
    let dialled = core.world.network.dial(&core.home.key, at, Some(peer)).await;
    let stream = dialled.map_err(|e| unreachable(&e))?;
    let opened = Link::open(stream, core.hello(lane), Limits::of(lane)).await;
    let (link, inbox) = opened.map_err(|e| match e {
        OpenError::Refused { text, .. } => LinkError::Denied(text),
        e => unreachable(&e),
    })?;
    admit(core, link, inbox, lane)
}

/// The one who dialled said in its hello what the connection is for.
async fn welcome(core: &Arc<Core>, stream: Stream) -> Result<(), LinkError> {
    let opened = Link::open(stream, core.hello(Lane::Talk), Limits::of(Lane::Bulk)).await;
    let (link, inbox) = opened.map_err(|e| LinkError::Unreachable(e.to_string()))?;
    if core
        .trust
        .is_coordinator(core.unix_s(), link.peer(), link.hello())
    {
        link.close();
        return Ok(());
    }
    let lane = link.hello().lane;
    admit(core, link, inbox, lane).map(drop)
}

/// Checks the other side's grant, keeps the connection, and answers what comes in on it.
fn admit(core: &Arc<Core>, link: Link, inbox: Inbox, lane: Lane) -> Result<Link, LinkError> {
    if let Err(reason) = core.trust.admit(core.unix_s(), link.peer(), link.hello()) {
        link.refuse(reason, "a valid grant of this network is needed");
        return Err(LinkError::NotAdmitted(reason));
    }
    if !core.links.keep(&link, lane) {
        link.refuse(Reason::Busy, "too many connections");
        return Err(LinkError::Denied("too many connections".to_owned()));
    }
    let knows = link.hello().revocations;
    if knows < core.trust.revocations_number()
        && let Some(list) = core.trust.revocations()
    {
        let link = link.clone();
        core.spawn(async move { drop(link.tell(&NewRevocations { list }).await) });
    }
    core.spawn(serve::serve(core.clone(), link.clone(), inbox));
    Ok(link)
}
