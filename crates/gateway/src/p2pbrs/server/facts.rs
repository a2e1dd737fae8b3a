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

/// Reads a fact; none if it makes no sense: somebody may have written into the ledger.
pub(super) fn read(key: &[u8], value: &[u8]) -> Option<Fact> {
    let (kind, mut rest) = key.split_first()?;
    let fact = match *kind {
        PEER => Fact::Peer(peer_no(&mut rest)?, decode(value)?),
        PLAN => {
            let plan = decode::<Plan>(value).filter(Plan::is_sound)?;
            Fact::Plan(backup_no(&mut rest)?, plan)
        }
        HELD => {
            let no = backup_no(&mut rest)?;
            let chunk = u64::from_be_bytes(take(&mut rest)?);
            Fact::Held(no, chunk, peer_no(&mut rest)?)
        }
        _ => return None,
    };
    rest.is_empty().then_some(fact)
}

/// The last number is never given: another one has to come after each.
fn peer_no(rest: &mut &[u8]) -> Option<PeerNo> {
    let no = u32::from_be_bytes(take(rest)?);
    (no < u32::MAX).then_some(PeerNo(no))
}

fn backup_no(rest: &mut &[u8]) -> Option<BackupNo> {
    let no = u64::from_be_bytes(take(rest)?);
    (no < u64::MAX).then_some(BackupNo(no))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

fn decode<T: DeserializeOwned>(value: &[u8]) -> Option<T> {
    postcard::from_bytes(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(size: u64, chunk_bytes: u64) -> Plan {
        Plan {
            owner: PeerNo(1),
            file: "f".parse().unwrap(),
            size,
            checksum: "0".parse().unwrap(),
            chunk_bytes,
            list: vec![PeerNo(2)],
            replicas: 1,
            rq: "1".to_owned(),
            done: false,
            complete: false,
        }
    }

    #[test]
    fn plans_that_nobody_made_here_are_no_facts() {
        let is_fact = |plan: &Plan, no| read(&plan_key(BackupNo(no)), &value(plan)).is_some();
        assert!(is_fact(&plan(10, 4096), 7));
        assert!(!is_fact(&plan(10, 4096), u64::MAX));
        for (size, chunk_bytes) in [(10, 0), (u64::MAX, 1024), (10, u64::MAX), (1 << 40, 4096)] {
            assert!(!is_fact(&plan(size, chunk_bytes), 7), "{size} {chunk_bytes}");
        }
    }
}
