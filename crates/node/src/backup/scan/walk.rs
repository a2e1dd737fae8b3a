//! The walk: folder by folder, in order, without opening a file.

use std::{ffi::OsStr, io, os::unix::ffi::OsStrExt, path::PathBuf, sync::Arc};

use skep_vault::{
    Content,
    piece::Decoder,
    sealer::Hand,
    tree::{self, Entry, MAX_FOLDERS, Meta, Name, Node, Stamp, Time, Xattr},
};
use skep_world::raw::{self, Folder, Kind, People, Stat};

use super::{
    Run,
    file::{self, Job},
    pending::{Above, Pending},
    roots::Roots,
    rules::Rules,
};
use crate::backup::reader::Lost;

/// Walks the tree on one thread.
pub(super) struct Walker<'a, 'j> {
    run: &'a Run<'a>,
    hand: Hand<'a>,
    decoder: Decoder,
    jobs: &'j mut dyn FnMut(Job),
    rules: Rules,
    /// Where it is.
    path: PathBuf,
    depth: usize,
}

/// Everything in a folder is wanted.
static EVERYTHING: Roots = Roots::everything();

/// A folder that is being walked.
struct At<'w> {
    folder: Arc<dyn Folder>,
    pending: Arc<Pending>,
    wanted: &'w Roots,
    /// Its entries in the last snapshot, ascending.
    before: Vec<Entry>,
}

/// What the walk knows of an entry.
enum Found {
    /// All.
    Entry(Box<Entry>),
    /// That it is left out.
    Nothing,
    /// That somebody else settles it.
    Later,
}

impl<'a, 'j> Walker<'a, 'j> {
    pub(super) fn new(run: &'a Run<'a>, jobs: &'j mut dyn FnMut(Job), rules: Rules) -> Self {
        Self {
            run,
            hand: run.sealer.hand(),
            decoder: Decoder::new(),
            jobs,
            rules,
            path: PathBuf::from("/"),
            depth: 0,
        }
    }

    /// Walks from `/`.
    pub(super) fn run(
        mut self,
        root: io::Result<Arc<dyn Folder>>,
        above: Above,
        wanted: &Roots,
        before: Option<&Content>,
    ) {
        match root {
            Ok(folder) => self.folder(folder, above, wanted, before),
            Err(error) => self.run.skip(&self.path, reason(&error)),
        }
    }

    /// Settles all places of a folder, or sees to it that somebody does.
    fn folder(&mut self, folder: Arc<dyn Folder>, above: Above, wanted: &Roots, before: Option<&Content>) {
        let names = match names(&*folder, wanted) {
            Ok(names) => names,
            Err(error) => {
                self.run.skip(&self.path, reason(&error));
                return above.settle_nothing(&mut self.hand);
            }
        };
        self.rules.enter(&self.path, &*folder);
        let at = At {
            folder,
            pending: Pending::new(above, names.len()),
            wanted,
            // What cannot be read of the last snapshot is only no help.
            before: before.map_or_else(Vec::new, |tree| self.run.last.entries(tree).unwrap_or_default()),
        };
        for (slot, name) in names.iter().enumerate() {
            if self.run.meter.is_stopped() {
                return;
            }
            self.path.push(OsStr::from_bytes(name));
            self.entry(&at, slot, name);
            self.path.pop();
        }
        self.rules.leave();
        at.pending.settle(names.len(), None, &mut self.hand);
    }

    fn entry(&mut self, at: &At<'_>, slot: usize, name: &[u8]) {
        let entry = match self.look(at, slot, name) {
            Ok(Found::Later) => return,
            Ok(Found::Entry(entry)) => Some(*entry),
            Ok(Found::Nothing) => None,
            Err(error) => {
                self.run.skip(&self.path, reason(&error));
                None
            }
        };
        at.pending.clone().settle(slot, entry, &mut self.hand);
    }

    fn look(&mut self, at: &At<'_>, slot: usize, name: &[u8]) -> io::Result<Found> {
        let stat = at.folder.stat(name)?;
        let is_folder = stat.kind == Kind::Dir;
        // What was named is wanted, whatever the rules say.
        if at.wanted.whole && self.rules.leave_out(&self.path, is_folder) {
            return Ok(Found::Nothing);
        }
        let parsed = Name::parse(name).map_err(io::Error::other)?;
        match stat.kind {
            Kind::File => Ok(self.file(at, slot, parsed, &stat)),
            Kind::Dir => self.descend(at, slot, parsed, &stat),
            Kind::Symlink => self.symlink(at, parsed, &stat),
            Kind::Other => Err(io::Error::other("it is no file, folder or symbolic link")),
        }
    }

    fn file(&mut self, at: &At<'_>, slot: usize, name: Name, stat: &Stat) -> Found {
        if let Some(before) = at.find(&name)
            && file::is_unchanged(before, stat)
            && self.is_stored(before)
        {
            self.run.count(before);
            self.run.meter.add(stat.size);
            return Found::Entry(Box::new(before.clone()));
        }
        let job = Job {
            folder: at.folder.clone(),
            name,
            path: self.path.clone(),
            pending: at.pending.clone(),
            slot,
        };
        (self.jobs)(job);
        Found::Later
    }

    /// Whether all pieces of a file are where a new snapshot may rely on them.
    fn is_stored(&mut self, before: &Entry) -> bool {
        let Node::File { content, .. } = &before.node else {
            return false;
        };
        let (run, decoder) = (self.run, &mut self.decoder);
        let pieces = content.expand(|list| match run.sealer.rely_on(list) {
            true => run.last.piece(list, decoder),
            false => Err(Lost::Unlisted),
        });
        pieces.is_ok_and(|pieces| pieces.iter().all(|id| run.sealer.rely_on(id)))
    }

    fn symlink(&self, at: &At<'_>, name: Name, stat: &Stat) -> io::Result<Found> {
        let target = at.folder.target(name.as_bytes())?;
        let meta = meta(stat, Vec::new(), &self.run.people);
        let node = Node::Symlink { target };
        checked(Entry { name, node, meta }).map(|entry| Found::Entry(Box::new(entry)))
    }

    fn descend(&mut self, at: &At<'_>, slot: usize, name: Name, stat: &Stat) -> io::Result<Found> {
        if self.depth == MAX_FOLDERS {
            return Err(io::Error::other("too many folders are inside each other"));
        }
        let folder = at.folder.folder(name.as_bytes())?;
        let entry = checked(Entry {
            node: Node::Folder { tree: EMPTY },
            meta: meta(stat, folder.xattrs()?, &self.run.people),
            name,
        })?;
        let wanted = at.wanted.below.get(entry.name.as_bytes());
        let before = at.find(&entry.name).cloned();
        let before = before.as_ref().and_then(|before| match &before.node {
            Node::Folder { tree } => Some(tree),
            _ => None,
        });
        let above = Above::Folder {
            pending: at.pending.clone(),
            slot,
            name: entry.name,
            meta: entry.meta,
        };
        self.depth += 1;
        self.folder(folder, above, wanted.unwrap_or(&EVERYTHING), before);
        self.depth -= 1;
        Ok(Found::Later)
    }
}

impl At<'_> {
    /// What had this name in the last snapshot.
    fn find(&self, name: &Name) -> Option<&Entry> {
        let found = self.before.binary_search_by(|entry| entry.name.cmp(name));
        found.ok().and_then(|index| self.before.get(index))
    }
}

const EMPTY: Content = Content {
    size: 0,
    depth: 0,
    pieces: Vec::new(),
};

fn names(folder: &dyn Folder, wanted: &Roots) -> io::Result<Vec<Vec<u8>>> {
    match wanted.whole {
        true => folder.names(),
        false => Ok(wanted.below.keys().cloned().collect()),
    }
}

/// What the file system says of an entry.
pub(super) fn meta(stat: &Stat, xattrs: Vec<raw::Xattr>, people: &People) -> Meta {
    let xattr = |(name, value)| Xattr { name, value };
    Meta {
        mode: stat.mode,
        modified: time(stat.modified),
        uid: stat.uid,
        gid: stat.gid,
        user: people.user(stat.uid).to_vec(),
        group: people.group(stat.gid).to_vec(),
        xattrs: xattrs.into_iter().map(xattr).collect(),
        link: link(stat),
        stamp: Stamp {
            changed: time(stat.changed),
            inode: stat.inode,
        },
    }
}

/// The same number for all names of one file, in this snapshot and the next.
fn link(stat: &Stat) -> u64 {
    if stat.kind != Kind::File || stat.links < 2 {
        return 0;
    }
    let place = [stat.device.to_le_bytes(), stat.inode.to_le_bytes()].concat();
    let hash = blake3::hash(&place);
    let (first, _) = hash.as_bytes().split_first_chunk().expect("32 bytes have 8");
    u64::from_le_bytes(*first).max(1)
}

pub(super) fn time(time: raw::Time) -> Time {
    Time {
        unix_s: time.unix_s,
        nanos: time.nanos,
    }
}

/// An entry that every reader takes.
pub(super) fn checked(entry: Entry) -> io::Result<Entry> {
    tree::encode(&entry, &mut Vec::new()).map_err(io::Error::other)?;
    Ok(entry)
}

/// For people.
pub(super) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it vanished while the backup ran".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
        _ => error.to_string(),
    }
}
