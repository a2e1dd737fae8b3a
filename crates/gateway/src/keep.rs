//! What a dialect's role keeps: facts in the ledger of its home, durable before anybody is told.
//!
//! The role handles events and goes on while a [`Batch`] is being committed; what it wants to send
//! leaves when the batch it belongs to is durable. What the facts mean is the dialect's.

use std::{io, path::Path, sync::Arc, time::Duration};

use skep_ledger::{
    BATCH_CHANGES, Change, CommitError, Epoch, FactStore, LoadError, OpenError, Redb, Revision,
};
use skep_wire::RelPath;
use skep_world::{Dir, World};
use thiserror::Error;
use tokio::{sync::mpsc, time::sleep};

/// Memory for pages of the ledger.
const CACHE_BYTES: usize = 4 << 20;
/// The first pause after a write that failed; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Why a home cannot be used.
#[derive(Debug, Error)]
pub enum HomeError {
    /// Its folder cannot be used.
    #[error("the folder {home} cannot be used: {source}")]
    Folder {
        /// The folder.
        home: String,
        /// What the system said.
        source: io::Error,
    },
    /// Another process runs there.
    #[error("another program uses {home}")]
    InUse {
        /// The folder.
        home: String,
    },
    /// The ledger cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The ledger cannot be written.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Changes of facts that are committed at once, and what may be sent when they are durable.
#[derive(Debug)]
pub struct Batch<O> {
    /// The changes, in the order in which they came.
    pub changes: Vec<Change>,
    /// The outputs, in the order in which they came.
    pub outputs: Vec<O>,
}

impl<O> Default for Batch<O> {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            outputs: Vec::new(),
        }
    }
}

impl<O> Batch<O> {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.outputs.is_empty()
    }

    /// Sets a fact.
    pub fn set(&mut self, key: Vec<u8>, value: Vec<u8>) {
        let value = Some(value);
        self.changes.push(Change { key, value });
    }

    /// Removes a fact.
    pub fn remove(&mut self, key: Vec<u8>) {
        self.changes.push(Change { key, value: None });
    }
}

/// An opened home: locked for as long as this lives.
pub struct Keep {
    world: World,
    dir: Arc<dyn Dir>,
    store: Arc<dyn FactStore>,
    epoch: Epoch,
    revision: Revision,
    _lock: Box<dyn Send + Sync>,
}

/// Facts as they are loaded: keys with values, ascending.
pub type Facts = Vec<(Vec<u8>, Vec<u8>)>;

impl Keep {
    /// Opens the home, made where missing, and returns what is kept there. Blocking.
    ///
    /// # Errors
    /// [`HomeError`].
    pub fn open(world: &World, home: &Path) -> Result<(Self, Facts), HomeError> {
        let name = || home.display().to_string();
        let folder = |source| HomeError::Folder { home: name(), source };
        let dir = world.disk.make_dir(home).map_err(folder)?;
        let lock = dir.lock(&path("lock")).map_err(|e| match e.kind() {
            io::ErrorKind::WouldBlock => HomeError::InUse { home: name() },
            _ => folder(e),
        })?;
        let store = Arc::new(Redb::open(dir.clone(), &path("ledger"), CACHE_BYTES)?);
        let mut facts = Facts::new();
        let head = store.load(&mut |key, value| facts.push((key.to_vec(), value.to_vec())))?;
        let epoch = head.epoch.next();
        let revision = store.commit(epoch, head.revision, &[])?;
        let keep = Self {
            world: world.clone(),
            dir,
            store,
            epoch,
            revision,
            _lock: lock,
        };
        Ok((keep, facts))
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> Arc<dyn Dir> {
        self.dir.clone()
    }

    /// Commits what comes in `batches` until that is closed, and tells what became durable. A write
    /// that fails is tried again: the role has moved on and cannot take anything back, and nobody
    /// was told yet.
    ///
    /// # Errors
    /// When the ledger can promise nothing any more.
    pub async fn run<O>(
        mut self,
        mut batches: mpsc::Receiver<Batch<O>>,
        durable: mpsc::Sender<Vec<O>>,
    ) -> Result<(), CommitError> {
        while let Some(batch) = batches.recv().await {
            self.commit(batch.changes).await?;
            if durable.send(batch.outputs).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Commits changes; returns when they are durable.
    ///
    /// # Errors
    /// When the ledger can promise nothing any more.
    pub async fn commit(&mut self, changes: Vec<Change>) -> Result<(), CommitError> {
        for part in changes.chunks(BATCH_CHANGES) {
            self.commit_part(part.into()).await?;
        }
        Ok(())
    }

    async fn commit_part(&mut self, part: Arc<[Change]>) -> Result<(), CommitError> {
        let mut pause = FIRST_PAUSE;
        let mut tried = false;
        loop {
            let (store, epoch, expected, batch) =
                (self.store.clone(), self.epoch, self.revision, part.clone());
            let outcome = self
                .world
                .work
                .call(move || store.commit(epoch, expected, &batch))
                .await;
            match outcome {
                Ok(revision) => {
                    self.revision = revision;
                    return Ok(());
                }
                // The first attempt had taken effect after all: nobody else commits with this epoch.
                Err(CommitError::Stale { current, .. }) if tried && current == expected.next() => {
                    self.revision = current;
                    return Ok(());
                }
                Err(CommitError::Failed(error)) => {
                    tracing::error!(%error, "the ledger cannot be written; trying again");
                }
                Err(error) => return Err(error),
            }
            tried = true;
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

fn path(name: &str) -> RelPath {
    RelPath::parse(name).expect("the names in this module are paths")
}

#[cfg(test)]
mod tests {
    use skep_wire::SigningKey;
    use skep_world::{Listener, Network, Stream};

    use super::*;

    /// Nobody dials here.
    struct NoNetwork;

    #[async_trait::async_trait]
    impl Network for NoNetwork {
        async fn dial(
            &self,
            _: &Arc<SigningKey>,
            _: &skep_wire::Endpoint,
            _: Option<skep_wire::PeerId>,
        ) -> io::Result<Stream> {
            Err(io::ErrorKind::Unsupported.into())
        }

        async fn listen(
            &self,
            _: &Arc<SigningKey>,
            _: std::net::SocketAddr,
        ) -> io::Result<Box<dyn Listener>> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[tokio::test]
    async fn what_was_told_to_be_durable_is_there_again_and_a_home_has_one_user() {
        let folder = tempfile::tempdir().unwrap();
        let world = World::real(Arc::new(NoNetwork), 2);
        let (keep, facts) = Keep::open(&world, folder.path()).unwrap();
        assert!(facts.is_empty());
        assert!(matches!(
            Keep::open(&world, folder.path()),
            Err(HomeError::InUse { .. })
        ));

        let (batches, to_commit) = mpsc::channel(1);
        let (durable, mut told) = mpsc::channel(1);
        let run = tokio::spawn(keep.run(to_commit, durable));
        let mut batch = Batch::default();
        batch.set(b"a".to_vec(), b"1".to_vec());
        batch.set(b"b".to_vec(), b"2".to_vec());
        batch.remove(b"a".to_vec());
        batch.outputs.push("done");
        batches.send(batch).await.unwrap();
        assert_eq!(told.recv().await, Some(vec!["done"]));
        drop(batches);
        run.await.unwrap().unwrap();

        let (_, facts) = Keep::open(&world, folder.path()).unwrap();
        assert_eq!(facts, [(b"b".to_vec(), b"2".to_vec())]);
    }
}
