//! An owner whose packs are in memory, and folders that can be held against each other.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    ops::Range,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use skep_vault::{Content, Index, KeyRing, Owner, Phrase, Sealer, index::Listed, pack::Sealed, sealer::Keys};
use skep_wire::PackId;
use skep_world::{
    Disk as _, Entropy,
    raw::{Folder, Kind, Stat, Xattr},
    real, simulated,
};

use crate::backup::{
    crew::Crew,
    lock,
    meter::Meter,
    near::{Listing, Near},
    reader::{Lost, Packs, Reader},
    restoring::{self, Restored},
    scan::{self, Scanned},
    state::State,
};

const CREW: Crew = Crew {
    threads: 3,
    queued: 16,
};

/// Packs that a test can lose and damage.
#[derive(Default)]
pub(in crate::backup) struct Memory(pub(in crate::backup) Mutex<HashMap<PackId, Vec<u8>>>);

impl Packs for Memory {
    fn size(&self, pack: &PackId) -> Result<u64, String> {
        let packs = lock(&self.0);
        packs
            .get(pack)
            .map(|bytes| bytes.len() as u64)
            .ok_or("nobody has it".to_owned())
    }

    fn read(&self, pack: &PackId, _size: u64, range: Range<u64>, _attempt: u32) -> Result<Vec<u8>, String> {
        let packs = lock(&self.0);
        let bytes = packs.get(pack).ok_or("nobody has it")?;
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        bytes.get(range).map(<[u8]>::to_vec).ok_or("too short".to_owned())
    }
}

/// An owner with one device.
pub(super) struct Rig {
    ring: KeyRing,
    pub(super) packs: Memory,
    pub(super) index: Index,
    pub(super) last: Option<Content>,
    pub(super) exclude: Vec<String>,
}

/// One backup.
pub(super) struct Taken {
    pub(super) scanned: Scanned,
    pub(super) new_bytes: u64,
    pub(super) packs: usize,
}

impl Rig {
    pub(super) fn new() -> Self {
        Self {
            ring: Owner::new(&Phrase::from_entropy([7; 32])).ring(1),
            packs: Memory::default(),
            index: Index::new(),
            last: None,
            exclude: Vec::new(),
        }
    }

    /// Backs up, and makes it the last backup.
    pub(super) fn back_up(&mut self, paths: &[&Path]) -> Taken {
        let sealed: Mutex<Vec<Sealed>> = Mutex::default();
        let (entropy, out) = (random, |pack| lock(&sealed).push(pack));
        let keys = Keys {
            naming: self.ring.naming(),
            epoch: 1,
            key: self.ring.epoch(1).unwrap(),
        };
        let sealer = Sealer::new(keys, &self.index, &entropy, &out);
        let reader = Reader::new(&self.ring, &self.index, &self.packs);
        let wanted = scan::Wanted {
            disk: Arc::new(real::Disk),
            crew: CREW,
            paths: paths.iter().map(|path| fs::canonicalize(path).unwrap()).collect(),
            exclude: scan::parse_globs(&self.exclude).unwrap(),
            home: PathBuf::from("/no/home"),
            began_unix_s: 1_000_000_000_000,
            before: self.last.clone(),
        };
        let scanned = scan::scan(&wanted, &sealer, &reader, &Meter::default()).unwrap();
        sealer.flush();
        let new_bytes = sealer.new_bytes();
        drop((sealer, reader));
        self.last = Some(scanned.root.clone());
        let sealed = sealed.into_inner().unwrap();
        let packs = sealed.len();
        sealed.into_iter().for_each(|sealed| self.keep(sealed));
        Taken {
            scanned,
            new_bytes,
            packs,
        }
    }

    fn keep(&mut self, sealed: Sealed) {
        lock(&self.packs.0).insert(sealed.id, sealed.bytes.clone());
        self.index.insert(Listed {
            pack: sealed.id,
            size: u32::try_from(sealed.bytes.len()).unwrap(),
            contents: sealed.contents,
        });
    }

    /// What packs say themselves of what is in them.
    pub(super) fn salvaged(&self) -> Index {
        let disk = simulated::Disk::new();
        disk.make_dir(Path::new("/home")).unwrap();
        let state = State::open(&*disk.dir(Path::new("/home")).unwrap()).unwrap();
        let near = Near {
            state: &state,
            far: &self.packs,
        };
        let mut listing = Listing::default();
        let packs = lock(&self.packs.0).keys().copied().collect();
        near.salvage(&mut listing, &self.ring, packs);
        listing.index
    }

    /// Restores the last backup, or a part of it.
    pub(super) fn restore(&self, path: &Path, to: Option<&Path>, overwrite: bool) -> Result<Restored, Lost> {
        let reader = Reader::new(&self.ring, &self.index, &self.packs);
        let wanted = restoring::Wanted {
            crew: CREW,
            root: self.last.clone().unwrap(),
            path: restoring::parse_path(path).unwrap(),
            overwrite,
        };
        let to = to.map(|to| real::Disk.raw(to).unwrap());
        restoring::restore(&wanted, to, &reader, &Meter::default())
    }
}

/// Everything that is known of a name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Known {
    kind: Kind,
    mode: u16,
    owner: (u32, u32),
    modified: (i64, u32),
    links: u64,
    bytes: Vec<u8>,
    xattrs: Vec<Xattr>,
}

/// Everything in a folder, itself included, by path.
pub(super) fn read(root: &Path) -> BTreeMap<PathBuf, Known> {
    let mut all = BTreeMap::new();
    let folder = real::Disk.raw(root).unwrap();
    let known = known(&folder.stat_self().unwrap(), Vec::new(), folder.xattrs().unwrap());
    all.insert(PathBuf::new(), known);
    add(&*folder, Path::new(""), &mut all);
    all
}

fn add(folder: &dyn Folder, path: &Path, all: &mut BTreeMap<PathBuf, Known>) {
    for name in folder.names().unwrap() {
        let stat = folder.stat(&name).unwrap();
        let path = path.join(std::ffi::OsStr::from_bytes(&name));
        let (bytes, xattrs) = match stat.kind {
            Kind::File => {
                let file = folder.file(&name).unwrap();
                let mut bytes = vec![0; usize::try_from(stat.size).unwrap()];
                assert_eq!(file.read_at(0, &mut bytes).unwrap(), bytes.len());
                (bytes, file.xattrs().unwrap())
            }
            Kind::Dir => {
                let inner = folder.folder(&name).unwrap();
                add(&*inner, &path, all);
                (Vec::new(), inner.xattrs().unwrap())
            }
            _ => (folder.target(&name).unwrap(), Vec::new()),
        };
        all.insert(path, known(&stat, bytes, xattrs));
    }
}

fn known(stat: &Stat, bytes: Vec<u8>, xattrs: Vec<Xattr>) -> Known {
    let is_file = stat.kind == Kind::File;
    Known {
        kind: stat.kind,
        mode: stat.mode,
        owner: (stat.uid, stat.gid),
        modified: (stat.modified.unix_s, stat.modified.nanos),
        links: if is_file { stat.links } else { 0 },
        bytes,
        xattrs,
    }
}

/// Where a folder that was backed up lies beneath the target of a restore.
pub(super) fn beneath(target: &Path, path: &Path) -> PathBuf {
    let full = fs::canonicalize(path).unwrap();
    target.join(full.strip_prefix("/").unwrap())
}

/// Bytes that do not repeat.
pub(super) fn noise(len: usize, n: u8) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&[n]).finalize_xof().fill(&mut bytes);
    bytes
}

fn random() -> [u8; 32] {
    let entropy: &dyn Entropy = &real::Entropy;
    entropy.bytes32()
}
