//! The machines of a run and the programs on them: a coordinator, peers, and an inspector.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use skep_coordinator::{Coordinator, InviteOptions};
use skep_node::{
    Config, LeaveError, Node, StartError,
    api::types::{GetDone, GetRequest, LeaveDone, LeaveRequest, ShareDone, ShareRequest},
    fetch::GetError,
    publish::ShareError,
    scanning::Scanning,
};
use skep_wire::{PeerName, ticket::Ticket};
use skep_world::{
    Disk as _,
    simulated::{Crash, Machine, Universe},
};
use tokio::{sync::watch, task::JoinSet};

use crate::{
    inspector::{Findings, Inspector},
    play::Done,
    scenario::{ItemNumber, PeerNumber, Place},
};

const COORDINATOR_PORT: u16 = 7700;
/// Longer than a clock jumps: who comes later is received all the same.
const TICKET_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Who is away for so long has failed, and what it keeps is rebuilt.
const REPAIR_AFTER: Duration = Duration::from_secs(120);
const AUDIT_EVERY: Duration = Duration::from_secs(300);
/// How long what was condemned stays.
const GRACE: Duration = Duration::from_secs(60);
/// In what time all that is kept is read once.
const SCRUB_EVERY: Duration = Duration::from_secs(600);
const CAPACITY_BYTES: u64 = 1 << 30;
/// As many peers may join with the one ticket of a run.
const USES: u32 = 1_000;

/// A machine with a program that may run.
pub(crate) struct House<P> {
    pub(crate) machine: Machine,
    pub(crate) program: Program<P>,
    /// Counts starts: news of an earlier life is old.
    pub(crate) life: u64,
}

/// How a program stands.
pub(crate) enum Program<P> {
    /// It does not run.
    Down,
    /// It starts or stops.
    Changing,
    /// It runs.
    Up(P),
}

/// What came of something that was begun.
pub(crate) enum News {
    Started(Result<Node, StartError>),
    Shared(ItemNumber, Result<ShareDone, ShareError>),
    Unshared(ItemNumber, Result<(), ShareError>),
    Got(ItemNumber, Result<GetDone, Arc<GetError>>),
    Left(Result<LeaveDone, LeaveError>),
    /// Something with backups.
    Done(Box<Done>),
    /// It stopped as it was asked to.
    Stopped,
    /// What was left of a crashed program is gone.
    Gone,
}

/// What comes in while time passes.
pub(crate) enum Event {
    /// From a peer, and from which of its lives.
    Peer(PeerNumber, u64, News),
    /// The inspector is back.
    Inspected(Inspector, Result<Findings, String>),
}

/// All machines.
pub(crate) struct Town {
    pub(crate) universe: Universe,
    pub(crate) coordinator: House<Coordinator>,
    /// Whether peers keep backups for each other.
    pub(crate) keeps: bool,
    pub(crate) peers: Vec<House<Node>>,
    /// None while it is away on a visit.
    pub(crate) inspector: Option<Inspector>,
    pub(crate) ticket: Option<Ticket>,
    /// Everything that was begun and is not over.
    pub(crate) under_way: JoinSet<Event>,
}

impl<P> House<P> {
    fn new(machine: Machine) -> Self {
        Self {
            machine,
            program: Program::Down,
            life: 0,
        }
    }

    pub(crate) fn running(&self) -> Option<&P> {
        match &self.program {
            Program::Up(program) => Some(program),
            Program::Down | Program::Changing => None,
        }
    }

    /// Ends the program, and everything that it has open. What is left of it is returned.
    pub(crate) fn crash(&mut self, how: Crash) -> Program<P> {
        self.machine.crash(how);
        self.life += 1;
        std::mem::replace(&mut self.program, Program::Down)
    }
}

impl Town {
    /// `peers` machines with empty disks, and no program.
    pub(crate) fn new(universe: Universe, peers: usize, keeps: bool) -> Self {
        let mut inspector = universe.machine(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 1)));
        let house = |place| House::new(universe.machine(address(place)));
        let peers: Vec<House<Node>> = (0..peers)
            .map(|peer| House::new(universe.machine(address(Place::Peer(peer)))))
            .collect();
        for house in &peers {
            house
                .machine
                .disk()
                .make_dir(Path::new(DOWNLOADS))
                .expect("an empty disk takes a folder");
        }
        Self {
            coordinator: house(Place::Coordinator),
            keeps,
            peers,
            inspector: Some(Inspector::new(inspector.boot())),
            ticket: None,
            under_way: JoinSet::new(),
            universe,
        }
    }

    /// Starts the coordinator, if it does not run.
    pub(crate) async fn start_coordinator(&mut self) -> Result<(), String> {
        if self.coordinator.running().is_some() {
            return Ok(());
        }
        let at = SocketAddr::new(address(Place::Coordinator), COORDINATOR_PORT);
        let config = skep_coordinator::Config {
            failed_after: REPAIR_AFTER,
            audit_every: AUDIT_EVERY,
            ..skep_coordinator::Config::new(PathBuf::from("/coordinator"), at)
        };
        let started = Coordinator::start(self.coordinator.machine.boot(), config).await;
        let coordinator = started.map_err(|e| format!("the coordinator does not start: {e}"))?;
        if self.ticket.is_none() {
            let options = InviteOptions {
                uses: USES,
                expires: TICKET_LIFE,
                ..InviteOptions::default()
            };
            let ticket = coordinator.invite(options).await;
            self.ticket = Some(ticket.map_err(|denial| format!("no ticket: {}", denial.text))?);
        }
        self.coordinator.program = Program::Up(coordinator);
        Ok(())
    }

    /// Asks the coordinator to stop, if it runs, and waits for it.
    pub(crate) async fn stop_coordinator(&mut self) -> Result<(), String> {
        let Program::Up(coordinator) = std::mem::replace(&mut self.coordinator.program, Program::Down) else {
            return Ok(());
        };
        let stopped = coordinator.stop().await;
        // The process ends.
        self.coordinator.crash(Crash::Kill);
        stopped.map_err(|e| format!("the coordinator failed: {e}"))
    }

    /// Starts a peer, if it is down.
    pub(crate) fn start_peer(&mut self, peer: PeerNumber) {
        let house = &mut self.peers[peer];
        let (Program::Down, Some(ticket)) = (&house.program, &self.ticket) else {
            return;
        };
        let listen = SocketAddr::new(address(Place::Peer(peer)), 0);
        let config = Config {
            ticket: Some(ticket.clone()),
            name: PeerName::parse(&format!("peer-{peer}")).ok(),
            capacity_bytes: Some(if self.keeps { CAPACITY_BYTES } else { 0 }),
            min_free_bytes: 0,
            grace: GRACE,
            scrub_every: SCRUB_EVERY,
            // More than one thread has no order.
            workers: 1,
            in_order: true,
            ..Config::new(PathBuf::from(PEER_HOME), listen)
        };
        let world = house.machine.boot();
        house.program = Program::Changing;
        self.begin(
            peer,
            async move { News::Started(Node::start(world, config).await) },
        );
    }

    /// Asks a peer to stop, if it runs.
    pub(crate) fn stop_peer(&mut self, peer: PeerNumber) {
        let Some(node) = self.take(peer) else { return };
        self.begin(peer, async move {
            node.stop().await;
            News::Stopped
        });
    }

    /// Lets a peer leave for good, if it runs.
    pub(crate) fn leave(&mut self, peer: PeerNumber) {
        let Some(node) = self.take(peer) else { return };
        self.begin(peer, async move {
            let tell = watch::Sender::default();
            let left = node.leave(LeaveRequest::default(), &tell).await;
            node.stop().await;
            News::Left(left)
        });
    }

    /// Crashes a peer's machine, whatever it does.
    pub(crate) fn crash_peer(&mut self, peer: PeerNumber, how: Crash) {
        if let Program::Up(node) = self.peers[peer].crash(how) {
            self.bury(peer, node);
        }
    }

    /// Ends the tasks of a program that is dead already.
    pub(crate) fn bury(&mut self, peer: PeerNumber, node: Node) {
        self.begin(peer, async move {
            node.stop().await;
            News::Gone
        });
    }

    /// Lets a peer publish its own copy, if it runs. Returns whether it does.
    pub(crate) fn share(&mut self, peer: PeerNumber, item: ItemNumber) -> bool {
        let Some(node) = self.peers[peer].running().cloned() else {
            return false;
        };
        let request = ShareRequest {
            path: own(item),
            name: None,
            to: Vec::new(),
        };
        self.begin(peer, async move {
            News::Shared(item, node.share(request, Arc::new(Scanning::default())).await)
        });
        true
    }

    /// Lets a peer take a share back, if it runs. Returns whether it does.
    pub(crate) fn unshare(&mut self, peer: PeerNumber, item: ItemNumber) -> bool {
        let Some(node) = self.peers[peer].running().cloned() else {
            return false;
        };
        self.begin(peer, async move {
            News::Unshared(item, node.unshare(&name(item)).await)
        });
        true
    }

    /// Lets a peer download, if it runs. Returns whether it does.
    pub(crate) fn get(&mut self, peer: PeerNumber, item: ItemNumber, what: String) -> bool {
        let Some(node) = self.peers[peer].running().cloned() else {
            return false;
        };
        let request = GetRequest {
            what,
            output: PathBuf::from(DOWNLOADS),
            from: None,
            overwrite: false,
        };
        self.begin(peer, async move {
            let got = match node.get(&request).await {
                Ok(getting) => getting.done().await,
                Err(error) => Err(Arc::new(error)),
            };
            News::Got(item, got)
        });
        true
    }

    /// Sends the inspector to the coordinator, if it is not there already.
    pub(crate) fn inspect(&mut self, contents: Vec<skep_wire::BlobId>) {
        let (Some(ticket), Some(mut inspector)) = (self.ticket.clone(), self.inspector.take()) else {
            return;
        };
        self.under_way.spawn(async move {
            let findings = inspector.visit(&ticket, &contents).await;
            Event::Inspected(inspector, findings)
        });
    }

    /// Whether what one says reaches the other.
    pub(crate) fn hears(&self, one: Place, other: Place) -> bool {
        !self.universe.net().is_cut(address(one), address(other))
    }

    /// The machine of a place.
    pub(crate) fn machine(&mut self, place: Place) -> &mut Machine {
        match place {
            Place::Coordinator => &mut self.coordinator.machine,
            Place::Peer(peer) => &mut self.peers[peer].machine,
        }
    }

    fn take(&mut self, peer: PeerNumber) -> Option<Node> {
        match std::mem::replace(&mut self.peers[peer].program, Program::Changing) {
            Program::Up(node) => Some(node),
            other => {
                self.peers[peer].program = other;
                None
            }
        }
    }

    pub(crate) fn begin(&mut self, peer: PeerNumber, work: impl Future<Output = News> + Send + 'static) {
        let life = self.peers[peer].life;
        self.under_way
            .spawn(async move { Event::Peer(peer, life, work.await) });
    }
}

/// A peer's own data.
pub(crate) const PEER_HOME: &str = "/home";

/// Where downloads go on every peer.
const DOWNLOADS: &str = "/downloads";

/// The address of a machine.
pub(crate) fn address(place: Place) -> IpAddr {
    IpAddr::V4(match place {
        Place::Coordinator => Ipv4Addr::new(10, 0, 0, 1),
        Place::Peer(peer) => Ipv4Addr::new(10, 0, 1, u8::try_from(peer + 1).unwrap_or(u8::MAX)),
    })
}

/// A peer's own copy of an item.
pub(crate) fn own(item: ItemNumber) -> PathBuf {
    Path::new("/own").join(name(item))
}

/// A peer's downloaded copy of an item.
pub(crate) fn downloaded(item: ItemNumber) -> PathBuf {
    Path::new(DOWNLOADS).join(name(item))
}

/// The name under which an item is shared.
pub(crate) fn name(item: ItemNumber) -> String {
    format!("item-{item}")
}
