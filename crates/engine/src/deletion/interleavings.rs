//! Backups and prunes of several devices, interleaved step by step with each other, with deletions and
//! with crashes, in 10,000 ways: no pack that an acknowledged head needs is ever deleted.
//!
//! The model keeps to the rules of docs/backup-format.md: a device reuses no condemned pack, cancels what
//! it needs before it commits, takes a head for acknowledged when the holder has all of its packs, and
//! prunes only from there. What it models with the real code is the docket of the holder and the plan of the prune.

use rand::{Rng, SeedableRng, rngs::SmallRng};
use skep_wire::OwnerId;

use super::*;
use crate::retention::{self, Pack, Terms};

const DEVICES: u8 = 3;
const OWNER: OwnerId = OwnerId([1; 32]);
const GRACE: Duration = Duration::from_secs(10);

/// The holder, and what devices can read there.
#[derive(Default)]
struct Holder {
    docket: Docket,
    packs: BTreeMap<PackId, Pack<u8>>,
    /// The newest head of each device.
    heads: BTreeMap<PeerId, Head>,
}

#[derive(Clone, Default, PartialEq, Debug)]
struct Head {
    number: u64,
    /// The number and the pieces of each snapshot.
    snapshots: Vec<(u64, BTreeSet<u8>)>,
    packs: BTreeSet<PackId>,
}

impl Head {
    fn pieces(&self) -> BTreeSet<u8> {
        self.snapshots
            .iter()
            .flat_map(|(_, pieces)| pieces)
            .copied()
            .collect()
    }
}

struct Device {
    id: PeerId,
    condemnations: u64,
    /// What it was last told is done.
    acknowledged: Head,
    work: Work,
}

/// What a device is doing, between two steps.
enum Work {
    Nothing,
    /// A head is being made; `dropped` are packs that may be condemned afterwards.
    Commit {
        head: Head,
        dropped: Vec<PackId>,
    },
    /// What it needs and was condemned is canceled; what is condemned from now on is saved by the head itself.
    Publish {
        head: Head,
        dropped: Vec<PackId>,
    },
    /// The head is published, and the holder's answer is awaited.
    Published {
        head: Head,
        dropped: Vec<PackId>,
    },
    Condemn {
        dropped: Vec<PackId>,
    },
}

struct Model {
    chance: SmallRng,
    holder: Holder,
    devices: Vec<Device>,
    /// Of packs and snapshots made so far.
    made: u64,
    deleted: usize,
}

impl Model {
    fn new(seed: u64) -> Self {
        let device = |n| Device {
            id: PeerId([n; 32]),
            condemnations: 0,
            acknowledged: Head::default(),
            work: Work::Nothing,
        };
        Self {
            chance: SmallRng::seed_from_u64(seed),
            holder: Holder::default(),
            devices: (0..DEVICES).map(device).collect(),
            made: 0,
            deleted: 0,
        }
    }

    fn step(&mut self) {
        let who = self.chance.random_range(0..usize::from(DEVICES) + 1);
        if who == usize::from(DEVICES) {
            return self.pass_time();
        }
        // A crash: the work so far is lost, what was stored and published is not.
        if self.chance.random_range(0..12) == 0 {
            self.devices[who].work = Work::Nothing;
        }
        self.devices[who].work = match std::mem::replace(&mut self.devices[who].work, Work::Nothing) {
            Work::Nothing if self.chance.random() => self.back_up(who),
            Work::Nothing => self.prune(who),
            Work::Commit { head, dropped } => {
                self.cancel(who, &head);
                Work::Publish { head, dropped }
            }
            Work::Publish { head, dropped } => self.publish(who, head, dropped),
            Work::Published { head, dropped } => self.acknowledge(who, head, dropped),
            Work::Condemn { dropped } => self.condemn(who, &dropped),
        };
    }

    fn pass_time(&mut self) {
        let seconds = self.chance.random_range(0..8);
        self.holder.docket.served(Duration::from_secs(seconds));
        for pack in self.holder.docket.due() {
            self.holder.packs.remove(&pack);
            self.holder.docket.deleted(&pack);
            self.deleted += 1;
        }
    }

    /// The newest head that is published under the device's name: after a crash it goes on from there.
    fn newest(&self, who: usize) -> Head {
        let published = self.holder.heads.get(&self.devices[who].id);
        published.cloned().unwrap_or_default()
    }

    fn back_up(&mut self, who: usize) -> Work {
        let mut head = self.newest(who);
        let mut snapshot = BTreeSet::new();
        for _ in 0..self.chance.random_range(1..6) {
            snapshot.insert(self.chance.random_range(0..12));
        }
        head.packs.extend(self.store(who, &snapshot, true));
        self.made += 1;
        head.snapshots.push((self.made, snapshot));
        Work::Commit {
            head,
            dropped: Vec::new(),
        }
    }

    /// Packs that have all of these pieces: those that can be reused, and a new one for the rest.
    fn store(&mut self, who: usize, pieces: &BTreeSet<u8>, reuse: bool) -> BTreeSet<PackId> {
        let (mut packs, mut missing) = (BTreeSet::new(), pieces.clone());
        let docket = &self.holder.docket;
        // Only packs of committed heads are known to others, and no condemned one is reused.
        let known = |id: &PackId| self.holder.heads.values().any(|head| head.packs.contains(id));
        let usable = |id: &PackId| reuse && known(id) && docket.condemned(id).next().is_none();
        for (id, pack) in self.holder.packs.iter().filter(|(id, _)| usable(id)) {
            let before = missing.len();
            missing.retain(|piece| !pack.pieces.iter().any(|(has, _)| has == piece));
            if missing.len() < before {
                packs.insert(*id);
            }
        }
        if !missing.is_empty() {
            packs.insert(self.seal(who, &missing));
        }
        packs
    }

    fn seal(&mut self, who: usize, pieces: &BTreeSet<u8>) -> PackId {
        self.made += 1;
        let mut id = PackId([0; 32]);
        id.0[..8].copy_from_slice(&self.made.to_be_bytes());
        let pack = Pack {
            id,
            sealed_by: self.devices[who].id,
            bytes: pieces.len() as u64,
            listed: false,
            pieces: pieces.iter().map(|piece| (*piece, 1)).collect(),
        };
        self.holder.packs.insert(id, pack);
        id
    }

    /// A head that was published before a crash, and not acknowledged, is made whole before anything is pruned.
    fn prune(&mut self, who: usize) -> Work {
        let mut head = self.newest(who);
        if head.packs.iter().any(|id| !self.holder.packs.contains_key(id)) {
            let dropped = Vec::new();
            return Work::Published { head, dropped };
        }
        let drop = self.chance.random_range(0..=head.snapshots.len());
        head.snapshots.drain(..drop);
        let live: BTreeSet<u8> = head.pieces();
        let device = self.devices[who].id;
        let others = self.holder.heads.iter().filter(|(id, _)| **id != device);
        let needed: BTreeSet<PackId> = others.flat_map(|(_, head)| head.packs.iter().copied()).collect();
        let mine = |pack: &&Pack<u8>| pack.sealed_by == device || head.packs.contains(&pack.id);
        let mut packs: Vec<Pack<u8>> = self.holder.packs.values().filter(mine).cloned().collect();
        packs
            .iter_mut()
            .for_each(|pack| pack.listed = head.packs.contains(&pack.id));
        let terms = Terms {
            device,
            retired: &BTreeSet::new(),
            needed_by_others: &needed,
            repack_below_permille: 600,
        };
        let sweep = retention::sweep(&packs, &terms, |piece| live.contains(piece));
        head.packs = sweep.keep.into_iter().collect();
        let rescue: BTreeSet<u8> = sweep.rescue.iter().map(|(piece, _)| *piece).collect();
        head.packs.extend(self.store(who, &rescue, false));
        Work::Commit {
            head,
            dropped: sweep.condemn,
        }
    }

    fn publish(&mut self, who: usize, mut head: Head, dropped: Vec<PackId>) -> Work {
        head.number = self.newest(who).number + 1;
        let device = self.devices[who].id;
        let packs: Vec<PackId> = head.packs.iter().copied().collect();
        self.holder.docket.listed(device, head.number, &packs);
        self.holder.heads.insert(device, head.clone());
        Work::Published { head, dropped }
    }

    fn cancel(&mut self, who: usize, head: &Head) {
        for pack in &head.packs {
            let condemned: Vec<_> = self.holder.docket.condemned(pack).collect();
            for (condemned_by, up_to, _) in condemned {
                self.holder.docket.cancel(&Cancelation {
                    owner: OWNER,
                    device: self.devices[who].id,
                    condemned_by,
                    up_to,
                    packs: vec![*pack],
                });
            }
        }
    }

    /// If the holder lacks some pack of the head, its pieces are stored anew, under a further head.
    fn acknowledge(&mut self, who: usize, mut head: Head, dropped: Vec<PackId>) -> Work {
        let lost: Vec<PackId> = head
            .packs
            .iter()
            .copied()
            .filter(|id| !self.holder.packs.contains_key(id))
            .collect();
        if lost.is_empty() {
            self.devices[who].acknowledged = head;
            return Work::Condemn { dropped };
        }
        head.packs.retain(|id| !lost.contains(id));
        let all: BTreeSet<u8> = head.pieces();
        head.packs.extend(self.store(who, &all, false));
        Work::Commit { head, dropped }
    }

    fn condemn(&mut self, who: usize, dropped: &[PackId]) -> Work {
        let needed = |id: &PackId| self.holder.heads.values().any(|head| head.packs.contains(id));
        let packs: Vec<PackId> = dropped.iter().copied().filter(|id| !needed(id)).collect();
        let device = &mut self.devices[who];
        device.condemnations += 1;
        let word = Condemnation {
            owner: OWNER,
            device: device.id,
            number: device.condemnations,
            made_unix_s: 0,
            packs,
        };
        let here = &self.holder.packs;
        self.holder
            .docket
            .condemn(&word, GRACE, |id| here.contains_key(id));
        Work::Nothing
    }

    /// Every snapshot that a device was told is done, and has not forgotten since, can be restored by its newest head.
    fn check(&self, seed: u64) {
        for device in &self.devices {
            let Some(published) = self.holder.heads.get(&device.id) else {
                continue;
            };
            let packs = published.packs.iter().filter_map(|id| self.holder.packs.get(id));
            let there: BTreeSet<u8> = packs
                .flat_map(|pack| pack.pieces.iter().map(|(piece, _)| *piece))
                .collect();
            let acknowledged = device.acknowledged.snapshots.iter();
            for snapshot in acknowledged.filter(|snapshot| published.snapshots.contains(snapshot)) {
                assert!(
                    snapshot.1.is_subset(&there),
                    "seed {seed}: {snapshot:?} of {:?}",
                    device.id
                );
            }
        }
    }
}

#[test]
fn prunes_delete_nothing_that_a_backup_needs() {
    let (mut deleted, mut kept) = (0, 0);
    for seed in 0..10_000 {
        let mut model = Model::new(seed);
        for _ in 0..100 {
            model.step();
            model.check(seed);
        }
        deleted += model.deleted;
        kept += model.holder.packs.len();
    }
    // The model is worth something only if much is deleted, and much is not.
    assert!(
        deleted > 10_000 && kept > 10_000,
        "{deleted} deleted, {kept} kept"
    );
}
