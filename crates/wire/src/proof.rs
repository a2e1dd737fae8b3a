//! Proofs of parts of a chunk: units of 16 KiB with the hash path up to the chunk.
//!
//! The proof of a range of units is the hashes of the largest subtrees outside it, in the order in
//! which a walk from the top meets them, left before right. Nothing else travels: range and
//! chunk length say how many hashes there are and where each belongs. Runs of small files have no
//! proofs, since they have no common tree.
//!
//! Here also are the leaves that a newcomer is asked about ([`crate::message::Triple`]), which
//! exist for every chunk, runs included.

use std::ops::Range;

use blake3::{Hasher, hazmat::HasherExt};
use thiserror::Error;

use crate::{
    chunk::{CHUNK_BYTES, Check, UNIT_BYTES, UNITS_PER_CHUNK},
    tree::{self, Hash, Place},
};

/// The bytes do not belong to the chunk, or there is no such proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the part of the chunk does not verify")]
pub struct BadProof;

/// How many units a chunk of `len` bytes has; the empty chunk has one of no bytes.
#[must_use]
pub fn unit_count(len: u32) -> u64 {
    u64::from(len).div_ceil(UNIT_BYTES).max(1)
}

/// Where the bytes of these units lie in a chunk of `len` bytes: what is beyond the end is left out.
///
/// # Panics
/// Never: the result is within `len`.
#[must_use]
pub fn unit_bytes(len: u32, units: &Range<u64>) -> Range<u32> {
    let at = |unit: u64| {
        let byte = unit.saturating_mul(UNIT_BYTES).min(u64::from(len));
        u32::try_from(byte).expect("at most `len`")
    };
    let end = at(units.end);
    at(units.start).min(end)..end
}

/// How many hashes the proof of `units` in a chunk of `len` bytes has.
#[must_use]
pub fn hash_count(len: u32, units: &Range<u64>) -> usize {
    fn count(node: Range<u64>, wanted: &Range<u64>) -> usize {
        match relation(&node, wanted) {
            Relation::Outside => 1,
            Relation::Leaf => 0,
            Relation::Across => {
                let (left, right) = tree::split(&node);
                count(left, wanted) + count(right, wanted)
            }
        }
    }
    count(0..unit_count(len), units)
}

/// The proof of `units` of `chunk`, which must be the one that `check` is about.
///
/// # Errors
/// [`BadProof`] for a run, an empty range, a range beyond the end, or a chunk of another length.
pub fn prove(check: &Check, chunk: &[u8], units: &Range<u64>) -> Result<Vec<[u8; 32]>, BadProof> {
    let tree = ChunkTree::of(check, units)?;
    if chunk.len() != tree.len as usize {
        return Err(BadProof);
    }
    let mut out = Vec::new();
    tree.collect(0..unit_count(tree.len), chunk, units, &mut out)?;
    Ok(out)
}

/// Checks that `bytes` are these units of the chunk that `check` is about.
///
/// # Errors
/// [`BadProof`] if they are not, or the proof is not one of that range.
pub fn verify(check: &Check, units: &Range<u64>, proof: &[[u8; 32]], bytes: &[u8]) -> Result<(), BadProof> {
    let tree = ChunkTree::of(check, units)?;
    let within = unit_bytes(tree.len, units);
    if bytes.len() != within.len() {
        return Err(BadProof);
    }
    let mut claim = Claim {
        units,
        first_byte: within.start,
        bytes,
        proof,
    };
    let top = claim.hash(&tree, 0..unit_count(tree.len), tree.place)?;
    if claim.proof.is_empty() && top == tree.hash {
        Ok(())
    } else {
        Err(BadProof)
    }
}

/// The tree over the units of one chunk.
struct ChunkTree {
    /// What its top must hash to.
    hash: Hash,
    /// Whether its top is the root of the blob.
    place: Place,
    /// Where the chunk begins in its blob.
    offset: u64,
    len: u32,
}

impl ChunkTree {
    fn of(check: &Check, units: &Range<u64>) -> Result<Self, BadProof> {
        let (hash, place, index, len) = match check {
            Check::Whole { id, len } => (id.0, Place::Root, 0, *len),
            Check::Piece { hash, index, len } => (hash.0, Place::Inner, *index, *len),
            Check::Run(_) => return Err(BadProof),
        };
        let offset = index.checked_mul(CHUNK_BYTES).ok_or(BadProof)?;
        let empty_piece = len == 0 && place == Place::Inner;
        let too_long = u64::from(len) > CHUNK_BYTES;
        if empty_piece || too_long || units.is_empty() || units.end > unit_count(len) {
            return Err(BadProof);
        }
        Ok(Self {
            hash,
            place,
            offset,
            len,
        })
    }

    /// The hash of the node over `node`, whose first byte is at `first` in its chunk.
    fn subtree(&self, first: u32, bytes: &[u8], place: Place) -> Hash {
        let offset = self.offset + u64::from(first);
        match place {
            Place::Root => *blake3::hash(bytes).as_bytes(),
            Place::Inner => Hasher::new()
                .set_input_offset(offset)
                .update(bytes)
                .finalize_non_root(),
        }
    }

    /// Appends the hashes of the subtrees of `node` that are outside `units`.
    fn collect(
        &self,
        node: Range<u64>,
        chunk: &[u8],
        units: &Range<u64>,
        out: &mut Vec<Hash>,
    ) -> Result<(), BadProof> {
        match relation(&node, units) {
            Relation::Leaf => {}
            Relation::Outside => {
                let at = unit_bytes(self.len, &node);
                let bytes = chunk.get(at.start as usize..at.end as usize).ok_or(BadProof)?;
                out.push(self.subtree(at.start, bytes, Place::Inner));
            }
            Relation::Across => {
                let (left, right) = tree::split(&node);
                self.collect(left, chunk, units, out)?;
                self.collect(right, chunk, units, out)?;
            }
        }
        Ok(())
    }
}

/// Somebody's units and hashes, of which the hashes are used up from the left.
struct Claim<'a> {
    units: &'a Range<u64>,
    /// Where `bytes` begin in the chunk.
    first_byte: u32,
    bytes: &'a [u8],
    proof: &'a [Hash],
}

impl Claim<'_> {
    /// What `node` hashes to, if the claim is true.
    fn hash(&mut self, tree: &ChunkTree, node: Range<u64>, place: Place) -> Result<Hash, BadProof> {
        match relation(&node, self.units) {
            Relation::Outside => {
                let (hash, rest) = self.proof.split_first().ok_or(BadProof)?;
                self.proof = rest;
                Ok(*hash)
            }
            Relation::Leaf => {
                let at = unit_bytes(tree.len, &node);
                let from = at.start.checked_sub(self.first_byte).ok_or(BadProof)? as usize;
                let bytes = self.bytes.get(from..from + at.len()).ok_or(BadProof)?;
                Ok(tree.subtree(at.start, bytes, place))
            }
            Relation::Across => {
                let (left, right) = tree::split(&node);
                let left = self.hash(tree, left, Place::Inner)?;
                let right = self.hash(tree, right, Place::Inner)?;
                Ok(tree::merge(&left, &right, place))
            }
        }
    }
}

/// How a node of units lies to the range that is proven.
enum Relation {
    /// Nothing of it is wanted: its hash is in the proof.
    Outside,
    /// One unit, wanted.
    Leaf,
    /// Something of it is wanted.
    Across,
}

fn relation(node: &Range<u64>, wanted: &Range<u64>) -> Relation {
    if node.end <= wanted.start || wanted.end <= node.start {
        Relation::Outside
    } else if node.end - node.start == 1 {
        Relation::Leaf
    } else {
        Relation::Across
    }
}

/// Chunk number and unit of a leaf.
#[must_use]
pub fn leaf_place(leaf: u64) -> (u64, u64) {
    (leaf / UNITS_PER_CHUNK, leaf % UNITS_PER_CHUNK)
}

/// The number of a leaf: unit `unit` of chunk `chunk` in the content's [`crate::Layout`]. None
/// where there is no such number.
#[must_use]
pub fn leaf_number(chunk: u64, unit: u64) -> Option<u64> {
    if unit >= UNITS_PER_CHUNK {
        return None;
    }
    chunk.checked_mul(UNITS_PER_CHUNK)?.checked_add(unit)
}

/// What one who has the bytes of a leaf answers when asked with `nonce`: keyed BLAKE3.
#[must_use]
pub fn leaf_answer(nonce: &[u8; 32], leaf: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(nonce, leaf).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{chunk::hash_chunk, id::BlobId};

    const UNIT: usize = 16 << 10;

    fn chunk(len: usize) -> Vec<u8> {
        (0..=252).cycle().take(len).collect()
    }

    /// The chunk as a blob of its own, and as one of a larger blob.
    fn checks(bytes: &[u8]) -> Vec<Check> {
        let len = u32::try_from(bytes.len()).unwrap();
        let id = BlobId(*blake3::hash(bytes).as_bytes());
        let mut out = vec![Check::Whole { id, len }];
        if !bytes.is_empty() {
            let hash = hash_chunk(3, bytes);
            out.push(Check::Piece { hash, index: 3, len });
        }
        out
    }

    fn part<'a>(bytes: &'a [u8], units: &Range<u64>) -> &'a [u8] {
        let at = unit_bytes(u32::try_from(bytes.len()).unwrap(), units);
        &bytes[at.start as usize..at.end as usize]
    }

    #[test]
    fn every_range_of_every_shape_is_proven() {
        for len in [
            0,
            1,
            1023,
            1025,
            UNIT - 1,
            UNIT,
            UNIT + 1,
            3 * UNIT,
            5 * UNIT + 7,
            11 * UNIT,
            16 * UNIT,
        ] {
            let bytes = chunk(len);
            let count = unit_count(u32::try_from(len).unwrap());
            for check in checks(&bytes) {
                for units in (0..count).flat_map(|from| (from + 1..=count).map(move |to| from..to)) {
                    let proof = prove(&check, &bytes, &units).unwrap();
                    assert_eq!(proof.len(), hash_count(u32::try_from(len).unwrap(), &units));
                    assert_eq!(
                        verify(&check, &units, &proof, part(&bytes, &units)),
                        Ok(()),
                        "{len} {units:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_whole_chunk_needs_no_hashes_and_one_unit_six() {
        let bytes = chunk(1 << 20);
        for check in checks(&bytes) {
            assert_eq!(prove(&check, &bytes, &(0..64)), Ok(vec![]));
            let proof = prove(&check, &bytes, &(37..38)).unwrap();
            assert_eq!(proof.len(), 6);
            assert_eq!(verify(&check, &(37..38), &proof, part(&bytes, &(37..38))), Ok(()));
        }
    }

    #[test]
    fn what_was_changed_does_not_verify() {
        let bytes = chunk(7 * UNIT + 100);
        let units = 2..4;
        for check in checks(&bytes) {
            let proof = prove(&check, &bytes, &units).unwrap();
            let good = part(&bytes, &units).to_vec();
            let refused = |units: Range<u64>, proof: &[[u8; 32]], bytes: &[u8]| {
                assert_eq!(verify(&check, &units, proof, bytes), Err(BadProof));
            };
            for at in [0, UNIT - 1, UNIT, 2 * UNIT - 1] {
                let mut changed = good.clone();
                changed[at] ^= 1;
                refused(units.clone(), &proof, &changed);
            }
            for at in 0..proof.len() {
                let mut changed = proof.clone();
                changed[at][5] ^= 4;
                refused(units.clone(), &changed, &good);
                changed.remove(at);
                refused(units.clone(), &changed, &good);
            }
            refused(units.clone(), &[proof.clone(), vec![[0; 32]]].concat(), &good);
            refused(units.clone(), &proof, &good[1..]);
            refused(units.clone(), &proof, &[]);
            refused(4..6, &proof, &good);
            refused(2..2, &proof, &[]);
            refused(0..u64::MAX, &proof, &good);
        }
    }

    #[test]
    fn checks_without_a_tree_have_no_proofs() {
        let bytes = chunk(10);
        let run = Check::Run(vec![(BlobId([0; 32]), 10)]);
        let hash = hash_chunk(0, &bytes);
        let empty = Check::Piece {
            hash,
            index: 0,
            len: 0,
        };
        let far = Check::Piece {
            hash,
            index: u64::MAX,
            len: 10,
        };
        let long = Check::Whole {
            id: BlobId([0; 32]),
            len: u32::MAX,
        };
        for check in [run, empty, far, long] {
            assert_eq!(prove(&check, &bytes, &(0..1)), Err(BadProof), "{check:?}");
            assert_eq!(verify(&check, &(0..1), &[], &bytes), Err(BadProof), "{check:?}");
        }
        let other = &checks(&bytes)[0];
        assert_eq!(prove(other, &chunk(11), &(0..1)), Err(BadProof));
    }

    #[test]
    fn leaves_are_numbered_through_the_chunks() {
        assert_eq!(leaf_number(0, 0), Some(0));
        assert_eq!(leaf_number(3, 5), Some(197));
        assert_eq!(leaf_place(197), (3, 5));
        assert_eq!((leaf_number(0, 64), leaf_number(u64::MAX, 0)), (None, None));
        assert_eq!(unit_bytes(40_000, &(2..3)), 32_768..40_000);
        assert_eq!(unit_bytes(40_000, &(3..u64::MAX)), 40_000..40_000);
    }

    #[test]
    fn an_answer_depends_on_nonce_and_leaf() {
        let answer = leaf_answer(&[1; 32], b"leaf");
        assert_ne!(answer, leaf_answer(&[2; 32], b"leaf"));
        assert_ne!(answer, leaf_answer(&[1; 32], b"leaf "));
        assert_eq!(answer, *blake3::keyed_hash(&[1; 32], b"leaf").as_bytes());
    }
}
