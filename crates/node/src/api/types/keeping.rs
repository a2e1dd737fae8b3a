//! What is kept for others, and how it is got rid of.

use serde::{Deserialize, Serialize};

/// `GET /v1/kept`: an owner of whom something is kept here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLine {
    /// The owner's id.
    pub owner: String,
    /// Names of its devices, as far as the network knows them.
    pub devices: Vec<String>,
    /// Shards that are kept.
    pub shards: usize,
    /// Bytes that they use.
    pub bytes: u64,
}

/// `POST /v1/evict`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictRequest {
    /// The owner's id, the beginning of it, or the name of one of its devices.
    pub owner: String,
    /// How long others have to rebuild what is here.
    pub wait_seconds: u64,
}

/// The end of an eviction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictDone {
    /// The owner's id.
    pub owner: String,
    /// Shards that were deleted.
    pub shards: u64,
    /// Bytes that are free now.
    pub bytes: u64,
    /// Shards that others did not have when the patience was over.
    pub left_shards: u64,
    /// Their bytes.
    pub left_bytes: u64,
}

/// `POST /v1/leave`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LeaveRequest {
    /// At once, even if the coordinator cannot be told.
    pub force: bool,
    /// How long others have to rebuild what is kept here.
    pub wait_seconds: u64,
}

/// The end of a membership.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveDone {
    /// Shards kept here that others did not have; not known if it was forced.
    pub left_shards: u64,
    /// Their bytes.
    pub left_bytes: u64,
}
