//! What is moved: random bytes, the same for the same seed, as one file or as a folder of many.

use std::{
    cell::OnceCell,
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::{BufReader, Read, Write},
    path::{Path, PathBuf},
};

use rand::{RngCore, SeedableRng, rngs::SmallRng};
use tempfile::TempDir;

use super::{interrupt, sources::Sources, torrent};
use crate::Outcome;

/// One MiB.
pub(super) const MIB: u64 = 1 << 20;
/// What is written and compared at once.
const BLOCK_BYTES: usize = 1 << 20;
/// So many files lie in one folder of a folder of many.
const FILES_PER_FOLDER: u64 = 100;
/// So many folders of files lie in one folder of sources.
const FOLDERS_PER_PACKAGE: u64 = 20;

/// A file or a folder of random bytes; gone when dropped.
pub(super) struct Material {
    folder: TempDir,
    /// Of all files together.
    pub(super) bytes: u64,
    /// Made when the first tool asks for it.
    piece_hashes: OnceCell<Vec<u8>>,
}

impl Material {
    /// Writes one file of `mib` MiB beneath `parent`.
    pub(super) fn generate(parent: &Path, mib: u64, seed: u64) -> Outcome<Self> {
        let material = Self::empty(parent, mib * MIB)?;
        let mut file = File::create(material.path())?;
        let mut random = SmallRng::seed_from_u64(seed);
        let mut block = vec![0; BLOCK_BYTES];
        for _ in 0..mib {
            interrupt::check()?;
            random.fill_bytes(&mut block);
            file.write_all(&block)?;
        }
        file.sync_all()?;
        Ok(material)
    }

    /// Writes a folder with so many files of so many bytes beneath `parent`.
    pub(super) fn generate_folder(parent: &Path, files: u64, bytes_each: u64, seed: u64) -> Outcome<Self> {
        let material = Self::empty(parent, files * bytes_each)?;
        let mut random = SmallRng::seed_from_u64(seed);
        let mut bytes = vec![0; usize::try_from(bytes_each)?];
        for number in 0..files {
            interrupt::check()?;
            let folder = material.path().join(format!("{:04}", number / FILES_PER_FOLDER));
            if number % FILES_PER_FOLDER == 0 {
                fs::create_dir_all(&folder)?;
            }
            random.fill_bytes(&mut bytes);
            fs::write(folder.join(format!("{number:06}")), &bytes)?;
        }
        Ok(material)
    }

    /// Writes a tree of so many files like sources beneath `parent`, some of them copies of others.
    pub(super) fn generate_sources(parent: &Path, files: u64, seed: u64) -> Outcome<Self> {
        let mut material = Self::empty(parent, 0)?;
        let sources = Sources::new(seed);
        for number in 0..files {
            interrupt::check()?;
            let package = number / (FILES_PER_FOLDER * FOLDERS_PER_PACKAGE);
            let folder = format!("package-{package}/module-{}", number / FILES_PER_FOLDER);
            let folder = material.path().join(folder);
            if number % FILES_PER_FOLDER == 0 {
                fs::create_dir_all(&folder)?;
            }
            let text = sources.file(number);
            material.bytes += text.len() as u64;
            fs::write(folder.join(format!("source-{number}.rs")), text)?;
        }
        Ok(material)
    }

    fn empty(parent: &Path, bytes: u64) -> Outcome<Self> {
        let folder = tempfile::Builder::new()
            .prefix("skep-bench-")
            .tempdir_in(parent)?;
        Ok(Self {
            folder,
            bytes,
            piece_hashes: OnceCell::new(),
        })
    }

    /// Its size in MiB.
    pub(super) fn mib(&self) -> f64 {
        self.bytes as f64 / MIB as f64
    }

    /// Where it lies: alone in its folder, under the name `payload`.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("payload")
    }

    /// The same file under the name `payload` in `folder`: a hard link, so that it costs nothing.
    pub(super) fn link_into(&self, folder: &Path) -> Outcome<PathBuf> {
        fs::create_dir_all(folder)?;
        let link = folder.join("payload");
        fs::hard_link(self.path(), &link)?;
        Ok(link)
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

    /// An error if the file or folder at `copy` differs.
    pub(super) fn expect_same(&self, copy: &Path) -> Outcome {
        expect_same(&self.path(), copy)
    }
}

fn expect_same(ours: &Path, theirs: &Path) -> Outcome {
    interrupt::check()?;
    if !ours.is_dir() {
        return expect_same_file(ours, theirs);
    }
    let (names, theirs_names) = (names(ours)?, names(theirs)?);
    if names != theirs_names {
        return Err("the copy has not the same files".into());
    }
    names
        .iter()
        .try_for_each(|name| expect_same(&ours.join(name), &theirs.join(name)))
}

fn names(folder: &Path) -> Outcome<BTreeSet<OsString>> {
    let name = |entry: std::io::Result<fs::DirEntry>| Ok(entry?.file_name());
    fs::read_dir(folder)?.map(name).collect()
}

fn expect_same_file(ours: &Path, theirs: &Path) -> Outcome {
    let bytes = fs::metadata(ours)?.len();
    if fs::metadata(theirs)?.len() != bytes {
        return Err("the copy is longer or shorter than the file".into());
    }
    let open = |path: &Path| File::open(path).map(|file| BufReader::with_capacity(BLOCK_BYTES, file));
    let (mut ours, mut theirs) = (open(ours)?, open(theirs)?);
    let block_bytes = usize::try_from(bytes).map_or(BLOCK_BYTES, |bytes| bytes.min(BLOCK_BYTES));
    let (mut a, mut b) = (vec![0; block_bytes], vec![0; block_bytes]);
    let mut left = bytes;
    while left > 0 {
        interrupt::check()?;
        let next = usize::try_from(left).map_or(block_bytes, |left| left.min(block_bytes));
        ours.read_exact(&mut a[..next])?;
        theirs.read_exact(&mut b[..next])?;
        if a[..next] != b[..next] {
            return Err("the copy differs from the file".into());
        }
        left -= next as u64;
    }
    Ok(())
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
    fn a_damaged_copy_of_a_folder_is_noticed() {
        let folder = TempDir::new().unwrap();
        let make = |seed| Material::generate_folder(folder.path(), 101, 5, seed).unwrap();
        let (material, copy, other) = (make(1), make(1), make(2));
        assert!(material.expect_same(&copy.path()).is_ok());
        assert!(material.expect_same(&other.path()).is_err(), "other bytes");
        fs::remove_file(copy.path().join("0001/000100")).unwrap();
        assert!(material.expect_same(&copy.path()).is_err(), "one is missing");
    }

    #[test]
    fn the_seed_decides_the_bytes() {
        let folder = TempDir::new().unwrap();
        let [a, b, c] = [1, 1, 2].map(|seed| Material::generate(folder.path(), 1, seed).unwrap());
        assert!(a.expect_same(&b.path()).is_ok());
        assert!(a.expect_same(&c.path()).is_err());
    }
}
