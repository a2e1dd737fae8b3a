//! What a simulated disk is made of: the tree, its capacity, its locks, and the faults to come.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fmt, io,
    ops::Range,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use rustix::io::Errno;
use skep_wire::RelPath;

use super::{
    Fault,
    contents::{BLOCK, Contents},
    names::{Body, Ino, Names, ROOT, Slot, Tree},
};
use crate::{
    disk::{Kind, Stat},
    simulated::Trace,
};

/// As many links as Linux follows in one path.
const MOST_SYMLINKS: u32 = 40;

/// A tebibyte.
pub(super) const USUAL_BLOCKS: u64 = (1 << 40) / BLOCK;

pub(super) struct State {
    pub(super) tree: Tree,
    pub(super) capacity_blocks: u64,
    pub(super) clock: Option<Arc<dyn crate::Clock>>,
    pub(super) operations: u64,
    pub(super) faults: Vec<(Range<u64>, Fault)>,
    pub(super) locks: BTreeSet<Ino>,
    /// Handles of an earlier life are dead.
    pub(super) life: u64,
    used_blocks: u64,
    ticks: u64,
    place: String,
    trace: Trace,
}

impl State {
    pub(super) fn new(place: &str, trace: Trace) -> Self {
        Self {
            tree: Tree::new(),
            capacity_blocks: USUAL_BLOCKS,
            clock: None,
            operations: 0,
            faults: Vec::new(),
            locks: BTreeSet::new(),
            life: 0,
            used_blocks: 0,
            ticks: 0,
            place: place.to_owned(),
            trace,
        }
    }

    pub(super) fn note(&self, what: &str, about: fmt::Arguments<'_>) {
        self.trace.note(&self.place, &format!("{what} {about}"), &[]);
    }

    /// An error if that life is over.
    pub(super) fn alive(&self, life: u64) -> io::Result<()> {
        if life == self.life {
            Ok(())
        } else {
            Err(io::Error::other("the machine crashed since this was opened"))
        }
    }

    /// Counts an operation; an error if it is to fail.
    pub(super) fn begin(&mut self, what: &str, about: fmt::Arguments<'_>) -> io::Result<()> {
        self.note(what, about);
        let number = self.operations;
        self.operations += 1;
        match self.faults.iter().find(|(numbers, _)| numbers.contains(&number)) {
            Some((_, Fault::Io)) => Err(Errno::IO.into()),
            Some((_, Fault::Full)) => Err(Errno::NOSPC.into()),
            None => Ok(()),
        }
    }

    pub(super) fn kill(&mut self) {
        self.tree.kill();
        self.restart();
    }

    pub(super) fn crash(&mut self, mut keep: impl FnMut() -> bool) {
        self.tree.crash(&mut keep);
        for ino in self.tree.inos() {
            if let Ok(contents) = self.contents_mut(ino) {
                contents.crash(&mut keep);
            }
        }
        self.restart();
    }

    fn restart(&mut self) {
        self.locks.clear();
        self.life += 1;
        self.count_blocks();
    }

    pub(super) fn used_blocks(&self) -> u64 {
        self.used_blocks
    }

    pub(super) fn free_blocks(&self) -> u64 {
        self.capacity_blocks.saturating_sub(self.used_blocks)
    }

    /// Takes blocks, if there are so many.
    pub(super) fn take_blocks(&mut self, blocks: u64) -> io::Result<()> {
        if blocks > self.free_blocks() {
            return Err(Errno::NOSPC.into());
        }
        self.used_blocks += blocks;
        Ok(())
    }

    /// Counts the blocks again, after some were freed.
    pub(super) fn count_blocks(&mut self) {
        self.used_blocks = self.tree.blocks();
    }

    /// What `path` beneath `root` is; a symbolic link on the way is an error, a final one is a result.
    pub(super) fn find(&self, root: Ino, path: &RelPath) -> io::Result<Ino> {
        let (folder, name) = self.slot(root, path)?;
        self.tree.child(folder, &name).ok_or_else(|| Errno::NOENT.into())
    }

    /// The folder `path` beneath `root`, or `root`.
    pub(super) fn find_dir(&self, root: Ino, path: Option<&RelPath>) -> io::Result<Ino> {
        let components = path.into_iter().flat_map(RelPath::components);
        components
            .map(OsStr::new)
            .try_fold(root, |folder, name| self.step(folder, name))
    }

    /// Where the last component of `path` beneath `root` is, or would be.
    pub(super) fn slot(&self, root: Ino, path: &RelPath) -> io::Result<Slot> {
        let folder = self.find_dir(root, path.parent().as_ref())?;
        Ok((folder, path.file_name().into()))
    }

    /// The child folder `name`.
    pub(super) fn step(&self, folder: Ino, name: &OsStr) -> io::Result<Ino> {
        let child = self.tree.child(folder, name).ok_or(Errno::NOENT)?;
        match self.tree.get(child).map(|inode| &inode.body) {
            Some(Body::Dir(_)) => Ok(child),
            Some(Body::Symlink(_)) => Err(Errno::LOOP.into()),
            _ => Err(Errno::NOTDIR.into()),
        }
    }

    /// A new inode under a name that is free.
    pub(super) fn add(&mut self, slot: Slot, body: Body) -> io::Result<Ino> {
        // A folder that was removed while somebody had it open takes no names any more.
        if !self.tree.is_named(slot.0) {
            return Err(Errno::NOENT.into());
        }
        self.touch(slot.0);
        let ino = self.tree.add(slot, body);
        self.touch(ino);
        Ok(ino)
    }

    /// Takes a name away.
    pub(super) fn remove(&mut self, slot: &Slot) {
        self.touch(slot.0);
        self.tree.remove(slot);
        self.count_blocks();
    }

    /// What is at `path`, an absolute one, and its path without symbolic links.
    pub(super) fn follow(&self, path: &Path) -> io::Result<(Ino, PathBuf)> {
        self.follow_from(Path::new("/"), path, MOST_SYMLINKS)
    }

    fn follow_from(&self, from: &Path, path: &Path, links: u32) -> io::Result<(Ino, PathBuf)> {
        let mut done = from.to_owned();
        for component in path.components() {
            match component {
                Component::RootDir => done = PathBuf::from("/"),
                Component::ParentDir => drop(done.pop()),
                Component::Normal(name) => done = self.follow_one(&done, name, links)?,
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Ok((self.at(&done)?, done))
    }

    /// `folder/name`, or where that points.
    fn follow_one(&self, folder: &Path, name: &OsStr, links: u32) -> io::Result<PathBuf> {
        let path = folder.join(name);
        match self.tree.get(self.at(&path)?).map(|inode| &inode.body) {
            Some(Body::Symlink(_)) if links == 0 => Err(Errno::LOOP.into()),
            Some(Body::Symlink(target)) => Ok(self.follow_from(folder, target, links - 1)?.1),
            _ => Ok(path),
        }
    }

    /// What is at an absolute path without links and dots.
    fn at(&self, path: &Path) -> io::Result<Ino> {
        let names = path
            .components()
            .filter(|component| *component != Component::RootDir);
        names.map(Component::as_os_str).try_fold(ROOT, |folder, name| {
            let names = self.tree.names(folder).ok_or(Errno::NOTDIR)?;
            names.live.get(name).copied().ok_or_else(|| Errno::NOENT.into())
        })
    }

    /// The folder at `path`, made with its parents where missing, and durable.
    pub(super) fn make_durable_dir(&mut self, path: &Path) -> io::Result<(Ino, PathBuf)> {
        match self.follow(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::NOENT.into());
        };
        let (folder, parent) = self.make_durable_dir(parent)?;
        if self.tree.names(folder).is_none() {
            return Err(Errno::NOTDIR.into());
        }
        let ino = self.add((folder, name.to_owned()), Body::Dir(Names::default()))?;
        self.tree.sync(folder);
        Ok((ino, parent.join(name)))
    }

    pub(super) fn put_new(&mut self, path: &Path, body: Body) -> io::Result<()> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::EXIST.into());
        };
        let (folder, _) = self.make_durable_dir(parent)?;
        if self.tree.child(folder, name).is_some() {
            return Err(Errno::EXIST.into());
        }
        self.add((folder, name.to_owned()), body)?;
        self.tree.sync(folder);
        Ok(())
    }

    pub(super) fn put(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        if self.follow(path).is_err() {
            self.put_new(path, Body::File(Contents::default()))?;
        }
        let (ino, _) = self.follow(path)?;
        let contents = self.contents_mut(ino)?;
        contents.set_len(0);
        contents.write_at(0, bytes);
        contents.sync();
        self.touch(ino);
        self.count_blocks();
        Ok(())
    }

    pub(super) fn read_all(&self, ino: Ino) -> io::Result<Vec<u8>> {
        let contents = self.contents(ino)?;
        let mut bytes = vec![0; usize::try_from(contents.size()).map_err(|_| Errno::FBIG)?];
        contents.read_at(0, &mut bytes);
        Ok(bytes)
    }

    pub(super) fn contents(&self, ino: Ino) -> io::Result<&Contents> {
        match self.tree.get(ino).map(|inode| &inode.body) {
            Some(Body::File(contents)) => Ok(contents),
            _ => Err(Errno::ISDIR.into()),
        }
    }

    pub(super) fn contents_mut(&mut self, ino: Ino) -> io::Result<&mut Contents> {
        match self.tree.get_mut(ino).map(|inode| &mut inode.body) {
            Some(Body::File(contents)) => Ok(contents),
            _ => Err(Errno::ISDIR.into()),
        }
    }

    /// All files beneath `folder`, which is at `path`.
    pub(super) fn files(&self, folder: Ino, path: &Path) -> Vec<PathBuf> {
        let names = self.tree.names(folder).into_iter().flat_map(|names| &names.live);
        let below = names.flat_map(|(name, ino)| match self.tree.get(*ino).map(|inode| &inode.body) {
            Some(Body::File(_)) => vec![path.join(name)],
            Some(Body::Dir(_)) => self.files(*ino, &path.join(name)),
            _ => Vec::new(),
        });
        below.collect()
    }

    pub(super) fn kind(&self, ino: Ino) -> Kind {
        match self.tree.get(ino).map(|inode| &inode.body) {
            Some(Body::File(_)) => Kind::File,
            Some(Body::Dir(_)) => Kind::Dir,
            Some(Body::Symlink(_)) => Kind::Symlink,
            Some(Body::Other) | None => Kind::Other,
        }
    }

    pub(super) fn stat(&self, ino: Ino) -> io::Result<Stat> {
        let inode = self.tree.get(ino).ok_or(Errno::NOENT)?;
        Ok(Stat {
            kind: self.kind(ino),
            size: self.contents(ino).map_or(0, Contents::size),
            mtime_ns: inode.mtime_ns,
            ctime_ns: inode.ctime_ns,
            inode: ino,
            executable: inode.is_executable(),
        })
    }

    /// Gives an inode new times.
    pub(super) fn touch(&mut self, ino: Ino) {
        let now = self.now_ns();
        if let Some(inode) = self.tree.get_mut(ino) {
            (inode.mtime_ns, inode.ctime_ns) = (now, now);
        }
    }

    /// Gives an inode a new change time: its name or its mode is another.
    pub(super) fn touch_ctime(&mut self, ino: Ino) {
        let now = self.now_ns();
        if let Some(inode) = self.tree.get_mut(ino) {
            inode.ctime_ns = now;
        }
    }

    /// The date, with a counter in place of its nanoseconds: no two are equal.
    fn now_ns(&mut self) -> i128 {
        self.ticks += 1;
        let unix_s = self.clock.as_ref().map_or(0, |clock| clock.now().unix_s);
        i128::from(unix_s) * 1_000_000_000 + i128::from(self.ticks)
    }
}
