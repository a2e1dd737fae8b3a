//! Heads: how a device seals its catalog into the signed record that commits a backup.
//!
//! The catalog is sealed with AES-256-GCM under a key derived from the key of the epoch and a fresh
//! salt, and bound to owner, device, number and the head before: it does not open in another head. The
//! plaintext is the catalog's length (u32 LE), the catalog, and zeros up to a padded size.

use skep_wire::{
    OwnerId, PeerId, Signed, SigningKey,
    backup::{self, Head, MAX_SEALED_BYTES, PackList},
};
use thiserror::Error;

use crate::{
    cipher::{Cipher, TAG_BYTES},
    keys::KeyRing,
    padding::padme,
    snapshot::Catalog,
};

const VERSION: u8 = 1;
const LABEL: &[u8] = b"skep head key v1";

/// The head before, as the next one names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Previous {
    /// Its number; 0 if there is none.
    pub number: u64,
    /// Its digest; zeros if there is none.
    pub digest: [u8; 32],
}

/// What stands in a head beside the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Whose it is.
    pub owner: OwnerId,
    /// The head before.
    pub previous: Previous,
    /// The number of the roster that the device knows.
    pub roster: u64,
    /// The epoch that the roster names.
    pub epoch: u32,
    /// Seconds since 1970.
    pub made_unix_s: u64,
    /// All packs that the catalog needs.
    pub packs: PackList,
}

/// Why there is no head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// The device has no key of that epoch.
    #[error("there is no key for epoch {0}")]
    NoKey(u32),
    /// Too many snapshots.
    #[error("the catalog of snapshots is too long; forget some")]
    TooLong,
    /// The catalog does not open, or is none.
    #[error("the sealed catalog does not open")]
    Damaged,
}

impl Previous {
    /// What the head after `head` says of it.
    #[must_use]
    pub fn of(head: &Signed<Head>, number: u64) -> Self {
        Self {
            number,
            digest: backup::digest(head),
        }
    }
}

/// The next head of the device with `key`. The salt is random and used once.
///
/// # Errors
/// [`HeadError`] when the catalog cannot be sealed.
pub fn seal(
    frame: &Frame,
    catalog: &Catalog,
    ring: &KeyRing,
    salt: [u8; 32],
    key: &SigningKey,
) -> Result<Signed<Head>, HeadError> {
    let mut head = Head {
        owner: frame.owner,
        device: key.peer_id(),
        number: frame.previous.number + 1,
        previous: frame.previous.digest,
        roster: frame.roster,
        made_unix_s: frame.made_unix_s,
        epoch: frame.epoch,
        salt,
        sealed: Vec::new(),
        packs: frame.packs,
    };
    let cipher = cipher(&head, ring)?;
    let mut sealed = padded(&catalog.encode())?;
    cipher.seal(0, &bound(&head), &mut sealed, 0);
    head.sealed = sealed;
    Ok(Signed::new(&head, key))
}

/// The catalog of a head, whose signature was checked by [`backup::open`] or [`backup::open_kept`].
///
/// # Errors
/// [`HeadError`] when it does not open.
pub fn open(head: &Head, ring: &KeyRing) -> Result<Catalog, HeadError> {
    let cipher = cipher(head, ring)?;
    let mut sealed = head.sealed.clone();
    let plain = cipher
        .open(0, &bound(head), &mut sealed)
        .map_err(|_| HeadError::Damaged)?;
    let (len, rest) = plain.split_first_chunk::<4>().ok_or(HeadError::Damaged)?;
    let catalog = rest.get(..u32::from_le_bytes(*len) as usize);
    catalog.and_then(Catalog::decode).ok_or(HeadError::Damaged)
}

/// Whether `next` is a head of the same device that comes right after `previous`.
#[must_use]
pub fn follows(next: &Head, owner: OwnerId, device: PeerId, previous: &Previous) -> bool {
    next.owner == owner
        && next.device == device
        && next.number == previous.number + 1
        && next.previous == previous.digest
}

fn cipher(head: &Head, ring: &KeyRing) -> Result<Cipher, HeadError> {
    let key = ring.epoch(head.epoch).ok_or(HeadError::NoKey(head.epoch))?;
    Ok(Cipher::derive(key.bytes(), &head.salt, LABEL))
}

fn padded(catalog: &[u8]) -> Result<Vec<u8>, HeadError> {
    let whole = padme((4 + catalog.len() + TAG_BYTES) as u64);
    let whole = usize::try_from(whole).map_err(|_| HeadError::TooLong)?;
    if whole > MAX_SEALED_BYTES {
        return Err(HeadError::TooLong);
    }
    let len = u32::try_from(catalog.len()).map_err(|_| HeadError::TooLong)?;
    let mut out = Vec::with_capacity(whole);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(catalog);
    out.resize(whole - TAG_BYTES, 0);
    Ok(out)
}

/// Version 1, owner 32, device 32, number u64 LE, previous 32.
fn bound(head: &Head) -> Vec<u8> {
    let number = head.number.to_le_bytes();
    [
        &[VERSION][..],
        &head.owner.0,
        &head.device.0,
        &number,
        &head.previous,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use skep_wire::{BlobId, PackId};
    use zeroize::Zeroizing;

    use super::*;
    use crate::{
        content::Content,
        keys::{EpochKey, NamingKey},
        snapshot::Snapshot,
    };

    fn ring() -> KeyRing {
        let mut ring = KeyRing::new(NamingKey::new(Zeroizing::new([1; 32])));
        ring.insert(2, EpochKey::new(Zeroizing::new([2; 32])));
        ring
    }

    fn frame(previous: Previous) -> Frame {
        Frame {
            owner: OwnerId([5; 32]),
            previous,
            roster: 4,
            epoch: 2,
            made_unix_s: 1_700_000_000,
            packs: PackList {
                id: BlobId([6; 32]),
                size: 64,
            },
        }
    }

    fn catalog(snapshots: usize) -> Catalog {
        let root = Content {
            size: 0,
            depth: 0,
            pieces: vec![],
        };
        let snapshot = Snapshot {
            made_unix_s: 3,
            host: b"desk".to_vec(),
            paths: vec![b"/home/ann".to_vec()],
            root,
            files: 1,
            bytes: 2,
            missing: 0,
        };
        Catalog {
            snapshots: vec![snapshot; snapshots],
            indexes: vec![PackId([8; 32])],
            forgotten: vec![],
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_seed([3; 32])
    }

    fn sealed(previous: Previous) -> Signed<Head> {
        seal(&frame(previous), &catalog(1), &ring(), [9; 32], &key()).unwrap()
    }

    #[test]
    fn the_bytes_of_version_1() {
        let hex = data_encoding::HEXLOWER.encode(&sealed(Previous::default()).encode());
        assert_eq!(hex, include_str!("golden/head.hex").trim());
        let id = catalog(1).snapshots[0].id();
        assert_eq!(id.to_string(), include_str!("golden/snapshot_id.hex").trim());
    }

    #[test]
    fn heads_are_chained_and_open() {
        let first = sealed(Previous::default());
        let head = first.open(&key().public()).unwrap();
        let owner = OwnerId([5; 32]);
        assert!(follows(&head, owner, key().peer_id(), &Previous::default()));
        assert_eq!(open(&head, &ring()), Ok(catalog(1)));
        let previous = Previous::of(&first, 1);
        let second = sealed(previous).open(&key().public()).unwrap();
        assert!(follows(&second, owner, key().peer_id(), &previous));
        assert!(!follows(&second, owner, key().peer_id(), &Previous::default()));
        assert!(!follows(&head, owner, key().peer_id(), &previous));
    }

    #[test]
    fn a_catalog_does_not_open_in_another_head() {
        let head = sealed(Previous::default()).open(&key().public()).unwrap();
        let changes: [fn(&mut Head); 7] = [
            |head| head.owner.0[0] ^= 1,
            |head| head.device.0[0] ^= 1,
            |head| head.number += 1,
            |head| head.previous[0] ^= 1,
            |head| head.salt[0] ^= 1,
            |head| head.sealed[0] ^= 1,
            |head| head.sealed.truncate(10),
        ];
        for change in changes {
            let mut other = head.clone();
            change(&mut other);
            assert_eq!(open(&other, &ring()), Err(HeadError::Damaged));
        }
        let mut unknown = head;
        unknown.epoch = 1;
        assert_eq!(open(&unknown, &ring()), Err(HeadError::NoKey(1)));
    }

    #[test]
    fn a_catalog_has_an_end() {
        let seal = |catalog: &Catalog| seal(&frame(Previous::default()), catalog, &ring(), [9; 32], &key());
        let mut long = catalog(2048);
        assert!(seal(&long).is_ok_and(|head| head.peek().is_ok()));
        long.forgotten = vec![crate::snapshot::SnapshotId([1; 32]); 32_000];
        assert_eq!(seal(&long).err(), Some(HeadError::TooLong));
        for (over, fine) in [(0, true), (1, false)] {
            let bytes = catalog(2048 + over).encode();
            assert_eq!(Catalog::decode(&bytes).is_some(), fine);
        }
        assert_eq!(Catalog::decode(&[&catalog(1).encode()[..], &[0]].concat()), None);
    }
}
