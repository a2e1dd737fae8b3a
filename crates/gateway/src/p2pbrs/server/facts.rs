//! What the server keeps: peers, plans, and who acknowledged which chunk. Values to bytes and back.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    files::{BackupNo, Plan},
    peers::{Peer, PeerNo},
};

/// One fact as it is loaded.
pub(super) enum Fact {
    Peer(PeerNo, Peer),
    Plan(BackupNo, Plan),
    Held(BackupNo, u64, PeerNo),
}

const PEER: u8 = b'p';
const PLAN: u8 = b'b';
const HELD: u8 = b'h';

/// The key of a peer.
pub(super) fn peer_key(no: PeerNo) -> Vec<u8> {
    [&[PEER][..], &no.0.to_be_bytes()].concat()
}

/// The key of a plan.
pub(super) fn plan_key(no: BackupNo) -> Vec<u8> {
    [&[PLAN][..], &no.0.to_be_bytes()].concat()
}

/// The key of an acknowledgement; its value is empty.
pub(super) fn held_key(no: BackupNo, chunk: u64, who: PeerNo) -> Vec<u8> {
    let (no, chunk, who) = (no.0.to_be_bytes(), chunk.to_be_bytes(), who.0.to_be_bytes());
    [&[HELD][..], &no, &chunk, &who].concat()
}

/// The value of a peer or a plan.
pub(super) fn value<T: Serialize>(it: &T) -> Vec<u8> {
    postcard::to_allocvec(it).expect("facts can be encoded")
}

/// Reads a fact; none if it makes no sense.
pub(super) fn read(key: &[u8], value: &[u8]) -> Option<Fact> {
    let (kind, mut rest) = key.split_first()?;
    let fact = match *kind {
        PEER => Fact::Peer(PeerNo(u32::from_be_bytes(take(&mut rest)?)), decode(value)?),
        PLAN => Fact::Plan(BackupNo(u64::from_be_bytes(take(&mut rest)?)), decode(value)?),
        HELD => {
            let no = BackupNo(u64::from_be_bytes(take(&mut rest)?));
            let chunk = u64::from_be_bytes(take(&mut rest)?);
            Fact::Held(no, chunk, PeerNo(u32::from_be_bytes(take(&mut rest)?)))
        }
        _ => return None,
    };
    rest.is_empty().then_some(fact)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    postcard::from_bytes(value).ok()
}
