//! Packs to their holders: planned by the coordinator, cut into shards, offered, acknowledged.
//!
//! A holder that was asked reads the shard on the same connection, syncs it, and only then answers. One
//! that fails is told to the coordinator, which names the same again, or another.

use std::{
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use bytes::Bytes;
use skep_net::AskError;
use skep_vault::{pack::Sealed, shard::Shards};
use skep_wire::{
    OwnerId, PeerId, Signed,
    backup::{PackRecord, Roster, Scheme},
    message::{
        Done, Holder, Instead, KeepRoster, Lane, NewPack, Plan, Planned, Reason, ShardFailed, ShardName,
        StoreShard,
    },
};
use tokio::{task::JoinSet, time};

use super::{error::BackupError, lock, state::Owned};
use crate::{core::Core, session::SessionError};

/// How often a shard is tried, with whomever, before the pack has to do without it.
const ATTEMPTS: u32 = 9;
/// How long to wait before the same holder is asked again.
const PAUSE: Duration = Duration::from_millis(300);

/// Sends the packs of one backup.
pub(super) struct Sender {
    pub(super) core: Arc<Core>,
    owner: OwnerId,
    roster: Signed<Roster>,
    /// What the user wished, or none.
    scheme: Option<Scheme>,
    pub(super) sent: Mutex<Sent>,
}

/// What came of it so far.
#[derive(Default)]
pub(super) struct Sent {
    /// Bytes that holders stored.
    pub(super) stored_bytes: u64,
    /// There is a single copy of a pack.
    pub(super) fragile: bool,
    /// How many holders may vanish of those who took a pack, of the worst pack.
    pub(super) survives: Option<u32>,
}

/// A pack, cut.
struct Parcel {
    record: Signed<PackRecord>,
    name: ShardName,
    shards: Vec<Bytes>,
}

impl Sender {
    /// Sends nothing yet.
    pub(super) fn new(core: &Arc<Core>, owned: &Owned, scheme: Option<Scheme>) -> Self {
        Self {
            core: core.clone(),
            owner: owned.owner,
            roster: owned.signed.clone(),
            scheme,
            sent: Mutex::default(),
        }
    }

    /// Brings a pack to its holders. When this returns, it can be restored even if as many holders are lost
    /// as its scheme says, less one if somebody could not be replaced.
    pub(super) async fn keep(self: Arc<Self>, sealed: Sealed) -> Result<(), BackupError> {
        let plan = self.plan(&sealed).await?;
        let scheme = plan.scheme;
        let parcel = Arc::new(self.cut(sealed, scheme).await);
        let mut shards = JoinSet::new();
        for (number, holder) in targets(&plan)? {
            let (this, parcel) = (self.clone(), parcel.clone());
            shards.spawn(async move { this.bring(&parcel, number, holder).await });
        }
        let mut kept: usize = 0;
        let mut trouble = None;
        while let Some(brought) = shards.join_next().await {
            match brought.map_err(|e| BackupError::NotKept(e.to_string()))? {
                Ok(()) => kept += 1,
                Err(error) => trouble = Some(error),
            }
        }
        {
            let mut sent = lock(&self.sent);
            sent.fragile |= plan.fragile;
            let may_vanish = u32::try_from(kept.saturating_sub(scheme.data())).unwrap_or(0);
            sent.survives = Some(sent.survives.map_or(may_vanish, |worst| worst.min(may_vanish)));
        }
        // What is missing beyond that is rebuilt by others.
        let enough = (scheme.data() + 1).min(scheme.shards());
        match trouble {
            Some(error) if kept < enough => Err(error),
            _ => Ok(()),
        }
    }

    async fn plan(&self, sealed: &Sealed) -> Result<Planned, BackupError> {
        let pack = NewPack {
            pack: sealed.id,
            size: sealed.bytes.len() as u64,
        };
        let request = Plan {
            owner: self.owner,
            scheme: self.scheme,
            packs: vec![pack],
        };
        self.core.session.ask(&request).await.map_err(denied)
    }

    /// Codes and hashes, where that keeps nobody from other work.
    async fn cut(&self, sealed: Sealed, scheme: Scheme) -> Parcel {
        let (core, owner) = (self.core.clone(), self.owner);
        let cut = move || {
            let size = sealed.bytes.len() as u64;
            let shards = Shards::new(scheme, &Bytes::from(sealed.bytes));
            let record = PackRecord {
                owner,
                device: core.id(),
                pack: sealed.id,
                size,
                epoch: sealed.contents.epoch,
                scheme,
                shards: shards.ids(),
            };
            Parcel {
                record: Signed::new(&record, &core.home.key),
                name: ShardName {
                    pack: sealed.id,
                    shard: 0,
                },
                shards: shards.into_all(),
            }
        };
        self.core.world.work.call(cut).await
    }

    /// Brings a shard to a holder, or to whoever is named instead.
    async fn bring(&self, parcel: &Parcel, number: u8, mut holder: Holder) -> Result<(), BackupError> {
        let shard = ShardName {
            shard: number,
            ..parcel.name
        };
        let bytes = parcel
            .shards
            .get(usize::from(number))
            .cloned()
            .unwrap_or_default();
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            match self.store(&parcel.record, shard, &bytes, &holder).await {
                Ok(()) => {
                    lock(&self.sent).stored_bytes += bytes.len() as u64;
                    return Ok(());
                }
                Err(error) => last = format!("{}: {error}", holder.name),
            }
            tracing::info!("a shard was not taken by {last}");
            let failed = ShardFailed {
                owner: self.owner,
                shard,
                holder: holder.peer,
            };
            let instead = self.core.session.ask::<_, Instead>(&failed).await;
            let instead = instead.map_err(|error| denied_after(error, &last))?;
            if instead.holder.peer == holder.peer {
                time::sleep(PAUSE * (attempt + 1)).await;
            }
            holder = instead.holder;
        }
        Err(BackupError::NotKept(last))
    }

    /// Returns when the holder has synced it.
    pub(super) async fn store(
        &self,
        record: &Signed<PackRecord>,
        shard: ShardName,
        bytes: &Bytes,
        holder: &Holder,
    ) -> Result<(), String> {
        let core = &self.core;
        let link = core.links.to(core, holder, Lane::Bulk).await;
        let link = link.map_err(|e| e.to_string())?;
        let progress = Arc::new(AtomicU64::new(0));
        let _offer = core
            .outgoing
            .offer_shard(holder.peer, shard, bytes.clone(), progress.clone());
        let request = StoreShard {
            record: record.clone(),
            shard: shard.shard,
        };
        let mut stored = link.ask_while::<_, Done>(&request, &progress).await;
        if let Err(AskError::Refused { reason, .. }) = &stored
            && *reason != Reason::NoRoom
        {
            // It may not know this device yet.
            let roster = self.roster.clone();
            let told = link.ask::<_, Done>(&KeepRoster { roster }).await;
            told.map_err(|e| e.to_string())?;
            stored = link.ask_while::<_, Done>(&request, &progress).await;
        }
        stored.map(|Done {}| ()).map_err(|e| e.to_string())
    }
}

/// Who is to keep which shard of the one pack of a plan.
fn targets(plan: &Planned) -> Result<Vec<(u8, Holder)>, BackupError> {
    let strange = || BackupError::NotKept("the coordinator's plan makes no sense".to_owned());
    let [pack] = &plan.packs[..] else {
        return Err(strange());
    };
    if pack.holders.len() != plan.scheme.shards() {
        return Err(strange());
    }
    let holder = |peer: &PeerId| plan.holders.iter().find(|holder| holder.peer == *peer);
    let targets = (0u8..).zip(&pack.holders);
    targets
        .map(|(number, peer)| Some((number, holder(peer)?.clone())))
        .collect::<Option<_>>()
        .ok_or_else(strange)
}

/// The same, when somebody was asked and gave a reason.
fn denied_after(error: SessionError, reason: &str) -> BackupError {
    match denied(error) {
        BackupError::Denied(text) => BackupError::Denied(format!("{text}; it began with {reason}")),
        error => error,
    }
}

fn denied(error: SessionError) -> BackupError {
    match error {
        SessionError::Refused {
            reason: Reason::NoRoom,
            text,
        } => BackupError::Denied(text),
        error => BackupError::Session(error),
    }
}
