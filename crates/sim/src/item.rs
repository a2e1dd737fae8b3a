//! The files that are shared: their bytes follow from the seed, so that any copy can be judged.

use std::path::{Path, PathBuf};

use rand::{RngCore, SeedableRng, rngs::SmallRng};
use skep_world::simulated::Disk;

use crate::scenario::Shape;

/// A file or folder to share, with all of its bytes.
pub(crate) struct Item {
    /// The files, by their path beneath the item's own; a single file has an empty one.
    files: Vec<(PathBuf, Vec<u8>)>,
}

/// What a copy on a disk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Copy {
    /// Nothing has the name.
    Absent,
    /// All of it is there, and nothing else.
    Exact,
    /// Something else has the name.
    Wrong(String),
}

impl Item {
    pub(crate) fn new(seed: u64, shape: &Shape) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut file = |name: PathBuf, size: u64| {
            let mut bytes = vec![0; usize::try_from(size).expect("items are small")];
            rng.fill_bytes(&mut bytes);
            (name, bytes)
        };
        let files = match shape {
            Shape::File(size) => vec![file(PathBuf::new(), *size)],
            Shape::Folder(sizes) => {
                let named =
                    |(n, size): (usize, &u64)| file(PathBuf::from(format!("{}/{n}.bin", n % 3)), *size);
                sizes.iter().enumerate().map(named).collect()
            }
        };
        Self { files }
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> usize {
        self.files.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Puts a copy at `path`, as a person would.
    pub(crate) fn put(&self, disk: &Disk, path: &Path) -> std::io::Result<()> {
        self.files
            .iter()
            .try_for_each(|(name, bytes)| disk.write(&at(path, name), bytes))
    }

    /// Turns a bit of the first file with bytes in the copy at `path`; whether there is one.
    pub(crate) fn decay(&self, disk: &Disk, path: &Path, bit: u64) -> bool {
        let Some((name, bytes)) = self.files.iter().find(|(_, bytes)| !bytes.is_empty()) else {
            return false;
        };
        disk.flip_bit(&at(path, name), bit % (bytes.len() as u64 * 8))
            .is_ok()
    }

    /// Judges the copy at `path`.
    pub(crate) fn judge(&self, disk: &Disk, path: &Path) -> Copy {
        let there: Vec<_> = disk
            .files()
            .into_iter()
            .filter(|file| file.starts_with(path))
            .collect();
        if there.is_empty() {
            return Copy::Absent;
        }
        for (name, bytes) in &self.files {
            match disk.read(&at(path, name)) {
                Ok(read) if read == *bytes => {}
                Ok(_) => return Copy::Wrong(format!("{} has other bytes", at(path, name).display())),
                Err(e) => return Copy::Wrong(format!("{}: {e}", at(path, name).display())),
            }
        }
        if there.len() == self.files.len() {
            Copy::Exact
        } else {
            Copy::Wrong(format!(
                "{} has {} files too many",
                path.display(),
                there.len() - self.files.len()
            ))
        }
    }
}

fn at(path: &Path, name: &Path) -> PathBuf {
    // Joining nothing would add a slash.
    if name.as_os_str().is_empty() {
        path.to_owned()
    } else {
        path.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_judged() {
        for shape in [Shape::File(10_000), Shape::Folder(vec![10, 0, 5_000, 7])] {
            let (item, disk, path) = (Item::new(1, &shape), Disk::new(), Path::new("/copy"));
            assert_eq!(item.judge(&disk, path), Copy::Absent);
            item.put(&disk, path).unwrap();
            assert_eq!(item.judge(&disk, path), Copy::Exact);
            assert!(item.decay(&disk, path, 123_456));
            assert!(matches!(item.judge(&disk, path), Copy::Wrong(_)));
            item.put(&disk, path).unwrap();
            assert_eq!(item.judge(&disk, path), Copy::Exact);
        }
    }

    #[test]
    fn a_folder_with_a_file_too_many_is_wrong() {
        let (item, disk) = (Item::new(1, &Shape::Folder(vec![10])), Disk::new());
        item.put(&disk, Path::new("/copy")).unwrap();
        disk.write(Path::new("/copy/more"), b"").unwrap();
        assert!(matches!(item.judge(&disk, Path::new("/copy")), Copy::Wrong(_)));
    }
}
