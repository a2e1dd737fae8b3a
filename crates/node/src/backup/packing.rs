//! Packs on their way: sealed on threads, and sent as they come. What is in them is others' business.

use std::sync::{Arc, Mutex};

use skep_vault::{
    Kind, PieceId, Sealer,
    index::{self, Listed},
    pack::Sealed,
    sealer::Keys,
};
use skep_wire::PackId;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    error::BackupError,
    lock,
    send::Sender,
    state::{Owned, State},
};

/// Packs that wait to be sent, beside those that are being sent.
pub(super) const QUEUED_PACKS: usize = 1;
/// Packs that are being sent at the same time.
const SENT_AT_ONCE: usize = 3;

/// Under which this device seals now.
pub(super) fn keys(owned: &Owned) -> Result<Keys<'_>, BackupError> {
    let epoch = owned.roster.epoch;
    Ok(Keys {
        naming: owned.ring.naming(),
        epoch,
        key: owned.ring.epoch(epoch).ok_or(BackupError::NotAllowed)?,
    })
}

/// As the index lists it.
pub(super) fn list(pack: &Sealed) -> Listed {
    Listed {
        pack: pack.id,
        size: u32::try_from(pack.bytes.len()).expect("a pack has at most 16 MiB"),
        contents: pack.contents.clone(),
    }
}

/// Seals what is new in the index. Returns the packs that it is in.
pub(super) fn seal_index<'a>(
    sealer: &Sealer<'_>,
    sealed: &Mutex<Vec<Listed>>,
    listed: impl IntoIterator<Item = &'a Listed>,
) -> Vec<PackId> {
    let mut hand = sealer.hand();
    let pieces: Vec<PieceId> = index::encode(listed)
        .iter()
        .map(|piece| hand.store(Kind::Index, piece))
        .collect();
    if pieces.is_empty() {
        return Vec::new();
    }
    sealer.flush();
    let packs = std::mem::take(&mut *lock(sealed));
    packs.iter().map(|listed| listed.pack).collect()
}

/// Sends packs as they come, some at a time, until there are no more or one cannot be stored.
pub(super) async fn send_all(
    sender: &Arc<Sender>,
    state: &State,
    mut queue: mpsc::Receiver<Sealed>,
) -> Result<(), BackupError> {
    let mut sending = JoinSet::new();
    let joined = |done: Result<Result<(), BackupError>, tokio::task::JoinError>| {
        done.unwrap_or_else(|e| Err(BackupError::NotKept(e.to_string())))
    };
    while let Some(pack) = queue.recv().await {
        if sending.len() >= SENT_AT_ONCE
            && let Some(done) = sending.join_next().await
        {
            joined(done)?;
        }
        let (sender, state) = (sender.clone(), state.clone());
        sending.spawn(async move {
            let listed = list(&pack);
            let core = sender.core.clone();
            sender.keep(pack).await?;
            let noted = core.world.work.call(move || state.keep_pending(&listed)).await;
            noted.map_err(BackupError::from)
        });
    }
    while let Some(done) = sending.join_next().await {
        joined(done)?;
    }
    Ok(())
}
