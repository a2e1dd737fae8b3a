//! A proof of units: 4 bytes of chunk length, range and number of hashes in a byte each, the
//! hashes, and the bytes of the units.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_wire::{
    BlobId,
    chunk::{Check, ChunkHash},
    proof,
};

fuzz_target!(|data: &[u8]| {
    let Some(([a, b, c, d, from, to, count], rest)) = data.split_first_chunk() else {
        return;
    };
    let len = u32::from_le_bytes([*a, *b, *c, *d]);
    let units = u64::from(*from)..u64::from(*to);
    let Some((hashes, bytes)) = rest.split_at_checked(usize::from(*count) * 32) else {
        return;
    };
    let hashes: Vec<[u8; 32]> = hashes.as_chunks().0.to_vec();
    let hash = ChunkHash([7; 32]);
    let id = BlobId([7; 32]);
    for check in [Check::Whole { id, len }, Check::Piece { hash, index: 9, len }] {
        assert!(proof::verify(&check, &units, &hashes, bytes).is_err());
        let _ = proof::prove(&check, bytes, &units);
    }
});
