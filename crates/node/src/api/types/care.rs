//! How backups stand, when they are made, and whose devices make them.

use serde::{Deserialize, Serialize};

use super::BackupRequest;

/// How the backups of this peer's owner stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupStatus {
    /// The owner's id.
    pub owner: String,
    /// Devices of the owner.
    pub devices: usize,
    /// Bytes of shards that are missing and can be rebuilt.
    pub repair_bytes: u64,
    /// When the newest snapshot of this device was made that is not known to be lost: seconds since 1970.
    pub last_good: Option<u64>,
    /// When a snapshot was last restored for a drill: seconds since 1970.
    pub last_drill: Option<u64>,
    /// All snapshots, oldest first.
    pub snapshots: Vec<SnapshotStatus>,
}

/// A backup that is made again and again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleLine {
    /// By which it is removed.
    pub number: u64,
    /// Its times, as in [`ScheduleRequest`].
    pub when: String,
    /// What is backed up, and how.
    #[serde(flatten)]
    pub request: BackupRequest,
    /// When it is due: seconds since 1970.
    pub next: u64,
    /// It is due, and waits for the coordinator or for another backup.
    pub waiting: bool,
    /// It is being made now.
    pub running: bool,
    /// What came of the last run.
    pub last: Option<ScheduleResult>,
}

/// What came of a scheduled backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleResult {
    /// When it ended: seconds since 1970.
    pub at: u64,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// The snapshot that was made.
    pub snapshot: Option<String>,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How much was left out or not read at rest.
    pub skipped: usize,
}

/// `POST /v1/schedules`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRequest {
    /// `hourly`, `daily HH:MM`, `weekly DAY HH:MM`, `every N minutes` or `every N hours`.
    pub when: String,
    /// What to back up, and how.
    #[serde(flatten)]
    pub request: BackupRequest,
}

/// `POST /v1/schedules/remove`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleRemoval {
    /// Of the schedule.
    pub number: u64,
}

/// How a snapshot stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotStatus {
    /// Its id.
    pub id: String,
    /// Seconds since 1970.
    pub made: u64,
    /// The name of the machine that made it.
    pub host: String,
    /// In a word.
    pub state: SnapshotState,
    /// How many holders may vanish.
    pub survives: u32,
    /// Peers that have something of it and have not failed.
    pub holders: usize,
    /// How many of those are there now.
    pub reachable: usize,
    /// Whether all of it can be had now.
    pub restorable: bool,
    /// Bytes of its shards that are missing.
    pub repair_bytes: u64,
    /// When a holder last proved that it has its shard: seconds since 1970.
    pub last_audit: Option<u64>,
    /// When all of it was last restored for a drill: seconds since 1970.
    pub last_drill: Option<u64>,
}

/// How well a snapshot is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotState {
    /// All of its shards are there.
    Whole,
    /// Some are lost; it survives the loss of another holder.
    Degraded,
    /// It does not survive the loss of another holder.
    AtRisk,
    /// It cannot be restored in full.
    Lost,
    /// The coordinator cannot be asked, or its folders not be read, just now.
    Unknown,
}

impl SnapshotState {
    /// All there are, from the best to the worst.
    pub const ALL: [Self; 5] = [
        Self::Whole,
        Self::Degraded,
        Self::AtRisk,
        Self::Lost,
        Self::Unknown,
    ];

    /// For people, and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Degraded => "degraded",
            Self::AtRisk => "at risk",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }
}

/// A device of this peer's owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceLine {
    /// Its name in the network; empty if nobody knows it.
    pub name: String,
    /// Its key.
    pub id: String,
    /// It is this one.
    pub own: bool,
}

/// `POST /v1/devices/revoke`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeRequest {
    /// Name of the device, or the beginning of its key.
    pub name: String,
    /// The 24 words.
    pub phrase: String,
}

/// The end of a revocation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeDone {
    /// Name of the device.
    pub name: String,
    /// Its key.
    pub id: String,
    /// The epoch that begins: what is stored from now on is sealed under its key.
    pub epoch: u32,
    /// How many devices are left.
    pub devices: usize,
}
