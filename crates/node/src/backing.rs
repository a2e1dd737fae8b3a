//! What programs in the same process ask of a peer's backups; others ask its [`api`](crate::api).

use std::sync::Arc;

use crate::{
    Node,
    api::types::{
        BackupDone, BackupRequest, CheckDone, CheckRequest, ForgetDone, ForgetRequest, PruneDone,
        PruneRequest, RestoreDone, RestoreRequest, SnapshotLine,
    },
    backup::{self, BackupError, Meter},
};

impl Node {
    /// Makes a snapshot. It is stopped when the future is dropped, as all of these are.
    ///
    /// # Errors
    /// [`BackupError`], as of all of these.
    pub async fn back_up(&self, request: BackupRequest) -> Result<BackupDone, BackupError> {
        backup::back_up(&self.core, request, Arc::new(Meter::default())).await
    }

    /// The owner's snapshots, as far as the network or, if it does not answer, this device knows them.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn snapshots(&self) -> Result<Vec<SnapshotLine>, BackupError> {
        backup::list(&self.core).await
    }

    /// Restores a snapshot, or a part of it, or only reads it.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn restore(&self, request: RestoreRequest) -> Result<RestoreDone, BackupError> {
        backup::restore(&self.core, request, Arc::new(Meter::default())).await
    }

    /// Looks whether everything is there, and mends what is not.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn check(&self, request: CheckRequest) -> Result<CheckDone, BackupError> {
        backup::check(&self.core, request, Arc::new(Meter::default())).await
    }

    /// Lets snapshots go.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn forget(&self, request: ForgetRequest) -> Result<ForgetDone, BackupError> {
        backup::forget(&self.core, request).await
    }

    /// Condemns what no snapshot needs.
    ///
    /// # Errors
    /// [`BackupError`].
    pub async fn prune(&self, request: PruneRequest) -> Result<PruneDone, BackupError> {
        backup::prune(&self.core, request, Arc::new(Meter::default())).await
    }
}
