//! What this peer must not forget: its membership, what it publishes and holds, and whom it has seen.
//!
//! Facts in a [`FactStore`], mirrored in memory. A change is in the mirror once it is durable. What
//! the contents are made of (outlines, stamps) is kept by `skep-store`; here is only where they lie.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use skep_ledger::{Change, CommitError, Epoch, FactStore, LoadError, Revision};
use skep_wire::{
    BlobId, NetworkId, PeerId, PeerName, ShareName, Signed,
    message::Endpoint,
    record::{Content, Grant, Revocations, ShareRecord},
};
use skep_world::Work;
use thiserror::Error;

/// The network this peer belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// Its key.
    pub network: NetworkId,
    /// Where its coordinators are.
    pub coordinators: Vec<Endpoint>,
    /// What it granted this peer.
    pub grant: Signed<Grant>,
    /// Where this peer listened last; port 0: nowhere yet.
    pub listen_port: u16,
    /// Bytes it offers to others.
    pub capacity_bytes: u64,
}

/// A name that this peer publishes, or has withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The record, signed by this peer.
    pub record: Signed<ShareRecord>,
    /// Whether the network's coordinator has taken it.
    pub taken: bool,
    /// The watched folder it comes from; none: shared by hand.
    pub watched: Option<PathBuf>,
}

/// A content that lies on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What it is.
    pub content: Content,
    /// Bytes of all files.
    pub bytes: u64,
    /// The file or folder.
    pub path: PathBuf,
    /// The publishers' records it is held under: they say who may read it. Empty: published by this peer alone.
    pub records: Vec<Signed<ShareRecord>>,
}

/// A download that goes on after a restart, or stays paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// The share, or the folder that it is a part of.
    pub share: Signed<ShareRecord>,
    /// The publisher's name.
    pub publisher: PeerName,
    /// The path of the part that is wanted; none: all.
    pub part: Option<String>,
    /// What is to lie at the target, once that is known of a part.
    pub content: Option<Content>,
    /// The target.
    pub path: PathBuf,
    /// The only peer to download from, if one was named.
    pub only: Option<PeerId>,
    /// Whether something at the target may be replaced.
    pub overwrite: bool,
    /// Whether somebody has to say that it shall go on.
    pub paused: bool,
    /// Why it stopped by itself, if it did.
    pub trouble: Option<String>,
    /// Bytes per second at most.
    pub down_rate: Option<u64>,
}

/// One change to the catalog.
#[derive(Debug, Clone)]
pub enum Entry {
    /// The network, joined or joined anew.
    Membership(Membership),
    /// The network was left.
    Left,
    /// A name, published or withdrawn.
    Published(ShareName, Published),
    /// A content, held or (none) no more.
    Held(BlobId, Option<Held>),
    /// The highest sequence seen of a publisher's name.
    Seen(PeerId, ShareName, u64),
    /// The first key seen for a publisher's name.
    Pinned(PeerName, PeerId),
    /// The newest revocations.
    Revocations(Signed<Revocations>),
    /// A download by its number, going on or (none) over.
    Unfinished(u64, Option<Box<Unfinished>>),
}

/// Why the catalog failed.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// It cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A fact in it makes no sense.
    #[error("the catalog has a fact that cannot be read (tag {0})")]
    Unreadable(u8),
}

/// The mirror.
#[derive(Debug, Default)]
pub struct State {
    /// The network.
    pub membership: Option<Membership>,
    /// Names of this peer's shares.
    pub published: BTreeMap<ShareName, Published>,
    /// Contents on this machine.
    pub held: BTreeMap<BlobId, Held>,
    /// The highest sequence seen of each publisher's names.
    pub seen: BTreeMap<(PeerId, ShareName), u64>,
    /// The first key seen for each publisher's name.
    pub pinned: BTreeMap<PeerName, PeerId>,
    /// The newest revocations.
    pub revocations: Option<Signed<Revocations>>,
    /// Downloads that are not over, by number.
    pub unfinished: BTreeMap<u64, Unfinished>,
}

/// The facts and their mirror.
pub struct Catalog {
    store: Arc<dyn FactStore>,
    work: Arc<dyn Work>,
    state: Arc<RwLock<State>>,
    writer: Arc<tokio::sync::Mutex<(Epoch, Revision)>>,
}

impl Catalog {
    /// Reads all facts. Blocking.
    ///
    /// # Errors
    /// [`CatalogError`] when they cannot be read.
    pub fn open(store: Arc<dyn FactStore>, work: Arc<dyn Work>) -> Result<Self, CatalogError> {
        let mut state = State::default();
        let mut unreadable = None;
        let head = store.load(&mut |key, value| match Entry::decode(key, value) {
            Some(entry) => state.apply(entry),
            None => unreadable = Some(key.first().copied().unwrap_or_default()),
        })?;
        if let Some(tag) = unreadable {
            return Err(CatalogError::Unreadable(tag));
        }
        let writer = Arc::new(tokio::sync::Mutex::new((head.epoch, head.revision)));
        Ok(Self {
            store,
            work,
            state: Arc::new(RwLock::new(state)),
            writer,
        })
    }

    /// What is known now. Not to be held across an await.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `entries` durable, all or none, and then visible: also when nobody waits for it any more.
    ///
    /// # Errors
    /// [`CatalogError::Commit`] when they could not be written; then none is visible.
    pub async fn commit(&self, entries: Vec<Entry>) -> Result<(), CatalogError> {
        let mut writer = self.writer.clone().lock_owned().await;
        let (store, state) = (self.store.clone(), self.state.clone());
        let commit = move || {
            let batch: Vec<Change> = entries.iter().map(Entry::encode).collect();
            let (epoch, expected) = *writer;
            *writer = (epoch, commit_surely(&*store, epoch, expected, &batch)?);
            let mut state = state.write().unwrap_or_else(PoisonError::into_inner);
            entries.into_iter().for_each(|entry| state.apply(entry));
            Ok(())
        };
        self.work.call(commit).await
    }
}

/// A failed commit may have taken effect: trying it once more tells.
fn commit_surely(
    store: &dyn FactStore,
    epoch: Epoch,
    expected: Revision,
    batch: &[Change],
) -> Result<Revision, CommitError> {
    match store.commit(epoch, expected, batch) {
        Err(CommitError::Failed(_)) => match store.commit(epoch, expected, batch) {
            Err(CommitError::Stale { current, .. }) if current == expected.next() => Ok(current),
            outcome => outcome,
        },
        outcome => outcome,
    }
}

impl State {
    fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Membership(membership) => self.membership = Some(membership),
            Entry::Left => self.membership = None,
            Entry::Published(name, published) => drop(self.published.insert(name, published)),
            Entry::Held(id, Some(held)) => drop(self.held.insert(id, held)),
            Entry::Held(id, None) => drop(self.held.remove(&id)),
            Entry::Seen(publisher, name, sequence) => drop(self.seen.insert((publisher, name), sequence)),
            Entry::Pinned(name, key) => drop(self.pinned.insert(name, key)),
            Entry::Revocations(list) => self.revocations = Some(list),
            Entry::Unfinished(number, Some(it)) => drop(self.unfinished.insert(number, *it)),
            Entry::Unfinished(number, None) => drop(self.unfinished.remove(&number)),
        }
    }
}

const MEMBERSHIP: u8 = 1;
const PUBLISHED: u8 = 2;
const HELD: u8 = 3;
const SEEN: u8 = 4;
const PINNED: u8 = 5;
const REVOCATIONS: u8 = 6;
const UNFINISHED: u8 = 7;

impl Entry {
    fn encode(&self) -> Change {
        match self {
            Self::Membership(membership) => change(MEMBERSHIP, &(), Some(membership)),
            Self::Left => change::<_, ()>(MEMBERSHIP, &(), None),
            Self::Published(name, published) => change(PUBLISHED, name, Some(published)),
            Self::Held(id, held) => change(HELD, id, held.as_ref()),
            Self::Seen(publisher, name, sequence) => change(SEEN, &(publisher, name), Some(sequence)),
            Self::Pinned(name, key) => change(PINNED, name, Some(key)),
            Self::Revocations(list) => change(REVOCATIONS, &(), Some(list)),
            Self::Unfinished(number, it) => change(UNFINISHED, number, it.as_deref()),
        }
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let (tag, key) = key.split_first()?;
        Some(match *tag {
            MEMBERSHIP => Self::Membership(read(value)?),
            PUBLISHED => Self::Published(read(key)?, read(value)?),
            HELD => Self::Held(read(key)?, Some(read(value)?)),
            SEEN => {
                let (publisher, name) = read(key)?;
                Self::Seen(publisher, name, read(value)?)
            }
            PINNED => Self::Pinned(read(key)?, read(value)?),
            REVOCATIONS => Self::Revocations(read(value)?),
            UNFINISHED => Self::Unfinished(read(key)?, Some(Box::new(read(value)?))),
            _ => return None,
        })
    }
}

fn change<K: Serialize, V: Serialize>(tag: u8, key: &K, value: Option<&V>) -> Change {
    let mut bytes = vec![tag];
    bytes.extend(write(key));
    Change {
        key: bytes,
        value: value.map(write),
    }
}

fn write<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("facts of our own encode")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

#[cfg(test)]
mod tests {
    use skep_ledger::Memory;
    use skep_wire::{
        SigningKey,
        record::{Audience, ContentKind, Role},
    };
    use skep_world::simulated::Work;

    use super::*;

    const NETWORK: NetworkId = NetworkId([1; 32]);

    fn key() -> SigningKey {
        SigningKey::from_seed([2; 32])
    }

    fn peer_name() -> PeerName {
        PeerName::parse("anna").unwrap()
    }

    fn share_name() -> ShareName {
        ShareName::parse("photos").unwrap()
    }

    fn content() -> Content {
        Content {
            id: BlobId([3; 32]),
            size: 4,
            kind: ContentKind::File,
        }
    }

    fn share() -> Signed<ShareRecord> {
        let record = ShareRecord {
            network: NETWORK,
            publisher: key().peer_id(),
            name: share_name(),
            sequence: 5,
            content: content(),
            bytes: 4,
            audience: Audience::Everyone,
            withdrawn: false,
        };
        Signed::new(&record, &key())
    }

    fn membership() -> Membership {
        let grant = Grant {
            network: NETWORK,
            peer: key().peer_id(),
            name: peer_name(),
            role: Role::Storage,
            serial: 6,
            expires_unix_s: 0,
        };
        Membership {
            network: NETWORK,
            coordinators: Vec::new(),
            grant: Signed::new(&grant, &key()),
            listen_port: 7,
            capacity_bytes: 8,
        }
    }

    fn unfinished() -> Unfinished {
        Unfinished {
            share: share(),
            publisher: peer_name(),
            part: Some("a/b".to_owned()),
            content: Some(content()),
            path: PathBuf::from("/tmp/photos"),
            only: Some(key().peer_id()),
            overwrite: true,
            paused: true,
            trouble: Some("the disk is full".to_owned()),
            down_rate: Some(9),
        }
    }

    fn entries() -> Vec<Entry> {
        let published = Published {
            record: share(),
            taken: true,
            watched: None,
        };
        let held = Held {
            content: content(),
            bytes: 4,
            path: PathBuf::from("/tmp/photos"),
            records: vec![share()],
        };
        let revocations = Revocations {
            network: NETWORK,
            number: 1,
            serials: vec![6],
        };
        vec![
            Entry::Membership(membership()),
            Entry::Published(share_name(), published),
            Entry::Held(content().id, Some(held)),
            Entry::Seen(key().peer_id(), share_name(), 5),
            Entry::Pinned(peer_name(), key().peer_id()),
            Entry::Revocations(Signed::new(&revocations, &key())),
            Entry::Unfinished(10, Some(Box::new(unfinished()))),
        ]
    }

    fn open(store: &Arc<Memory>) -> Result<Catalog, CatalogError> {
        Catalog::open(store.clone(), Arc::new(Work))
    }

    #[tokio::test]
    async fn what_was_committed_is_there_when_it_is_opened_again() {
        let store = Arc::new(Memory::new());
        let catalog = open(&store).unwrap();
        catalog.commit(entries()).await.unwrap();
        let again = open(&store).unwrap();
        assert_eq!(format!("{:?}", *again.state()), format!("{:?}", *catalog.state()));
        assert_eq!(again.state().membership, Some(membership()));
        assert_eq!(again.state().unfinished[&10], unfinished());
    }

    #[tokio::test]
    async fn what_is_over_is_gone_when_it_is_opened_again() {
        let store = Arc::new(Memory::new());
        let catalog = open(&store).unwrap();
        catalog.commit(entries()).await.unwrap();
        let over = vec![
            Entry::Left,
            Entry::Held(content().id, None),
            Entry::Unfinished(10, None),
        ];
        catalog.commit(over).await.unwrap();
        let again = open(&store).unwrap();
        let state = again.state();
        assert_eq!(state.membership, None);
        assert!(state.held.is_empty() && state.unfinished.is_empty());
        assert_eq!(state.published.len(), 1);
    }

    #[test]
    fn a_fact_that_makes_no_sense_is_told_and_not_passed_over() {
        for (key, value) in [
            (vec![99], vec![0]),
            (vec![SEEN, 1], vec![5]),
            (vec![HELD], vec![1, 2]),
        ] {
            let tag = key[0];
            let store = Arc::new(Memory::new());
            let head = store.load(&mut |_, _| {}).unwrap();
            let change = Change {
                key,
                value: Some(value),
            };
            store.commit(head.epoch, head.revision, &[change]).unwrap();
            assert!(matches!(open(&store), Err(CatalogError::Unreadable(found)) if found == tag));
        }
    }
}
