//! Audits: a leaf of a shard, and the way from it up to the shard's hash.

use std::{io, sync::Arc};

use skep_wire::{
    BlobId, UNIT_BYTES,
    chunk::{CHUNK_BYTES, Check, UNITS_PER_CHUNK, hash_chunk},
    message::{OutlinePage, ProveShard, ShardProof},
    outline::{Outline, PAGE_CHUNKS},
    proof,
};

use super::{Denied, scrubbing};
use crate::core::Core;

/// Shows a leaf; a shard that turns out to be damaged goes.
pub(super) async fn prove(core: &Arc<Core>, request: ProveShard) -> Result<ShardProof, Denied> {
    let (owner, name) = (request.owner, request.shard);
    let shards = core.hold.shards.clone();
    let size = shards
        .size(&owner, &name)
        .ok_or_else(|| Denied::not_found("this shard is not here"))?;
    scrubbing::examine(core, owner, name).await?;
    let prove = move || {
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        shards.read(&owner, &name, 0, &mut bytes)?;
        Ok::<_, io::Error>(of(&bytes, request.leaf))
    };
    match core.world.work.call(prove).await {
        Ok(proof) => proof.ok_or_else(|| Denied::bad("the shard has no such leaf")),
        Err(error) => Err(error.into()),
    }
}

/// The proof of a leaf of these bytes; none if there is no such leaf.
fn of(bytes: &[u8], leaf: u64) -> Option<ShardProof> {
    if leaf.checked_mul(UNIT_BYTES)? >= bytes.len() as u64 {
        return None;
    }
    let (index, unit) = (leaf / UNITS_PER_CHUNK, leaf % UNITS_PER_CHUNK);
    let at = usize::try_from(index.checked_mul(CHUNK_BYTES)?).ok()?;
    let chunk_bytes = usize::try_from(CHUNK_BYTES).ok()?;
    let chunk = bytes.get(at..bytes.len().min(at.saturating_add(chunk_bytes)))?;
    let len = u32::try_from(chunk.len()).ok()?;
    let (check, page) = if bytes.len() <= chunk_bytes {
        let id = BlobId(*blake3::hash(bytes).as_bytes());
        (Check::Whole { id, len }, None)
    } else {
        let hashes = (0..).zip(bytes.chunks(chunk_bytes));
        let hashes = hashes.map(|(index, chunk)| hash_chunk(index, chunk)).collect();
        let outline = Outline::new(bytes.len() as u64, hashes)?;
        let hash = outline.hash(index)?;
        (
            Check::Piece { hash, index, len },
            outline.page(index / PAGE_CHUNKS),
        )
    };
    let page = page.map(OutlinePage::from).unwrap_or(OutlinePage {
        leaves: Vec::new(),
        path: Vec::new(),
    });
    let start = usize::try_from(unit * UNIT_BYTES).ok()?;
    let end = usize::try_from((unit + 1) * UNIT_BYTES).ok()?.min(chunk.len());
    Some(ShardProof {
        leaf: chunk.get(start..end)?.to_vec(),
        proof: proof::prove(&check, chunk, &(unit..unit + 1)).ok()?,
        leaves: page.leaves,
        path: page.path,
    })
}

#[cfg(test)]
mod tests {
    use skep_wire::outline;

    use super::*;

    #[test]
    fn every_leaf_is_proven_and_there_are_no_others() {
        for size in [1, 16_384, 16_385, 1 << 20, (1 << 20) + 1, (3 << 20) + 70_000] {
            let bytes: Vec<u8> = (0..=250).cycle().take(size).collect();
            let id = BlobId(*blake3::hash(&bytes).as_bytes());
            let leaves = (size as u64).div_ceil(UNIT_BYTES);
            for leaf in [0, leaves / 2, leaves - 1] {
                let made = of(&bytes, leaf).unwrap();
                let (index, unit) = (leaf / UNITS_PER_CHUNK, leaf % UNITS_PER_CHUNK);
                let left = size as u64 - index * CHUNK_BYTES;
                let len = u32::try_from(left.min(CHUNK_BYTES)).unwrap();
                let check = if size <= 1 << 20 {
                    Check::Whole { id, len }
                } else {
                    let page = OutlinePage {
                        leaves: made.leaves,
                        path: made.path,
                    };
                    let page = outline::verify_page(id, size as u64, 0, page.into()).unwrap();
                    let hash = page.hash(index).unwrap();
                    Check::Piece { hash, index, len }
                };
                assert_eq!(
                    proof::verify(&check, &(unit..unit + 1), &made.proof, &made.leaf),
                    Ok(()),
                    "{size} {leaf}"
                );
            }
            assert_eq!(of(&bytes, leaves), None, "{size}");
            assert_eq!(of(&bytes, u64::MAX), None, "{size}");
        }
    }
}
