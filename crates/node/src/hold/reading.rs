//! Others read: shards, lists of packs, records.

use std::{io, sync::Arc};

use bytes::Bytes;
use skep_net::Responder;
use skep_wire::{
    OwnerId, PeerId,
    backup::Rights,
    message::{HeldShard, ListRecords, ReadPackList, ReadShard, Records, ShardName},
};

use super::{Denied, announce, refuse};
use crate::core::Core;

/// Bytes that are read from the disk at a time.
const PIECE: u64 = 1 << 20;
/// The most records on a page.
const PAGE_RECORDS: usize = 256;

/// Sends bytes of a shard: one that is on its way out, or one that is kept.
pub(super) async fn read_shard(
    core: &Arc<Core>,
    reader: PeerId,
    request: ReadShard,
    mut responder: Responder,
) {
    let (owner, name) = (request.owner, request.shard);
    if let Some((bytes, progress)) = core.outgoing.shard(&reader, &name) {
        let bytes = part(&bytes, request.first, request.bytes);
        if send(core, &mut responder, bytes, |sent| {
            progress.fetch_add(sent, std::sync::atomic::Ordering::Relaxed);
        })
        .await
        {
            let _ = responder.segments(Bytes::new(), true);
        }
        return;
    }
    let allowed = core
        .hold
        .may_read(core, &reader, (owner, name.pack), request.permit.as_ref());
    let Some(size) = core.hold.shards.size(&owner, &name).filter(|_| allowed) else {
        return refuse(responder, &Denied::not_found("this shard is not here")).await;
    };
    let (mut at, end) = (
        request.first,
        request.first.saturating_add(request.bytes).min(size),
    );
    while at < end {
        let count = PIECE.min(end - at);
        let bytes = match read_kept(core, owner, name, (at, count)).await {
            Ok(bytes) => bytes,
            Err(error) => return broken(core, (owner, name), error, responder).await,
        };
        if !send(core, &mut responder, bytes, |_| ()).await {
            return;
        }
        at += count;
    }
    let _ = responder.segments(Bytes::new(), true);
}

async fn read_kept(
    core: &Arc<Core>,
    owner: OwnerId,
    name: ShardName,
    (first, count): (u64, u64),
) -> io::Result<Bytes> {
    let shards = core.hold.shards.clone();
    let read = move || {
        let mut out = vec![0; usize::try_from(count).unwrap_or(0)];
        shards.read(&owner, &name, first, &mut out)?;
        Ok(Bytes::from(out))
    };
    core.world.work.call(read).await
}

/// Sends as the reader has room; says whether it still listens.
async fn send(core: &Core, responder: &mut Responder, mut bytes: Bytes, mut sent: impl FnMut(u64)) -> bool {
    while !bytes.is_empty() {
        let Ok(room) = responder.credit(bytes.len()).await else {
            return false;
        };
        let now = bytes.split_to(room.min(bytes.len()));
        let count = now.len() as u64;
        core.up.pass(count).await;
        if responder.segments(now, false).is_err() {
            return false;
        }
        core.count_served(count);
        sent(count);
    }
    true
}

fn part(bytes: &Bytes, first: u64, count: u64) -> Bytes {
    let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(first)..at(first.saturating_add(count)))
}

/// Says that a shard cannot be read; one that is damaged is not kept any more.
async fn broken(core: &Arc<Core>, what: (OwnerId, ShardName), error: io::Error, responder: Responder) {
    let is_damaged = is_damage(&error);
    refuse(responder, &error.into()).await;
    if is_damaged {
        drop_damaged(core, what.0, what.1).await;
    }
}

/// Whether a shard has rotten. One whose file vanished or was cut short is as lost.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
    matches!(error.kind(), InvalidData | NotFound | UnexpectedEof)
}

/// A shard has rotten: it goes, and others make it again.
pub(super) async fn drop_damaged(core: &Arc<Core>, owner: OwnerId, name: ShardName) {
    tracing::warn!(
        "shard {} of pack {} is damaged and goes",
        name.shard,
        name.pack.short()
    );
    let shards = core.hold.shards.clone();
    if let Err(error) = core.world.work.call(move || shards.remove(&owner, &name)).await {
        tracing::warn!("it could not be removed: {error}");
    }
    announce::lost(core, &[name]).await;
}

/// Sends the list of packs of a head.
pub(super) async fn read_pack_list(core: &Arc<Core>, request: ReadPackList, responder: Responder) {
    let (owner, device, number) = (request.owner, request.device, request.number);
    let list = match core.outgoing.pack_list(&owner, &device, number) {
        Some(list) => Ok(list),
        None => kept_list(core, &request).await,
    };
    match list {
        // Who does not listen any more needs no list.
        Ok(list) => drop(responder.bulk(list).await),
        Err(denied) => refuse(responder, &denied).await,
    }
}

/// The list of a head is for everybody, as the head is: it names packs, and opens none.
async fn kept_list(core: &Arc<Core>, request: &ReadPackList) -> Result<Bytes, Denied> {
    let owner = request.owner;
    let id = core.hold.with(&owner, |known| {
        let head = known.heads.get(&request.device);
        head.filter(|(head, _)| head.number == request.number)
            .map(|(head, _)| head.packs.id)
    })?;
    let id = id.ok_or_else(|| Denied::not_found("that head is not here"))?;
    let papers = core.hold.papers.clone();
    let list = core.world.work.call(move || papers.list(&owner, &id)).await?;
    list.map(Bytes::from)
        .ok_or_else(|| Denied::not_found("that list is not here"))
}

/// What is kept of an owner.
pub(super) async fn list_records(
    core: &Arc<Core>,
    reader: PeerId,
    request: ListRecords,
) -> Result<Records, Denied> {
    let owner = request.owner;
    core.hold.check(&owner, &reader, Rights::READ)?;
    let shards = core.hold.shards.clone();
    let names = shards.list(&owner, request.after, PAGE_RECORDS + 1);
    let more = names.len() > PAGE_RECORDS;
    let names = names.into_iter().take(PAGE_RECORDS).collect();
    let shards = records(core, owner, names).await;
    Ok(Records { shards, more })
}

/// The records of these shards; those that cannot be read are left out.
pub(super) async fn records(core: &Arc<Core>, owner: OwnerId, names: Vec<ShardName>) -> Vec<HeldShard> {
    let shards = core.hold.shards.clone();
    let read = move || {
        let record = |name: &ShardName| {
            let record = shards.record(&owner, name).ok()?;
            let shard = name.shard;
            Some(HeldShard { record, shard })
        };
        names.iter().filter_map(record).collect()
    };
    core.world.work.call(read).await
}
