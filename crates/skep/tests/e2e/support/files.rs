//! Files with bytes that cannot be guessed, and trees that can be held against each other.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rand::{RngCore, SeedableRng, rngs::SmallRng};

/// That many bytes; others for another seed.
fn random(bytes: usize, seed: u64) -> Vec<u8> {
    let mut all = vec![0; bytes];
    SmallRng::seed_from_u64(seed).fill_bytes(&mut all);
    all
}

/// Writes a file of that many bytes, and the folders that it lies in, and returns the bytes.
pub(crate) fn write_random(path: &Path, bytes: usize, seed: u64) -> Vec<u8> {
    let all = random(bytes, seed);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, &all).unwrap();
    all
}

/// Everything in a folder but what begins with a dot.
#[derive(PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<PathBuf, Node>);

#[derive(PartialEq, Eq)]
enum Node {
    Folder,
    File { bytes: Vec<u8>, executable: bool },
}

impl Tree {
    /// Reads it.
    pub(crate) fn read(root: &Path) -> Self {
        let mut tree = BTreeMap::new();
        add(root, root, &mut tree);
        Self(tree)
    }
}

fn add(root: &Path, folder: &Path, tree: &mut BTreeMap<PathBuf, Node>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_owned();
        let kind = entry.file_type().unwrap();
        assert!(kind.is_dir() || kind.is_file(), "what is {}?", path.display());
        if kind.is_dir() {
            tree.insert(name, Node::Folder);
            add(root, &path, tree);
        } else {
            let executable = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
            let bytes = fs::read(&path).unwrap();
            tree.insert(name, Node::File { bytes, executable });
        }
    }
}

/// Names and sizes: bytes would fill the screen.
impl std::fmt::Debug for Tree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let describe = |node: &Node| match node {
            Node::Folder => "folder".to_owned(),
            Node::File { bytes, executable } => {
                format!("{} bytes {}", bytes.len(), if *executable { "x" } else { "" })
            }
        };
        f.debug_map()
            .entries(self.0.iter().map(|(path, node)| (path, describe(node))))
            .finish()
    }
}
