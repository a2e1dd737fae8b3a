//! A coordinator and peers that keep what others back up.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use skep_coordinator::{Coordinator, InviteOptions};
use skep_node::{Config, Node};
use skep_wire::{PeerId, SigningKey, record::Role, ticket::Ticket};
use skep_world::simulated::{Crash, Disk, Machine, Universe};

use crate::forger::key_of;

/// How long condemned packs stay.
pub(crate) const GRACE: Duration = Duration::from_secs(600);
/// Who is away for so long has failed.
const REPAIR_AFTER: Duration = Duration::from_secs(120);

/// A peer's machine, and the peer while it runs.
struct House {
    machine: Machine,
    node: Option<Node>,
    id: Option<PeerId>,
}

/// All of them.
pub(crate) struct Town {
    pub(crate) universe: Universe,
    pub(crate) ticket: Ticket,
    pub(crate) coordinator_key: Arc<SigningKey>,
    coordinator: Coordinator,
    houses: Vec<House>,
    founded: u8,
    audit_every: Duration,
}

impl Town {
    /// A coordinator and so many storage peers, up and reachable.
    pub(crate) async fn with_keepers(count: u8) -> Self {
        Self::audited(count, Duration::from_secs(7 * 24 * 3600)).await
    }

    /// The same, where each pack is audited so often in the mean.
    pub(crate) async fn audited(count: u8, every: Duration) -> Self {
        let universe = Universe::new(7);
        let (coordinator, coordinator_key, ticket) = found(&universe, 1, every).await;
        let house = |n| House {
            machine: universe.machine([10, 0, 1, n].into()),
            node: None,
            id: None,
        };
        let mut town = Self {
            houses: (1..=count).map(house).collect(),
            universe,
            ticket,
            coordinator_key,
            coordinator,
            founded: 1,
            audit_every: every,
        };
        town.start_keepers().await;
        town
    }

    /// Starts all keepers that do not run.
    pub(crate) async fn start_keepers(&mut self) {
        for house in self.houses.iter_mut().filter(|house| house.node.is_none()) {
            let listen = SocketAddr::new(house.machine.ip(), 7700);
            let config = Config {
                ticket: Some(self.ticket.clone()),
                capacity_bytes: Some(100 << 20),
                min_free_bytes: 0,
                owner_quota_bytes: Some(50 << 20),
                grace: GRACE,
                workers: 1,
                ..Config::new(PathBuf::from("/home"), listen)
            };
            let node = Node::start(house.machine.boot(), config).await.unwrap();
            house.id = Some(node.ready().id.parse().unwrap());
            house.node = Some(node);
        }
    }

    /// One more machine, and on it a peer that keeps nothing and may back up.
    pub(crate) async fn owner(&self) -> (Machine, Node) {
        let mut machine = self.universe.machine([10, 0, 2, 1].into());
        let config = Config {
            ticket: Some(self.ticket.clone()),
            role: Some(Role::Owner),
            workers: 1,
            ..Config::new(PathBuf::from("/home"), SocketAddr::new(machine.ip(), 7700))
        };
        let node = Node::start(machine.boot(), config).await.unwrap();
        (machine, node)
    }

    /// How many shards each keeper has.
    pub(crate) fn shards(&self) -> Vec<usize> {
        let is_shard = |path: &PathBuf| {
            let number = path.extension().and_then(|number| number.to_str());
            path.starts_with("/home/shards") && number.is_some_and(|number| number.parse::<u8>().is_ok())
        };
        let disks = self.houses.iter().map(|house| house.machine.disk());
        disks
            .map(|disk| disk.files().iter().filter(|path| is_shard(path)).count())
            .collect()
    }

    /// The so-manieth keeper.
    pub(crate) fn keeper(&self, number: usize) -> PeerId {
        self.houses[number].id.unwrap()
    }

    /// Its disk.
    pub(crate) fn disk(&self, number: usize) -> &Disk {
        self.houses[number].machine.disk()
    }

    /// A keeper that runs.
    pub(crate) fn node(&self, id: &PeerId) -> &Node {
        let house = self.houses.iter().find(|house| house.id.as_ref() == Some(id));
        let node = house.and_then(|house| house.node.as_ref());
        node.expect("a keeper that runs")
    }

    /// A peer's machine stops at once.
    pub(crate) fn crash(&mut self, id: &PeerId, how: Crash) {
        let house = self.houses.iter_mut().find(|house| house.id.as_ref() == Some(id));
        let house = house.expect("one of the keepers");
        house.machine.crash(how);
        // What is left of it can do nothing any more.
        house.node = None;
    }

    /// The coordinator's home is lost: another network is founded, and the same peers join it.
    pub(crate) async fn found_another_network(&mut self) {
        self.founded += 1;
        let (coordinator, key, ticket) = found(&self.universe, self.founded, self.audit_every).await;
        self.coordinator_key = key;
        let lost = std::mem::replace(&mut self.coordinator, coordinator);
        self.ticket = ticket;
        for house in &mut self.houses {
            if let Some(node) = house.node.take() {
                node.stop().await;
            }
            house.machine.crash(Crash::Kill);
        }
        lost.stop().await.unwrap();
        self.start_keepers().await;
    }

    pub(crate) async fn stop(self) {
        for node in self.houses.into_iter().filter_map(|house| house.node) {
            node.stop().await;
        }
        self.coordinator.stop().await.unwrap();
    }
}

async fn found(
    universe: &Universe,
    number: u8,
    audit_every: Duration,
) -> (Coordinator, Arc<SigningKey>, Ticket) {
    let mut machine = universe.machine([10, 0, 0, number].into());
    let at = SocketAddr::new(machine.ip(), 7700);
    let config = skep_coordinator::Config {
        failed_after: REPAIR_AFTER,
        audit_every,
        ..skep_coordinator::Config::new(PathBuf::from("/coordinator"), at)
    };
    let coordinator = Coordinator::start(machine.boot(), config).await.unwrap();
    let options = InviteOptions {
        uses: 100,
        expires: Duration::from_secs(24 * 3600),
        ..InviteOptions::default()
    };
    let ticket = coordinator.invite(options).await.unwrap();
    (coordinator, key_of(machine.disk(), "/coordinator"), ticket)
}
