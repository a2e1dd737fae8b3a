//! What holders and coordinators read of backups: records that an owner's devices sign.
//!
//! They name packs, shards and devices by their ids and sizes, and nothing that is in them; what is
//! sealed stays sealed here. A record counts if the owner's [`Roster`] lists the device that signed
//! it, with the right to say so: [`open`] and [`open_kept`] are the only doors. No record contains
//! a network: an owner's backups are the same in every network that their holders join.

mod permit;
mod roster;
mod scheme;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    bounded,
    id::{BlobId, OwnerId, PackId, PeerId},
    signed::{Record, Signed, SignedError},
};

pub use self::{
    permit::Permit,
    roster::{Device, MAX_DEVICES, MAX_RETIRED, Retired, Rights, Roster},
    scheme::{ParseSchemeError, Scheme},
};

/// The most packs in one [`Condemnation`], [`Cancelation`] or [`Surplus`].
pub const MAX_NAMED_PACKS: usize = 4096;
/// The most packs in the list of a [`Head`]: 16 TiB of packs of 16 MiB.
pub const MAX_LISTED_PACKS: usize = 1 << 20;
/// The most sealed bytes of a [`Head`].
pub const MAX_SEALED_BYTES: usize = 1 << 20;

/// How a pack is kept: every holder of a shard keeps this, and a rebuilt shard must match its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "LoosePackRecord")]
pub struct PackRecord {
    /// Whose it is.
    pub owner: OwnerId,
    /// The device that sealed it and signs this.
    pub device: PeerId,
    /// The pack.
    pub pack: PackId,
    /// Bytes of the pack, not of a shard.
    pub size: u64,
    /// The epoch of the key under which it is sealed.
    pub epoch: u32,
    /// How it is split.
    pub scheme: Scheme,
    /// The hash of every shard, in order. Replicas all have the hash of the pack.
    pub shards: Vec<BlobId>,
}

/// A [`PackRecord`] before its parts were held against each other.
#[derive(Deserialize)]
struct LoosePackRecord {
    owner: OwnerId,
    device: PeerId,
    pack: PackId,
    size: u64,
    epoch: u32,
    scheme: Scheme,
    shards: Vec<BlobId>,
}

impl TryFrom<LoosePackRecord> for PackRecord {
    type Error = &'static str;

    fn try_from(loose: LoosePackRecord) -> Result<Self, Self::Error> {
        if loose.shards.len() != loose.scheme.shards() {
            return Err("as many shards as the scheme says");
        }
        let copies = loose.scheme.data() == 1;
        if copies && loose.shards.iter().any(|shard| shard.0 != loose.pack.0) {
            return Err("a replica is the pack itself");
        }
        Ok(Self {
            owner: loose.owner,
            device: loose.device,
            pack: loose.pack,
            size: loose.size,
            epoch: loose.epoch,
            scheme: loose.scheme,
            shards: loose.shards,
        })
    }
}

impl PackRecord {
    /// Bytes of each of its shards.
    #[must_use]
    pub fn shard_bytes(&self) -> u64 {
        self.scheme.shard_bytes(self.size)
    }
}

/// Where a device's backups stand: all of its snapshots, sealed, and which packs they need.
///
/// Numbered from 1 and chained; the highest number wins, and whoever has seen one takes no lower one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Whose it is.
    pub owner: OwnerId,
    /// Which device says it.
    pub device: PeerId,
    /// Counts the device's heads up from 1.
    pub number: u64,
    /// [`digest`] of the head before; zeros in the first.
    pub previous: [u8; 32],
    /// The number of the newest roster that the device knew.
    pub roster: u64,
    /// Seconds since 1970.
    pub made_unix_s: u64,
    /// The epoch of the key under which `sealed` is sealed.
    pub epoch: u32,
    /// Of the key of `sealed`; used once.
    pub salt: [u8; 32],
    /// The catalog of snapshots. At most [`MAX_SEALED_BYTES`].
    #[serde(deserialize_with = "bounded::list::<MAX_SEALED_BYTES, _, _>")]
    pub sealed: Vec<u8>,
    /// The blob made by [`encode_pack_list`]: all packs that must stay for this head.
    pub packs: PackList,
}

/// The list of a head's packs, which is a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackList {
    /// Its hash.
    pub id: BlobId,
    /// Its bytes, 32 for each pack.
    pub size: u64,
}

/// These packs may be deleted, after a grace that each holder counts from receipt.
///
/// It is void as soon as the device is no longer in the roster, while a head of any listed device
/// needs the pack, and when it is canceled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemnation {
    /// Whose they are.
    pub owner: OwnerId,
    /// Which device says it.
    pub device: PeerId,
    /// Counts the device's condemnations up from 1.
    pub number: u64,
    /// Seconds since 1970. For display; the grace is counted from receipt.
    pub made_unix_s: u64,
    /// Which. At most [`MAX_NAMED_PACKS`].
    #[serde(deserialize_with = "bounded::list::<MAX_NAMED_PACKS, _, _>")]
    pub packs: Vec<PackId>,
}

/// What a device condemned, up to some number, is to be kept after all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelation {
    /// Whose they are.
    pub owner: OwnerId,
    /// Which device says it.
    pub device: PeerId,
    /// Whose condemnations are canceled.
    pub condemned_by: PeerId,
    /// Up to which number, this one included.
    pub up_to: u64,
    /// Which packs; none stands for all. At most [`MAX_NAMED_PACKS`].
    #[serde(deserialize_with = "bounded::list::<MAX_NAMED_PACKS, _, _>")]
    pub packs: Vec<PackId>,
}

/// A holder need not keep what it has of these packs: others have all that it takes. After a grace, and if the holder's
/// coordinator says so too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Surplus {
    /// Whose they are.
    pub owner: OwnerId,
    /// Which device says it.
    pub device: PeerId,
    /// Counts up with the device's condemnations.
    pub number: u64,
    /// Seconds since 1970. For display; the grace is counted from receipt.
    pub made_unix_s: u64,
    /// Whose parts are too many: to nobody else this means anything.
    pub holder: PeerId,
    /// Which. At most [`MAX_NAMED_PACKS`].
    #[serde(deserialize_with = "bounded::list::<MAX_NAMED_PACKS, _, _>")]
    pub packs: Vec<PackId>,
}

/// A record that a device signs for its owner.
pub trait DeviceRecord: Record {
    /// What the device must be allowed to do.
    const RIGHT: Rights;

    /// Whose backups it is about.
    fn owner(&self) -> OwnerId;

    /// Which device signs it.
    fn device(&self) -> PeerId;

    /// Whether it still counts when its device has been retired.
    fn outlives(&self, retired: &Retired) -> bool;
}

/// Why a device's record does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotAllowed {
    /// It is not what it says.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// The roster is of somebody else.
    #[error("the record belongs to another owner")]
    Owner,
    /// The owner does not list the device, or not with this right.
    #[error("the owner does not allow this to device {}", .0.short())]
    Device(PeerId),
}

/// The record, if the owner of `roster` now lets its device say so.
///
/// # Errors
/// [`NotAllowed`] when it does not count.
pub fn open<T: DeviceRecord>(signed: &Signed<T>, roster: &Roster) -> Result<T, NotAllowed> {
    let device = claimed(signed, roster)?;
    let listed = roster.device(&device).ok_or(NotAllowed::Device(device))?;
    if !listed.rights.contain(T::RIGHT) {
        return Err(NotAllowed::Device(device));
    }
    Ok(signed.open(&device.0)?)
}

/// The record, if it counts now or counted when its device was retired: for what was kept long ago.
///
/// # Errors
/// [`NotAllowed`] when it does not count.
pub fn open_kept<T: DeviceRecord>(signed: &Signed<T>, roster: &Roster) -> Result<T, NotAllowed> {
    let device = claimed(signed, roster)?;
    let Some(retired) = roster.retired(&device) else {
        return open(signed, roster);
    };
    let record = signed.open(&device.0)?;
    if record.outlives(retired) {
        Ok(record)
    } else {
        Err(NotAllowed::Device(device))
    }
}

/// The device that a record of the roster's owner claims to be signed by.
fn claimed<T: DeviceRecord>(signed: &Signed<T>, roster: &Roster) -> Result<PeerId, NotAllowed> {
    let record = signed.peek()?;
    if record.owner() == roster.owner {
        Ok(record.device())
    } else {
        Err(NotAllowed::Owner)
    }
}

/// What the next head calls this one.
#[must_use]
pub fn digest(head: &Signed<Head>) -> [u8; 32] {
    *blake3::hash(&head.encode()).as_bytes()
}

/// The bytes of a list of packs: their ids, ascending, each once.
#[must_use]
pub fn encode_pack_list(mut packs: Vec<PackId>) -> Vec<u8> {
    packs.sort_unstable();
    packs.dedup();
    packs.iter().flat_map(|pack| pack.0).collect()
}

/// Reads a list of packs; none if the bytes are not one.
#[must_use]
pub fn decode_pack_list(bytes: &[u8]) -> Option<Vec<PackId>> {
    let (ids, rest) = bytes.as_chunks::<32>();
    let fine = rest.is_empty() && ids.len() <= MAX_LISTED_PACKS && ids.is_sorted_by(|a, b| a < b);
    fine.then(|| ids.iter().map(|id| PackId(*id)).collect())
}

impl Record for PackRecord {
    const DOMAIN: &'static str = "skep pack record v1";
    const LIMIT: usize = 2048;
}

impl Record for Head {
    const DOMAIN: &'static str = "skep head v1";
    const LIMIT: usize = MAX_SEALED_BYTES + 512;
}

impl Record for Condemnation {
    const DOMAIN: &'static str = "skep condemnation v1";
    const LIMIT: usize = MAX_NAMED_PACKS * 32 + 256;
}

impl Record for Surplus {
    const DOMAIN: &'static str = "skep surplus v1";
    const LIMIT: usize = MAX_NAMED_PACKS * 32 + 256;
}

impl Record for Cancelation {
    const DOMAIN: &'static str = "skep cancelation v1";
    const LIMIT: usize = MAX_NAMED_PACKS * 32 + 256;
}

macro_rules! device_record {
    ($record:ty, $right:expr, |$this:ident, $retired:ident| $outlives:expr) => {
        impl DeviceRecord for $record {
            const RIGHT: Rights = $right;

            fn owner(&self) -> OwnerId {
                self.owner
            }

            fn device(&self) -> PeerId {
                self.device
            }

            fn outlives(&self, $retired: &Retired) -> bool {
                let $this = self;
                $outlives
            }
        }
    };
}

// The pack of a retired device is still read and repaired; holders take no new ones, by `open`.
device_record!(PackRecord, Rights::WRITE, |_this, _retired| true);
device_record!(Head, Rights::WRITE, |this, retired| this.number
    <= retired.last_head);
device_record!(Condemnation, Rights::PRUNE, |_this, _retired| false);
device_record!(Cancelation, Rights::WRITE, |_this, _retired| false);
device_record!(Surplus, Rights::PRUNE, |_this, _retired| false);

#[cfg(test)]
mod tests;
