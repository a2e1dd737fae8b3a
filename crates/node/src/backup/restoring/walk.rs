//! The walk through a snapshot: folders are made, links too, files are handed to the writers.

use std::{collections::HashMap, ffi::OsStr, io, os::unix::ffi::OsStrExt, path::PathBuf, sync::Arc};

use skep_vault::{
    Content,
    piece::Decoder,
    tree::{Entry, MAX_FOLDERS, Name, Node},
};
use skep_world::raw::{Folder, Kind};

use super::{
    Run,
    file::Job,
    folder::{Open, Place},
};
use crate::backup::lock;

/// A further name of a file that is restored under its first.
pub(super) struct Link {
    job: Job,
    /// The first name, from the root of the snapshot.
    first: Vec<Name>,
}

/// Files that go to one writer, so that writers seldom wait for each other, or for the same folder.
const BATCH_FILES: usize = 16;
/// Bytes with which a batch is large enough.
const BATCH_BYTES: u64 = 1 << 20;

/// Walks on one thread.
pub(super) struct Walker<'a, 'j> {
    run: &'a Run<'a>,
    batches: &'j mut dyn FnMut(Vec<Job>),
    /// What goes to a writer next.
    batch: Vec<Job>,
    /// Where it is.
    names: Vec<Name>,
    /// The first name of each file that has several.
    firsts: HashMap<u64, Vec<Name>>,
    links: Vec<Link>,
}

impl<'a, 'j> Walker<'a, 'j> {
    pub(super) fn new(run: &'a Run<'a>, batches: &'j mut dyn FnMut(Vec<Job>)) -> Self {
        Self {
            run,
            batches,
            batch: Vec::new(),
            names: Vec::new(),
            firsts: HashMap::new(),
            links: Vec::new(),
        }
    }

    /// Hands over what is left. Returns what can only be done when all files are there.
    pub(super) fn finish(mut self) -> Vec<Link> {
        self.hand_over();
        self.links
    }

    /// Restores what is in a folder: all of it, or what lies at `only`.
    pub(super) fn folder(&mut self, open: &Arc<Open>, tree: &Content, only: &[Name]) {
        let entries = match self.run.reader.entries(tree) {
            Ok(entries) => entries,
            Err(lost) => return self.run.fail(&open.path, format!("what is in it: {lost}")),
        };
        let (first, rest) = match only.split_first() {
            Some((first, rest)) => (Some(first), rest),
            None => (None, only),
        };
        let mut found = false;
        let wanted = |entry: &Entry| first.is_none_or(|name| entry.name == *name);
        for entry in entries.into_iter().filter(wanted) {
            if self.run.meter.is_stopped() {
                return;
            }
            found = true;
            let path = open.path.join(OsStr::from_bytes(entry.name.as_bytes()));
            self.names.push(entry.name.clone());
            if let Err(error) = self.entry(open, entry, path.clone(), rest) {
                self.run.fail(&path, error);
            }
            self.names.pop();
        }
        if let (Some(name), false) = (first, found) {
            let path = open.path.join(OsStr::from_bytes(name.as_bytes()));
            self.run.fail(&path, "it is not in the snapshot");
        }
    }

    fn entry(&mut self, open: &Arc<Open>, entry: Entry, path: PathBuf, rest: &[Name]) -> io::Result<()> {
        match &entry.node {
            Node::Folder { tree } => {
                if self.names.len() > MAX_FOLDERS {
                    return Err(io::Error::other("too many folders are inside each other"));
                }
                let inner = Arc::new(open.enter(&entry, path, self.run)?);
                self.folder(&inner, tree, rest);
                inner.close(self.run);
                Ok(())
            }
            _ if !rest.is_empty() => Err(io::Error::other("it is no folder in the snapshot")),
            Node::Symlink { target } => symlink(&open.place, &entry, target, self.run),
            Node::File { .. } => {
                self.file(open, entry, path);
                Ok(())
            }
        }
    }

    fn file(&mut self, open: &Arc<Open>, entry: Entry, path: PathBuf) {
        let link = entry.meta.link;
        let job = Job {
            open: open.clone(),
            entry,
            path,
        };
        if let Some(first) = self.firsts.get(&link) {
            let first = first.clone();
            return self.links.push(Link { job, first });
        }
        if link != 0 {
            self.firsts.insert(link, self.names.clone());
        }
        self.batch.push(job);
        let bytes: u64 = self.batch.iter().map(|job| job.entry.size()).sum();
        if self.batch.len() >= BATCH_FILES || bytes >= BATCH_BYTES {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        (self.batches)(std::mem::take(&mut self.batch));
    }
}

fn symlink(place: &Place, entry: &Entry, target: &[u8], run: &Run<'_>) -> io::Result<()> {
    let Place::Folder(folder) = place else {
        return Ok(());
    };
    let name = entry.name.as_bytes();
    if let Some(stat) = folder.find(name)? {
        if stat.kind == Kind::Symlink && folder.target(name)? == target {
            return Ok(());
        }
        if !run.overwrite || stat.kind == Kind::Dir {
            return Err(io::Error::other(
                "something else is there; --overwrite replaces it",
            ));
        }
        folder.remove(name)?;
    }
    folder.make_symlink(name, target)?;
    folder.set_symlink(name, &run.attributes(entry).0)
}

/// Gives files their further names. Where that does not work, they become files of their own.
pub(super) fn link_all(run: &Run<'_>, root: &Place, links: Vec<Link>) {
    let mut decoder = Decoder::new();
    for Link { job, first } in links {
        if run.meter.is_stopped() {
            return;
        }
        // What has the first name may be something else, if the file could not be restored there.
        let is_there = lock(&run.linkable).contains(&job.entry.meta.link);
        match (root, &job.open.place) {
            (Place::Folder(root), Place::Folder(folder))
                if is_there && link(root, &first, &**folder, &job.entry).is_ok() =>
            {
                run.count(&job.entry);
                job.open.close(run);
            }
            _ => job.run(run, &mut decoder),
        }
    }
}

fn link(root: &Arc<dyn Folder>, first: &[Name], folder: &dyn Folder, entry: &Entry) -> io::Result<()> {
    let Some((name, folders)) = first.split_last() else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let mut from = root.clone();
    for name in folders {
        from = from.folder(name.as_bytes())?;
    }
    folder.make_link(entry.name.as_bytes(), &*from, name.as_bytes())
}
