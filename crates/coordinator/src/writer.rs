//! Commits batches, one after the other, and hands back what may then be sent.
//!
//! A write that fails, because the disk is full for instance, is tried again until it succeeds:
//! the index has moved on and cannot take anything back, and nobody was told yet. Only a ledger
//! that can promise nothing any more ends it.

use std::{sync::Arc, time::Duration};

use skep_engine::index::{self, Output};
use skep_ledger::{BATCH_CHANGES, Change, CommitError, Epoch, FactStore, Revision};
use skep_world::World;
use tokio::{
    sync::{mpsc, watch},
    time::sleep,
};

use crate::batch::Batch;

/// The first pause after a failure; doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The only one that commits to a ledger.
pub(crate) struct Writer {
    pub(crate) world: World,
    pub(crate) store: Arc<dyn FactStore>,
    pub(crate) epoch: Epoch,
    pub(crate) revision: Revision,
    /// Why commits fail at the moment.
    pub(crate) trouble: watch::Sender<Option<String>>,
}

impl Writer {
    /// Commits what comes in `batches` until that is closed, and tells what became durable.
    pub(crate) async fn run(
        mut self,
        mut batches: mpsc::Receiver<Batch>,
        durable: mpsc::Sender<Vec<Output>>,
    ) -> Result<(), CommitError> {
        while let Some(Batch { changes, outputs, .. }) = batches.recv().await {
            let changes: Vec<Change> = changes.into_iter().map(change).collect();
            // More than one part only after an event that removes very much: the index takes
            // removals of which the last are missing for what they are.
            for part in changes.chunks(BATCH_CHANGES) {
                self.commit(part.into()).await?;
            }
            if durable.send(outputs).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn commit(&mut self, changes: Arc<[Change]>) -> Result<(), CommitError> {
        let mut pause = FIRST_PAUSE;
        let mut tried = false;
        loop {
            let outcome = self.attempt(changes.clone()).await;
            if let Some(revision) = durable_at(&outcome, self.revision, tried) {
                self.revision = revision;
                self.trouble.send_replace(None);
                return Ok(());
            }
            match outcome {
                Err(CommitError::Failed(error)) => self.complain(&error.to_string()),
                Err(error) => return Err(error),
                Ok(_) => unreachable!("a commit that succeeded is durable"),
            }
            tried = true;
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(&self, changes: Arc<[Change]>) -> Result<Revision, CommitError> {
        let (store, epoch, revision) = (self.store.clone(), self.epoch, self.revision);
        self.world
            .work
            .call(move || store.commit(epoch, revision, &changes))
            .await
    }

    fn complain(&self, error: &str) {
        tracing::error!(error, "the ledger cannot be written; trying again");
        let text = format!("the ledger cannot be written: {error}");
        self.trouble.send_replace(Some(text));
    }
}

fn change(change: index::Change) -> Change {
    Change {
        key: change.key,
        value: change.value,
    }
}

/// At which revision the batch is durable, if it is. A second try that finds the ledger one
/// revision ahead learns that the first had taken effect: nobody else commits with this epoch.
fn durable_at(
    outcome: &Result<Revision, CommitError>,
    expected: Revision,
    tried_before: bool,
) -> Option<Revision> {
    match outcome {
        Ok(revision) => Some(*revision),
        Err(CommitError::Stale { current, .. }) if tried_before && *current == expected.next() => {
            Some(*current)
        }
        Err(_) => None,
    }
}
