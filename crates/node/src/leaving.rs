//! Leaving: the network for good, or what is kept for one owner.

use std::time::Duration;

use skep_wire::message::{Done, Leave};
use thiserror::Error;
use tokio::sync::watch;

use crate::{
    Node,
    api::types::{EvictDone, EvictRequest, LeaveDone, LeaveRequest, Progress},
    catalog::Entry,
    hold::{self, EvictError},
    session::SessionError,
};

/// Why a peer could not leave.
#[derive(Debug, Error)]
pub enum LeaveError {
    /// The coordinator did not hear of it.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Node {
    /// Frees what an owner uses here: others rebuild it for as long as the request says, then it is deleted.
    ///
    /// # Errors
    /// [`EvictError`]; unless the disk failed, nothing was deleted.
    pub async fn evict(
        &self,
        request: EvictRequest,
        tell: &watch::Sender<Progress>,
    ) -> Result<EvictDone, EvictError> {
        hold::evict(&self.core, request, tell).await
    }

    /// Leaves the network for good: others rebuild what is kept here for as long as the request says, then shares and
    /// holdings are withdrawn and the grant is given back. Forced: at once, and also when the coordinator cannot be
    /// told.
    ///
    /// # Errors
    /// [`LeaveError`]; then nothing has changed.
    pub async fn leave(
        &self,
        request: LeaveRequest,
        tell: &watch::Sender<Progress>,
    ) -> Result<LeaveDone, LeaveError> {
        let core = &self.core;
        let mut done = LeaveDone::default();
        if !request.force && core.hold.shards.used_bytes() > 0 {
            let wait = Duration::from_secs(request.wait_seconds);
            let left = hold::drain(core, None, wait, tell).await?;
            (done.left_shards, done.left_bytes) = (left.shards, left.bytes);
        }
        let told = core.session.ask::<_, Done>(&Leave {}).await;
        if let Err(error) = told
            && !request.force
        {
            return Err(error.into());
        }
        if let Err(error) = core.catalog.commit(vec![Entry::Left]).await {
            tracing::warn!("it could not be noted that the network was left: {error}");
        }
        Ok(done)
    }
}
