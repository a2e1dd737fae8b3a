//! The JSON of the local API: what the command line and scripts see. Field names are a contract.

mod care;
mod keeping;

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};
use skep_wire::{
    message::Presence,
    record::{ContentKind, Role},
};

pub use self::care::{
    BackupStatus, DeviceLine, RevokeDone, RevokeRequest, ScheduleLine, ScheduleRemoval, ScheduleRequest,
    ScheduleResult, SnapshotState, SnapshotStatus,
};
pub use self::keeping::{EvictDone, EvictRequest, KeptLine, LeaveDone, LeaveRequest};

/// One line of a long answer: newline-delimited JSON objects, the last is `done` or `error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event<T> {
    /// How far it is.
    Progress(Progress),
    /// Finished.
    Done(T),
    /// Failed.
    Error(ErrorBody),
}

/// A running peer, as `ready` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// `host:port` it listens on.
    pub listen: String,
    /// Its name in the network.
    pub name: String,
    /// Its key.
    pub id: String,
    /// The network's key.
    pub network: String,
    /// `host:port` of the local HTTP API, if opened on loopback.
    pub api: Option<String>,
    /// Whether the network knew it already.
    pub returning: bool,
}

/// How far a share or a download is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes done.
    pub bytes: u64,
    /// Bytes in all; 0 while unknown.
    pub total: u64,
    /// Bytes per second, lately.
    pub rate: u64,
    /// Holders in use.
    pub holders: usize,
    /// What it is doing. Of a share: `reading`. Of a download: `preparing`, `downloading`, `paused`,
    /// `waiting for space`, `waiting for holders`, `failed`, `done`.
    pub state: String,
    /// What each holder gives, of a download.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerShare>,
}

/// What one holder gave of a download.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerShare {
    /// Its name.
    pub name: String,
    /// Bytes that came from it.
    pub bytes: u64,
    /// Its part of all bytes that came, 0 to 1.
    pub share: f64,
    /// Bytes per second: lately, or at the end on average.
    pub rate: u64,
    /// The round trip to it, once measured.
    pub latency_ms: Option<f64>,
}

/// Why a request failed: `kind` for programs, the others for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// A word that does not change, e.g. `not_found`.
    pub kind: String,
    /// One sentence: what failed, about what.
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
}

/// `POST /v1/share`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRequest {
    /// Absolute path of the file or folder.
    pub path: PathBuf,
    /// Name to give it; none: its file name.
    pub name: Option<String>,
    /// Names of the peers it is for; empty: everyone.
    #[serde(default)]
    pub to: Vec<String>,
}

/// The end of a share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareDone {
    /// The share's name.
    pub name: String,
    /// The content's id.
    pub id: String,
    /// Bytes of all files.
    pub bytes: u64,
    /// Files in it.
    pub files: u64,
    /// A link that gets it.
    pub link: String,
    /// What could not be shared, and why.
    pub skipped: Vec<Skipped>,
}

/// A path that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Which, as people may see it.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// `POST /v1/unshare`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnshareRequest {
    /// The share's name.
    pub name: String,
}

/// `POST /v1/get`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetRequest {
    /// `NAME`, `PEER/NAME`, an id or a link, and for a folder `/SUB/PATH` behind it.
    pub what: String,
    /// Absolute path of the target, as `cp` takes it: an existing folder takes the download inside it.
    pub output: PathBuf,
    /// Only from this peer.
    pub from: Option<String>,
    /// Whether an existing target may be replaced.
    #[serde(default)]
    pub overwrite: bool,
}

/// The end of a download.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GetDone {
    /// The content's id.
    pub id: String,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes that crossed the network.
    pub fetched: u64,
    /// Seconds until all bytes were verified and written.
    pub verified_seconds: f64,
    /// Seconds until they were durable under the final name.
    pub seconds: f64,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes by holder's name.
    pub from: BTreeMap<String, u64>,
    /// How the holders did, whatever became of their bytes.
    #[serde(default)]
    pub peers: Vec<PeerShare>,
}

/// `POST /v1/downloads/pause`, `.../resume`, `.../cancel`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    /// Number, name, content id or target of downloads; none: all.
    pub download: Option<String>,
}

/// `POST /v1/limits`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRequest {
    /// What is limited: a download, or (with `up`) a content that is held. None: the whole peer.
    pub name: Option<String>,
    /// Bytes per second to others; 0: no limit; none: as it is.
    pub up: Option<u64>,
    /// Bytes per second from others; 0: no limit; none: as it is.
    pub down: Option<u64>,
}

/// `GET /v1/limits`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes per second to others; none: no limit.
    pub up: Option<u64>,
    /// Bytes per second from others; none: no limit.
    pub down: Option<u64>,
}

/// A peer of the network: a row of `peers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerLine {
    /// Its name.
    pub name: String,
    /// Its key.
    pub id: String,
    /// Its role.
    pub role: Role,
    /// Whether it is there.
    pub state: Presence,
    /// Whether others can dial it.
    pub reachable: bool,
    /// Bytes it offers to others.
    pub capacity: u64,
    /// Bytes of that in use.
    pub used: u64,
    /// Seconds since 1970.
    pub last_seen: u64,
}

/// A share of the network: a row of `ls` and `search`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareLine {
    /// Its name.
    pub name: String,
    /// The content's id.
    pub id: String,
    /// Bytes of all files.
    pub bytes: u64,
    /// File or folder.
    pub kind: ContentKind,
    /// Name of who publishes it.
    pub publisher: String,
    /// Verified holders online.
    pub holders: u32,
    /// Whether it is for everyone in the network.
    #[serde(default)]
    pub open: bool,
    /// Where it lies on this machine, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// A transfer that is going on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferLine {
    /// Counts this peer's downloads up from 1.
    pub number: u64,
    /// What was asked for.
    pub name: String,
    /// The content's id.
    pub id: String,
    /// Where it goes.
    pub path: PathBuf,
    /// What it is doing, as in `progress`.
    pub state: String,
    /// Why it has stopped by itself, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Bytes per second at most, of this download.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down_limit: Option<u64>,
    /// How far.
    pub progress: Progress,
}

/// `GET /v1/status`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its name.
    pub name: String,
    /// Its key.
    pub id: String,
    /// The network's key.
    pub network: String,
    /// Its role.
    pub role: Role,
    /// `host:port` of the coordinator.
    pub coordinator: String,
    /// Whether it is connected to it now.
    pub connected: bool,
    /// `host:port` it listens on.
    pub listen: String,
    /// Whether others can dial it; none: not known yet.
    pub reachable: Option<bool>,
    /// `host:port` others dial.
    pub address: Option<String>,
    /// Bytes it offers to others.
    pub capacity: u64,
    /// Bytes of that in use.
    pub used: u64,
    /// Shares it publishes.
    pub shares: usize,
    /// Contents it holds.
    pub holdings: usize,
    /// Bytes served to others since it started.
    pub served: u64,
    /// Bytes that came from others since it started, and verified.
    #[serde(default)]
    pub received: u64,
    /// Connections to other peers.
    #[serde(default)]
    pub links: usize,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// What is being downloaded.
    pub transfers: Vec<TransferLine>,
    /// How this peer's backups stand, if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<BackupStatus>,
    /// Backups that it makes by itself.
    #[serde(default)]
    pub schedules: Vec<ScheduleLine>,
}

/// `POST /v1/backup`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRequest {
    /// Absolute paths of files and folders.
    pub paths: Vec<PathBuf>,
    /// `auto`, copies like `3x`, or data and parity like `4+2`.
    #[serde(default)]
    pub redundancy: String,
    /// Patterns of what to leave out.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// The end of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupDone {
    /// The snapshot's id.
    pub snapshot: String,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of those that were not stored yet.
    pub new_bytes: u64,
    /// Bytes that holders stored for it, all copies together.
    pub stored_bytes: u64,
    /// What was left out or changed meanwhile, and why.
    pub skipped: Vec<Skipped>,
    /// How many storage peers may vanish.
    pub survives: u32,
    /// There is a single copy of it.
    pub fragile: bool,
}

/// A snapshot: a row of `snapshots`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotLine {
    /// Its id.
    pub id: String,
    /// Seconds since 1970.
    pub made: u64,
    /// The name of the machine that made it.
    pub host: String,
    /// What was backed up.
    pub paths: Vec<String>,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What could not be read and is missing.
    pub missing: u64,
}

/// `POST /v1/restore`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// The snapshot's id, the beginning of it, or `latest`.
    pub snapshot: String,
    /// Absolute path of the folder to write to.
    pub to: Option<PathBuf>,
    /// Otherwise, absolute path of the folder in which `restored-ID` is made. Without both nothing is written:
    /// all is read and verified.
    #[serde(default)]
    pub beside: Option<PathBuf>,
    /// Only what lies here in the snapshot.
    pub path: Option<PathBuf>,
    /// Whether files that are there may be replaced.
    #[serde(default)]
    pub overwrite: bool,
}

/// The end of a restore.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RestoreDone {
    /// The snapshot's id.
    pub snapshot: String,
    /// Files that are there now.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Where it is, if it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What could not be restored, and why.
    pub failed: Vec<Skipped>,
}

/// `GET /v1/recovery-phrase`, `POST /v1/recover`
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhraseBody {
    /// The 24 words.
    pub phrase: String,
}

/// The end of a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoverDone {
    /// The owner's id.
    pub owner: String,
    /// Snapshots that can be restored now.
    pub snapshots: usize,
}

/// `POST /v1/check`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRequest {
    /// Read everything, not only what says where things are.
    #[serde(default)]
    pub read_data: bool,
}

/// The end of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckDone {
    /// Snapshots that were checked.
    pub snapshots: usize,
    /// Packs that they need.
    pub packs: usize,
    /// Bytes that were read.
    pub bytes: u64,
    /// How many storage peers may vanish.
    pub survives: u32,
    /// Packs that can be restored from who is online.
    pub reachable: u64,
    /// What is lost or damaged, and how.
    pub failed: Vec<Skipped>,
    /// Shards that were missing or damaged at a holder, and what was done.
    pub damaged: Vec<Damage>,
    /// What the owner said that was damaged on a holder's disk.
    #[serde(default)]
    pub papers: Vec<PaperDamage>,
}

/// Something that the owner said and a holder did not have on its disk as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaperDamage {
    /// The holder's name.
    pub holder: String,
    /// What it was.
    pub paper: String,
    /// Whether it is written again.
    pub repaired: bool,
}

/// A shard that was not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The pack's id.
    pub pack: String,
    /// Which shard of it.
    pub shard: u8,
    /// The name of who should have it; "nobody", if nobody has it.
    pub holder: String,
    /// What was wrong with it.
    pub problem: String,
    /// What was done.
    pub done: String,
    /// Whether it is kept again.
    pub repaired: bool,
}

/// `POST /v1/forget`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ForgetRequest {
    /// How many of the newest to keep.
    pub keep_last: u32,
    /// The newest of how many days.
    pub keep_daily: u32,
    /// The newest of how many weeks.
    pub keep_weekly: u32,
    /// The newest of how many months.
    pub keep_monthly: u32,
    /// The newest of how many years.
    pub keep_yearly: u32,
    /// Only say what would be.
    pub dry_run: bool,
}

/// What was forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForgetDone {
    /// Ids of snapshots.
    pub forgotten: Vec<String>,
    /// How many are left.
    pub kept: usize,
    /// Nothing was done.
    pub dry_run: bool,
}

/// `POST /v1/prune`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneRequest {
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// The end of a prune.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PruneDone {
    /// Packs that were condemned.
    pub packs: usize,
    /// What they take, with all holders: free when the grace of each is over.
    pub freed_bytes: u64,
    /// Bytes that were packed anew.
    pub repacked_bytes: u64,
    /// Packs that stay, index packs and new ones apart.
    pub kept: usize,
    /// Parts of packs that were kept once too often, and whose holders were told that.
    #[serde(default)]
    pub surplus: usize,
    /// Whether nothing was done.
    pub dry_run: bool,
}

/// `POST /v1/snapshot/ls`, `.../cat`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookRequest {
    /// The snapshot's id, the beginning of it, or `latest`.
    pub snapshot: String,
    /// A path in it; empty: all of it.
    #[serde(default)]
    pub path: PathBuf,
}

/// Something in a snapshot: a row of `ls-snapshot`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryLine {
    /// Its full path; what is not text is shown as codes.
    pub path: String,
    /// `file`, `folder` or `symlink`.
    pub kind: String,
    /// Bytes of a file.
    pub bytes: u64,
    /// Permissions.
    pub mode: u16,
    /// Seconds since 1970.
    pub modified: i64,
}

/// `POST /v1/snapshot/diff`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffRequest {
    /// A snapshot.
    pub old: String,
    /// Another.
    pub new: String,
}

/// What differs between two snapshots: a row of `diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its full path.
    pub path: String,
    /// `added`, `removed` or `changed`.
    pub change: String,
    /// Bytes of a file before.
    pub before: u64,
    /// Bytes of it now.
    pub after: u64,
}
