//! A pack as shards, and back: replicas or systematic Reed-Solomon (Leopard, over GF(2^16)).
//!
//! Data shards are the pack itself, cut into equal parts, the last padded with zeros: a piece of the
//! pack is a range of one or two of them. Shards are columns of [`Scheme::COLUMN_BYTES`], each
//! coded by itself, so any range of columns of any `k` shards rebuilds the same range of the others:
//! a holder repairs with little memory. The code notices no damage; every shard has its hash.

use std::{borrow::Cow, ops::Range};

use bytes::Bytes;
use reed_solomon_simd::{ReedSolomonDecoder, ReedSolomonEncoder};
use skep_wire::{BlobId, backup::Scheme};
use thiserror::Error;

/// How much of each shard is coded at a time: all of them together stay near the processor.
const STRIPE_BYTES: usize = 64 << 10;

/// The shards of a pack. They share its memory as far as they are parts of it.
pub struct Shards {
    scheme: Scheme,
    shards: Vec<Bytes>,
}

/// Why shards do not give what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ShardError {
    /// Fewer than the scheme's data shards.
    #[error("{have} shards are not enough, it takes {need}")]
    TooFew {
        /// Different ones that were given.
        have: usize,
        /// Data shards of the scheme.
        need: usize,
    },
    /// Not all of them have the same, right length.
    #[error("a shard has the wrong length")]
    Length,
    /// A number that the scheme does not have.
    #[error("there is no shard {0}")]
    Unknown(usize),
}

/// A part of a shard, and with it a part of the pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which data shard.
    pub shard: usize,
    /// Which bytes of it.
    pub range: Range<u64>,
}

impl Shards {
    /// Codes a pack.
    ///
    /// # Panics
    /// Never: every scheme is one that the code supports.
    #[must_use]
    pub fn new(scheme: Scheme, pack: &Bytes) -> Self {
        if scheme.data() == 1 {
            let shards = vec![pack.clone(); scheme.shards()];
            return Self { scheme, shards };
        }
        let len = shard_len(scheme, pack.len());
        let mut shards: Vec<Bytes> = (0..scheme.data()).map(|index| part(pack, index, len)).collect();
        let parity = encode(scheme, &shards, len);
        shards.extend(parity.into_iter().map(Bytes::from));
        Self { scheme, shards }
    }

    /// The hashes of all shards, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<BlobId> {
        let id = |shard: &Bytes| BlobId(*blake3::hash(shard).as_bytes());
        match self.scheme.data() {
            1 => vec![id(&self.shards[0]); self.shards.len()],
            _ => self.shards.iter().map(id).collect(),
        }
    }

    /// All of them, in order.
    #[must_use]
    pub fn into_all(self) -> Vec<Bytes> {
        self.shards
    }
}

/// A data shard: a part of the pack, the last ones with zeros behind it.
fn part(pack: &Bytes, index: usize, len: usize) -> Bytes {
    let start = (index * len).min(pack.len());
    let end = (start + len).min(pack.len());
    if end - start == len {
        return pack.slice(start..end);
    }
    let mut padded = pack[start..end].to_vec();
    padded.resize(len, 0);
    padded.into()
}

/// Which parts of which data shards are the bytes `range` of a pack of `pack_bytes`, in order.
#[must_use]
pub fn parts(scheme: Scheme, pack_bytes: u64, range: Range<u64>) -> Vec<Part> {
    let shard_bytes = scheme.shard_bytes(pack_bytes);
    let (mut start, end) = (range.start, range.end.min(pack_bytes));
    let mut out = Vec::new();
    while start < end {
        let shard = start / shard_bytes;
        let until = end.min((shard + 1) * shard_bytes);
        out.push(Part {
            shard: usize::try_from(shard).expect("at most 32 shards"),
            range: start - shard * shard_bytes..until - shard * shard_bytes,
        });
        start = until;
    }
    out
}

/// A range of columns that holds the bytes `range` of a shard: what to ask of others in its place.
#[must_use]
pub fn columns(scheme: Scheme, shard_bytes: u64, range: Range<u64>) -> Range<u64> {
    if scheme.data() == 1 {
        return range;
    }
    let start = range.start / Scheme::COLUMN_BYTES * Scheme::COLUMN_BYTES;
    let end = range.end.next_multiple_of(Scheme::COLUMN_BYTES);
    start..end.min(shard_bytes)
}

/// The shard `wanted`, or the same range of its columns, from those of any `k` others.
///
/// # Errors
/// [`ShardError`] when these are not enough or do not fit each other.
pub fn rebuild(scheme: Scheme, have: &[(usize, &[u8])], wanted: usize) -> Result<Vec<u8>, ShardError> {
    let len = check(scheme, have)?;
    if wanted >= scheme.shards() {
        return Err(ShardError::Unknown(wanted));
    }
    if let Some((_, shard)) = have
        .iter()
        .find(|(index, _)| *index == wanted || scheme.data() == 1)
    {
        return Ok(shard.to_vec());
    }
    if len == 0 {
        return Ok(Vec::new());
    }
    let data = decode(scheme, have, len)?;
    match wanted.checked_sub(scheme.data()) {
        None => Ok(data[wanted].to_vec()),
        Some(parity) => Ok(encode(scheme, &data, len).swap_remove(parity)),
    }
}

/// The pack of `pack_bytes`, from any `k` whole shards.
///
/// # Errors
/// [`ShardError`] when these are not enough or have not the length of this pack's shards.
pub fn assemble(scheme: Scheme, pack_bytes: usize, have: &[(usize, &[u8])]) -> Result<Vec<u8>, ShardError> {
    let len = check(scheme, have)?;
    if len != shard_len(scheme, pack_bytes) {
        return Err(ShardError::Length);
    }
    let mut pack = match (scheme.data(), len) {
        (_, 0) => Vec::new(),
        (1, _) => have[0].1.to_vec(),
        _ => decode(scheme, have, len)?.concat(),
    };
    pack.truncate(pack_bytes);
    Ok(pack)
}

/// Bytes of a shard of a pack that lies in memory.
fn shard_len(scheme: Scheme, pack_bytes: usize) -> usize {
    let bytes = scheme.shard_bytes(pack_bytes as u64);
    usize::try_from(bytes).expect("a shard is not much longer than its pack")
}

/// The common length of enough different shards.
fn check(scheme: Scheme, have: &[(usize, &[u8])]) -> Result<usize, ShardError> {
    let mut seen = [false; Scheme::MAX_SHARDS];
    for (index, _) in have {
        match seen.get_mut(*index) {
            Some(seen) if *index < scheme.shards() => *seen = true,
            _ => return Err(ShardError::Unknown(*index)),
        }
    }
    let (have_count, need) = (seen.iter().filter(|seen| **seen).count(), scheme.data());
    if have_count < need {
        return Err(ShardError::TooFew {
            have: have_count,
            need,
        });
    }
    let len = have.first().map_or(0, |(_, shard)| shard.len());
    let is_column = scheme.data() == 1 || len.is_multiple_of(64);
    if is_column && have.iter().all(|(_, shard)| shard.len() == len) {
        Ok(len)
    } else {
        Err(ShardError::Length)
    }
}

/// All data shards, from enough shards of `len` bytes.
fn decode<'a>(
    scheme: Scheme,
    have: &[(usize, &'a [u8])],
    len: usize,
) -> Result<Vec<Cow<'a, [u8]>>, ShardError> {
    let mut data: Vec<Option<Cow<'a, [u8]>>> = vec![None; scheme.data()];
    for (index, shard) in have {
        if let Some(slot) = data.get_mut(*index) {
            *slot = Some(Cow::Borrowed(shard));
        }
    }
    if data.iter().any(Option::is_none) {
        restore(scheme, have, &mut data, len)?;
    }
    data.into_iter().collect::<Option<_>>().ok_or(ShardError::Length)
}

/// Fills the gaps in `data` from the parity among `have`.
fn restore<'a>(
    scheme: Scheme,
    have: &[(usize, &'a [u8])],
    data: &mut [Option<Cow<'a, [u8]>>],
    len: usize,
) -> Result<(), ShardError> {
    let wrong = |_| ShardError::Length;
    let mut decoder = ReedSolomonDecoder::new(scheme.data(), scheme.parity(), len).map_err(wrong)?;
    for (index, shard) in data.iter().enumerate() {
        if let Some(shard) = shard {
            decoder.add_original_shard(index, shard).map_err(wrong)?;
        }
    }
    let mut given = [false; Scheme::MAX_SHARDS];
    for (index, shard) in have {
        let Some(parity) = index.checked_sub(scheme.data()) else {
            continue;
        };
        if !std::mem::replace(&mut given[parity], true) {
            decoder.add_recovery_shard(parity, shard).map_err(wrong)?;
        }
    }
    let restored = decoder.decode().map_err(wrong)?;
    for (index, shard) in restored.restored_original_iter() {
        data[index] = Some(Cow::Owned(shard.to_vec()));
    }
    Ok(())
}

/// All parity shards of these data shards of `len` bytes.
fn encode(scheme: Scheme, data: &[impl AsRef<[u8]>], len: usize) -> Vec<Vec<u8>> {
    let mut parity = vec![Vec::with_capacity(len); scheme.parity()];
    if parity.is_empty() {
        return parity;
    }
    for start in (0..len).step_by(STRIPE_BYTES) {
        let stripe = start..len.min(start + STRIPE_BYTES);
        let mut encoder = ReedSolomonEncoder::new(scheme.data(), scheme.parity(), stripe.len())
            .expect("at most 32 shards of an even length");
        for shard in data {
            let added = encoder.add_original_shard(&shard.as_ref()[stripe.clone()]);
            added.expect("as many as announced");
        }
        let coded = encoder.encode().expect("all are there");
        for (shard, bytes) in parity.iter_mut().zip(coded.recovery_iter()) {
            shard.extend_from_slice(bytes);
        }
    }
    parity
}

#[cfg(test)]
mod tests;
