//! Names that a file system takes for one: found before anything is written.

use std::{collections::BTreeMap, io};

use skep_wire::{Manifest, RelPath};
use skep_world::{Dir, disk::Open};

/// Two different paths of `manifest`, files or folders, that are one in the folder `hidden`.
pub(super) fn collision(
    dir: &dyn Dir,
    hidden: &RelPath,
    manifest: &Manifest,
) -> io::Result<Option<(RelPath, RelPath)>> {
    if !folds_case(dir, hidden)? {
        return Ok(None);
    }
    Ok(same_but_for_case(manifest))
}

/// Asks the file system itself; on Linux every folder can be different.
fn folds_case(dir: &dyn Dir, hidden: &RelPath) -> io::Result<bool> {
    let probe = |name| {
        let name = RelPath::parse(name).map_err(io::Error::other)?;
        hidden.join(&name).map_err(io::Error::other)
    };
    let (lower, upper) = (probe(".skep-probe")?, probe(".SKEP-PROBE")?);
    dir.open(&lower, Open::OpenOrCreatePrivate)?;
    let folds = dir.stat(&upper).is_ok();
    dir.remove_file(&lower)?;
    Ok(folds)
}

fn same_but_for_case(manifest: &Manifest) -> Option<(RelPath, RelPath)> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for entry in manifest.entries() {
        for path in prefixes(entry.path.as_str()) {
            let other = *seen.entry(path.to_lowercase()).or_insert(path);
            if other != path {
                return Some((RelPath::parse(other).ok()?, RelPath::parse(path).ok()?));
            }
        }
    }
    None
}

/// The folders that `path` lies in, and itself.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.map(|end| &path[..end])
}

#[cfg(test)]
mod tests {
    use skep_wire::manifest::{Entry, Node};

    use super::*;

    fn clash(paths: &[&str]) -> Option<(String, String)> {
        let entries = paths.iter().map(|path| Entry {
            path: RelPath::parse(path).unwrap(),
            node: Node::Folder,
        });
        let manifest = Manifest::new(entries.collect()).unwrap();
        same_but_for_case(&manifest).map(|(a, b)| (a.to_string(), b.to_string()))
    }

    #[test]
    fn files_and_folders_that_differ_by_case_only_are_found() {
        let both = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(clash(&["a/x", "a/y", "b"]), None);
        assert_eq!(clash(&["Read", "read"]), both("Read", "read"));
        assert_eq!(clash(&["A/x", "a/y"]), both("A", "a"));
        assert_eq!(clash(&["d/É", "d/é"]), both("d/É", "d/é"));
    }
}
