//! Shards that this peer keeps for others: one file each, with its owner's record behind the bytes.
//!
//! | path, in a folder for each owner | what |
//! |---|---|
//! | `PACK.N` | shard N of the pack; then the signed record, and its length (4 bytes, big-endian) |
//! | `PACK.N.new` | one that is arriving |
//!
//! A shard has its name when it has been verified against its record and synced, and not before. What is
//! there is found by looking; so the room that is used is counted right after a crash. What an owner says
//! (rosters, heads) is in [`crate::papers`], in the same folders.

mod arriving;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Bound,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use skep_wire::{
    BlobId, OwnerId, PackId, RelPath, Signed, backup::PackRecord, message::ShardName, signed::Record,
};
use skep_world::{
    Dir, File,
    disk::{Entry, Kind, Open},
};
use thiserror::Error;

pub use self::arriving::{Arriving, Room};

/// Bytes that are hashed at a time.
const PIECE: usize = 1 << 20;
/// The most bytes of a record behind a shard.
const MAX_RECORD: u64 = PackRecord::LIMIT as u64 + 128;

/// How much may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all owners together.
    pub capacity_bytes: u64,
    /// Bytes of one owner.
    pub quota_bytes: u64,
    /// Bytes that stay free on the disk whatever the capacity.
    pub min_free_bytes: u64,
}

/// Tells how many bytes are free on the disk.
pub type FreeBytes = Box<dyn Fn() -> io::Result<u64> + Send + Sync>;

/// Why something is not kept.
#[derive(Debug, Error)]
pub enum KeepError {
    /// The capacity, or what the disk must keep free, is used up.
    #[error("there is no room for {0} more bytes here")]
    NoRoom(u64),
    /// The owner has as much here as one owner may.
    #[error("this owner has {used} bytes here, and may have {quota}")]
    Quota {
        /// Bytes that it has.
        used: u64,
        /// Bytes that it may have.
        quota: u64,
    },
    /// The same shard is arriving already.
    #[error("this shard is arriving already")]
    Arriving,
    /// The bytes are not those of the record.
    #[error("the bytes are not those of the shard")]
    Wrong,
    /// The disk says no.
    #[error("the disk failed: {0}")]
    Io(#[from] io::Error),
}

/// All shards that are kept here.
pub struct Shards {
    dir: Arc<dyn Dir>,
    free: FreeBytes,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    owners: BTreeMap<OwnerId, Kept>,
    arriving: BTreeSet<(OwnerId, ShardName)>,
    reserved: u64,
}

/// What is kept of one owner.
#[derive(Default)]
struct Kept {
    shards: BTreeMap<ShardName, Place>,
    /// Of files, and of what is arriving.
    bytes: u64,
}

#[derive(Clone, Copy)]
struct Place {
    /// Of the shard, without its record.
    size: u64,
    /// Of the file.
    bytes: u64,
    /// Whether it was hashed since the start, and was right.
    verified: bool,
}

impl Shards {
    /// Looks at what is kept in `dir`, where nobody else writes, and removes what was arriving.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(dir: Arc<dyn Dir>, free: FreeBytes, limits: Limits) -> io::Result<Arc<Self>> {
        let mut state = State::default();
        for (owner, folder) in owners(&*dir)? {
            let kept = state.owners.entry(owner).or_default();
            for entry in dir.list(Some(&folder))? {
                look_at(&*dir, &folder, &entry, kept)?;
            }
        }
        Ok(Arc::new(Self {
            dir,
            free,
            limits,
            state: Mutex::new(state),
        }))
    }

    /// Bytes that are used of the capacity.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.state().owners.values().map(|kept| kept.bytes).sum()
    }

    /// Bytes that an owner uses.
    #[must_use]
    pub fn used_by(&self, owner: &OwnerId) -> u64 {
        self.state().owners.get(owner).map_or(0, |kept| kept.bytes)
    }

    /// Whose shards are kept.
    #[must_use]
    pub fn owners(&self) -> Vec<OwnerId> {
        let state = self.state();
        let some = state.owners.iter().filter(|(_, kept)| !kept.shards.is_empty());
        some.map(|(owner, _)| *owner).collect()
    }

    /// The shards of an owner after `after`, ascending; at most `limit`.
    #[must_use]
    pub fn list(&self, owner: &OwnerId, after: Option<ShardName>, limit: usize) -> Vec<ShardName> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let state = self.state();
        let kept = state.owners.get(owner);
        let names = kept
            .into_iter()
            .flat_map(|kept| kept.shards.range((first, Bound::Unbounded)));
        names.map(|(name, _)| *name).take(limit).collect()
    }

    /// Whether this shard is kept.
    #[must_use]
    pub fn has(&self, owner: &OwnerId, name: &ShardName) -> bool {
        self.place(owner, name).is_some()
    }

    /// Whether any shard of this pack is kept.
    #[must_use]
    pub fn has_pack(&self, owner: &OwnerId, pack: &PackId) -> bool {
        !self.of_pack(owner, pack).is_empty()
    }

    /// The shards of a pack that are kept.
    #[must_use]
    pub fn of_pack(&self, owner: &OwnerId, pack: &PackId) -> Vec<ShardName> {
        let state = self.state();
        let kept = state.owners.get(owner);
        let shard = |shard| ShardName { pack: *pack, shard };
        let names = kept
            .into_iter()
            .flat_map(|kept| kept.shards.range(shard(0)..=shard(u8::MAX)));
        names.map(|(name, _)| *name).collect()
    }

    /// Bytes of a shard.
    #[must_use]
    pub fn size(&self, owner: &OwnerId, name: &ShardName) -> Option<u64> {
        self.place(owner, name).map(|place| place.size)
    }

    /// The owner's record of the pack, as it came.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record(&self, owner: &OwnerId, name: &ShardName) -> io::Result<Signed<PackRecord>> {
        let place = self.place(owner, name).ok_or(io::ErrorKind::NotFound)?;
        let file = self.dir.open(&path(owner, name), Open::Read)?;
        read_record(&*file, place.bytes).map(|(_, record)| record)
    }

    /// Bytes of a shard, from `first` on: at most `out`. The first time since the start the whole shard is
    /// hashed before any of it is given out.
    ///
    /// # Errors
    /// Of kind `InvalidData` when it is not what it should be; or when it cannot be read.
    pub fn read(&self, owner: &OwnerId, name: &ShardName, first: u64, out: &mut [u8]) -> io::Result<()> {
        let place = self.place(owner, name).ok_or(io::ErrorKind::NotFound)?;
        let end = first.saturating_add(out.len() as u64);
        if end > place.size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !place.verified {
            self.verify(owner, name)?;
        }
        let file = self.dir.open(&path(owner, name), Open::Read)?;
        if first == 0 {
            // Whoever reads all of it learns of a record that has rotten, too.
            signed_record(&*file, place.bytes)?;
        }
        file.read_exact_at(first, out)
    }

    /// Hashes a shard, and checks the signature of its record. Whether the owner lists the signer is not known here.
    ///
    /// # Errors
    /// Of kind `InvalidData` when it is not what its record says, or nobody signed that; or when it cannot be read.
    pub fn verify(&self, owner: &OwnerId, name: &ShardName) -> io::Result<()> {
        let place = self.place(owner, name).ok_or(io::ErrorKind::NotFound)?;
        let file = self.dir.open(&path(owner, name), Open::Read)?;
        let record = signed_record(&*file, place.bytes)?;
        let expected = record.shards.get(usize::from(name.shard)).ok_or_else(damaged)?;
        if record.owner != *owner || record.pack != name.pack || hash(&*file, place.size)? != *expected {
            return Err(damaged());
        }
        if let Some(place) = self.state().place_mut(owner, name) {
            place.verified = true;
        }
        Ok(())
    }

    /// Deletes a shard.
    ///
    /// # Errors
    /// When it cannot be removed; one that is not there is no error.
    pub fn remove(&self, owner: &OwnerId, name: &ShardName) -> io::Result<()> {
        match self.dir.remove_file(&path(owner, name)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let mut state = self.state();
        if let Some(kept) = state.owners.get_mut(owner)
            && let Some(place) = kept.shards.remove(name)
        {
            kept.bytes = kept.bytes.saturating_sub(place.bytes);
        }
        Ok(())
    }

    fn place(&self, owner: &OwnerId, name: &ShardName) -> Option<Place> {
        self.state().owners.get(owner)?.shards.get(name).copied()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn place_mut(&mut self, owner: &OwnerId, name: &ShardName) -> Option<&mut Place> {
        self.owners.get_mut(owner)?.shards.get_mut(name)
    }
}

/// The folders of owners.
pub(crate) fn owners(dir: &dyn Dir) -> io::Result<Vec<(OwnerId, RelPath)>> {
    let folders = dir
        .list(None)?
        .into_iter()
        .filter(|entry| entry.kind == Kind::Dir);
    let named = folders.filter_map(|entry| {
        let name = entry.name.to_str()?;
        Some((name.parse().ok()?, RelPath::parse(name).ok()?))
    });
    Ok(named.collect())
}

/// Takes in one name of an owner's folder.
fn look_at(dir: &dyn Dir, folder: &RelPath, entry: &Entry, kept: &mut Kept) -> io::Result<()> {
    let Some((path, text)) = entry.name.to_str().and_then(|text| {
        let name = RelPath::parse(text).ok()?;
        Some((folder.join(&name).ok()?, text))
    }) else {
        return Ok(());
    };
    if text.ends_with(".new") {
        return dir.remove_file(&path);
    }
    let Some(name) = parse_name(text) else {
        return Ok(());
    };
    let file = dir.open(&path, Open::Read)?;
    let bytes = file.stat()?.size;
    match read_record(&*file, bytes) {
        Ok((size, _)) => {
            let place = Place {
                size,
                bytes,
                verified: false,
            };
            kept.shards.insert(name, place);
            kept.bytes += bytes;
            Ok(())
        }
        // Whatever it was, it is no shard any more: what is damaged is brought anew.
        Err(e) if e.kind() == io::ErrorKind::InvalidData => dir.remove_file(&path),
        Err(e) => Err(e),
    }
}

fn parse_name(text: &str) -> Option<ShardName> {
    let (pack, shard) = text.split_once('.')?;
    Some(ShardName {
        pack: pack.parse().ok()?,
        shard: shard.parse().ok()?,
    })
}

/// Bytes of the shard, and its record, of a file of `bytes`.
fn read_record(file: &dyn File, bytes: u64) -> io::Result<(u64, Signed<PackRecord>)> {
    let at = bytes.checked_sub(4).ok_or_else(damaged)?;
    let mut length = [0; 4];
    file.read_exact_at(at, &mut length)?;
    let length = u64::from(u32::from_be_bytes(length));
    let size = at
        .checked_sub(length)
        .filter(|_| length <= MAX_RECORD)
        .ok_or_else(damaged)?;
    let mut record = vec![0; usize::try_from(length).map_err(|_| damaged())?];
    file.read_exact_at(size, &mut record)?;
    let signed = Signed::<PackRecord>::decode(&record).map_err(|_| damaged())?;
    let said = signed.peek().map_err(|_| damaged())?;
    if said.shard_bytes() == size {
        Ok((size, signed))
    } else {
        Err(damaged())
    }
}

/// The same, if it is what its device signed.
fn signed_record(file: &dyn File, bytes: u64) -> io::Result<PackRecord> {
    let (_, signed) = read_record(file, bytes)?;
    let said = signed.peek().map_err(|_| damaged())?;
    signed.open(&said.device.0).map_err(|_| damaged())
}

fn hash(file: &dyn File, size: u64) -> io::Result<BlobId> {
    let (mut hasher, mut at) = (blake3::Hasher::new(), 0);
    let mut piece = vec![0; PIECE];
    while at < size {
        let count = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        file.read_exact_at(at, &mut piece[..count])?;
        hasher.update(&piece[..count]);
        at += count as u64;
    }
    Ok(BlobId(*hasher.finalize().as_bytes()))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the shard is damaged")
}

pub(crate) fn folder(owner: &OwnerId) -> RelPath {
    RelPath::parse(&owner.to_string()).expect("hexadecimal digits are a path")
}

fn path(owner: &OwnerId, name: &ShardName) -> RelPath {
    RelPath::parse(&format!("{owner}/{}.{}", name.pack, name.shard)).expect("digits and a dot are a path")
}

#[cfg(test)]
mod tests;
