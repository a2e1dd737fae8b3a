//! The coordinator orders a rebuild: as many shards as it takes come in, and this peer's own goes to its disk.

use std::sync::Arc;

use bytes::BytesMut;
use skep_vault::shard;
use skep_wire::{
    BlobId, Signed,
    backup::{PackRecord, Permit},
    message::{Lane, ReadShard, Rebuild, ShardName, ShardSource},
};

use super::{Denied, announce, storing};
use crate::core::Core;

/// Rebuilds a shard. When it does not succeed, the coordinator hears of it, and asks again, or somebody else.
pub(super) async fn rebuild(core: Arc<Core>, order: Rebuild) {
    let Ok(_turn) = core.hold.rebuilding.acquire().await else {
        return;
    };
    let (shard, ordered) = (order.shard, order.record.peek());
    match attempt(&core, order).await {
        Ok(record) => storing::confirm(&core, record, shard),
        Err(denied) => {
            tracing::info!("a shard was not rebuilt: {}", denied.text);
            if let Ok(PackRecord { pack, .. }) = ordered {
                announce::lost(&core, &[ShardName { pack, shard }]).await;
            }
        }
    }
}

async fn attempt(core: &Arc<Core>, order: Rebuild) -> Result<Signed<PackRecord>, Denied> {
    let signed = order.record.clone();
    let claimed = signed
        .peek()
        .map_err(|_| Denied::bad("the record cannot be read"))?;
    if core.hold.with(&claimed.owner, |_| ()).is_err() {
        let failed = |error: crate::session::SessionError| Denied::not_found(&error.to_string());
        announce::exchange(core, claimed.owner).await.map_err(failed)?;
    }
    let record = core.hold.open_record(&signed, false)?;
    let name = ShardName {
        pack: record.pack,
        shard: order.shard,
    };
    let expected = record.shards.get(usize::from(name.shard)).copied();
    let expected = expected.ok_or_else(|| Denied::bad("the pack has no such shard"))?;
    if core.hold.shards.has(&record.owner, &name) {
        return Ok(signed);
    }
    let mut arriving = storing::begin(core, &record, name).await?;
    let have = gather(core, &record, &order).await?;
    let scheme = record.scheme;
    let make = move || {
        let bytes = restore(scheme, &have, usize::from(name.shard), expected)?;
        arriving.append(&bytes)?;
        Ok::<_, Denied>(arriving)
    };
    let arriving = core.world.work.call(make).await?;
    storing::keep(core, arriving, signed.clone(), record).await?;
    Ok(signed)
}

/// Enough whole shards, each verified; who sends something else is passed over.
async fn gather(
    core: &Arc<Core>,
    record: &PackRecord,
    order: &Rebuild,
) -> Result<Vec<(usize, BytesMut)>, Denied> {
    let mut have: Vec<(usize, BytesMut)> = Vec::new();
    let (same, others): (Vec<_>, Vec<_>) = order
        .sources
        .iter()
        .partition(|source| source.shard == order.shard);
    // Who wants to be rid of the very shard gives it whole.
    for source in same.into_iter().chain(others) {
        let number = usize::from(source.shard);
        if have.iter().any(|(known, _)| *known == number) {
            continue;
        }
        if let Some(bytes) = fetch(core, record, source, &order.permit).await {
            have.push((number, bytes));
        }
        let is_it = have.iter().any(|(number, _)| *number == usize::from(order.shard));
        if is_it || have.len() == record.scheme.data() {
            return Ok(have);
        }
    }
    Err(Denied::not_found("too few shards could be read"))
}

async fn fetch(
    core: &Arc<Core>,
    record: &PackRecord,
    source: &ShardSource,
    permit: &Signed<Permit>,
) -> Option<BytesMut> {
    let expected = record.shards.get(usize::from(source.shard))?;
    let request = ReadShard {
        owner: record.owner,
        shard: ShardName {
            pack: record.pack,
            shard: source.shard,
        },
        first: 0,
        bytes: record.shard_bytes(),
        permit: Some(permit.clone()),
    };
    let link = core.links.to(core, &source.holder, Lane::Bulk).await;
    let link = link
        .inspect_err(|error| tracing::debug!("{} cannot be asked: {error}", source.holder.name))
        .ok()?;
    core.down.pass(request.bytes).await;
    let count = usize::try_from(request.bytes).ok()?;
    let bytes = link.read(&request, count, BytesMut::new(), None).await;
    let bytes = bytes
        .inspect_err(|error| tracing::debug!("{} gave no shard: {error}", source.holder.name))
        .ok()?;
    let (is_right, bytes) = verify(core, *expected, bytes).await;
    if !is_right {
        tracing::warn!("{} gave a wrong shard", source.holder.name);
    }
    is_right.then_some(bytes)
}

async fn verify(core: &Arc<Core>, expected: BlobId, bytes: BytesMut) -> (bool, BytesMut) {
    let verify = move || (blake3::hash(&bytes).as_bytes() == &expected.0, bytes);
    core.world.work.call(verify).await
}

fn restore(
    scheme: skep_wire::backup::Scheme,
    have: &[(usize, BytesMut)],
    wanted: usize,
    expected: BlobId,
) -> Result<Vec<u8>, Denied> {
    let slices: Vec<(usize, &[u8])> = have.iter().map(|(number, bytes)| (*number, &bytes[..])).collect();
    let made = match slices.as_slice() {
        // Replicas are all alike.
        [(_, bytes)] if scheme.data() == 1 => bytes.to_vec(),
        slices if let Some((_, bytes)) = slices.iter().find(|(number, _)| *number == wanted) => {
            bytes.to_vec()
        }
        slices => shard::rebuild(scheme, slices, wanted).map_err(|error| Denied::bad(&error.to_string()))?,
    };
    match blake3::hash(&made).as_bytes() == &expected.0 {
        true => Ok(made),
        false => Err(Denied::bad("the record's shards do not belong together")),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use skep_vault::shard::Shards;
    use skep_wire::backup::Scheme;

    use super::*;

    #[test]
    fn any_shards_give_the_one_that_is_missing_and_wrong_ones_give_nothing() {
        let scheme = Scheme::new(4, 2).unwrap();
        let pack = Bytes::from_iter((0..=250).cycle().take(100_003));
        let shards = Shards::new(scheme, &pack);
        let ids = shards.ids();
        let shards = shards.into_all();
        let take = |numbers: [usize; 4]| {
            let shard = |number: usize| (number, BytesMut::from(&shards[number][..]));
            numbers.map(shard).to_vec()
        };
        for (have, wanted) in [([0, 1, 2, 3], 5), ([2, 3, 4, 5], 0), ([0, 1, 3, 5], 4)] {
            let made = restore(scheme, &take(have), wanted, ids[wanted]).ok().unwrap();
            assert_eq!(made, shards[wanted]);
        }
        let mut wrong = take([0, 1, 2, 3]);
        wrong[1].1[77] ^= 1;
        assert!(restore(scheme, &wrong, 5, ids[5]).is_err());
    }
}
