//! Devices that back up and prune, and one holder.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Mutex,
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use skep_engine::deletion::Docket;
use skep_vault::{
    Catalog, Content, Index, Kind, Owner, Phrase, Sealer, Snapshot, SnapshotId,
    index::Listed,
    pack::Sealed,
    sealer::Hand,
    tree::{self, Entry, Meta, Name, Node},
};
use skep_wire::{
    BlobId, OwnerId, PackId, PeerId, Signed, SigningKey,
    backup::{Cancelation, Condemnation, Device, Head, PackList, Retired, Rights, Roster},
};
use skep_world::{Disk as _, simulated::Disk};

use crate::backup::{
    checking, lock,
    making::foreign,
    mending::Mended,
    meter::Meter,
    near::Near,
    packing::{keys, list, seal_index},
    pruning::{
        census::{Census, Counted},
        plan::{self, Plan},
        taking,
    },
    reader::Reader,
    state::{Known, Owned, State},
    tests::rig::Memory,
};

const DEVICES: u8 = 3;
/// One more, which made a backup and was then retired.
const RETIRED: PeerId = PeerId([DEVICES; 32]);
/// How many files each device has.
const OWN_FILES: u8 = 16;
const GRACE: Duration = Duration::from_secs(10);

/// What happened, and how often.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) backed_up: usize,
    pub(super) repeated: usize,
    pub(super) pruned: usize,
    pub(super) rescued: usize,
    pub(super) taken_over: usize,
    pub(super) deleted: usize,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.backed_up += other.backed_up;
        self.repeated += other.repeated;
        self.pruned += other.pruned;
        self.rescued += other.rescued;
        self.taken_over += other.taken_over;
        self.deleted += other.deleted;
    }
}

/// Where a device's backups stand.
#[derive(Clone, Default)]
struct Stand {
    number: u64,
    catalog: Catalog,
    packs: BTreeSet<PackId>,
}

/// A head on its way.
struct Next {
    stand: Stand,
    /// What was backed up, to be stored again if packs went away meanwhile.
    files: Option<(SnapshotId, BTreeSet<u8>)>,
    /// Packs that may be condemned afterwards.
    dropped: Vec<PackId>,
}

/// What a device is doing, between two steps.
enum Work {
    Nothing,
    /// Something is sealed; what it needs and is condemned is canceled next.
    Cancel(Next),
    Publish(Next),
    /// The holder's answer is awaited.
    Published(Next),
    /// A prune knows what it wants to do; nothing is written.
    Planned(Catalog, Box<Plan>),
    Condemn(Vec<PackId>),
}

struct Machine {
    id: PeerId,
    condemnations: u64,
    acknowledged: BTreeSet<SnapshotId>,
    work: Work,
}

/// All of them.
pub(super) struct Model {
    seed: u64,
    chance: SmallRng,
    state: State,
    packs: Memory,
    sealed_by: BTreeMap<PackId, PeerId>,
    docket: Docket,
    stands: BTreeMap<PeerId, Stand>,
    machines: Vec<Machine>,
    made: u64,
    pub(super) tally: Tally,
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        let machine = |n| Machine {
            id: PeerId([n; 32]),
            condemnations: 0,
            acknowledged: BTreeSet::new(),
            work: Work::Nothing,
        };
        let disk = Disk::new();
        disk.make_dir(Path::new("/home")).unwrap();
        let home = disk.dir(Path::new("/home")).unwrap();
        let mut model = Self {
            seed,
            chance: SmallRng::seed_from_u64(seed),
            state: State::open(&*home).unwrap(),
            packs: Memory::default(),
            sealed_by: BTreeMap::new(),
            docket: Docket::default(),
            stands: BTreeMap::new(),
            machines: (0..DEVICES).map(machine).collect(),
            made: 0,
            tally: Tally::default(),
        };
        let left = model.seal(RETIRED, &BTreeSet::from([1, 2, 3]), None);
        // The holder needs nothing for the head of who is retired.
        model.stands.insert(RETIRED, left.stand);
        model
    }

    pub(super) fn step(&mut self) {
        let who = self.chance.random_range(0..usize::from(DEVICES) + 1);
        if who == usize::from(DEVICES) {
            return self.pass_time();
        }
        // A crash: the work so far is lost, what was stored and published is not.
        if self.chance.random_range(0..20) == 0 {
            self.machines[who].work = Work::Nothing;
        }
        self.machines[who].work = match std::mem::replace(&mut self.machines[who].work, Work::Nothing) {
            Work::Nothing => self.begin(who),
            Work::Cancel(next) => {
                self.cancel(who, &next.stand.packs);
                Work::Publish(next)
            }
            Work::Publish(next) => self.publish(who, next),
            Work::Published(next) => self.acknowledge(who, next),
            Work::Planned(catalog, plan) => self.rescue(who, catalog, &plan),
            Work::Condemn(dropped) => self.condemn(who, &dropped),
        };
    }

    fn begin(&mut self, who: usize) -> Work {
        match self.chance.random_range(0..4) {
            0 => self.prune(who),
            1 => self.forget(who),
            _ => {
                let files = self.files(who);
                self.tally.backed_up += 1;
                Work::Cancel(self.seal(self.machines[who].id, &files, None))
            }
        }
    }

    /// Some of the device's own files, and some that others have too.
    fn files(&mut self, who: usize) -> BTreeSet<u8> {
        let own = u8::try_from(who).unwrap() * OWN_FILES;
        let count = self.chance.random_range(1..9);
        let file = |_| match self.chance.random_range(0..4) {
            0 => self.chance.random_range(0..DEVICES * OWN_FILES),
            _ => own + self.chance.random_range(0..OWN_FILES),
        };
        (0..count).map(file).collect()
    }

    fn pass_time(&mut self) {
        self.docket
            .served(Duration::from_secs(self.chance.random_range(0..8)));
        for pack in self.docket.due() {
            lock(&self.packs.0).remove(&pack);
            self.docket.deleted(&pack);
            self.tally.deleted += 1;
        }
    }

    fn is_there(&self, pack: &PackId) -> bool {
        lock(&self.packs.0).contains_key(pack)
    }

    /// What a device knows, when it has asked.
    fn owned(&self) -> Owned {
        let owner = Owner::new(&Phrase::from_entropy([7; 32]));
        let heads = self.stands.iter().map(|(device, stand)| {
            let head = head(owner.id(), *device, stand.number);
            let signed = Signed::new(&head, &SigningKey::from_seed([1; 32]));
            let catalog = stand.catalog.clone();
            (
                *device,
                Known {
                    signed,
                    head,
                    catalog,
                },
            )
        });
        let roster = roster(owner.id());
        Owned {
            owner: owner.id(),
            signed: Signed::new(&roster, &SigningKey::from_seed([1; 32])),
            roster,
            ring: owner.ring(1),
            heads: heads.collect(),
        }
    }

    /// Seals a snapshot of these files, in the place of one that lacks packs.
    fn seal(&mut self, device: PeerId, files: &BTreeSet<u8>, replaces: Option<SnapshotId>) -> Next {
        let owned = self.owned();
        let near = Near {
            state: &self.state,
            far: &self.packs,
        };
        let mut stand = self.stands.get(&device).cloned().unwrap_or_default();
        let is_condemned = |pack: &PackId| self.docket.condemned(pack).next().is_some();
        let usable =
            |pack: &PackId| self.is_there(pack) && (stand.packs.contains(pack) || !is_condemned(pack));
        let listing = near.listing(&owned, &device, usable);
        let needed = listing.of.get(&device).cloned().unwrap_or_default();
        let made = Packed::after(self.made);
        let (entropy, out) = (|| made.salt(), |pack| made.take(pack));
        let sealer = Sealer::new(keys(&owned).unwrap(), &listing.index, &entropy, &out);
        let root = store(&mut sealer.hand(), files);
        sealer.flush();
        let mut listed = std::mem::take(&mut *lock(&made.fresh));
        listed.extend(foreign(&listing.index, &sealer.reused(), &needed));
        let indexes = seal_index(&sealer, &made.fresh, &listed);
        drop(sealer);
        let (last, sealed) = made.into_packs();
        self.made = last + 1;
        stand
            .catalog
            .snapshots
            .retain(|snapshot| Some(snapshot.id()) != replaces);
        let snapshot = snapshot(self.made, root);
        let id = snapshot.id();
        stand.catalog.snapshots.push(snapshot);
        stand.catalog.indexes.extend(&indexes);
        stand.packs.extend(indexes);
        stand.packs.extend(listed.iter().map(|listed| listed.pack));
        self.keep(device, sealed);
        Next {
            stand,
            files: Some((id, files.clone())),
            dropped: Vec::new(),
        }
    }

    fn keep(&mut self, device: PeerId, sealed: Vec<Sealed>) {
        for mut pack in sealed {
            self.sealed_by.insert(pack.id, device);
            pack.bytes.shrink_to_fit();
            lock(&self.packs.0).insert(pack.id, pack.bytes);
        }
    }

    fn forget(&mut self, who: usize) -> Work {
        let mut stand = self.stand(who);
        let drop = self.chance.random_range(0..=stand.catalog.snapshots.len());
        stand.catalog.snapshots.drain(..drop);
        Work::Cancel(Next {
            stand,
            files: None,
            dropped: Vec::new(),
        })
    }

    fn stand(&self, who: usize) -> Stand {
        self.stands
            .get(&self.machines[who].id)
            .cloned()
            .unwrap_or_default()
    }

    fn prune(&mut self, who: usize) -> Work {
        let (device, owned) = (self.machines[who].id, self.owned());
        let taken = taking::take_over(device, &owned).unwrap();
        let near = Near {
            state: &self.state,
            far: &self.packs,
        };
        let planned = plan::plan(&near, &owned, device, &taken, &self.census(), &Meter::default());
        // A head whose packs went away before it was published is made whole by the next backup.
        let Ok(plan) = planned else {
            return Work::Nothing;
        };
        if !taken.is_more {
            return Work::Planned(taken.catalog, Box::new(plan));
        }
        self.tally.taken_over += 1;
        let stand = Stand {
            catalog: taken.catalog,
            packs: plan.listed,
            ..self.stand(who)
        };
        Work::Cancel(Next {
            stand,
            files: None,
            dropped: Vec::new(),
        })
    }

    fn census(&self) -> Census {
        let there = self.sealed_by.iter().filter(|(pack, _)| self.is_there(pack));
        let counted = |(pack, device): (&PackId, &PeerId)| {
            let (sealed_by, stored_bytes) = (*device, 1);
            let counted = Counted {
                sealed_by,
                stored_bytes,
            };
            (*pack, counted)
        };
        let is_condemned = |pack: &&PackId| self.docket.condemned(pack).next().is_some();
        Census {
            packs: there.map(counted).collect(),
            lost: BTreeSet::new(),
            condemned: self.sealed_by.keys().filter(is_condemned).copied().collect(),
        }
    }

    /// What the plan relies on is canceled and must be there; then what goes is sealed anew.
    fn rescue(&mut self, who: usize, mut catalog: Catalog, plan: &Plan) -> Work {
        self.cancel(who, &plan.listed);
        let device = self.machines[who].id;
        let lost = |pack: &&PackId| !self.is_there(pack) && !plan.lost.contains(*pack);
        if plan.listed.iter().any(|pack| lost(&pack)) {
            return Work::Nothing;
        }
        let mut packs = plan.keep.clone();
        if plan.rewrites {
            let (fresh, indexes, sealed) = self.pack_anew(plan);
            self.tally.rescued += fresh.len();
            packs.extend(fresh);
            catalog.indexes = indexes;
            self.keep(device, sealed);
        }
        packs.extend(&catalog.indexes);
        self.tally.pruned += 1;
        let stand = Stand {
            catalog,
            packs,
            ..self.stand(who)
        };
        Work::Cancel(Next {
            stand,
            files: None,
            dropped: plan.condemn.clone(),
        })
    }

    fn pack_anew(&mut self, plan: &Plan) -> (Vec<PackId>, Vec<PackId>, Vec<Sealed>) {
        let owned = self.owned();
        let near = Near {
            state: &self.state,
            far: &self.packs,
        };
        let made = Packed::after(self.made);
        let (entropy, out) = (|| made.salt(), |pack| made.take(pack));
        let nothing = Index::new();
        let sealer = Sealer::new(keys(&owned).unwrap(), &nothing, &entropy, &out);
        let reader = Reader::new(&owned.ring, &plan.index, &near);
        plan.store_again(&reader, &sealer, &Meter::default()).unwrap();
        sealer.flush();
        let rescued = std::mem::take(&mut *lock(&made.fresh));
        let indexes = seal_index(&sealer, &made.fresh, plan.kept().chain(&rescued));
        drop((sealer, reader));
        let (last, sealed) = made.into_packs();
        self.made = last;
        let rescued = rescued.iter().map(|listed| listed.pack).collect();
        (rescued, indexes, sealed)
    }

    fn cancel(&mut self, who: usize, packs: &BTreeSet<PackId>) {
        for pack in packs {
            let condemned: Vec<_> = self.docket.condemned(pack).collect();
            for (condemned_by, up_to, _) in condemned {
                self.docket.cancel(&Cancelation {
                    owner: OwnerId([0; 32]),
                    device: self.machines[who].id,
                    condemned_by,
                    up_to,
                    packs: vec![*pack],
                });
            }
        }
    }

    fn publish(&mut self, who: usize, mut next: Next) -> Work {
        next.stand.number = self.stand(who).number + 1;
        let packs: Vec<PackId> = next.stand.packs.iter().copied().collect();
        let device = self.machines[who].id;
        self.docket.listed(device, next.stand.number, &packs);
        self.stands.insert(device, next.stand.clone());
        Work::Published(next)
    }

    fn acknowledge(&mut self, who: usize, next: Next) -> Work {
        let all_there = next.stand.packs.iter().all(|pack| self.is_there(pack));
        if all_there {
            let snapshots = next.stand.catalog.snapshots.iter();
            self.machines[who].acknowledged = snapshots.map(Snapshot::id).collect();
            return Work::Condemn(next.dropped);
        }
        // A prune that finds this ends, and condemns nothing.
        let Some((id, files)) = next.files else {
            return Work::Nothing;
        };
        self.tally.repeated += 1;
        Work::Cancel(self.seal(self.machines[who].id, &files, Some(id)))
    }

    fn condemn(&mut self, who: usize, dropped: &[PackId]) -> Work {
        let needed = |id: &PackId| {
            let counting = self.stands.iter().filter(|(device, _)| **device != RETIRED);
            counting.into_iter().any(|(_, stand)| stand.packs.contains(id))
        };
        let packs: Vec<PackId> = dropped.iter().copied().filter(|id| !needed(id)).collect();
        let machine = &mut self.machines[who];
        machine.condemnations += 1;
        let word = Condemnation {
            owner: OwnerId([0; 32]),
            device: machine.id,
            number: machine.condemnations,
            made_unix_s: 0,
            packs,
        };
        let here = lock(&self.packs.0);
        self.docket.condemn(&word, GRACE, |id| here.contains_key(id));
        Work::Nothing
    }

    /// Every snapshot that a device was told is done, and has not forgotten since, can be restored.
    pub(super) fn check(&self) {
        let owned = self.owned();
        for machine in &self.machines {
            let Some(stand) = self.stands.get(&machine.id) else {
                continue;
            };
            let near = Near {
                state: &self.state,
                far: &self.packs,
            };
            let listing = near.listing(&owned, &machine.id, |_| true);
            let reader = Reader::new(&owned.ring, &listing.index, &near);
            let snapshots = stand
                .catalog
                .snapshots
                .iter()
                .map(|it| (it.id(), it.root.clone()));
            let wanted = checking::Wanted {
                roots: snapshots
                    .filter(|(id, _)| machine.acknowledged.contains(id))
                    .collect(),
                read_data: true,
                lost: BTreeSet::new(),
            };
            let found = checking::read(&reader, &wanted, &Meter::default());
            let told = checking::report((&wanted, 0), found, Mended::default(), None);
            assert_eq!(told.failed, [], "seed {}: {:?}", self.seed, machine.id);
        }
    }
}

/// What a sealer makes, and the salts that it takes.
struct Packed {
    sealed: Mutex<Vec<Sealed>>,
    fresh: Mutex<Vec<Listed>>,
    last_salt: Mutex<u64>,
}

impl Packed {
    fn after(last_salt: u64) -> Self {
        Self {
            sealed: Mutex::default(),
            fresh: Mutex::default(),
            last_salt: Mutex::new(last_salt),
        }
    }

    fn salt(&self) -> [u8; 32] {
        let mut last = lock(&self.last_salt);
        *last += 1;
        *blake3::hash(&last.to_le_bytes()).as_bytes()
    }

    fn take(&self, pack: Sealed) {
        lock(&self.fresh).push(list(&pack));
        lock(&self.sealed).push(pack);
    }

    /// The last salt, and the packs.
    fn into_packs(self) -> (u64, Vec<Sealed>) {
        let sealed = self.sealed.into_inner().unwrap();
        (self.last_salt.into_inner().unwrap(), sealed)
    }
}

/// A folder with these files, each of some bytes of its own.
fn store(hand: &mut Hand<'_>, files: &BTreeSet<u8>) -> Content {
    let mut bytes = Vec::new();
    for n in files {
        let plain = vec![*n; 200 + usize::from(*n)];
        let content = hand.content(Kind::Data, &plain).unwrap();
        let entry = Entry {
            name: Name::parse(format!("file {n:3}").as_bytes()).unwrap(),
            node: Node::File {
                content,
                holes: Vec::new(),
            },
            meta: Meta::default(),
        };
        tree::encode(&entry, &mut bytes).unwrap();
    }
    hand.content(Kind::Tree, &bytes).unwrap()
}

fn snapshot(made_unix_s: u64, root: Content) -> Snapshot {
    Snapshot {
        made_unix_s,
        host: Vec::new(),
        paths: Vec::new(),
        root,
        files: 0,
        bytes: 0,
        missing: 0,
    }
}

fn roster(owner: OwnerId) -> Roster {
    let device = |n| Device {
        peer: PeerId([n; 32]),
        sealing: [0; 32],
        rights: Rights::ALL,
        keys: Vec::new(),
    };
    Roster {
        owner,
        number: 1,
        epoch: 1,
        devices: (0..DEVICES).map(device).collect(),
        retired: vec![Retired {
            peer: RETIRED,
            last_head: 1,
        }],
    }
}

fn head(owner: OwnerId, device: PeerId, number: u64) -> Head {
    Head {
        owner,
        device,
        number,
        previous: [0; 32],
        roster: 1,
        made_unix_s: 0,
        epoch: 1,
        salt: [0; 32],
        sealed: Vec::new(),
        packs: PackList {
            id: BlobId([0; 32]),
            size: 0,
        },
    }
}
