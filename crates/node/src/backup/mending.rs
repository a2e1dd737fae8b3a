//! Shards that are missing or damaged at their holders: found by asking for each, and made whole.
//!
//! What is wrong is made anew here, from good copies, and brought to its holder again. A holder that cannot take it has
//! given it up and told the coordinator, which then has others rebuild it. What nobody has is their business from the
//! beginning: it is waited for, and told. What the owner said, each holder looks through by itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use skep_vault::shard::Shards;
use skep_wire::{
    PackId, PeerId, Signed,
    backup::{PackRecord, open_kept},
    message::{
        DamagedPaper, Holder, ListRecords, Locate, Located, LocatedPack, Paper, Records, Review, Reviewed,
        ShardAt, ShardName,
    },
};
use tokio::{task::JoinSet, time};

use super::{
    error::BackupError,
    far::{Far, NoBytes},
    meter::Meter,
    near::Near,
    send::Sender,
    state::{Owned, State},
    sync,
};
use crate::{
    api::types::{Damage, PaperDamage},
    core::Core,
};

/// Shards that are read at a time, each in memory.
const READ_AT_ONCE: usize = 4;
/// How often, and how long apart, a shard is brought to a holder: it may be rebuilding it just then.
const TRIES: u32 = 6;
const PAUSE: Duration = Duration::from_millis(500);
/// How many such pauses to wait for others to rebuild what nobody has.
const REBUILD_PAUSES: u32 = 20;

/// Looks after the packs of one owner.
pub(super) struct Mender<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) state: &'a State,
    pub(super) owned: &'a Arc<Owned>,
    pub(super) meter: Arc<Meter>,
}

/// What was not as it should be, and what was done.
#[derive(Debug, Default)]
pub(super) struct Mended {
    pub(super) shards: Vec<Damage>,
    pub(super) papers: Vec<PaperDamage>,
}

/// A pack, and who should have which shard of it.
struct Kept {
    signed: Signed<PackRecord>,
    record: PackRecord,
    held: Vec<ShardAt>,
}

/// A shard that is not what it should be.
struct Broken {
    kept: Arc<Kept>,
    holder: Holder,
    shard: u8,
    why: NoBytes,
}

/// All that was located.
struct Places {
    packs: Vec<Arc<Kept>>,
    /// Those that are online.
    holders: BTreeMap<PeerId, Holder>,
}

impl Mender<'_> {
    /// Finds what is missing at the holders of these packs, or with `read_data` damaged, and mends it.
    pub(super) async fn mend(&self, packs: Vec<PackId>, read_data: bool) -> Result<Mended, BackupError> {
        let broken = match read_data {
            true => self.read_all(&packs).await?,
            false => self.ask_all(&packs).await?,
        };
        let mut mended = Mended::default();
        let known: BTreeSet<ShardName> = broken.iter().map(|it| it.kept.name(it.shard)).collect();
        for broken in broken {
            mended.shards.push(self.repair(&broken).await);
        }
        if read_data {
            mended.papers = self.review(&packs).await?;
            let rebuilt = self.rebuilt_by_others(packs, &known).await?;
            mended.shards.extend(rebuilt);
        }
        Ok(mended)
    }

    /// Has the holders of these packs look through what this owner told them.
    async fn review(&self, packs: &[PackId]) -> Result<Vec<PaperDamage>, BackupError> {
        let mut holders = BTreeMap::new();
        for some in packs.chunks(sync::LOCATED_PACKS) {
            holders.extend(self.locate(some).await?.holders);
        }
        let mut told = Vec::new();
        for holder in holders.into_values() {
            if self.meter.is_stopped() {
                return Err(BackupError::Stopped);
            }
            // Who does not answer is told of for its shards.
            let reviewed = self.review_at(&holder).await.unwrap_or_default();
            told.extend(reviewed.into_iter().map(|it| PaperDamage::at(&holder, it)));
        }
        Ok(told)
    }

    async fn review_at(&self, holder: &Holder) -> Option<Vec<DamagedPaper>> {
        let owner = self.owned.owner;
        let link = sync::link(self.core, self.owned, holder).await?;
        let asked = link.ask::<_, Reviewed>(&Review { owner }).await;
        asked.ok().map(|reviewed| reviewed.damaged)
    }

    /// What of these packs nobody has, beside what is `known`, and who has it after a while.
    async fn rebuilt_by_others(
        &self,
        mut packs: Vec<PackId>,
        known: &BTreeSet<ShardName>,
    ) -> Result<Vec<Damage>, BackupError> {
        let mut told = BTreeMap::new();
        for pause in 0..=REBUILD_PAUSES {
            let mut awaited = BTreeSet::new();
            for some in packs.chunks(sync::LOCATED_PACKS) {
                let places = self.locate(some).await?;
                places.note_rebuilt(&mut told);
                for (name, can_be_rebuilt) in places.lacking().filter(|(name, _)| !known.contains(name)) {
                    told.insert(name, Damage::nobody_has(&name, can_be_rebuilt));
                    awaited.extend(can_be_rebuilt.then_some(name.pack));
                }
            }
            packs = awaited.into_iter().collect();
            if packs.is_empty() || self.meter.is_stopped() {
                break;
            }
            if pause < REBUILD_PAUSES {
                time::sleep(PAUSE).await;
            }
        }
        Ok(told.into_values().collect())
    }

    /// Asks who should have what of some packs.
    async fn locate(&self, packs: &[PackId]) -> Result<Places, BackupError> {
        let request = Locate {
            owner: self.owned.owner,
            packs: packs.to_vec(),
        };
        let located: Located = self.core.session.ask(&request).await?;
        let kept = |at: LocatedPack| {
            let record = open_kept(&at.record, &self.owned.roster).ok()?;
            Some(Arc::new(Kept {
                record,
                signed: at.record,
                held: at.held,
            }))
        };
        Ok(Places {
            packs: located.packs.into_iter().filter_map(kept).collect(),
            holders: located.holders.into_iter().map(|it| (it.peer, it)).collect(),
        })
    }

    /// Reads every shard at every holder that is online.
    async fn read_all(&self, packs: &[PackId]) -> Result<Vec<Broken>, BackupError> {
        let far = Arc::new(Far::new(self.core, self.owned));
        let mut broken = Vec::new();
        for some in packs.chunks(sync::LOCATED_PACKS) {
            let places = self.locate(some).await?;
            self.read_some(&places, &far, &mut broken).await?;
        }
        Ok(broken)
    }

    async fn read_some(
        &self,
        places: &Places,
        far: &Arc<Far>,
        broken: &mut Vec<Broken>,
    ) -> Result<(), BackupError> {
        let mut reading = JoinSet::new();
        for (kept, at, holder) in places.each() {
            if self.meter.is_stopped() {
                return Err(BackupError::Stopped);
            }
            if reading.len() >= READ_AT_ONCE
                && let Some(Ok(found)) = reading.join_next().await
            {
                broken.extend(found);
            }
            let (far, meter) = (far.clone(), self.meter.clone());
            let (kept, holder, shard) = (kept.clone(), holder.clone(), at.shard);
            reading.spawn(async move {
                let why = read(&far, &kept, shard, &holder).await.err();
                meter.add(kept.record.shard_bytes());
                why.map(|why| Broken {
                    kept,
                    holder,
                    shard,
                    why,
                })
            });
        }
        while let Some(found) = reading.join_next().await {
            broken.extend(found.ok().flatten());
        }
        Ok(())
    }

    /// Asks every holder that is online what it keeps.
    async fn ask_all(&self, packs: &[PackId]) -> Result<Vec<Broken>, BackupError> {
        let mut expected: BTreeMap<PeerId, (Holder, BTreeSet<ShardName>)> = BTreeMap::new();
        for some in packs.chunks(sync::LOCATED_PACKS) {
            let places = self.locate(some).await?;
            for (kept, at, holder) in places.each() {
                let (_, names) = expected
                    .entry(at.peer)
                    .or_insert_with(|| (holder.clone(), BTreeSet::new()));
                names.insert(kept.name(at.shard));
            }
        }
        let mut broken = Vec::new();
        for (holder, names) in expected.into_values() {
            // Who does not say is asked again at the next check.
            let Some(has) = self.list(&holder).await else {
                continue;
            };
            for name in names.difference(&has) {
                let places = self.locate(&[name.pack]).await?;
                broken.extend(places.packs.into_iter().map(|kept| Broken {
                    kept,
                    holder: holder.clone(),
                    shard: name.shard,
                    why: NoBytes::Missing,
                }));
            }
        }
        Ok(broken)
    }

    async fn list(&self, holder: &Holder) -> Option<BTreeSet<ShardName>> {
        let owner = self.owned.owner;
        let link = sync::link(self.core, self.owned, holder).await?;
        let (mut names, mut after) = (BTreeSet::new(), None);
        loop {
            let page: Records = link.ask(&ListRecords { owner, after }).await.ok()?;
            for held in &page.shards {
                let record = held.record.peek().ok()?;
                names.insert(ShardName {
                    pack: record.pack,
                    shard: held.shard,
                });
            }
            after = names.last().copied();
            if !page.more || page.shards.is_empty() {
                return Some(names);
            }
        }
    }

    /// Brings a shard to its holder again.
    async fn repair(&self, broken: &Broken) -> Damage {
        let repaired = match &broken.why {
            NoBytes::Unread(_) => Err("it cannot be asked".to_owned()),
            NoBytes::Missing | NoBytes::Damaged => self.bring(broken).await,
        };
        Damage {
            pack: broken.kept.record.pack.to_string(),
            shard: broken.shard,
            holder: broken.holder.name.to_string(),
            problem: broken.why.to_string(),
            repaired: repaired.is_ok(),
            done: match repaired {
                Ok(()) => "brought to the holder again".to_owned(),
                Err(reason) => format!("not repaired: {reason}"),
            },
        }
    }

    async fn bring(&self, broken: &Broken) -> Result<(), String> {
        let bytes = self.make(broken).await?;
        let sender = Sender::new(self.core, self.owned, None);
        let name = broken.kept.name(broken.shard);
        let mut last = String::new();
        for _ in 0..TRIES {
            let stored = sender.store(&broken.kept.signed, name, &bytes, &broken.holder);
            match stored.await {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            time::sleep(PAUSE).await;
        }
        Err(last)
    }

    /// Makes a shard of its pack, of which there must be enough good shards.
    async fn make(&self, broken: &Broken) -> Result<Bytes, String> {
        let far = Far::new(self.core, self.owned);
        let (state, kept, shard) = (self.state.clone(), broken.kept.clone(), broken.shard);
        let make = move || {
            let near = Near {
                state: &state,
                far: &far,
            };
            let pack = Bytes::from(near.whole(&kept.record.pack)?);
            let mut shards = Shards::new(kept.record.scheme, &pack).into_all();
            Ok(shards.swap_remove(shard.into()))
        };
        self.core.world.work.call_waiting(make).await
    }
}

impl Kept {
    fn name(&self, shard: u8) -> ShardName {
        ShardName {
            pack: self.record.pack,
            shard,
        }
    }
}

impl Damage {
    fn nobody_has(name: &ShardName, can_be_rebuilt: bool) -> Self {
        let done = match can_be_rebuilt {
            true => "not repaired yet: it is rebuilt as soon as a peer is found that can keep it",
            false => "not repaired: too few other parts are left",
        };
        Self {
            pack: name.pack.to_string(),
            shard: name.shard,
            holder: "nobody".to_owned(),
            problem: "it is missing".to_owned(),
            done: done.to_owned(),
            repaired: false,
        }
    }

    fn rebuilt_by(&mut self, holder: Option<&Holder>) {
        self.holder = holder.map_or_else(|| "a peer that is offline".to_owned(), |it| it.name.to_string());
        "rebuilt there".clone_into(&mut self.done);
        self.repaired = true;
    }
}

impl PaperDamage {
    fn at(holder: &Holder, DamagedPaper { paper, mended }: DamagedPaper) -> Self {
        let paper = match paper {
            Paper::Roster => "the roster",
            Paper::Head => "the head of a device",
            Paper::List => "a list of packs",
            Paper::Docket => "the list of what is condemned",
        };
        Self {
            holder: holder.name.to_string(),
            paper: paper.to_owned(),
            repaired: mended,
        }
    }
}

impl Places {
    /// Every shard at every holder that is online.
    fn each(&self) -> impl Iterator<Item = (&Arc<Kept>, &ShardAt, &Holder)> {
        self.packs.iter().flat_map(move |kept| {
            let held = kept.held.iter();
            held.filter_map(move |at| Some((kept, at, self.holders.get(&at.peer)?)))
        })
    }

    /// Every shard that nobody has, and whether enough others are left to make it of.
    fn lacking(&self) -> impl Iterator<Item = (ShardName, bool)> {
        self.packs.iter().flat_map(|kept| {
            let scheme = kept.record.scheme;
            let held: BTreeSet<u8> = kept.held.iter().map(|at| at.shard).collect();
            let can_be_rebuilt = held.len() >= scheme.data();
            let all = 0..u8::try_from(scheme.shards()).unwrap_or(u8::MAX);
            let lacking = all.filter(move |shard| !held.contains(shard));
            lacking.map(move |shard| (kept.name(shard), can_be_rebuilt))
        })
    }

    /// Says of what nobody had who has it now.
    fn note_rebuilt(&self, told: &mut BTreeMap<ShardName, Damage>) {
        for kept in &self.packs {
            for at in &kept.held {
                if let Some(damage) = told.get_mut(&kept.name(at.shard)) {
                    damage.rebuilt_by(self.holders.get(&at.peer));
                }
            }
        }
    }
}

/// Reads a shard whole, and holds it against the owner's word.
async fn read(far: &Far, kept: &Kept, shard: u8, holder: &Holder) -> Result<(), NoBytes> {
    let name = kept.name(shard);
    let all: Range<u64> = 0..kept.record.shard_bytes();
    let bytes = far.read_one(holder, name, &all).await?;
    let expected = kept.record.shards.get(usize::from(shard));
    match expected.is_some_and(|expected| *blake3::hash(&bytes).as_bytes() == expected.0) {
        true => Ok(()),
        false => {
            tracing::warn!("{} gave wrong bytes of pack {}", holder.name, name.pack.short());
            Err(NoBytes::Damaged)
        }
    }
}
