//! A shard comes in: room first, then its bytes, read from who brings it, then the disk, and then the answer.

use std::{sync::Arc, time::Duration};

use bytes::BytesMut;
use skep_net::Link;
use skep_store::shards::Arriving;
use skep_wire::{
    OwnerId, Signed,
    backup::{PackRecord, Rights},
    message::{Done, Held, HeldShard, ReadShard, Reason, ShardName, StoreShard},
    record::Role,
};
use tokio::time::timeout;

use super::{Denied, reading::is_damage};
use crate::core::Core;

/// Bytes that are asked for at a time. While one piece is written, the next is on its way.
pub(super) const PIECE: u64 = 2 << 20;

/// How long a shard waits for its turn.
const TURN: Duration = Duration::from_secs(15);

/// A device brings a shard.
pub(super) async fn store(core: &Arc<Core>, link: &Link, request: StoreShard) -> Result<Done, Denied> {
    let signed = request.record;
    let record = core.hold.open_record(&signed, true)?;
    core.hold.check(&record.owner, &link.peer(), Rights::WRITE)?;
    let name = ShardName {
        pack: record.pack,
        shard: request.shard,
    };
    if usize::from(name.shard) >= record.scheme.shards() {
        return Err(Denied::bad("the pack has no such shard"));
    }
    if !is_kept(core, record.owner, name).await? {
        let turn = timeout(TURN, core.hold.arriving.acquire()).await;
        let _turn = turn.map_err(|_| Denied::new(Reason::Busy, "too many shards arrive at once"))?;
        let arriving = begin(core, &record, name).await?;
        let arriving = receive(core, link, &record, (name, arriving)).await?;
        keep(core, arriving, signed.clone(), record).await?;
    }
    confirm(core, signed, name.shard);
    Ok(Done {})
}

/// Whether a shard is here, and what it should be: one that has rotten meanwhile goes, and is brought anew.
async fn is_kept(core: &Arc<Core>, owner: OwnerId, name: ShardName) -> Result<bool, Denied> {
    let shards = core.hold.shards.clone();
    let look = move || {
        if !shards.has(&owner, &name) {
            return Ok(false);
        }
        match shards.verify(&owner, &name) {
            Ok(()) => Ok(true),
            Err(error) if is_damage(&error) => shards.remove(&owner, &name).map(|()| false),
            Err(error) => Err(error),
        }
    };
    Ok(core.world.work.call(look).await?)
}

/// Sets room aside and begins the file.
pub(super) async fn begin(
    core: &Arc<Core>,
    record: &PackRecord,
    name: ShardName,
) -> Result<Arriving, Denied> {
    if core.role() == Role::Owner {
        let text = "this peer keeps nothing for others";
        return Err(Denied::new(Reason::NotAllowed, text));
    }
    if core.hold.refuses(&record.owner) {
        let text = "this peer makes room, and takes no more of this owner";
        return Err(Denied::new(Reason::NoRoom, text));
    }
    let (shards, owner, bytes) = (core.hold.shards.clone(), record.owner, record.shard_bytes());
    let begin = move || Ok::<_, Denied>(shards.room(owner, name, bytes)?.begin()?);
    core.world.work.call(begin).await
}

/// Verifies and syncs it.
pub(super) async fn keep(
    core: &Arc<Core>,
    arriving: Arriving,
    signed: Signed<PackRecord>,
    record: PackRecord,
) -> Result<(), Denied> {
    let finish = move || arriving.finish(&signed, &record);
    Ok(core.world.work.call(finish).await?)
}

/// Tells the coordinator that a shard is kept, in the background.
pub(super) fn confirm(core: &Arc<Core>, record: Signed<PackRecord>, shard: u8) {
    let telling = core.clone();
    core.spawn(async move {
        let shards = vec![HeldShard { record, shard }];
        if let Err(error) = telling.session.ask::<_, Done>(&Held { shards }).await {
            tracing::debug!("a shard is told later: {error}");
            telling.hold.untold.notify_one();
        }
    });
}

async fn receive(
    core: &Arc<Core>,
    link: &Link,
    record: &PackRecord,
    (name, mut arriving): (ShardName, Arriving),
) -> Result<Arriving, Denied> {
    let size = record.shard_bytes();
    let mut at = 0;
    let mut piece = read(core, link, record, (name, at)).await?;
    while at < size {
        at += piece.len() as u64;
        let write = core.world.work.call(move || (arriving.append(&piece), arriving));
        let read = async {
            match at < size {
                true => read(core, link, record, (name, at)).await,
                false => Ok(BytesMut::new()),
            }
        };
        let ((written, back), next) = tokio::join!(write, read);
        arriving = back;
        written?;
        piece = next?;
    }
    Ok(arriving)
}

async fn read(
    core: &Arc<Core>,
    link: &Link,
    record: &PackRecord,
    (shard, first): (ShardName, u64),
) -> Result<BytesMut, Denied> {
    let bytes = PIECE.min(record.shard_bytes() - first);
    let request = ReadShard {
        owner: record.owner,
        shard,
        first,
        bytes,
        permit: None,
    };
    core.down.pass(bytes).await;
    let count = usize::try_from(bytes).unwrap_or(0);
    let read = link.read(&request, count, BytesMut::new(), None).await;
    match read {
        Ok(piece) if piece.len() == count => Ok(piece),
        Ok(_) => Err(Denied::new(Reason::NotVerified, "the shard ended early")),
        Err(error) => Err(Denied::new(
            Reason::NotFound,
            format!("the shard could not be read: {error}"),
        )),
    }
}
