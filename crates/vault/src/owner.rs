//! The owner: what follows from the 24 words, and how devices come by their keys.
//!
//! Everything is derived from the phrase: the signing key (its public half is the [`OwnerId`]), the
//! naming key, and the key of each epoch. So the words alone open every backup, even if every roster
//! is lost. The signing key signs rosters and nothing else; devices do the daily work with their own
//! keys and with what the roster seals to them.

use skep_wire::{
    OwnerId, PeerId, Signed, SigningKey,
    backup::{Device, MAX_DEVICES, MAX_RETIRED, Retired, Rights, Roster},
};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::{
    keys::{EpochKey, KeyRing, MAX_EPOCHS, NamingKey},
    phrase::Phrase,
    sealed_box::{self, OpeningKey},
};

/// Contexts of `BLAKE3 derive_key`: one secret, independent keys.
const SIGNING: &str = "skep 2026 owner v1 signing key";
const NAMING: &str = "skep 2026 owner v1 naming key";
const EPOCH: &str = "skep 2026 owner v1 epoch key";
const SEALING: &str = "skep 2026 device v1 sealing key";

/// The person behind the backups, in possession of the phrase.
pub struct Owner {
    entropy: Zeroizing<[u8; 32]>,
    signing: SigningKey,
}

/// What a device asks to be listed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applicant {
    /// The key that it signs with.
    pub peer: PeerId,
    /// The key to which its keys are sealed: [`device_key`]'s public half.
    pub sealing: [u8; 32],
    /// What it shall be allowed to do.
    pub rights: Rights,
}

/// Why there is no next roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RosterError {
    /// It is of somebody else, or forged.
    #[error("the roster is not of this owner")]
    NotOurs,
    /// The list of devices is full.
    #[error("an owner has at most {MAX_DEVICES} devices")]
    TooManyDevices,
    /// The list of retired devices is full, or the epochs are used up.
    #[error("no more devices can be revoked: {MAX_EPOCHS} epochs have begun")]
    TooManyEpochs,
    /// The device was revoked, and a key once lost is lost.
    #[error("device {} was revoked; it needs a new key", .0.short())]
    WasRetired(PeerId),
    /// No such device in the roster.
    #[error("there is no device {}", .0.short())]
    Unknown(PeerId),
    /// Nothing can be sealed to the device's key.
    #[error("the sealing key of device {} is no key", .0.short())]
    BadKey(PeerId),
}

impl Owner {
    /// The owner who has this phrase. A wrong phrase is another owner, who has no backups.
    #[must_use]
    pub fn new(phrase: &Phrase) -> Self {
        let entropy = Zeroizing::new(*phrase.entropy());
        let mut seed = blake3::derive_key(SIGNING, &*entropy);
        let signing = SigningKey::from_seed(seed);
        seed.zeroize();
        Self { entropy, signing }
    }

    /// By what the owner is known.
    #[must_use]
    pub fn id(&self) -> OwnerId {
        OwnerId(self.signing.public())
    }

    /// The key under which pieces are named.
    #[must_use]
    pub fn naming(&self) -> NamingKey {
        NamingKey::new(Zeroizing::new(blake3::derive_key(NAMING, &*self.entropy)))
    }

    /// The key of an epoch.
    #[must_use]
    pub fn epoch(&self, epoch: u32) -> EpochKey {
        let mut material = Zeroizing::new([0; 36]);
        material[..32].copy_from_slice(&*self.entropy);
        material[32..].copy_from_slice(&epoch.to_le_bytes());
        EpochKey::new(Zeroizing::new(blake3::derive_key(EPOCH, &*material)))
    }

    /// The keys of all epochs up to `newest`, which is at most [`MAX_EPOCHS`].
    #[must_use]
    pub fn ring(&self, newest: u32) -> KeyRing {
        self.ring_of(1..=newest.min(MAX_EPOCHS))
    }

    fn ring_of(&self, epochs: impl Iterator<Item = u32>) -> KeyRing {
        let mut ring = KeyRing::new(self.naming());
        for epoch in epochs {
            ring.insert(epoch, self.epoch(epoch));
        }
        ring
    }

    /// The first roster, of one device.
    ///
    /// # Errors
    /// [`RosterError::BadKey`].
    pub fn found(
        &self,
        device: &Applicant,
        entropy: &mut dyn FnMut() -> [u8; 32],
    ) -> Result<Signed<Roster>, RosterError> {
        let empty = Roster {
            owner: self.id(),
            number: 0,
            epoch: 1,
            devices: Vec::new(),
            retired: Vec::new(),
        };
        self.next(empty, std::slice::from_ref(device), entropy)
    }

    /// The next roster, with one more device, or with the same device with other rights or sealing key.
    ///
    /// # Errors
    /// [`RosterError`] when the device cannot be listed.
    pub fn admit(
        &self,
        roster: &Signed<Roster>,
        device: &Applicant,
        entropy: &mut dyn FnMut() -> [u8; 32],
    ) -> Result<Signed<Roster>, RosterError> {
        let roster = self.read(roster)?;
        if roster.retired(&device.peer).is_some() {
            return Err(RosterError::WasRetired(device.peer));
        }
        let mut devices = applicants(&roster);
        devices.retain(|known| known.peer != device.peer);
        devices.push(*device);
        self.next(roster, &devices, entropy)
    }

    /// The next roster, without the device, in a new epoch. Of its heads those up to `last_head` still count.
    ///
    /// # Errors
    /// [`RosterError`] when it is not listed or no epochs are left.
    pub fn revoke(
        &self,
        roster: &Signed<Roster>,
        device: &PeerId,
        last_head: u64,
        entropy: &mut dyn FnMut() -> [u8; 32],
    ) -> Result<Signed<Roster>, RosterError> {
        let mut roster = self.read(roster)?;
        if roster.device(device).is_none() {
            return Err(RosterError::Unknown(*device));
        }
        if roster.epoch >= MAX_EPOCHS || roster.retired.len() >= MAX_RETIRED {
            return Err(RosterError::TooManyEpochs);
        }
        roster.epoch += 1;
        let peer = *device;
        roster.retired.push(Retired { peer, last_head });
        let mut devices = applicants(&roster);
        devices.retain(|known| known.peer != peer);
        self.next(roster, &devices, entropy)
    }

    fn read(&self, roster: &Signed<Roster>) -> Result<Roster, RosterError> {
        let roster = open_roster(roster, &self.id()).ok_or(RosterError::NotOurs)?;
        // What this owner signs has an epoch in bounds; what is not is nothing to continue.
        let fine = (1..=MAX_EPOCHS).contains(&roster.epoch);
        fine.then_some(roster).ok_or(RosterError::NotOurs)
    }

    fn next(
        &self,
        mut roster: Roster,
        devices: &[Applicant],
        entropy: &mut dyn FnMut() -> [u8; 32],
    ) -> Result<Signed<Roster>, RosterError> {
        if devices.len() > MAX_DEVICES {
            return Err(RosterError::TooManyDevices);
        }
        roster.number += 1;
        let sealed = devices.iter().map(|device| {
            let seed = Zeroizing::new(entropy());
            self.seal_keys(roster.number, roster.epoch, device, seed)
        });
        roster.devices = sealed.collect::<Result<_, _>>()?;
        Ok(Signed::new(&roster, &self.signing))
    }

    fn seal_keys(
        &self,
        number: u64,
        epoch: u32,
        device: &Applicant,
        seed: Zeroizing<[u8; 32]>,
    ) -> Result<Device, RosterError> {
        let first = if device.rights.contain(Rights::READ) {
            1
        } else {
            epoch
        };
        let ring = self.ring_of(first..=epoch).encode();
        let place = place(&self.id(), &device.peer, number);
        let keys = sealed_box::seal(&device.sealing, seed, &place, &ring)
            .map_err(|_| RosterError::BadKey(device.peer))?;
        Ok(Device {
            peer: device.peer,
            sealing: device.sealing,
            rights: device.rights,
            keys,
        })
    }
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Owner({:?})", self.id())
    }
}

/// The key with which a device opens what is sealed to it; it follows from the key it signs with.
#[must_use]
pub fn device_key(key: &SigningKey) -> OpeningKey {
    OpeningKey::from_seed(&Zeroizing::new(blake3::derive_key(SEALING, &**key.seed())))
}

/// The roster, if `owner` signed it about itself.
#[must_use]
pub fn open_roster(roster: &Signed<Roster>, owner: &OwnerId) -> Option<Roster> {
    let read = roster.open(&owner.0).ok()?;
    (read.owner == *owner).then_some(read)
}

/// The keys that the roster seals to this device; none if it has none for it.
#[must_use]
pub fn device_ring(roster: &Roster, key: &SigningKey) -> Option<KeyRing> {
    let device = roster.device(&key.peer_id())?;
    let place = place(&roster.owner, &device.peer, roster.number);
    let bytes = device_key(key).open(&place, &device.keys).ok()?;
    KeyRing::decode(&bytes)
}

fn applicants(roster: &Roster) -> Vec<Applicant> {
    let applicant = |device: &Device| Applicant {
        peer: device.peer,
        sealing: device.sealing,
        rights: device.rights,
    };
    roster.devices.iter().map(applicant).collect()
}

/// Owner, device and number of the roster: a box opens only in the roster it was made for.
fn place(owner: &OwnerId, device: &PeerId, number: u64) -> Vec<u8> {
    [&owner.0[..], &device.0, &number.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests;
