//! Getting rid of what is kept for others: first others have it, then it goes, or this peer does.
//!
//! The coordinator is told as long as it lasts, and lets others rebuild what is here, which stays until they have
//! it. What is not elsewhere when the patience is over is told, not hidden.

use std::{sync::Arc, time::Duration};

use skep_wire::{
    OwnerId,
    message::{Release, Releasing, ShardName},
};
use thiserror::Error;
use tokio::{sync::watch, time};

use super::{Denied, Hold, PoisonError, announce};
use crate::{
    api::types::{EvictDone, EvictRequest, KeptLine, Progress},
    core::Core,
    listing,
    session::SessionError,
};

/// How often the coordinator is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// So long it believes that this peer still wants it, unless it is told again.
const LEASE_S: u32 = 60;
/// So long an owner that was evicted is not to be given back.
const AWAY_S: u32 = 24 * 3600;

/// Why something could not be given away.
#[derive(Debug, Error)]
pub enum EvictError {
    /// Nothing here is of such an owner.
    #[error("nothing is kept here of an owner {0}")]
    NoSuchOwner(String),
    /// Several owners are called so.
    #[error("several owners are called {0}")]
    Ambiguous(String),
    /// The coordinator was not told, so nobody knows what would be lost.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The disk says no.
    #[error("what is kept could not be deleted: {0}")]
    Disk(String),
}

/// As long as it lives, nothing more is taken of an owner, or of anybody.
struct Refusing<'a>(&'a Hold, Option<OwnerId>);

impl<'a> Refusing<'a> {
    fn begin(hold: &'a Hold, owner: Option<OwnerId>) -> Self {
        hold.refused().push(owner);
        Self(hold, owner)
    }
}

impl Drop for Refusing<'_> {
    fn drop(&mut self) {
        let mut refused = self.0.refused();
        if let Some(at) = refused.iter().position(|owner| *owner == self.1) {
            refused.swap_remove(at);
        }
    }
}

impl Hold {
    /// Whether this peer wants to be rid of what it keeps of an owner.
    pub(super) fn refuses(&self, owner: &OwnerId) -> bool {
        let refused = self.refused();
        refused
            .iter()
            .any(|whose| whose.is_none_or(|whose| whose == *owner))
    }

    fn refused(&self) -> std::sync::MutexGuard<'_, Vec<Option<OwnerId>>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until others have what is kept here of an owner, or of all, but not longer than `wait`. Returns what they do
/// not have. Nothing is deleted.
///
/// # Errors
/// When the coordinator cannot be asked.
pub(crate) async fn drain(
    core: &Arc<Core>,
    owner: Option<OwnerId>,
    wait: Duration,
    tell: &watch::Sender<Progress>,
) -> Result<Releasing, SessionError> {
    let end = core.mono() + wait;
    let _refusing = Refusing::begin(&core.hold, owner);
    let wish = Release {
        owner,
        seconds: LEASE_S,
    };
    let mut left: Releasing = core.session.ask(&wish).await?;
    let total = left.bytes;
    while left.shards > 0 && core.mono() < end {
        tell.send_replace(progress(total, left.bytes));
        time::sleep(ASK_EVERY).await;
        left = match core.session.ask(&wish).await {
            // It comes back, and is told again.
            Err(SessionError::Disconnected(_) | SessionError::Failed(_)) => left,
            asked => asked?,
        };
    }
    Ok(left)
}

fn progress(total: u64, left: u64) -> Progress {
    Progress {
        bytes: total.saturating_sub(left),
        total,
        state: "rebuilt elsewhere".to_owned(),
        ..Progress::default()
    }
}

/// Frees what an owner uses here: others rebuild it, or the patience ends, and it is deleted.
///
/// # Errors
/// [`EvictError`]; unless the disk failed, nothing was deleted.
pub(crate) async fn evict(
    core: &Arc<Core>,
    request: EvictRequest,
    tell: &watch::Sender<Progress>,
) -> Result<EvictDone, EvictError> {
    let owner = find(core, &request.owner).await?;
    let _refusing = Refusing::begin(&core.hold, Some(owner));
    let wait = Duration::from_secs(request.wait_seconds);
    let left = drain(core, Some(owner), wait, tell).await?;
    let before = core.hold.shards.used_bytes();
    let shards = delete(core, owner)
        .await
        .map_err(|denied| EvictError::Disk(denied.text))?;
    announce::lost(core, &shards).await;
    let away = Release {
        owner: Some(owner),
        seconds: AWAY_S,
    };
    if let Err(error) = core.session.ask::<_, Releasing>(&away).await {
        tracing::info!("the coordinator may give the owner back to this peer: {error}");
    }
    Ok(EvictDone {
        owner: owner.to_string(),
        shards: shards.len() as u64,
        bytes: before.saturating_sub(core.hold.shards.used_bytes()),
        left_shards: left.shards,
        left_bytes: left.bytes,
    })
}

/// Deletes all shards of an owner, and then what it said. Returns the shards.
async fn delete(core: &Arc<Core>, owner: OwnerId) -> Result<Vec<ShardName>, Denied> {
    let _turn = core.hold.writing.lock().await;
    let (shards, papers) = (core.hold.shards.clone(), core.hold.papers.clone());
    let delete = move || {
        let names = shards.list(&owner, None, usize::MAX);
        names.iter().try_for_each(|name| shards.remove(&owner, name))?;
        papers.forget(&owner).map(|()| names)
    };
    let names = core.world.work.call(delete).await?;
    core.hold.owners().remove(&owner);
    Ok(names)
}

/// The owner with this id, or the beginning of it, or with a device of this name.
async fn find(core: &Arc<Core>, text: &str) -> Result<OwnerId, EvictError> {
    let lines = kept(core).await;
    let is_it =
        |line: &&KeptLine| line.owner.starts_with(text) || line.devices.iter().any(|name| name == text);
    let mut found = lines
        .iter()
        .filter(is_it)
        .filter_map(|line| line.owner.parse().ok());
    match (found.next().filter(|_| !text.is_empty()), found.next()) {
        (Some(owner), None) => Ok(owner),
        (Some(_), Some(_)) => Err(EvictError::Ambiguous(text.to_owned())),
        (None, _) => Err(EvictError::NoSuchOwner(text.to_owned())),
    }
}

/// For whom what is kept here. Devices have names if the coordinator can be asked.
pub(crate) async fn kept(core: &Arc<Core>) -> Vec<KeptLine> {
    let peers = listing::peers(core).await.unwrap_or_default();
    let shards = &core.hold.shards;
    let line = |owner: OwnerId| {
        let devices = core.hold.with(&owner, |known| {
            let of_owner = |peer| known.roster.device(peer).is_some();
            let named = peers.iter().filter(|row| of_owner(&row.peer));
            named.map(|row| row.name.to_string()).collect()
        });
        KeptLine {
            owner: owner.to_string(),
            devices: devices.unwrap_or_default(),
            shards: shards.list(&owner, None, usize::MAX).len(),
            bytes: shards.used_by(&owner),
        }
    };
    shards.owners().into_iter().map(line).collect()
}
