//! The tree of names of a simulated disk: as programs see it, and as a power cut would leave it.
//!
//! A name becomes durable when its folder is synced. Moves are atomic: both names of a move become
//! durable together, so that no sync ever loses a file that was durable under its old name.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    path::PathBuf,
};

use super::contents::Contents;

/// An inode number.
pub(super) type Ino = u64;
/// A place for a name: the folder, and the name in it.
pub(super) type Slot = (Ino, OsString);

pub(super) const ROOT: Ino = 1;

/// What an inode is.
pub(super) enum Body {
    File(Contents),
    Dir(Names),
    Symlink(PathBuf),
    Other,
}

/// The names in a folder.
#[derive(Default)]
pub(super) struct Names {
    pub(super) live: BTreeMap<OsString, Ino>,
    durable: BTreeMap<OsString, Ino>,
}

pub(super) struct Inode {
    pub(super) body: Body,
    /// The lowest 12 bits of `st_mode`.
    pub(super) mode: u16,
    pub(super) mtime_ns: i128,
    pub(super) ctime_ns: i128,
    /// Names that programs see of it.
    names: u32,
    /// Handles that programs have of it.
    handles: u32,
    /// Names that a power cut would leave.
    durable_names: u32,
}

impl Inode {
    fn new(body: Body) -> Self {
        let mode = if matches!(body, Body::Dir(_)) {
            0o755
        } else {
            0o644
        };
        Self {
            body,
            mode,
            mtime_ns: 0,
            ctime_ns: 0,
            names: 0,
            handles: 0,
            durable_names: 0,
        }
    }

    pub(super) fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }

    pub(super) fn set_executable(&mut self, executable: bool) {
        match executable {
            true => self.mode |= 0o111,
            false => self.mode &= !0o111,
        }
    }

    /// Whether programs can reach it.
    fn is_live(&self) -> bool {
        self.names > 0 || self.handles > 0
    }
}

/// All inodes.
pub(super) struct Tree {
    inodes: BTreeMap<Ino, Inode>,
    next: Ino,
    /// Moves of which not both names are durable.
    moves: Vec<(Slot, Slot)>,
}

impl Tree {
    /// An empty root folder.
    pub(super) fn new() -> Self {
        let mut root = Inode::new(Body::Dir(Names::default()));
        (root.names, root.durable_names) = (1, 1);
        Self {
            inodes: BTreeMap::from([(ROOT, root)]),
            next: ROOT + 1,
            moves: Vec::new(),
        }
    }

    /// All inodes there are.
    pub(super) fn inos(&self) -> Vec<Ino> {
        self.inodes.keys().copied().collect()
    }

    pub(super) fn get(&self, ino: Ino) -> Option<&Inode> {
        self.inodes.get(&ino)
    }

    pub(super) fn get_mut(&mut self, ino: Ino) -> Option<&mut Inode> {
        self.inodes.get_mut(&ino)
    }

    pub(super) fn names(&self, folder: Ino) -> Option<&Names> {
        match &self.inodes.get(&folder)?.body {
            Body::Dir(names) => Some(names),
            _ => None,
        }
    }

    fn names_mut(&mut self, folder: Ino) -> Option<&mut Names> {
        match &mut self.inodes.get_mut(&folder)?.body {
            Body::Dir(names) => Some(names),
            _ => None,
        }
    }

    pub(super) fn child(&self, folder: Ino, name: &OsStr) -> Option<Ino> {
        self.names(folder)?.live.get(name).copied()
    }

    /// Whether programs can still find it by a name.
    pub(super) fn is_named(&self, ino: Ino) -> bool {
        self.get(ino).is_some_and(|inode| inode.names > 0)
    }

    /// Blocks that files take up.
    pub(super) fn blocks(&self) -> u64 {
        let blocks = |inode: &Inode| match &inode.body {
            Body::File(contents) if inode.is_live() => contents.blocks(),
            _ => 0,
        };
        self.inodes.values().map(blocks).sum()
    }

    /// A new inode under a new name.
    pub(super) fn add(&mut self, slot: Slot, body: Body) -> Ino {
        let ino = self.next;
        self.next += 1;
        self.inodes.insert(ino, Inode::new(body));
        self.link(slot, ino);
        ino
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, (folder, name): &Slot) {
        if let Some(ino) = self.names_mut(*folder).and_then(|names| names.live.remove(name)) {
            self.unname(ino);
        }
    }

    /// Moves a name, over an existing one if there is one.
    pub(super) fn rename(&mut self, from: Slot, to: Slot) {
        let Some(ino) = self.child(from.0, &from.1) else {
            return;
        };
        self.remove(&to);
        self.link(to.clone(), ino);
        self.remove(&from);
        self.moves.push((from, to));
    }

    /// Counts one more handle of an inode.
    pub(super) fn retain(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.handles += 1;
        }
    }

    /// Counts one handle less.
    pub(super) fn release(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.handles -= 1;
            self.forget_if_unused(ino);
        }
    }

    /// Makes the names in `folder` durable.
    pub(super) fn sync(&mut self, folder: Ino) {
        let slots = self.slots(folder);
        self.settle(slots);
    }

    /// A power cut: of the names not synced, `keep` says which reached the disk. Handles are gone.
    pub(super) fn crash(&mut self, mut keep: impl FnMut() -> bool) {
        let unsynced: Vec<Slot> = self.inodes.keys().flat_map(|ino| self.unsettled(*ino)).collect();
        for slot in unsynced {
            if keep() {
                self.settle(BTreeSet::from([slot]));
            }
        }
        self.moves.clear();
        self.close_all(|names| names.live = names.durable.clone());
    }

    /// The end of all programs: handles are gone, names stay.
    pub(super) fn kill(&mut self) {
        self.close_all(|_| ());
    }

    fn close_all(&mut self, adjust: impl Fn(&mut Names)) {
        let mut named = BTreeMap::from([(ROOT, 1)]);
        for inode in self.inodes.values_mut() {
            if let Body::Dir(names) = &mut inode.body {
                adjust(names);
                names
                    .live
                    .values()
                    .for_each(|ino| *named.entry(*ino).or_default() += 1);
            }
        }
        for (ino, inode) in &mut self.inodes {
            inode.names = named.get(ino).copied().unwrap_or(0);
            inode.handles = 0;
        }
        for ino in self.inos() {
            self.forget_if_unused(ino);
        }
    }

    fn link(&mut self, (folder, name): Slot, ino: Ino) {
        if let Some(names) = self.names_mut(folder) {
            names.live.insert(name, ino);
        }
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.names += 1;
        }
    }

    /// All names that `folder` has or had.
    fn slots(&self, folder: Ino) -> BTreeSet<Slot> {
        let names = self.names(folder).into_iter();
        names
            .flat_map(|n| n.live.keys().chain(n.durable.keys()))
            .map(|name| (folder, name.clone()))
            .collect()
    }

    /// The names of `folder` that a power cut could change.
    fn unsettled(&self, folder: Ino) -> Vec<Slot> {
        let Some(names) = self.names(folder) else {
            return Vec::new();
        };
        let differs = |(_, name): &Slot| names.live.get(name) != names.durable.get(name);
        self.slots(folder).into_iter().filter(differs).collect()
    }

    /// Makes these names durable, and those that moves tie to them.
    fn settle(&mut self, mut slots: BTreeSet<Slot>) {
        let mut before = 0;
        while before < slots.len() {
            before = slots.len();
            let tied = |(a, b): &&(Slot, Slot)| slots.contains(a) != slots.contains(b);
            let moved: Vec<Slot> = self
                .moves
                .iter()
                .filter(tied)
                .flat_map(|(a, b)| [a.clone(), b.clone()])
                .collect();
            let emptied: Vec<Slot> = slots.iter().flat_map(|slot| self.going_with(slot)).collect();
            slots.extend(moved.into_iter().chain(emptied));
        }
        self.moves.retain(|(from, _)| !slots.contains(from));
        slots.iter().for_each(|slot| self.settle_one(slot));
    }

    /// If the name was that of a folder now removed: the names that were in there.
    fn going_with(&self, (folder, name): &Slot) -> BTreeSet<Slot> {
        let removed = self
            .names(*folder)
            .and_then(|names| names.durable.get(name))
            .filter(|ino| self.get(**ino).is_some_and(|inode| inode.names == 0));
        removed.map(|ino| self.slots(*ino)).unwrap_or_default()
    }

    fn settle_one(&mut self, (folder, name): &Slot) {
        let Some(names) = self.names_mut(*folder) else {
            return;
        };
        let old = names.durable.remove(name);
        let new = names.live.get(name).copied();
        if let Some(new) = new {
            names.durable.insert(name.clone(), new);
        }
        if let Some(inode) = new.and_then(|new| self.inodes.get_mut(&new)) {
            inode.durable_names += 1;
        }
        if let Some(old) = old {
            self.unname_durable(old);
        }
    }

    fn unname(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.names -= 1;
            self.forget_if_unused(ino);
        }
    }

    fn unname_durable(&mut self, ino: Ino) {
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.durable_names -= 1;
            self.forget_if_unused(ino);
        }
    }

    /// Frees an inode that nothing can reach, and what only it could.
    fn forget_if_unused(&mut self, ino: Ino) {
        let unused = |inode: &Inode| !inode.is_live() && inode.durable_names == 0;
        if !self.inodes.get(&ino).is_some_and(unused) {
            return;
        }
        let Some(Inode {
            body: Body::Dir(names),
            ..
        }) = self.inodes.remove(&ino)
        else {
            return;
        };
        names.live.into_values().for_each(|ino| self.unname(ino));
        names
            .durable
            .into_values()
            .for_each(|ino| self.unname_durable(ino));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(folder: Ino, name: &str) -> Slot {
        (folder, name.into())
    }

    fn tree_with_two_folders() -> (Tree, Ino, Ino) {
        let mut tree = Tree::new();
        let a = tree.add(slot(ROOT, "a"), Body::Dir(Names::default()));
        let b = tree.add(slot(ROOT, "b"), Body::Dir(Names::default()));
        tree.sync(ROOT);
        (tree, a, b)
    }

    #[test]
    fn names_not_synced_are_dropped() {
        let (mut tree, a, b) = tree_with_two_folders();
        let kept = tree.add(slot(a, "kept"), Body::Other);
        tree.sync(a);
        tree.add(slot(a, "new"), Body::Other);
        tree.add(slot(b, "new"), Body::Other);
        tree.remove(&slot(a, "kept"));
        tree.crash(|| false);
        assert_eq!(tree.child(a, "kept".as_ref()), Some(kept));
        assert_eq!(
            (tree.slots(a).len(), tree.slots(b).len(), tree.inodes.len()),
            (1, 0, 4)
        );
    }

    /// Whichever folder is synced, and whatever else happens to reach the disk, the file is there.
    #[test]
    fn a_moved_file_is_never_lost() {
        for (sync_a, sync_b, kept) in [(true, false, false), (false, true, false), (false, false, true)] {
            let (mut tree, a, b) = tree_with_two_folders();
            let file = tree.add(slot(a, "x"), Body::Other);
            tree.sync(a);
            tree.rename(slot(a, "x"), slot(b, "y"));
            tree.rename(slot(b, "y"), slot(ROOT, "z"));
            if sync_a {
                tree.sync(a);
            }
            if sync_b {
                tree.sync(b);
            }
            tree.crash(|| kept);
            let found = [tree.child(a, "x".as_ref()), tree.child(ROOT, "z".as_ref())];
            assert!(
                found == [Some(file), None] || found == [None, Some(file)],
                "{sync_a} {sync_b} {kept}"
            );
            assert!(
                !(sync_a || kept) || found[0].is_none(),
                "{sync_a} {sync_b} {kept}"
            );
        }
    }

    #[test]
    fn a_file_moved_out_of_a_removed_folder_is_not_lost() {
        let (mut tree, a, b) = tree_with_two_folders();
        let file = tree.add(slot(a, "x"), Body::Other);
        tree.sync(a);
        tree.rename(slot(a, "x"), slot(b, "x"));
        tree.remove(&slot(ROOT, "a"));
        tree.sync(ROOT);
        tree.crash(|| false);
        assert_eq!(tree.child(b, "x".as_ref()), Some(file));
        assert_eq!(tree.child(ROOT, "a".as_ref()), None);
    }
}
