//! A shard on its way in: room set aside for it, bytes as they come, and at the end its name or nothing.

use std::{io, sync::Arc};

use skep_wire::{BlobId, OwnerId, RelPath, Signed, backup::PackRecord, message::ShardName};
use skep_world::{
    File,
    disk::{Open, Replace},
};

use super::{KeepError, Place, Shards, folder, path};

/// Bytes that a record takes at most, for the count.
pub(super) const RECORD_BYTES: u64 = 2048;

/// Room for a shard, given back when dropped.
pub struct Room {
    shards: Arc<Shards>,
    owner: OwnerId,
    name: ShardName,
    bytes: u64,
}

/// A shard that is arriving. Dropped before its end, it leaves nothing.
pub struct Arriving {
    room: Room,
    file: Arc<dyn File>,
    new: RelPath,
    hasher: blake3::Hasher,
    written: u64,
    finished: bool,
}

impl Shards {
    /// Sets room aside.
    ///
    /// # Errors
    /// [`KeepError`] says what is used up.
    pub fn room(
        self: &Arc<Self>,
        owner: OwnerId,
        name: ShardName,
        shard_bytes: u64,
    ) -> Result<Room, KeepError> {
        let bytes = shard_bytes.saturating_add(RECORD_BYTES);
        let free = (self.free)()?;
        let mut state = self.state();
        let used: u64 = state.owners.values().map(|kept| kept.bytes).sum();
        let on_disk = free.saturating_sub(state.reserved);
        let is_full = used.saturating_add(bytes) > self.limits.capacity_bytes
            || on_disk < bytes.saturating_add(self.limits.min_free_bytes);
        if is_full {
            return Err(KeepError::NoRoom(bytes));
        }
        let of_owner = state.owners.get(&owner).map_or(0, |kept| kept.bytes);
        if of_owner.saturating_add(bytes) > self.limits.quota_bytes {
            return Err(KeepError::Quota {
                used: of_owner,
                quota: self.limits.quota_bytes,
            });
        }
        if !state.arriving.insert((owner, name)) {
            return Err(KeepError::Arriving);
        }
        state.owners.entry(owner).or_default().bytes += bytes;
        state.reserved += bytes;
        drop(state);
        let shards = self.clone();
        Ok(Room {
            shards,
            owner,
            name,
            bytes,
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.shards.state();
        state.arriving.remove(&(self.owner, self.name));
        state.reserved = state.reserved.saturating_sub(self.bytes);
        if let Some(kept) = state.owners.get_mut(&self.owner) {
            kept.bytes = kept.bytes.saturating_sub(self.bytes);
        }
    }
}

impl Room {
    /// Begins the file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin(self) -> io::Result<Arriving> {
        let dir = &self.shards.dir;
        let folder = folder(&self.owner);
        if dir.stat(&folder).is_err() {
            dir.make_dirs(&folder)?;
            dir.sync(None)?;
        }
        let new =
            RelPath::parse(&format!("{}.new", path(&self.owner, &self.name))).map_err(io::Error::other)?;
        match dir.remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        let file = dir.open(&new, Open::CreateNewPrivate)?;
        Ok(Arriving {
            room: self,
            file,
            new,
            hasher: blake3::Hasher::new(),
            written: 0,
            finished: false,
        })
    }
}

impl Arriving {
    /// The next bytes.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_through_at(self.written, bytes)?;
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// That was all: if it is what the record says, it is kept from now on, durably.
    ///
    /// # Errors
    /// [`KeepError::Wrong`] if it is something else; or when it cannot be written.
    pub fn finish(mut self, signed: &Signed<PackRecord>, record: &PackRecord) -> Result<(), KeepError> {
        let (owner, name) = (self.room.owner, self.room.name);
        let id = BlobId(*self.hasher.finalize().as_bytes());
        let expected = record.shards.get(usize::from(name.shard));
        let fits = record.owner == owner && record.pack == name.pack && record.shard_bytes() == self.written;
        if !fits || expected != Some(&id) {
            return Err(KeepError::Wrong);
        }
        let bytes = self.write_record(signed)?;
        let dir = self.room.shards.dir.clone();
        dir.rename(&self.new, &path(&owner, &name), Replace::Allow)?;
        self.finished = true;
        if let Err(error) = dir.sync(Some(&folder(&owner))) {
            // What is not counted is not to lie there either.
            let _ = dir.remove_file(&path(&owner, &name));
            return Err(error.into());
        }
        let place = Place {
            size: self.written,
            bytes,
            verified: true,
        };
        let mut state = self.room.shards.state();
        let kept = state.owners.entry(owner).or_default();
        let before = kept.shards.insert(name, place);
        kept.bytes = (kept.bytes + bytes).saturating_sub(before.map_or(0, |place| place.bytes));
        Ok(())
    }

    fn write_record(&self, signed: &Signed<PackRecord>) -> Result<u64, KeepError> {
        let mut end = signed.encode();
        let length = u32::try_from(end.len()).map_err(|_| KeepError::Wrong)?;
        end.extend(length.to_be_bytes());
        self.file.write_at(self.written, &end)?;
        self.file.sync()?;
        Ok(self.written + end.len() as u64)
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.finished {
            // What stays behind is removed at the next start.
            let _ = self.room.shards.dir.remove_file(&self.new);
        }
    }
}
