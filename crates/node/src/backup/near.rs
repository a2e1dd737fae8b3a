//! Packs that are kept in the home too: those of folders, lists and indexes. With them a backup finds out
//! what has changed, and a person what is in a snapshot, without asking anybody.
//!
//! They are as sealed here as they are with holders, and as little believed: what is damaged is fetched.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
};

use skep_vault::{
    Index, KeyRing, Kind,
    index::{self, Listed},
    pack::{self, Ends, HEADER_BYTES, PackKey, Sealed, TRAILER_BYTES},
    piece::{Decoder, Namer},
};
use skep_wire::{PackId, PeerId, RelPath};
use skep_world::disk::{Open, Replace};

use super::{
    reader::Packs,
    state::{Owned, State},
};
use crate::home::name;

/// How many sources are tried for a whole pack.
const ATTEMPTS: u32 = 4;

/// Packs from the home, or from farther away.
pub(crate) struct Near<'a> {
    pub(crate) state: &'a State,
    pub(crate) far: &'a dyn Packs,
}

/// What is in the packs of all devices, as far as their indexes can be read.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) index: Index,
    /// The packs that each device's snapshots need.
    pub(crate) of: BTreeMap<PeerId, BTreeSet<PackId>>,
    /// Index packs that could not be read, and why.
    pub(crate) unreadable: Vec<(PackId, String)>,
}

impl Packs for Near<'_> {
    fn size(&self, pack: &PackId) -> Result<u64, String> {
        self.far.size(pack)
    }

    fn read(&self, pack: &PackId, size: u64, range: Range<u64>, attempt: u32) -> Result<Vec<u8>, String> {
        if attempt == 0
            && let Ok(Some(bytes)) = self.state.read_part(pack, &range)
        {
            return Ok(bytes);
        }
        self.far.read(pack, size, range, attempt)
    }
}

impl Near<'_> {
    /// All of a pack, from here or from wherever there is a good copy.
    pub(super) fn whole(&self, pack: &PackId) -> Result<Vec<u8>, String> {
        match self.kept(pack) {
            Some(bytes) => Ok(bytes),
            None => self.fetch(pack),
        }
    }

    /// All of a pack that is kept in the home.
    fn kept(&self, pack: &PackId) -> Option<Vec<u8>> {
        let kept = self
            .state
            .0
            .read_whole(&path("packs", pack), pack::MAX_PACK_BYTES);
        kept.ok().flatten().filter(|bytes| is_pack(pack, bytes))
    }

    fn fetch(&self, pack: &PackId) -> Result<Vec<u8>, String> {
        let size = self.far.size(pack)?;
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            match self.far.read(pack, size, 0..size, attempt) {
                Ok(bytes) if is_pack(pack, &bytes) => return Ok(bytes),
                Ok(_) => last = format!("every copy of pack {} is damaged", pack.short()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What is listed in an index pack.
    fn listed(&self, pack: &PackId, ring: &KeyRing) -> Result<Vec<Listed>, String> {
        let bytes = match self.kept(pack) {
            Some(bytes) => bytes,
            None => {
                let bytes = self.fetch(pack)?;
                // Without it the next one fetches it again.
                let _ = self
                    .state
                    .0
                    .write_whole(&path("packs", pack), &bytes, Replace::Allow);
                bytes
            }
        };
        let contents = pack::open_contents(&bytes, ring).map_err(|e| e.to_string())?;
        let key = PackKey::of(&contents, ring).map_err(|e| e.to_string())?;
        let (namer, mut decoder) = (Namer::new(ring.naming()), Decoder::new());
        let mut listed = Vec::new();
        for (number, offset, entry) in contents.places() {
            let range = offset as usize..(offset + entry.sealed_len) as usize;
            let mut sealed = bytes[range].to_vec();
            let plain = key
                .open_piece(&contents, number, entry, &mut sealed, &namer, &mut decoder)
                .map_err(|e| e.to_string())?;
            listed.extend(index::decode(&plain).map_err(|e| e.to_string())?);
        }
        Ok(listed)
    }

    /// What the indexes of all devices list, this `device` first, then what retired ones left, and of each the
    /// newest first: what was stored again is looked for where it was stored last. The pieces of packs that are not `usable` count as
    /// not stored; the packs are listed as needed all the same, for they may come back.
    pub(crate) fn listing(
        &self,
        owned: &Owned,
        device: &PeerId,
        usable: impl Fn(&PackId) -> bool,
    ) -> Listing {
        let mut listing = Listing::default();
        let mut seen = BTreeSet::new();
        let mut devices: Vec<_> = owned.counting_heads().collect();
        let is_retired = |peer: &PeerId| owned.roster.device(peer).is_none();
        devices.sort_by_key(|(peer, _)| (*peer != device, !is_retired(peer)));
        for (peer, known) in devices {
            let mut needs = BTreeSet::new();
            for pack in known.catalog.indexes.iter().rev() {
                needs.insert(*pack);
                let listed = self.listed(pack, &owned.ring).unwrap_or_else(|reason| {
                    listing.unreadable.push((*pack, reason));
                    Vec::new()
                });
                for listed in listed {
                    needs.insert(listed.pack);
                    if usable(&listed.pack) && seen.insert(listed.pack) {
                        listing.index.insert(listed);
                    }
                }
            }
            listing.of.insert(*peer, needs);
        }
        listing
    }

    /// Adds what is in packs of which no index can be read, by what stands in each of them.
    pub(crate) fn salvage(&self, listing: &mut Listing, ring: &KeyRing, packs: Vec<PackId>) {
        let known: BTreeSet<PackId> = listing.index.packs().map(|listed| listed.pack).collect();
        let unknown = packs.into_iter().filter(|pack| !known.contains(pack));
        for pack in unknown {
            match self.look_into(&pack, ring) {
                Ok(listed) if listed.contents.kind == Kind::Index => {}
                Ok(listed) => listing.index.insert(listed),
                Err(reason) => tracing::warn!("what is in pack {} is not known: {reason}", pack.short()),
            }
        }
    }

    /// What a pack says of itself at its two ends.
    fn look_into(&self, pack: &PackId, ring: &KeyRing) -> Result<Listed, String> {
        let size = self.size(pack)?;
        let tail = size.saturating_sub(TRAILER_BYTES as u64);
        let mut last = String::new();
        for attempt in 0..ATTEMPTS {
            let contents = || {
                let header = self.read(pack, size, 0..HEADER_BYTES as u64, attempt)?;
                let trailer = self.read(pack, size, tail..size, attempt)?;
                let ends = Ends::open(&header, &trailer, ring).map_err(|e| e.to_string())?;
                let place = ends.place(size).ok_or("it is too short")?;
                let sealed = self.read(pack, size, place, attempt)?;
                ends.contents(&sealed).map_err(|e| e.to_string())
            };
            match contents() {
                Ok(contents) => {
                    return Ok(Listed {
                        pack: *pack,
                        size: u32::try_from(size).map_err(|e| e.to_string())?,
                        contents,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl State {
    /// Keeps a pack in the home, if it is one that is read often.
    pub(super) fn keep_near(&self, sealed: &Sealed) {
        if sealed.contents.kind != Kind::Data {
            // Without it the next one fetches it.
            let _ = self
                .0
                .write_whole(&path("packs", &sealed.id), &sealed.bytes, Replace::Allow);
        }
    }

    /// Removes from the home what is not among `needed`.
    pub(super) fn sweep_near(&self, needed: &BTreeSet<PackId>) -> io::Result<()> {
        let keep: BTreeSet<String> = needed.iter().map(ToString::to_string).collect();
        for entry in self.0.list(Some(&name("packs")))? {
            let Some(file) = entry.name.to_str().filter(|file| !keep.contains(*file)) else {
                continue;
            };
            if let Ok(path) = RelPath::parse(&format!("packs/{file}")) {
                self.0.remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Notes what is in a pack that holders keep and no head lists yet: a backup that is begun again need not
    /// send it again.
    pub(super) fn keep_pending(&self, listed: &Listed) -> io::Result<()> {
        let bytes = index::encode(std::iter::once(listed)).concat();
        self.0
            .write_whole(&path("pending", &listed.pack), &bytes, Replace::Allow)
    }

    /// All that was noted by [`State::keep_pending`].
    pub(super) fn pending(&self) -> io::Result<Vec<Listed>> {
        let mut all = Vec::new();
        for entry in self.0.list(Some(&name("pending")))? {
            let file = entry.name.to_str().map(|file| format!("pending/{file}"));
            let Some(path) = file.and_then(|file| RelPath::parse(&file).ok()) else {
                continue;
            };
            let bytes = self.0.read_whole(&path, 2 << 20)?.unwrap_or_default();
            // What a crash left half written is stored again.
            all.extend(index::decode(&bytes).unwrap_or_default());
        }
        Ok(all)
    }

    /// Forgets these notes: a head lists the packs, or they are of no use.
    pub(super) fn settle_pending(&self) -> io::Result<()> {
        for entry in self.0.list(Some(&name("pending")))? {
            let file = entry.name.to_str().map(|file| format!("pending/{file}"));
            if let Some(path) = file.and_then(|file| RelPath::parse(&file).ok()) {
                self.0.remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// A range of a pack, if all of the pack seems to be here.
    fn read_part(&self, pack: &PackId, range: &Range<u64>) -> io::Result<Option<Vec<u8>>> {
        let file = match self.0.open(&path("packs", pack), Open::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(range.start, &mut bytes)?;
        Ok(Some(bytes))
    }
}

fn is_pack(pack: &PackId, bytes: &[u8]) -> bool {
    *blake3::hash(bytes).as_bytes() == pack.0
}

fn path(folder: &str, pack: &PackId) -> RelPath {
    name(&format!("{folder}/{pack}"))
}
