//! The file that is moved: random bytes, the same for the same seed.

use std::{
    cell::OnceCell,
    fs::{self, File},
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
};

use rand::{RngCore, SeedableRng, rngs::SmallRng};
use tempfile::TempDir;

use super::{interrupt, torrent};
use crate::Outcome;

/// One MiB.
pub(super) const MIB: u64 = 1 << 20;
/// What is written and compared at once.
const BLOCK_BYTES: usize = 1 << 20;

/// A file of random bytes; gone when dropped.
pub(super) struct Material {
    folder: TempDir,
    /// Its size.
    pub(super) mib: u64,
    /// Made when the first tool asks for it.
    piece_hashes: OnceCell<Vec<u8>>,
}

impl Material {
    /// Writes `mib` MiB beneath `parent`.
    pub(super) fn generate(parent: &Path, mib: u64, seed: u64) -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("skep-bench-")
            .tempdir_in(parent)?;
        let mut file = File::create(folder.path().join("payload"))?;
        let mut random = SmallRng::seed_from_u64(seed);
        let mut block = vec![0; BLOCK_BYTES];
        for _ in 0..mib {
            interrupt::check()?;
            random.fill_bytes(&mut block);
            file.write_all(&block)?;
        }
        file.sync_all()?;
        Ok(Self {
            folder,
            mib,
            piece_hashes: OnceCell::new(),
        })
    }

    /// Where it lies.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("payload")
    }

    /// The same file under the name `payload` in `folder`: a hard link, so that it costs nothing.
    pub(super) fn link_into(&self, folder: &Path) -> Outcome {
        fs::create_dir_all(folder)?;
        Ok(fs::hard_link(self.path(), folder.join("payload"))?)
    }

    /// The SHA-1 of each piece, one after the other.
    pub(super) fn piece_hashes(&self) -> Outcome<&[u8]> {
        if self.piece_hashes.get().is_none() {
            let hashes = torrent::hash_pieces(&self.path())?;
            // It was empty just now.
            let _ = self.piece_hashes.set(hashes);
        }
        Ok(self.piece_hashes.get().map_or(&[], Vec::as_slice))
    }

    /// An error if the file at `copy` differs.
    pub(super) fn expect_same(&self, copy: &Path) -> Outcome {
        let open = |path: &Path| File::open(path).map(|file| BufReader::with_capacity(BLOCK_BYTES, file));
        let (mut ours, mut theirs) = (open(&self.path())?, open(copy)?);
        let (mut a, mut b) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
        for _ in 0..self.mib {
            interrupt::check()?;
            ours.read_exact(&mut a)?;
            if theirs.read_exact(&mut b).is_err() || a != b {
                return Err("the copy differs from the file".into());
            }
        }
        match theirs.read(&mut b)? {
            0 => Ok(()),
            _ => Err("the copy is longer than the file".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_copy_is_noticed() {
        let folder = TempDir::new().unwrap();
        let material = Material::generate(folder.path(), 2, 7).unwrap();
        let copy = folder.path().join("copy");
        fs::copy(material.path(), &copy).unwrap();
        assert!(material.expect_same(&copy).is_ok());

        let mut bytes = fs::read(&copy).unwrap();
        bytes.push(0);
        fs::write(&copy, &bytes).unwrap();
        assert!(material.expect_same(&copy).is_err(), "longer");
        bytes.truncate(BLOCK_BYTES);
        fs::write(&copy, &bytes).unwrap();
        assert!(material.expect_same(&copy).is_err(), "shorter");
    }

    #[test]
    fn the_seed_decides_the_bytes() {
        let folder = TempDir::new().unwrap();
        let [a, b, c] = [1, 1, 2].map(|seed| Material::generate(folder.path(), 1, seed).unwrap());
        assert!(a.expect_same(&b.path()).is_ok());
        assert!(a.expect_same(&c.path()).is_err());
    }
}
