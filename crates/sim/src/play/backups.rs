//! What owners do with their backups, and whether what they are told is so.

use std::time::Duration;

use skep_node::{
    BackupError, Node,
    api::types::{
        BackupDone, BackupRequest, CheckDone, CheckRequest, ForgetDone, ForgetRequest, PruneDone,
        PruneRequest, RestoreDone, RestoreRequest,
    },
};

use tokio::time::timeout;

use super::Player;
use crate::{
    owner::WORK,
    scenario::{Deed, PeerNumber},
    town::News,
};

/// A restore in the calm is done by then.
const PATIENCE: Duration = Duration::from_secs(900);
/// How many snapshots are kept when some are forgotten.
const KEPT: u32 = 2;

/// What came of a deed.
pub(crate) enum Done {
    BackedUp(Result<BackupDone, BackupError>),
    Restored(Result<RestoreDone, BackupError>),
    Forgot(Result<ForgetDone, BackupError>),
    Pruned(Result<PruneDone, BackupError>),
    Checked(Result<CheckDone, BackupError>),
}

impl Player {
    /// The peer begins something, if nothing of the kind is under way.
    pub(super) fn do_deed(&mut self, peer: PeerNumber, deed: Deed) -> Result<(), String> {
        let Some(node) = self.town.peers[peer].running().cloned() else {
            return Ok(());
        };
        let life = self.town.peers[peer].life;
        let owner = self.owners.entry(peer).or_default();
        if owner.busy == Some(life) {
            return Ok(());
        }
        owner.busy = Some(life);
        match deed {
            Deed::BackUp(seed) => {
                let changed = owner.change(self.town.peers[peer].machine.disk(), seed);
                changed.map_err(|e| format!("a file cannot be put: {e}"))?;
                self.back_up(peer, node);
            }
            Deed::Restore => {
                let newest = owner.promised(false).pop();
                match newest {
                    Some(newest) => self.restore(peer, node, newest),
                    None => owner.busy = None,
                }
            }
            Deed::Forget => {
                owner.forgetting();
                self.begin(peer, async move {
                    let keep_last = KEPT;
                    let request = ForgetRequest {
                        keep_last,
                        ..ForgetRequest::default()
                    };
                    Done::Forgot(node.forget(request).await)
                });
            }
            Deed::Prune => self.begin(peer, async move {
                Done::Pruned(node.prune(PruneRequest::default()).await)
            }),
            Deed::Check(read_data) => self.begin(peer, async move {
                Done::Checked(node.check(CheckRequest { read_data }).await)
            }),
        }
        Ok(())
    }

    fn back_up(&mut self, peer: PeerNumber, node: Node) {
        let request = BackupRequest {
            paths: vec![WORK.into()],
            ..BackupRequest::default()
        };
        self.begin(peer, async move { Done::BackedUp(node.back_up(request).await) });
    }

    fn restore(&mut self, peer: PeerNumber, node: Node, snapshot: String) {
        let target = self.owners.entry(peer).or_default().restoring(snapshot.clone());
        let request = RestoreRequest {
            snapshot,
            to: Some(target),
            beside: None,
            path: None,
            overwrite: false,
        };
        self.begin(peer, async move { Done::Restored(node.restore(request).await) });
    }

    fn begin(&mut self, peer: PeerNumber, deed: impl Future<Output = Done> + Send + 'static) {
        self.town
            .begin(peer, async move { News::Done(Box::new(deed.await)) });
    }

    /// News of a deed of a peer that still runs.
    pub(super) fn done(&mut self, peer: PeerNumber, done: Done) -> Result<(), String> {
        let owner = self.owners.entry(peer).or_default();
        owner.busy = None;
        let told = match done {
            Done::BackedUp(Ok(done)) => {
                if let Some(skipped) = done.skipped.first() {
                    return Err(format!(
                        "peer {peer}: {} was skipped: {}",
                        skipped.path, skipped.reason
                    ));
                }
                let told = format!("has snapshot {}, {} may vanish", done.snapshot, done.survives);
                owner.made(done.snapshot, done.survives);
                Ok(told)
            }
            Done::Restored(Ok(done)) => {
                let path = done.path.unwrap_or_default();
                if done.failed.is_empty() {
                    owner.restored(&path);
                    owner.judge_restores(self.town.peers[peer].machine.disk())?;
                }
                Ok(format!(
                    "has restored {}, but for {:?}",
                    done.snapshot, done.failed
                ))
            }
            Done::Forgot(Ok(done)) => {
                owner.forgot(&done.forgotten);
                Ok(format!("has forgotten {:?}", done.forgotten))
            }
            Done::Pruned(Ok(done)) => Ok(format!("has pruned: {done:?}")),
            Done::Checked(Ok(done)) => Ok(format!("has checked: {done:?}")),
            Done::BackedUp(Err(error))
            | Done::Restored(Err(error))
            | Done::Forgot(Err(error))
            | Done::Pruned(Err(error))
            | Done::Checked(Err(error)) => Err(error),
        };
        match told {
            Ok(told) => self.tell(format_args!("peer {peer} {told}")),
            Err(error) => self.not_done(peer, &error)?,
        }
        Ok(())
    }

    /// Who is not reached may be in the way, or a full disk, but nothing else.
    fn not_done(&mut self, peer: PeerNumber, error: &BackupError) -> Result<(), String> {
        self.tell(format_args!("peer {peer} cannot: {error}"));
        match error {
            BackupError::DamagedState(_)
            | BackupError::NotAllowed
            | BackupError::OtherOwner
            | BackupError::Head(_)
            | BackupError::Roster(_)
            | BackupError::Path { .. } => Err(format!("peer {peer} cannot: {error}")),
            BackupError::State(_) | BackupError::Target { .. } if !self.is_troubled(peer) => {
                Err(format!("peer {peer} cannot: {error}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether nothing is under way with the backups of a peer.
    pub(super) fn is_idle(&self, peer: PeerNumber) -> bool {
        let life = self.town.peers[peer].life;
        self.owners
            .get(&peer)
            .is_none_or(|owner| owner.busy != Some(life))
    }

    /// In the calm, a promised snapshot is listed and comes back whole.
    pub(super) async fn restore_one(&mut self, peer: PeerNumber, snapshot: String) -> Result<(), String> {
        let Some(node) = self.town.peers[peer].running().cloned() else {
            return Err(format!("peer {peer} does not run in the calm"));
        };
        let lost = |why: String| format!("LOST: peer {peer} was told of snapshot {snapshot}: {why}");
        let listed = node.snapshots().await.map_err(|e| lost(e.to_string()))?;
        if !listed.iter().any(|line| line.id == snapshot) {
            return Err(lost("it is not listed".to_owned()));
        }
        let target = self.owners.entry(peer).or_default().restoring(snapshot.clone());
        let request = RestoreRequest {
            snapshot: snapshot.clone(),
            to: Some(target.clone()),
            beside: None,
            path: None,
            overwrite: false,
        };
        let restored = timeout(PATIENCE, node.restore(request)).await;
        let restored = restored.map_err(|_| lost("its restore hangs".to_owned()))?;
        let restored = restored.map_err(|e| lost(e.to_string()))?;
        if let Some(failed) = restored.failed.first() {
            return Err(lost(format!("{}: {}", failed.path, failed.reason)));
        }
        let owner = self.owners.entry(peer).or_default();
        owner.restored(&target);
        owner.judge_restores(self.town.peers[peer].machine.disk())
    }
}
