//! What this device keeps of its owner, in the folder `backup` of the home: the words (only where the owner
//! began), the roster, and the newest head of each device.
//!
//! Nothing is ever replaced by something older: whoever shows an older roster or head is not believed.
//! Everything is read from the disk for each operation; there is little of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
};

use skep_vault::{
    Catalog, KeyRing, Owner, Phrase, Snapshot, SnapshotId, head,
    owner::{Applicant, device_key, device_ring, open_roster},
};
use skep_wire::{
    OwnerId, PeerId, RelPath, Signed, SigningKey,
    backup::{self, Head, Rights, Roster},
};
use skep_world::{Dir, Entropy, disk::Replace};
use zeroize::Zeroizing;

use super::error::BackupError;
use crate::home::name;

const PHRASE: &str = "phrase";
const ROSTER: &str = "roster";
const HEADS: &str = "heads";
/// The number of the last condemnation.
const CONDEMNED: &str = "condemned";
/// The most bytes of any of these files.
const LIMIT: usize = 4 << 20;

/// The folder.
#[derive(Clone)]
pub(crate) struct State(pub(super) Arc<dyn Dir>);

/// An owner, as one of its devices knows it.
pub(crate) struct Owned {
    pub(crate) owner: OwnerId,
    pub(crate) signed: Signed<Roster>,
    pub(crate) roster: Roster,
    pub(crate) ring: KeyRing,
    /// The newest head of each device.
    pub(crate) heads: BTreeMap<PeerId, Known>,
}

/// A head that was verified and opened.
pub(crate) struct Known {
    pub(crate) signed: Signed<Head>,
    pub(crate) head: Head,
    pub(crate) catalog: Catalog,
}

impl State {
    /// In this home. Blocking, as all of this.
    pub(crate) fn open(home: &dyn Dir) -> io::Result<Self> {
        home.make_dirs(&name("backup/heads"))?;
        home.make_dirs(&name("backup/packs"))?;
        home.make_dirs(&name("backup/pending"))?;
        home.sync_tree(Some(&name("backup")))?;
        // The words are in there, and nowhere else.
        home.sync(None)?;
        Ok(Self(home.dir(&name("backup"))?))
    }

    /// The owner whose device this is, if it is one.
    pub(crate) fn load(&self, key: &SigningKey) -> Result<Option<Owned>, BackupError> {
        let Some(bytes) = self.0.read_whole(&name(ROSTER), LIMIT)? else {
            return Ok(None);
        };
        let signed = Signed::<Roster>::decode(&bytes).map_err(|_| BackupError::DamagedState(ROSTER))?;
        let claimed = signed.peek().map_err(|_| BackupError::DamagedState(ROSTER))?;
        let mut owned = Owned::new(claimed.owner, signed, key).ok_or(BackupError::DamagedState(ROSTER))?;
        for entry in self.0.list(Some(&name(HEADS)))? {
            let Some(file) = entry.name.to_str().and_then(|text| RelPath::parse(text).ok()) else {
                continue;
            };
            let path = name(HEADS).join(&file).map_err(io::Error::other)?;
            // A file that a crash left half done is no head; what it was to be comes from the network.
            if let Some(bytes) = self.0.read_whole(&path, LIMIT)?
                && let Ok(signed) = Signed::<Head>::decode(&bytes)
            {
                owned.believe(signed);
            }
        }
        Ok(Some(owned))
    }

    /// The owner whose device this is; a new one, if it is none yet.
    pub(crate) fn load_or_found(
        &self,
        key: &SigningKey,
        entropy: &dyn Entropy,
    ) -> Result<Owned, BackupError> {
        if let Some(owned) = self.load(key)? {
            return Ok(owned);
        }
        // The words are kept before anything depends on them.
        let phrase = match self.phrase()? {
            Some(phrase) => phrase,
            None => {
                let phrase = Phrase::from_entropy(entropy.bytes32());
                let words = phrase.words();
                self.0
                    .write_whole(&name(PHRASE), words.as_bytes(), Replace::Never)?;
                phrase
            }
        };
        let owner = Owner::new(&phrase);
        let roster = owner.found(&applicant(key), &mut || entropy.bytes32())?;
        self.keep_roster(&roster)?;
        Owned::new(owner.id(), roster, key).ok_or(BackupError::DamagedState(ROSTER))
    }

    /// The words, if they are kept here.
    pub(crate) fn phrase(&self) -> Result<Option<Phrase>, BackupError> {
        let Some(bytes) = self.0.read_whole(&name(PHRASE), LIMIT)?.map(Zeroizing::new) else {
            return Ok(None);
        };
        let words = std::str::from_utf8(&bytes).map_err(|_| BackupError::DamagedState(PHRASE))?;
        Ok(Some(
            Phrase::parse(words).map_err(|_| BackupError::DamagedState(PHRASE))?,
        ))
    }

    /// Does not keep the words any more. The roster has everything that a device needs.
    pub(crate) fn drop_phrase(&self) -> Result<(), BackupError> {
        match self.0.remove_file(&name(PHRASE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(self.0.sync(None)?),
        }
    }

    /// Takes the place of what was known of an owner: for a machine that recovers.
    pub(crate) fn become_device(&self, roster: &Signed<Roster>) -> Result<(), BackupError> {
        self.drop_phrase()?;
        self.keep_roster(roster)
    }

    /// The number of this device's next condemnation: higher than any before, even if the home was put back to an
    /// older state.
    pub(super) fn next_condemnation(&self, now_unix_s: u64) -> Result<u64, BackupError> {
        let last = self.0.read_whole(&name(CONDEMNED), LIMIT)?;
        let last = last.and_then(|text| String::from_utf8(text).ok()?.trim().parse::<u64>().ok());
        let number = now_unix_s.max(last.unwrap_or(0) + 1);
        self.0
            .write_whole(&name(CONDEMNED), number.to_string().as_bytes(), Replace::Allow)?;
        Ok(number)
    }

    pub(super) fn keep_roster(&self, roster: &Signed<Roster>) -> Result<(), BackupError> {
        Ok(self
            .0
            .write_whole(&name(ROSTER), &roster.encode(), Replace::Allow)?)
    }

    /// Keeps the newest head of a device.
    pub(super) fn keep_head(&self, device: &PeerId, head: &Signed<Head>) -> Result<(), BackupError> {
        let path = name(&format!("{HEADS}/{device}"));
        Ok(self.0.write_whole(&path, &head.encode(), Replace::Allow)?)
    }
}

impl Owned {
    /// None if the roster is not this owner's, or does not list the device with `key`.
    pub(super) fn new(owner: OwnerId, signed: Signed<Roster>, key: &SigningKey) -> Option<Self> {
        let roster = open_roster(&signed, &owner)?;
        let ring = device_ring(&roster, key)?;
        Some(Self {
            owner,
            signed,
            roster,
            ring,
            heads: BTreeMap::new(),
        })
    }

    /// Takes a head if it counts and is newer than what is known of its device.
    pub(super) fn believe(&mut self, signed: Signed<Head>) -> bool {
        let Ok(head) = backup::open_kept(&signed, &self.roster) else {
            return false;
        };
        let is_newer = |known: &Known| head.number > known.head.number;
        if !self.heads.get(&head.device).is_none_or(is_newer) {
            return false;
        }
        let Ok(catalog) = head::open(&head, &self.ring) else {
            return false;
        };
        let known = Known {
            signed,
            catalog,
            head,
        };
        self.heads.insert(known.head.device, known);
        true
    }

    /// The heads that say what is needed: not those of retired devices whose snapshots were all taken over by
    /// others, or forgotten. What these list may be gone.
    pub(super) fn counting_heads(&self) -> impl Iterator<Item = (&PeerId, &Known)> {
        let is_listed = |device: &PeerId| self.roster.device(device).is_some();
        let mut settled: BTreeSet<SnapshotId> = BTreeSet::new();
        for (device, known) in &self.heads {
            settled.extend(&known.catalog.forgotten);
            if is_listed(device) {
                settled.extend(known.catalog.snapshots.iter().map(Snapshot::id));
            }
        }
        let is_open = move |known: &Known| {
            let snapshots = &known.catalog.snapshots;
            snapshots.iter().any(|snapshot| !settled.contains(&snapshot.id()))
        };
        let counts = move |(device, known): &(&PeerId, &Known)| is_listed(device) || is_open(known);
        self.heads.iter().filter(counts)
    }

    /// Whether the device may do that.
    pub(crate) fn allows(&self, device: &PeerId, right: Rights) -> bool {
        self.roster.allows(device, right)
    }
}

/// How the device with `key` asks to be listed.
pub(super) fn applicant(key: &SigningKey) -> Applicant {
    Applicant {
        peer: key.peer_id(),
        sealing: device_key(key).public(),
        rights: Rights::ALL,
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::Path};

    use skep_vault::head::{Frame, Previous};
    use skep_wire::{BlobId, backup::PackList};
    use skep_world::{Disk as _, real, simulated};

    use super::*;

    fn key() -> SigningKey {
        SigningKey::from_seed([3; 32])
    }

    fn state() -> (tempfile::TempDir, State) {
        let tmp = tempfile::tempdir().unwrap();
        let state = State::open(&*real::Disk.dir(tmp.path()).unwrap()).unwrap();
        (tmp, state)
    }

    fn next(owned: &Owned, previous: Previous) -> Signed<Head> {
        let frame = Frame {
            owner: owned.owner,
            previous,
            roster: owned.roster.number,
            epoch: owned.roster.epoch,
            made_unix_s: 5,
            packs: PackList {
                id: BlobId([0; 32]),
                size: 0,
            },
        };
        let entropy: &dyn Entropy = &real::Entropy;
        let salt = entropy.bytes32();
        head::seal(&frame, &Catalog::default(), &owned.ring, salt, &key()).unwrap()
    }

    #[test]
    fn an_owner_is_founded_once_and_kept() {
        let (tmp, state) = state();
        assert!(state.load(&key()).unwrap().is_none());
        let first = state.load_or_found(&key(), &real::Entropy).unwrap();
        let again = state.load_or_found(&key(), &real::Entropy).unwrap();
        assert_eq!(first.owner, again.owner);
        assert!(again.allows(&key().peer_id(), Rights::ALL));
        let phrase = state.phrase().unwrap().unwrap();
        assert_eq!(Owner::new(&phrase).id(), first.owner);
        let mode = tmp.path().join("backup/phrase").metadata().unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        // A crash after the words: the owner is the same.
        std::fs::remove_file(tmp.path().join("backup/roster")).unwrap();
        let resumed = state.load_or_found(&key(), &real::Entropy).unwrap();
        assert_eq!(resumed.owner, first.owner);
        // Another key is no device of this owner.
        assert!(state.load(&SigningKey::from_seed([4; 32])).is_err());
    }

    #[test]
    fn what_is_kept_outlives_the_power() {
        let disk = simulated::Disk::new();
        let home = disk.make_dir(Path::new("/home")).unwrap();
        let state = State::open(&*home).unwrap();
        let owned = state.load_or_found(&key(), &real::Entropy).unwrap();
        disk.crash(simulated::Crash::Power);
        let state = State::open(&*disk.dir(Path::new("/home")).unwrap()).unwrap();
        assert_eq!(state.load(&key()).unwrap().unwrap().owner, owned.owner);
        assert!(state.phrase().unwrap().is_some());
    }

    #[test]
    fn numbers_of_condemnations_rise_whatever_the_clock_says() {
        let (_tmp, state) = state();
        for (now, number) in [(100, 100), (50, 101), (101, 102), (500, 500)] {
            assert_eq!(state.next_condemnation(now).unwrap(), number);
        }
    }

    #[test]
    fn older_heads_are_not_believed_again() {
        let (_tmp, state) = state();
        let mut owned = state.load_or_found(&key(), &real::Entropy).unwrap();
        let first = next(&owned, Previous::default());
        let second = next(&owned, Previous::of(&first, 1));
        assert!(owned.believe(second.clone()));
        assert!(!owned.believe(first.clone()) && !owned.believe(second.clone()));
        state.keep_head(&key().peer_id(), &second).unwrap();
        let mut loaded = state.load(&key()).unwrap().unwrap();
        assert_eq!(loaded.heads[&key().peer_id()].head.number, 2);
        assert!(!loaded.believe(first));
    }
}
