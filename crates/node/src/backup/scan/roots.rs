//! The paths of a backup as one tree: from `/` down to each of them, and whole from there.

use std::{
    collections::BTreeMap,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

/// What is wanted of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Roots {
    /// Everything in it.
    pub(super) whole: bool,
    /// Otherwise these names.
    pub(super) below: BTreeMap<Vec<u8>, Roots>,
}

impl Roots {
    /// What is wanted of `/`. The paths are absolute.
    pub(super) fn new(paths: &[PathBuf]) -> Self {
        let mut root = Self::default();
        paths.iter().for_each(|path| root.add(path));
        root
    }

    /// Everything.
    pub(super) const fn everything() -> Self {
        Self {
            whole: true,
            below: BTreeMap::new(),
        }
    }

    fn add(&mut self, path: &Path) {
        let mut at = self;
        for component in path.components() {
            if at.whole {
                return;
            }
            if let Component::Normal(name) = component {
                at = at.below.entry(name.as_bytes().to_vec()).or_default();
            }
        }
        *at = Self::everything();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_share_their_beginning_and_swallow_what_is_in_them() {
        let paths = ["/a/b", "/a/c/d", "/a/c", "/a/b/x"].map(PathBuf::from);
        let root = Roots::new(&paths);
        assert!(!root.whole);
        let a = &root.below[b"a".as_slice()];
        assert_eq!(a.below.keys().collect::<Vec<_>>(), [b"b", b"c"]);
        assert!(a.below.values().all(|below| *below == Roots::everything()));
        assert_eq!(Roots::new(&[PathBuf::from("/")]), Roots::everything());
    }
}
