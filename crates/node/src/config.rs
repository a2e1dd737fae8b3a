//! What a peer is told when it starts.

use std::{net::SocketAddr, num::NonZero, path::PathBuf, thread, time::Duration};

use jiff::tz::TimeZone;
use skep_wire::{
    PeerName,
    record::{Grant, Role},
    ticket::Ticket,
};
use skep_world::World;

use crate::{backup::Crew, catalog::Membership};

/// The most capacity that is offered unasked.
const DEFAULT_CAPACITY_LIMIT: u64 = 100 << 30;

/// How a peer runs. Everything a returning peer does not say again comes from its home.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its data: key, catalog, outlines. Made if missing.
    pub home: PathBuf,
    /// Joins this network first; none: the network of the home.
    pub ticket: Option<Ticket>,
    /// The name it wants when it joins.
    pub name: Option<PeerName>,
    /// The role it wants when it joins; none: the ticket's.
    pub role: Option<Role>,
    /// Where it listens; port 0: any, and the same as last time if that is free.
    pub listen: SocketAddr,
    /// Host that others dial; none: the address the coordinator sees.
    pub advertise: Option<String>,
    /// Bytes it offers to others.
    pub capacity_bytes: Option<u64>,
    /// Bytes that stay free on its disk, whatever it offers.
    pub min_free_bytes: u64,
    /// Bytes that it keeps of one owner's backups; none: a quarter of what it offers.
    pub owner_quota_bytes: Option<u64>,
    /// How long after an owner condemned something it is deleted, in time that this peer runs.
    pub grace: Duration,
    /// In what time everything that it keeps for others is read once, to find what has rotten.
    pub scrub_every: Duration,
    /// Where it stands, for spreading backups.
    pub site: Option<String>,
    /// Folders whose entries are published and watched.
    pub watch: Vec<PathBuf>,
    /// How often watched folders are scanned in full, whatever the watch says.
    pub rescan: Duration,
    /// Bytes per second to others; none: no limit.
    pub up_rate: Option<u64>,
    /// Bytes per second from others; none: no limit.
    pub down_rate: Option<u64>,
    /// Threads that hash the files of one share.
    pub workers: usize,
    /// Whether all work that could be done side by side is done in one order, for simulations.
    pub in_order: bool,
    /// Program and version, for the hello.
    pub agent: String,
    /// By whose clocks scheduled backups are made.
    pub zone: TimeZone,
}

impl Config {
    /// A peer with this home that listens on `listen` and asks for nothing special.
    #[must_use]
    pub fn new(home: PathBuf, listen: SocketAddr) -> Self {
        Self {
            home,
            ticket: None,
            name: None,
            role: None,
            listen,
            advertise: None,
            capacity_bytes: None,
            min_free_bytes: 1 << 30,
            owner_quota_bytes: None,
            grace: Duration::from_secs(7 * 24 * 3600),
            scrub_every: Duration::from_secs(14 * 24 * 3600),
            site: None,
            watch: Vec::new(),
            rescan: Duration::from_secs(60),
            up_rate: None,
            down_rate: None,
            workers: 2,
            in_order: false,
            agent: concat!("skep/", env!("CARGO_PKG_VERSION")).to_owned(),
            zone: TimeZone::UTC,
        }
    }

    /// Who reads files for a backup.
    pub(crate) fn scanners(&self) -> Crew {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        self.crew(processors, 256)
    }

    /// Who writes files of a restore: most of the time they wait for packs.
    pub(crate) fn restorers(&self) -> Crew {
        self.crew(8, 8)
    }

    fn crew(&self, threads: usize, queued: usize) -> Crew {
        let threads = if self.in_order { 0 } else { threads };
        Crew { threads, queued }
    }

    /// What was said, what was offered last, or a tenth of what is free.
    pub(crate) fn capacity(&self, world: &World, grant: &Grant, membership: &Membership) -> u64 {
        if grant.role == Role::Owner {
            return 0;
        }
        let tenth = || world.disk.free_bytes(&self.home).unwrap_or(0) / 10;
        let known = Some(membership.capacity_bytes).filter(|&bytes| bytes > 0);
        self.capacity_bytes
            .or(known)
            .unwrap_or_else(|| tenth().min(DEFAULT_CAPACITY_LIMIT))
    }
}
