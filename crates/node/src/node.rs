//! A running peer: started, asked, stopped.

use std::{
    collections::{BTreeMap, btree_map},
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use skep_ledger::Redb;
use skep_wire::{
    BlobId, ShareName, Signed,
    message::{Query, Reason},
    record::{Audience, Grant},
};
use skep_world::{Listener, World};
use thiserror::Error;
use tokio::time;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    api::types::{
        GetRequest, LimitRequest, Limits, PeerLine, Ready, ShareDone, ShareLine, ShareRequest, Skipped,
        Status, TransferLine,
    },
    backup::Backups,
    buffers::Buffers,
    catalog::{Catalog, CatalogError, Entry, Membership},
    config::Config,
    core::Core,
    fetch::{self, Downloads, GetError, Getting, Stream, Watcher},
    hold::{self, Hold},
    holdings,
    home::{Home, HomeError, name},
    join::{self, JoinError, Newcomer},
    limit::RateLimit,
    links::{self, Links},
    listing,
    outgoing::Outgoing,
    publish::{self, ShareError, ToShare},
    restore,
    scanning::Scanning,
    schedule::{self, Schedules},
    session::{self, Session, SessionError},
    shelf::Shelf,
    trust::Trust,
    uplink::Uplink,
    watch as folders,
};

/// Memory for the catalog's pages.
const CATALOG_CACHE_BYTES: usize = 4 << 20;
/// How long a peer waits at its start for the coordinator before it says that it is ready anyway.
const WELCOME_PATIENCE: Duration = Duration::from_secs(5);
/// How long stopping may take.
const STOP_PATIENCE: Duration = Duration::from_secs(4);

/// Why a peer did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The home cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The catalog in it cannot be used.
    #[error(transparent)]
    Ledger(#[from] skep_ledger::OpenError),
    /// The catalog in it cannot be read or written.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store in it cannot be used.
    #[error("the store in the home {path} cannot be used: {source}")]
    Store {
        /// The home.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No network, and no ticket for one.
    #[error("the home {0} belongs to no network yet")]
    NoNetwork(PathBuf),
    /// The ticket did not work.
    #[error("the network was not joined: {0}")]
    Join(#[from] JoinError),
    /// The address is taken, or not this machine's.
    #[error("it cannot listen on {at}: {source}")]
    Listen {
        /// Where.
        at: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The coordinator does not take this peer (any more).
    #[error("the coordinator denied it: {text}")]
    Denied {
        /// For programs.
        reason: Reason,
        /// For people.
        text: String,
    },
}

/// A running peer.
#[derive(Clone)]
pub struct Node {
    pub(crate) core: Arc<Core>,
}

impl Node {
    /// Opens the home, joins if told, listens, and waits a moment for the coordinator's welcome.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start(world: World, config: Config) -> Result<Self, StartError> {
        let opened = {
            let (world, config) = (world.clone(), config.clone());
            world
                .clone()
                .work
                .call(move || open_home(&world, &config))
                .await?
        };
        let (membership, grant) = membership(&world, &config, &opened).await?;
        let (listener, listen) = listen(&world, &config, &opened.home, membership.listen_port).await?;
        let core = assemble(world, config, opened, grant, &membership, listen).await?;
        tracing::info!("{} listens on {listen}", core.name());
        let unsure = {
            let core = core.clone();
            core.world
                .clone()
                .work
                .call(move || restore::restore(&core))
                .await
        };
        core.tasks.spawn(session::run(core.clone(), core.cancel.clone()));
        core.spawn(links::accept(core.clone(), listener));
        core.spawn(folders::run(core.clone()));
        core.spawn(hold::run(core.clone()));
        core.spawn(schedule::run(core.clone()));
        core.spawn(hold::scrub(core.clone()));
        core.spawn(restore::reread(core.clone(), unsure));
        fetch::restore(&core);
        let node = Self { core };
        node.welcomed().await?;
        Ok(node)
    }

    /// A peer that was denied does not go on as if nothing had happened; one that is alone does.
    async fn welcomed(&self) -> Result<(), StartError> {
        let settled = self
            .core
            .session
            .wait_until(|view| view.connected || view.denied.is_some());
        let Ok(view) = time::timeout(WELCOME_PATIENCE, settled).await else {
            return Ok(());
        };
        if let (false, Some((reason, text))) = (view.connected, view.denied) {
            self.stop().await;
            return Err(StartError::Denied { reason, text });
        }
        Ok(())
    }

    /// What a caller has to know first.
    #[must_use]
    pub fn ready(&self) -> Ready {
        let core = &self.core;
        Ready {
            listen: core.listen.to_string(),
            name: core.name().to_string(),
            id: core.id().to_string(),
            network: core.trust.network().to_string(),
            api: None,
            returning: core.session.view().returning.unwrap_or(true),
        }
    }

    /// Publishes a file or folder in place.
    ///
    /// # Errors
    /// [`ShareError`].
    pub async fn share(
        &self,
        request: ShareRequest,
        scanning: Arc<Scanning>,
    ) -> Result<ShareDone, ShareError> {
        let wanted = ToShare {
            path: request.path,
            name: request.name,
            to: request.to,
            watched: None,
        };
        let shared = publish::share(&self.core, wanted, scanning).await?;
        let skipped = |skipped: skep_store::Skipped| Skipped {
            path: skipped.path.to_string_lossy().into_owned(),
            reason: skipped.reason.to_string(),
        };
        Ok(ShareDone {
            name: shared.record.name.to_string(),
            id: shared.record.content.id.to_string(),
            bytes: shared.record.bytes,
            files: shared.files,
            link: shared.link.to_string(),
            skipped: shared.skipped.into_iter().map(skipped).collect(),
        })
    }

    /// Takes a name back.
    ///
    /// # Errors
    /// [`ShareError`].
    pub async fn unshare(&self, name: &str) -> Result<(), ShareError> {
        publish::unshare(&self.core, name).await
    }

    /// Begins a download, or goes on with one that was begun. It does not depend on being waited for.
    ///
    /// # Errors
    /// [`GetError`] when it cannot be begun.
    pub async fn get(&self, request: &GetRequest) -> Result<Getting, GetError> {
        fetch::begin(&self.core, request).await
    }

    /// A file of the network, to be read in order from anywhere, here already or not.
    ///
    /// # Errors
    /// [`GetError`] when there is no such file.
    pub async fn open(&self, what: &str) -> Result<Stream, GetError> {
        fetch::stream::open(&self.core, what).await
    }

    /// Lets downloads stand still, by number, name, id or path; none: all. They stay paused over
    /// restarts.
    ///
    /// # Errors
    /// [`GetError`] when there is no such download.
    pub async fn pause(&self, download: Option<&str>) -> Result<Vec<TransferLine>, GetError> {
        fetch::pause(&self.core, download).await
    }

    /// Lets a download stand still if nobody waits for it any more, and nobody has said otherwise.
    pub async fn unwatched(&self, watcher: Watcher) {
        fetch::unwatched(&self.core, watcher).await;
    }

    /// Lets downloads go on.
    ///
    /// # Errors
    /// [`GetError`] when there is no such download.
    pub async fn resume(&self, download: Option<&str>) -> Result<Vec<TransferLine>, GetError> {
        fetch::resume(&self.core, download).await
    }

    /// Ends downloads and removes what has come of them.
    ///
    /// # Errors
    /// [`GetError`] when there is no such download.
    pub async fn cancel(&self, download: Option<&str>) -> Result<Vec<TransferLine>, GetError> {
        fetch::cancel(&self.core, download).await
    }

    /// Changes how fast transfers may be, also those under way. Returns the peer's limits.
    ///
    /// # Errors
    /// [`GetError::NoSuchDownload`] when nothing has that name.
    pub async fn limit(&self, request: &LimitRequest) -> Result<Limits, GetError> {
        let core = &self.core;
        let rate = |rate: u64| Some(rate).filter(|&rate| rate > 0);
        match &request.name {
            None => {
                request.up.into_iter().for_each(|up| core.up.set(rate(up)));
                request
                    .down
                    .into_iter()
                    .for_each(|down| core.down.set(rate(down)));
            }
            Some(name) => {
                let up = request
                    .up
                    .is_none_or(|up| holdings::set_up_rate(core, name, rate(up)));
                let down = match request.down {
                    Some(down) => fetch::set_down_rate(core, name, rate(down)).await?,
                    None => true,
                };
                if !(up && down) {
                    return Err(GetError::NoSuchDownload(name.clone()));
                }
            }
        }
        Ok(self.limits())
    }

    /// How fast all transfers together may be.
    #[must_use]
    pub fn limits(&self) -> Limits {
        Limits {
            up: self.core.up.rate(),
            down: self.core.down.rate(),
        }
    }

    /// The shares of the network, those with all of `words` in their names: distinct contents, each
    /// once, whoever publishes it.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn shares(&self, words: Vec<String>) -> Result<Vec<ShareLine>, SessionError> {
        let query = if words.is_empty() {
            Query::All
        } else {
            Query::Words(words)
        };
        let found = listing::find(&self.core, query).await?;
        let state = self.core.catalog.state();
        let mut lines: BTreeMap<(ShareName, BlobId), ShareLine> = BTreeMap::new();
        for (record, listed) in found {
            let id = record.content.id;
            let open = record.audience == Audience::Everyone;
            match lines.entry((record.name.clone(), id)) {
                btree_map::Entry::Occupied(mut line) => {
                    let line = line.get_mut();
                    line.publisher += &format!(", {}", listed.publisher);
                    line.open |= open;
                }
                btree_map::Entry::Vacant(line) => {
                    line.insert(ShareLine {
                        name: record.name.to_string(),
                        id: id.to_string(),
                        bytes: record.bytes,
                        kind: record.content.kind,
                        publisher: listed.publisher.to_string(),
                        holders: listed.holders,
                        open,
                        path: state.held.get(&id).map(|held| held.path.clone()),
                    });
                }
            }
        }
        Ok(lines.into_values().collect())
    }

    /// What lies on this machine and is offered to others.
    #[must_use]
    pub fn local_shares(&self) -> Vec<ShareLine> {
        holdings::local(&self.core)
    }

    /// The peers of the network.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn peers(&self) -> Result<Vec<PeerLine>, SessionError> {
        let rows = listing::peers(&self.core).await?;
        let line = |row: skep_wire::message::PeerRow| PeerLine {
            name: row.name.to_string(),
            id: row.peer.to_string(),
            role: row.role,
            state: row.presence,
            reachable: row.reachable,
            capacity: row.capacity_bytes,
            used: row.used_bytes,
            last_seen: row.last_seen_unix_s,
        };
        Ok(rows.into_iter().map(line).collect())
    }

    /// How this peer stands, its backups apart.
    #[must_use]
    pub fn status(&self) -> Status {
        let core = &self.core;
        let view = core.session.view();
        let show = |at: skep_wire::message::Endpoint| format!("{}:{}", at.host, at.port);
        let state = core.catalog.state();
        Status {
            name: core.name().to_string(),
            id: core.id().to_string(),
            network: core.trust.network().to_string(),
            role: core.role(),
            coordinator: view.coordinator.map(show).unwrap_or_default(),
            connected: view.connected,
            listen: core.listen.to_string(),
            reachable: view.reachable,
            address: view.address.map(show),
            capacity: core.capacity_bytes,
            used: 0,
            shares: publish::names(&state).count(),
            holdings: state.held.len(),
            served: core.served_bytes.load(Ordering::Relaxed),
            received: core.received_bytes.load(Ordering::Relaxed),
            links: core.links.count(),
            uptime_seconds: core.mono().saturating_sub(core.started).as_secs(),
            transfers: core.downloads.lines(),
            backups: None,
            schedules: Vec::new(),
        }
    }

    /// What is being downloaded.
    #[must_use]
    pub fn downloads(&self) -> Vec<TransferLine> {
        self.core.downloads.lines()
    }

    /// Stops within a few seconds: nothing is lost that was acknowledged.
    pub async fn stop(&self) {
        let core = &self.core;
        core.cancel.cancel();
        core.links.close_all();
        core.tasks.close();
        if time::timeout(STOP_PATIENCE, core.tasks.wait()).await.is_err() {
            tracing::warn!("some work did not stop in time");
        }
    }
}

/// What is in the home.
struct OpenedHome {
    home: Home,
    store: Arc<skep_store::Home>,
    catalog: Catalog,
}

fn open_home(world: &World, config: &Config) -> Result<OpenedHome, StartError> {
    let home = Home::open(world, &config.home)?;
    let ledger = Redb::open(home.dir.clone(), &name("catalog"), CATALOG_CACHE_BYTES)?;
    let catalog = Catalog::open(Arc::new(ledger), world.work.clone())?;
    let failed = |source| StartError::Store {
        path: config.home.clone(),
        source,
    };
    home.dir.make_dirs(&name("store")).map_err(failed)?;
    let store = skep_store::Home::open(home.dir.dir(&name("store")).map_err(failed)?).map_err(failed)?;
    Ok(OpenedHome { home, store, catalog })
}

/// The network of the home, or the one the ticket is for.
async fn membership(
    world: &World,
    config: &Config,
    opened: &OpenedHome,
) -> Result<(Membership, Grant), StartError> {
    let known = opened.catalog.state().membership.clone();
    let membership = match (&config.ticket, known) {
        (None, None) => return Err(StartError::NoNetwork(config.home.clone())),
        (None, Some(known)) => known,
        (Some(ticket), Some(known)) if ticket.network == known.network => {
            let mut known = known;
            let new = ticket
                .coordinators
                .iter()
                .filter(|at| !known.coordinators.contains(at))
                .cloned();
            known.coordinators = new.chain(known.coordinators.clone()).take(8).collect();
            known
        }
        (Some(ticket), known) => {
            let newcomer = Newcomer {
                key: &opened.home.key,
                name: config.name.clone(),
                role: config.role,
                agent: &config.agent,
            };
            let joined = join::join(world, ticket, &newcomer).await?;
            Membership {
                network: ticket.network,
                coordinators: ticket.coordinators.clone(),
                grant: joined.grant,
                listen_port: known.as_ref().map_or(0, |known| known.listen_port),
                capacity_bytes: known.map_or(0, |known| known.capacity_bytes),
            }
        }
    };
    let grant = membership.grant.open(membership.network.as_bytes());
    let grant = grant.map_err(|_| StartError::NoNetwork(config.home.clone()))?;
    Ok((membership, grant))
}

/// A peer keeps its port if it can: others may still know it.
async fn listen(
    world: &World,
    config: &Config,
    home: &Home,
    last_port: u16,
) -> Result<(Box<dyn Listener>, SocketAddr), StartError> {
    let at = config.listen;
    if at.port() == 0 && last_port != 0 {
        let again = SocketAddr::new(at.ip(), last_port);
        if let Ok(listener) = world.network.listen(&home.key, again).await {
            let local = listener.local();
            return Ok((listener, local));
        }
    }
    let listener = world.network.listen(&home.key, at).await;
    let listener = listener.map_err(|source| StartError::Listen { at, source })?;
    let local = listener.local();
    Ok((listener, local))
}

/// Notes the membership and puts the parts together.
async fn assemble(
    world: World,
    config: Config,
    opened: OpenedHome,
    grant: Grant,
    membership: &Membership,
    listen: SocketAddr,
) -> Result<Arc<Core>, StartError> {
    let OpenedHome { home, store, catalog } = opened;
    let capacity_bytes = config.capacity(&world, &grant, membership);
    let (home, hold) = Hold::open(&world, &config, home, capacity_bytes)
        .await
        .map_err(|source| StartError::Store {
            path: config.home.clone(),
            source,
        })?;
    let mut entries = publish::for_network(&catalog.state(), &home.key, membership.network);
    let membership = Membership {
        listen_port: listen.port(),
        capacity_bytes,
        ..membership.clone()
    };
    let signed_grant: Signed<Grant> = membership.grant.clone();
    let trust = Trust::new(membership.network);
    if let Some(list) = &catalog.state().revocations {
        trust.learn(list);
    }
    entries.push(Entry::Membership(membership));
    catalog.commit(entries).await?;
    let started = world.clock.now().mono;
    let (up, down) = (config.up_rate, config.down_rate);
    let up = Arc::new(RateLimit::new(world.clock.clone(), up));
    Ok(Arc::new(Core {
        uplink: Arc::new(Uplink::new(world.clock.clone(), up.clone())),
        up,
        down: RateLimit::new(world.clock.clone(), down),
        shelf: Shelf::new(world.clock.clone()),
        world,
        config,
        home,
        store,
        catalog,
        hold,
        trust,
        grant,
        signed_grant,
        listen,
        capacity_bytes,
        session: Session::new(),
        links: Links::new(),
        downloads: Downloads::default(),
        outgoing: Outgoing::default(),
        buffers: Buffers::default(),
        backups: Backups::default(),
        schedules: Schedules::default(),
        served_bytes: 0.into(),
        received_bytes: 0.into(),
        tasks: TaskTracker::new(),
        cancel: CancellationToken::new(),
        started,
    }))
}
