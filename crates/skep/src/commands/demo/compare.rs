//! Whether two files, or two folders, are the same. Reads both; knows nothing of hashes.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::Path,
};

/// Whether `a` and `b` are the same, names beginning with a dot apart: those are not shared.
pub(super) fn same(a: &Path, b: &Path) -> bool {
    let result = if a.is_dir() {
        same_folder(a, b)
    } else {
        same_file(a, b)
    };
    result.unwrap_or(false)
}

fn same_folder(a: &Path, b: &Path) -> io::Result<bool> {
    let names = names(a)?;
    Ok(names == self::names(b)? && names.iter().all(|name| same(&a.join(name), &b.join(name))))
}

fn names(folder: &Path) -> io::Result<BTreeSet<OsString>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if !entry.file_type()?.is_symlink() && !name.as_encoded_bytes().starts_with(b".") {
            names.insert(name);
        }
    }
    Ok(names)
}

fn same_file(a: &Path, b: &Path) -> io::Result<bool> {
    if fs::metadata(a)?.len() != fs::metadata(b)?.len() {
        return Ok(false);
    }
    let mut a = BufReader::new(File::open(a)?);
    let mut b = BufReader::new(File::open(b)?);
    let (mut left, mut right) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let n = a.read(&mut left)?;
        if n == 0 {
            return Ok(true);
        }
        b.read_exact(&mut right[..n])?;
        if left[..n] != right[..n] {
            return Ok(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_byte_and_a_missing_file_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        for side in [&a, &b] {
            fs::create_dir_all(side.join("sub")).unwrap();
            fs::write(side.join("sub/file"), vec![7; 100_000]).unwrap();
        }
        fs::write(a.join(".hidden"), "not shared").unwrap();
        assert!(same(&a, &b));
        let mut bytes = vec![7; 100_000];
        bytes[99_999] = 8;
        fs::write(b.join("sub/file"), bytes).unwrap();
        assert!(!same(&a, &b));
        fs::remove_file(b.join("sub/file")).unwrap();
        assert!(!same(&a, &b));
    }
}
