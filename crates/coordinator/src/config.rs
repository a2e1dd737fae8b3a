//! What a coordinator is told at its start, what it tells, and how it fails.

use std::{io, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use skep_engine::{depot, repair};
use skep_ledger::{CommitError, LoadError, OpenError};
use skep_wire::{NetworkId, PeerId, message::Endpoint, record::Role};
use thiserror::Error;

/// How a coordinator is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its folder, for it alone: keys, ledger, lock. Made at the first start.
    pub home: PathBuf,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where others reach it; goes into tickets. Port 0 means the port it listens on. Empty: the
    /// address it listens on (loopback, if that is unspecified).
    pub advertise: Vec<Endpoint>,
    /// How many peers the network takes.
    pub max_peers: u32,
    /// How often peers are to be heard from; three missed are offline.
    pub heartbeat: Duration,
    /// After how long an offline peer counts as failed.
    pub failed_after: Duration,
    /// Bytes per second that rebuilds of lost shards may move, all together; none: no limit.
    pub repair_bytes_per_s: Option<u64>,
    /// How often each pack of the backups is audited, in the mean.
    pub audit_every: Duration,
    /// Memory for pages of the ledger.
    pub ledger_cache_bytes: usize,
}

impl Config {
    /// The defaults, in this folder.
    #[must_use]
    pub fn new(home: PathBuf, listen: SocketAddr) -> Self {
        Self {
            home,
            listen,
            advertise: Vec::new(),
            max_peers: 10_000,
            heartbeat: Duration::from_secs(10),
            failed_after: Duration::from_secs(24 * 3600),
            repair_bytes_per_s: Some(128 << 20),
            audit_every: Duration::from_secs(7 * 24 * 3600),
            ledger_cache_bytes: 8 << 20,
        }
    }

    /// How backups are looked after.
    pub(crate) fn backups(&self) -> depot::Settings {
        let usual = depot::Settings::new(self.heartbeat, self.failed_after);
        depot::Settings {
            repair: repair::Settings {
                bytes_per_s: self.repair_bytes_per_s,
                ..usual.repair
            },
            audit_every: self.audit_every,
            ..usual
        }
    }
}

/// A coordinator that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// The address, with the real port.
    pub listen: SocketAddr,
    /// The network.
    pub network: NetworkId,
    /// The coordinator's own key.
    pub id: PeerId,
}

/// What a ticket allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InviteOptions {
    /// The widest role.
    pub role: Role,
    /// How long it holds, in whole seconds.
    pub expires: Duration,
    /// How many keys may join with it.
    pub uses: u32,
}

impl Default for InviteOptions {
    fn default() -> Self {
        Self {
            role: Role::Both,
            expires: Duration::from_secs(600),
            uses: 1,
        }
    }
}

/// How a coordinator is doing. Counts are of now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The network, as hexadecimal digits.
    pub network: String,
    /// The coordinator's own key, as hexadecimal digits.
    pub id: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Peers of the network.
    pub peers: usize,
    /// Of these, online.
    pub online: usize,
    /// Shares that are not withdrawn.
    pub shares: usize,
    /// Contents that some peer has.
    pub contents: usize,
    /// Pairs of a content and a verified holder of all of it.
    pub holdings: usize,
    /// Invitations that still hold.
    pub invitations: usize,
    /// Open connections.
    pub connections: usize,
    /// Seconds since the start.
    pub uptime_s: u64,
    /// Why nothing can be promised at the moment, e.g. because the disk is full; it keeps trying.
    pub trouble: Option<String>,
}

/// Why a coordinator did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its folder cannot be used.
    #[error("the coordinator's folder {home} cannot be used: {source}")]
    Home {
        /// The folder.
        home: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process runs in this folder.
    #[error("another coordinator runs in {home}")]
    InUse {
        /// The folder.
        home: PathBuf,
    },
    /// A key file is damaged.
    #[error("the key file {path} is not 64 hexadecimal digits")]
    BadKey {
        /// The file.
        path: PathBuf,
    },
    /// There is a ledger, but not the keys that belong to it.
    #[error("{path} is missing, and without it the ledger beside it is of no use")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The ledger cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The facts in the ledger make no sense.
    #[error("the ledger of {home} cannot be used: {what}")]
    Facts {
        /// The folder.
        home: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The address cannot be listened on.
    #[error("the coordinator cannot listen on {listen}: {source}")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a coordinator ended by itself.
#[derive(Debug, Error)]
pub enum Failure {
    /// The ledger promises nothing any more. What was acknowledged before is durable.
    #[error("the coordinator stopped: {0}")]
    Ledger(#[from] CommitError),
    /// The listener is gone.
    #[error("the coordinator stopped: it cannot take connections any more: {0}")]
    Listener(io::Error),
    /// A defect of this program.
    #[error("the coordinator stopped by a defect: {0}")]
    Internal(String),
}
