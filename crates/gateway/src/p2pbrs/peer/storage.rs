//! What a storage peer takes and gives: whose chunks it expects, from where, and how much room it
//! has. Pure: the chunks themselves are somebody else's.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::super::codec::{Bringer, FileName, Name, Rq};

/// The most files of which chunks are expected; the oldest make room.
const FILES: usize = 1024;
/// The most addresses from which chunks of one file are expected.
const BRINGERS: usize = 64;

/// The most owners of files of one name; the first of them makes room.
const OWNERS: usize = 64;
/// What a chunk costs at least: a file system has to keep the smallest, too, and so has this peer.
const LEAST_BYTES: u64 = 1024;

/// One chunk of one file of one owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkName {
    /// Whose file.
    pub owner: Name,
    /// Which file.
    pub file: FileName,
    /// Which chunk.
    pub chunk: u64,
}

/// Whether a chunk may come.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may; there is room for it. Then [`Storage::stored`] or [`Storage::dropped`].
    Take(ChunkName),
    /// It may not, for this reason.
    Refuse(&'static str),
}

/// Chunks that the server has announced, of one file of one owner.
#[derive(Debug, Default)]
struct Expected {
    /// The last task or request, and which chunks came since it.
    rq: Option<Rq>,
    since: BTreeSet<u64>,
    /// Who brings them; empty if nobody said.
    bringers: Vec<Bringer>,
}

/// A storage peer's view.
#[derive(Debug, Default)]
pub struct Storage {
    capacity_bytes: u64,
    used_bytes: u64,
    expected: BTreeMap<FileName, BTreeMap<Name, Expected>>,
    /// Files in the order in which they were announced.
    order: Vec<FileName>,
    held: BTreeMap<ChunkName, u64>,
    coming: BTreeMap<ChunkName, u64>,
}

impl Storage {
    /// With so much room, and what is held already.
    #[must_use]
    pub fn new(capacity_bytes: u64, held: BTreeMap<ChunkName, u64>) -> Self {
        Self {
            capacity_bytes,
            used_bytes: held.values().copied().map(cost).sum(),
            held,
            ..Self::default()
        }
    }

    /// `STORAGE_TASK`: chunks of a file will come.
    pub fn handle_task(&mut self, rq: Rq, file: FileName, owner: Name, bringer: Option<Bringer>) {
        let expected = self.expect(file, owner);
        if expected.rq.as_ref() != Some(&rq) {
            expected.rq = Some(rq);
            expected.since.clear();
            expected.bringers.clear();
        }
        expected.add(bringer);
    }

    /// `STORE_REQ`: that chunk will come. Returns its size if it has come since it was announced:
    /// then the acknowledgement was lost.
    pub fn handle_store_req(&mut self, name: ChunkName, bringer: Option<Bringer>) -> Option<u64> {
        let expected = self.expect(name.file.clone(), name.owner.clone());
        expected.add(bringer);
        let is_here = expected.since.contains(&name.chunk);
        self.held.get(&name).copied().filter(|_| is_here)
    }

    fn expect(&mut self, file: FileName, owner: Name) -> &mut Expected {
        if !self.expected.contains_key(&file) {
            self.order.push(file.clone());
            if self.order.len() > FILES {
                let oldest = self.order.remove(0);
                self.expected.remove(&oldest);
            }
        }
        let owners = self.expected.entry(file).or_default();
        if owners.len() >= OWNERS && !owners.contains_key(&owner) {
            owners.pop_first();
        }
        owners.entry(owner).or_default()
    }

    /// Whether a chunk may come from there.
    pub fn admit(&mut self, from: IpAddr, file: &FileName, chunk: u64, size: u64) -> Admission {
        let Some(owner) = self.brought_by(from, file) else {
            return Admission::Refuse("Not_Expected");
        };
        let name = ChunkName {
            owner,
            file: file.clone(),
            chunk,
        };
        if self.coming.contains_key(&name) {
            return Admission::Refuse("Busy");
        }
        let former = self.held.get(&name).copied().map_or(0, cost);
        let coming: u64 = self.coming.values().copied().map(cost).sum();
        if (self.used_bytes - former)
            .saturating_add(coming)
            .saturating_add(cost(size))
            > self.capacity_bytes
        {
            return Admission::Refuse("No_Space");
        }
        self.coming.insert(name.clone(), size);
        Admission::Take(name)
    }

    /// Whose chunks of that file come from there.
    fn brought_by(&self, from: IpAddr, file: &FileName) -> Option<Name> {
        let of_file = self.expected.get(file)?;
        let named = of_file.iter().find(|(_, expected)| expected.names(from));
        let unnamed = || of_file.iter().find(|(_, expected)| expected.bringers.is_empty());
        named.or_else(unnamed).map(|(owner, _)| owner.clone())
    }

    /// The chunk is here, durably.
    pub fn stored(&mut self, name: &ChunkName) {
        let Some(size) = self.coming.remove(name) else {
            return;
        };
        let former = self.held.insert(name.clone(), size).map_or(0, cost);
        self.used_bytes = self.used_bytes - former + cost(size);
        let of_file = self.expected.get_mut(&name.file);
        if let Some(expected) = of_file.and_then(|owners| owners.get_mut(&name.owner)) {
            expected.since.insert(name.chunk);
        }
    }

    /// The chunk did not come after all.
    pub fn dropped(&mut self, name: &ChunkName) {
        self.coming.remove(name);
    }

    /// The chunk of that file that an address may ask for: its own, or the only one there is.
    #[must_use]
    pub fn find(&self, from: IpAddr, file: &FileName, chunk: u64) -> Option<ChunkName> {
        let owners: BTreeSet<&Name> = self
            .held
            .keys()
            .filter(|it| it.file == *file && it.chunk == chunk)
            .map(|it| &it.owner)
            .collect();
        let own = self.brought_by(from, file).filter(|owner| owners.contains(owner));
        let owner = match (own, owners.len()) {
            (Some(own), _) => own,
            (None, 1) => (*owners.first()?).clone(),
            _ => return None,
        };
        Some(ChunkName {
            owner,
            file: file.clone(),
            chunk,
        })
    }

    /// Where the owner of a file takes datagrams, if a task said so.
    #[must_use]
    pub fn owner_udp(&self, name: &ChunkName, from: IpAddr) -> Option<std::net::SocketAddr> {
        let expected = self.expected.get(&name.file)?.get(&name.owner)?;
        let bringer = expected.bringers.iter().find(|it| it.ip == from)?;
        Some((bringer.ip, bringer.udp).into())
    }

    /// How many chunks are held.
    #[must_use]
    pub fn chunks(&self) -> usize {
        self.held.len()
    }

    /// Bytes that are taken by what is held, and bytes offered.
    #[must_use]
    pub fn room(&self) -> (u64, u64) {
        (self.used_bytes, self.capacity_bytes)
    }
}

/// What a chunk of this size takes of the capacity.
fn cost(size: u64) -> u64 {
    size.max(LEAST_BYTES)
}

impl Expected {
    fn add(&mut self, bringer: Option<Bringer>) {
        if let Some(bringer) = bringer
            && !self.bringers.contains(&bringer)
        {
            self.bringers.push(bringer);
            let surplus = self.bringers.len().saturating_sub(BRINGERS);
            self.bringers.drain(..surplus);
        }
    }

    /// Whether somebody there was named. A program of this machine may announce another of its addresses.
    fn names(&self, from: IpAddr) -> bool {
        let is_local = |it: &Bringer| from.is_loopback() && !it.ip.is_loopback();
        self.bringers.iter().any(|it| it.ip == from || is_local(it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    const ALICE: [u8; 4] = [10, 0, 0, 1];
    const MALLORY: [u8; 4] = [10, 0, 0, 66];

    fn file() -> FileName {
        "f".parse().unwrap()
    }

    fn name(owner: &str, chunk: u64) -> ChunkName {
        ChunkName {
            owner: owner.parse().unwrap(),
            file: file(),
            chunk,
        }
    }

    fn bringer(ip: [u8; 4]) -> Option<Bringer> {
        Some(Bringer {
            ip: ip.into(),
            udp: 5001,
            tcp: 6001,
        })
    }

    fn task(storage: &mut Storage, rq: u64, owner: &str, by: Option<Bringer>) {
        storage.handle_task(rq.into(), file(), owner.parse().unwrap(), by);
    }

    fn store(storage: &mut Storage, from: [u8; 4], chunk: u64, size: u64) -> Admission {
        let admission = storage.admit(from.into(), &file(), chunk, size);
        if let Admission::Take(name) = &admission {
            storage.stored(name);
        }
        admission
    }

    #[test]
    fn only_what_was_announced_comes_and_only_from_whom_it_was_announced() {
        let mut storage = Storage::new(10_000, BTreeMap::new());
        assert_eq!(
            store(&mut storage, ALICE, 0, 10),
            Admission::Refuse("Not_Expected")
        );
        task(&mut storage, 1, "alice", bringer(ALICE));
        assert_eq!(
            store(&mut storage, MALLORY, 0, 10),
            Admission::Refuse("Not_Expected")
        );
        assert_eq!(
            store(&mut storage, ALICE, 0, 10),
            Admission::Take(name("alice", 0))
        );
        assert_eq!(storage.find(ALICE.into(), &file(), 0), Some(name("alice", 0)));
        assert_eq!(storage.find(ALICE.into(), &file(), 1), None);
        assert_eq!(
            storage.owner_udp(&name("alice", 0), ALICE.into()),
            Some((ALICE, 5001).into())
        );
    }

    #[test]
    fn without_an_address_anybody_may_bring_what_was_announced() {
        let mut storage = Storage::new(10_000, BTreeMap::new());
        task(&mut storage, 1, "alice", None);
        assert_eq!(
            store(&mut storage, MALLORY, 0, 10),
            Admission::Take(name("alice", 0))
        );
    }

    #[test]
    fn never_more_than_the_capacity() {
        let mut storage = Storage::new(100 * KIB, BTreeMap::new());
        task(&mut storage, 1, "alice", bringer(ALICE));
        assert_eq!(
            store(&mut storage, ALICE, 0, 60 * KIB),
            Admission::Take(name("alice", 0))
        );
        assert_eq!(
            store(&mut storage, ALICE, 1, 41 * KIB),
            Admission::Refuse("No_Space")
        );
        assert_eq!(
            store(&mut storage, ALICE, 0, 100 * KIB),
            Admission::Take(name("alice", 0))
        );
        assert_eq!(
            store(&mut storage, ALICE, 0, 40 * KIB),
            Admission::Take(name("alice", 0))
        );
        let coming = storage.admit(ALICE.into(), &file(), 1, 60 * KIB);
        assert_eq!(coming, Admission::Take(name("alice", 1)));
        assert_eq!(
            storage.admit(ALICE.into(), &file(), 1, KIB),
            Admission::Refuse("Busy")
        );
        assert_eq!(store(&mut storage, ALICE, 2, KIB), Admission::Refuse("No_Space"));
        storage.dropped(&name("alice", 1));
        assert_eq!(
            store(&mut storage, ALICE, 2, 60 * KIB),
            Admission::Take(name("alice", 2))
        );
        assert_eq!(store(&mut storage, ALICE, 3, 0), Admission::Refuse("No_Space"));
        assert_eq!(storage.room(), (100 * KIB, 100 * KIB));
        assert_eq!(
            store(&mut storage, ALICE, u64::MAX, u64::MAX),
            Admission::Refuse("No_Space")
        );
    }

    #[test]
    fn owners_of_the_same_file_name_are_told_apart_by_their_addresses() {
        let mut storage = Storage::new(100 * KIB, BTreeMap::new());
        task(&mut storage, 1, "alice", bringer(ALICE));
        task(&mut storage, 2, "mallory", bringer(MALLORY));
        assert_eq!(
            store(&mut storage, ALICE, 0, 1),
            Admission::Take(name("alice", 0))
        );
        assert_eq!(
            store(&mut storage, MALLORY, 0, 1),
            Admission::Take(name("mallory", 0))
        );
        assert_eq!(storage.find(MALLORY.into(), &file(), 0), Some(name("mallory", 0)));
        assert_eq!(storage.find([10, 0, 0, 3].into(), &file(), 0), None);
    }

    #[test]
    fn a_lost_acknowledgement_is_given_again_but_not_for_an_older_chunk() {
        let mut storage = Storage::new(100 * KIB, BTreeMap::new());
        task(&mut storage, 1, "alice", bringer(ALICE));
        assert_eq!(storage.handle_store_req(name("alice", 0), bringer(ALICE)), None);
        store(&mut storage, ALICE, 0, 7);
        assert_eq!(
            storage.handle_store_req(name("alice", 0), bringer(ALICE)),
            Some(7)
        );
        task(&mut storage, 1, "alice", bringer(ALICE));
        assert_eq!(storage.handle_store_req(name("alice", 0), None), Some(7));
        task(&mut storage, 2, "alice", bringer(ALICE));
        assert_eq!(storage.handle_store_req(name("alice", 0), bringer(ALICE)), None);
    }

    #[test]
    fn announcements_cost_bounded_memory() {
        let mut storage = Storage::new(100 * KIB, BTreeMap::new());
        for n in 0..5000u64 {
            let file = n.to_string().parse().unwrap();
            storage.handle_task(n.into(), file, "a".parse().unwrap(), bringer(ALICE));
        }
        assert_eq!((storage.expected.len(), storage.order.len()), (FILES, FILES));
    }
}
