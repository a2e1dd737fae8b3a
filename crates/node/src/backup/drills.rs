//! When each snapshot was last restored for a drill: durable, in the home.

use std::{collections::BTreeMap, io};

use skep_vault::SnapshotId;
use skep_world::disk::Replace;

use super::state::State;
use crate::home::name;

const FILE: &str = "drills";
const LIMIT: usize = 1 << 20;

/// Seconds since 1970, by snapshot.
pub(super) type Drills = BTreeMap<SnapshotId, u64>;

impl State {
    /// All drills that went well. Blocks.
    pub(super) fn drills(&self) -> io::Result<Drills> {
        let bytes = self.0.read_whole(&name(FILE), LIMIT)?.unwrap_or_default();
        // What is damaged is forgotten: another drill makes up for it.
        Ok(postcard::from_bytes(&bytes).unwrap_or_default())
    }

    /// A drill of this snapshot went well. Those of snapshots that are not among `known` are forgotten. Blocks.
    pub(super) fn keep_drill(&self, of: SnapshotId, now_unix_s: u64, known: &[SnapshotId]) -> io::Result<()> {
        let mut drills = self.drills()?;
        drills.retain(|id, _| known.contains(id));
        drills.insert(of, now_unix_s);
        let bytes = postcard::to_allocvec(&drills).map_err(io::Error::other)?;
        self.0.write_whole(&name(FILE), &bytes, Replace::Allow)
    }
}

#[cfg(test)]
mod tests {
    use skep_world::{Disk as _, real};

    use super::*;

    #[test]
    fn drills_are_kept_for_the_snapshots_that_are_left() {
        let tmp = tempfile::tempdir().unwrap();
        let open = || State::open(&*real::Disk.dir(tmp.path()).unwrap()).unwrap();
        let (a, b) = (SnapshotId([1; 32]), SnapshotId([2; 32]));
        assert!(open().drills().unwrap().is_empty());
        open().keep_drill(a, 5, &[a, b]).unwrap();
        open().keep_drill(b, 6, &[a, b]).unwrap();
        assert_eq!(open().drills().unwrap(), [(a, 5), (b, 6)].into());
        open().keep_drill(b, 7, &[b]).unwrap();
        assert_eq!(open().drills().unwrap(), [(b, 7)].into());
        std::fs::write(tmp.path().join("backup/drills"), "damaged").unwrap();
        assert!(open().drills().unwrap().is_empty());
    }
}
