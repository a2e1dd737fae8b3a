//! What owners say, as it came: rosters, heads with their lists of packs, and what waits to be deleted.
//!
//! | path, in a folder for each owner | what |
//! |---|---|
//! | `roster` | the newest roster |
//! | `DEVICE.head` | the newest head of a device |
//! | `ID.list` | the list of packs of a head, named by its hash |
//! | `docket` | BLAKE3 of the rest; what is condemned, and how much of its grace is left |
//!
//! Each is written whole and durable, or not at all. Whether a record counts is not known here; lists are named and
//! the docket is preceded by their hashes, so that what has rotten is nothing and not something else.

use std::{collections::BTreeSet, io, sync::Arc};

use skep_wire::{
    BlobId, OwnerId, PeerId, RelPath, Signed,
    backup::{Head, MAX_LISTED_PACKS, Roster},
    signed::Record,
};
use skep_world::{Dir, disk::Replace};

use crate::shards::{folder, owners};

/// The most bytes of a docket.
const MAX_DOCKET: usize = 256 << 20;
/// What a signature and lengths add to a record.
const SIGNED: usize = 128;

/// The folder.
pub struct Papers {
    dir: Arc<dyn Dir>,
}

/// All papers of one owner, but for the lists.
pub struct OwnerPapers {
    /// Whose.
    pub owner: OwnerId,
    /// The newest roster.
    pub roster: Option<Signed<Roster>>,
    /// The newest heads.
    pub heads: Vec<Signed<Head>>,
    /// The docket, as it was written.
    pub docket: Option<Vec<u8>>,
}

/// How a paper is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// As it should be.
    Right,
    /// It is something else, or cannot be read.
    Damaged,
    /// It is not there.
    Missing,
}

impl Papers {
    /// In the folder in which the shards are.
    #[must_use]
    pub fn new(dir: Arc<dyn Dir>) -> Self {
        Self { dir }
    }

    /// Reads everything but the lists, and removes lists that no head names.
    ///
    /// # Errors
    /// When it cannot be read. What is damaged is left out: it is told again.
    pub fn load(&self) -> io::Result<Vec<OwnerPapers>> {
        let owners = owners(&*self.dir)?;
        owners
            .into_iter()
            .map(|(owner, _)| self.load_owner(owner))
            .collect()
    }

    fn load_owner(&self, owner: OwnerId) -> io::Result<OwnerPapers> {
        let (mut heads, mut lists) = (Vec::new(), Vec::new());
        for name in self.names(&owner)? {
            if let Some(device) = name.strip_suffix(".head")
                && device.parse::<PeerId>().is_ok()
            {
                let bytes = self.read(&owner, &name, Head::LIMIT + SIGNED)?;
                heads.extend(bytes.and_then(|bytes| Signed::<Head>::decode(&bytes).ok()));
            }
            lists.extend(
                name.strip_suffix(".list")
                    .and_then(|id| id.parse::<BlobId>().ok()),
            );
        }
        let named: BTreeSet<BlobId> = heads.iter().filter_map(list_of).collect();
        for id in lists.iter().filter(|id| !named.contains(id)) {
            self.remove(&owner, &format!("{id}.list"))?;
        }
        let roster = self.read(&owner, "roster", Roster::LIMIT + SIGNED)?;
        Ok(OwnerPapers {
            owner,
            roster: roster.and_then(|bytes| Signed::decode(&bytes).ok()),
            heads,
            docket: self.read(&owner, "docket", MAX_DOCKET)?.and_then(checked),
        })
    }

    /// Keeps a roster.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_roster(&self, owner: &OwnerId, roster: &Signed<Roster>) -> io::Result<()> {
        self.write(owner, "roster", &roster.encode())
    }

    /// Keeps a head, with its list if that is known.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_head(
        &self,
        owner: &OwnerId,
        device: &PeerId,
        head: &Signed<Head>,
        list: Option<(BlobId, &[u8])>,
    ) -> io::Result<()> {
        if let Some((id, bytes)) = list {
            self.keep_list(owner, &id, bytes)?;
        }
        self.write(owner, &format!("{device}.head"), &head.encode())
    }

    /// Keeps a list of packs.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_list(&self, owner: &OwnerId, id: &BlobId, list: &[u8]) -> io::Result<()> {
        self.write(owner, &format!("{id}.list"), list)
    }

    /// The list of packs with this hash, if it is here and undamaged.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn list(&self, owner: &OwnerId, id: &BlobId) -> io::Result<Option<Vec<u8>>> {
        let bytes = self.read(owner, &format!("{id}.list"), MAX_LISTED_PACKS * 32)?;
        Ok(bytes.filter(|bytes| is_list(bytes, id)))
    }

    /// Forgets a list that no head names any more.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn drop_list(&self, owner: &OwnerId, id: &BlobId) -> io::Result<()> {
        self.remove(owner, &format!("{id}.list"))
    }

    /// Forgets the head of a device that does not count any more.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn drop_head(&self, owner: &OwnerId, device: &PeerId) -> io::Result<()> {
        self.remove(owner, &format!("{device}.head"))
    }

    /// Forgets everything that an owner said. The roster goes last: what a crash leaves is of somebody known.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn forget(&self, owner: &OwnerId) -> io::Result<()> {
        let is_paper = |name: &&String| name.ends_with(".head") || name.ends_with(".list");
        let names = self.names(owner)?;
        let papers = names.iter().filter(is_paper).map(String::as_str);
        papers
            .chain(["docket", "roster"])
            .try_for_each(|name| self.remove(owner, name))
    }

    /// Keeps a docket.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_docket(&self, owner: &OwnerId, docket: &[u8]) -> io::Result<()> {
        let sum = *blake3::hash(docket).as_bytes();
        self.write(owner, "docket", &[&sum[..], docket].concat())
    }

    /// How this roster is kept.
    #[must_use]
    pub fn look_at_roster(&self, owner: &OwnerId, roster: &Signed<Roster>) -> Condition {
        let is_right = |bytes| bytes == roster.encode();
        self.look_at(owner, "roster", Roster::LIMIT + SIGNED, is_right)
    }

    /// How this head of a device is kept.
    #[must_use]
    pub fn look_at_head(&self, owner: &OwnerId, device: &PeerId, head: &Signed<Head>) -> Condition {
        let is_right = |bytes| bytes == head.encode();
        self.look_at(owner, &format!("{device}.head"), Head::LIMIT + SIGNED, is_right)
    }

    /// How the list of packs with this hash is kept.
    #[must_use]
    pub fn look_at_list(&self, owner: &OwnerId, id: &BlobId) -> Condition {
        let is_right = |bytes: Vec<u8>| is_list(&bytes, id);
        self.look_at(owner, &format!("{id}.list"), MAX_LISTED_PACKS * 32, is_right)
    }

    /// How the docket is kept, whatever it says.
    #[must_use]
    pub fn look_at_docket(&self, owner: &OwnerId) -> Condition {
        self.look_at(owner, "docket", MAX_DOCKET, |bytes| checked(bytes).is_some())
    }

    fn look_at(
        &self,
        owner: &OwnerId,
        name: &str,
        limit: usize,
        is_right: impl FnOnce(Vec<u8>) -> bool,
    ) -> Condition {
        let read = path(owner, name).and_then(|path| self.dir.read_whole(&path, limit));
        match read.map(|bytes| bytes.map(is_right)) {
            Ok(None) => Condition::Missing,
            Ok(Some(true)) => Condition::Right,
            _ => Condition::Damaged,
        }
    }

    fn names(&self, owner: &OwnerId) -> io::Result<Vec<String>> {
        let entries = self.dir.list(Some(&folder(owner)))?;
        Ok(entries
            .into_iter()
            .filter_map(|entry| entry.name.into_string().ok())
            .collect())
    }

    fn read(&self, owner: &OwnerId, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        match self.dir.read_whole(&path(owner, name)?, limit) {
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(None),
            read => read,
        }
    }

    fn write(&self, owner: &OwnerId, name: &str, bytes: &[u8]) -> io::Result<()> {
        let folder = folder(owner);
        if self.dir.stat(&folder).is_err() {
            self.dir.make_dirs(&folder)?;
            self.dir.sync(None)?;
        }
        self.dir.write_whole(&path(owner, name)?, bytes, Replace::Allow)
    }

    fn remove(&self, owner: &OwnerId, name: &str) -> io::Result<()> {
        match self.dir.remove_file(&path(owner, name)?) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// What is behind a right checksum.
fn checked(mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let (sum, rest) = bytes.split_first_chunk::<32>()?;
    let is_right = blake3::hash(rest).as_bytes() == sum;
    is_right.then(|| bytes.split_off(32))
}

fn is_list(bytes: &[u8], id: &BlobId) -> bool {
    blake3::hash(bytes).as_bytes() == &id.0
}

fn list_of(head: &Signed<Head>) -> Option<BlobId> {
    head.peek().ok().map(|head| head.packs.id)
}

fn path(owner: &OwnerId, name: &str) -> io::Result<RelPath> {
    RelPath::parse(&format!("{owner}/{name}")).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use skep_wire::{
        PackId, SigningKey,
        backup::{PackList, encode_pack_list},
    };
    use skep_world::{Disk as _, real};

    use super::*;

    const OWNER: OwnerId = OwnerId([7; 32]);
    const DEVICE: PeerId = PeerId([1; 32]);

    fn head(number: u64, list: &[u8]) -> Signed<Head> {
        let head = Head {
            owner: OWNER,
            device: DEVICE,
            number,
            previous: [0; 32],
            roster: 1,
            made_unix_s: 0,
            epoch: 1,
            salt: [0; 32],
            sealed: vec![1, 2],
            packs: PackList {
                id: BlobId(*blake3::hash(list).as_bytes()),
                size: list.len() as u64,
            },
        };
        Signed::new(&head, &SigningKey::from_seed([1; 32]))
    }

    fn roster() -> Signed<Roster> {
        let roster = Roster {
            owner: OWNER,
            number: 1,
            epoch: 1,
            devices: vec![],
            retired: vec![],
        };
        Signed::new(&roster, &SigningKey::from_seed([7; 32]))
    }

    /// What a reader believes of the papers: what is signed, and what its hash vouches for.
    fn believed(papers: &Papers, list: &BlobId) -> [Option<Vec<u8>>; 4] {
        let loaded = papers.load().unwrap().pop();
        let loaded = loaded.expect("the folder is there");
        let owner = SigningKey::from_seed([7; 32]).public();
        let device = SigningKey::from_seed([1; 32]).public();
        let roster = loaded.roster.filter(|it| it.open(&owner).is_ok());
        let head = loaded.heads.first().filter(|it| it.open(&device).is_ok());
        [
            roster.map(|it| it.encode()),
            head.map(Signed::encode),
            papers.list(&OWNER, list).unwrap(),
            loaded.docket,
        ]
    }

    #[test]
    fn no_flipped_byte_is_believed() {
        let at = tempfile::tempdir().unwrap();
        let papers = Papers::new(real::Disk.dir(at.path()).unwrap());
        let list = encode_pack_list((0..5).map(|n| PackId([n; 32])).collect());
        let (head, folder) = (head(1, &list), at.path().join(OWNER.to_string()));
        let id = list_of(&head).unwrap();
        papers.keep_roster(&OWNER, &roster()).unwrap();
        let named = Some((id, &list[..]));
        papers.keep_head(&OWNER, &DEVICE, &head, named).unwrap();
        papers.keep_docket(&OWNER, b"what is condemned").unwrap();
        let good = believed(&papers, &id);
        assert!(good.iter().all(Option::is_some));
        let look = || {
            [
                papers.look_at_roster(&OWNER, &roster()),
                papers.look_at_head(&OWNER, &DEVICE, &head),
                papers.look_at_list(&OWNER, &id),
                papers.look_at_docket(&OWNER),
            ]
        };
        assert_eq!(look(), [Condition::Right; 4]);
        let files: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
        assert_eq!(files.len(), 4);
        for file in files {
            let file = file.unwrap().path();
            let bytes = std::fs::read(&file).unwrap();
            for flip in 0..500 {
                let mut bad = bytes.clone();
                bad[flip % bytes.len()] ^= 1 << ((flip / bytes.len() + flip) % 8);
                std::fs::write(&file, &bad).unwrap();
                let now = believed(&papers, &id);
                let changed = now.iter().zip(&good).filter(|(now, good)| now != good);
                let changed: Vec<_> = changed.collect();
                assert!(!changed.is_empty(), "{} {flip}", file.display());
                let seen = look();
                let damaged = seen.iter().filter(|it| **it == Condition::Damaged);
                assert_eq!(damaged.count(), 1, "{} {flip}: {seen:?}", file.display());
                assert!(
                    changed.iter().all(|(now, _)| now.is_none()),
                    "{} {flip}",
                    file.display()
                );
            }
            std::fs::write(&file, &bytes).unwrap();
        }
    }

    #[test]
    fn papers_are_there_again_and_old_lists_go() {
        let at = tempfile::tempdir().unwrap();
        let papers = Papers::new(real::Disk.dir(at.path()).unwrap());
        let lists = [1, 2].map(|n| encode_pack_list(vec![PackId([n; 32])]));
        let ids = lists
            .each_ref()
            .map(|list| BlobId(*blake3::hash(list).as_bytes()));
        for (number, list) in (1..).zip(&lists) {
            let head = head(number, list);
            papers
                .keep_head(&OWNER, &DEVICE, &head, Some((list_of(&head).unwrap(), list)))
                .unwrap();
        }
        papers.keep_docket(&OWNER, b"docket").unwrap();
        let loaded = papers.load().unwrap().remove(0);
        assert_eq!((loaded.owner, loaded.heads), (OWNER, vec![head(2, &lists[1])]));
        assert_eq!((loaded.roster, loaded.docket), (None, Some(b"docket".to_vec())));
        assert_eq!(papers.list(&OWNER, &ids[0]).unwrap(), None);
        assert_eq!(papers.list(&OWNER, &ids[1]).unwrap().as_ref(), Some(&lists[1]));
        let list = at.path().join(format!("{OWNER}/{}.list", ids[1]));
        std::fs::write(list, [0; 32]).unwrap();
        assert_eq!(papers.list(&OWNER, &ids[1]).unwrap(), None);
    }

    #[test]
    fn what_does_not_count_any_more_is_forgotten_and_nothing_else() {
        let at = tempfile::tempdir().unwrap();
        let papers = Papers::new(real::Disk.dir(at.path()).unwrap());
        let lists = [1, 2].map(|n| encode_pack_list(vec![PackId([n; 32])]));
        let heads = lists.each_ref().map(|list| head(1, list));
        let ids = heads.each_ref().map(|head| list_of(head).unwrap());
        let devices = [DEVICE, PeerId([2; 32])];
        for (n, device) in devices.iter().enumerate() {
            let list = Some((ids[n], &lists[n][..]));
            papers.keep_head(&OWNER, device, &heads[n], list).unwrap();
        }
        papers.keep_roster(&OWNER, &roster()).unwrap();
        papers.keep_docket(&OWNER, b"docket").unwrap();
        papers.drop_head(&OWNER, &devices[0]).unwrap();
        papers.drop_list(&OWNER, &ids[0]).unwrap();
        assert_eq!(papers.load().unwrap()[0].heads, [heads[1].clone()]);
        let look = |n: usize| {
            (
                papers.look_at_head(&OWNER, &devices[n], &heads[n]),
                papers.look_at_list(&OWNER, &ids[n]),
            )
        };
        assert_eq!(look(0), (Condition::Missing, Condition::Missing));
        assert_eq!(look(1), (Condition::Right, Condition::Right));
        papers.drop_head(&OWNER, &devices[0]).unwrap();
        let shard = at.path().join(format!("{OWNER}/{}.0", PackId([1; 32])));
        std::fs::write(&shard, b"of somebody").unwrap();
        papers.forget(&OWNER).unwrap();
        assert_eq!(look(1), (Condition::Missing, Condition::Missing));
        assert_eq!(papers.look_at_docket(&OWNER), Condition::Missing);
        let left = std::fs::read_dir(shard.parent().unwrap()).unwrap();
        assert_eq!(
            left.map(|entry| entry.unwrap().path()).collect::<Vec<_>>(),
            [shard]
        );
    }
}
