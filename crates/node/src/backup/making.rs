//! One backup: scanned and sealed on threads, sent as it goes, committed last.
//!
//! Whatever stops it, the last snapshot is whole, and what holders have acknowledged is not sent again by
//! the next backup.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use skep_vault::{
    Catalog, Content, Index, Kind, Sealer, Snapshot, SnapshotId, head::HeadError, index::Listed,
    pack::Sealed, snapshot::MAX_SNAPSHOTS,
};
use skep_wire::{
    OwnerId, PackId,
    backup::{Rights, Scheme},
};
use tokio::{sync::mpsc, time};

use super::{
    error::BackupError,
    far::Far,
    lock,
    meter::Meter,
    near::{Listing, Near},
    packing::{QUEUED_PACKS, keys, list, seal_index, send_all},
    reader::Reader,
    scan::{self, Scanned},
    send::{Sender, Sent},
    state::{Owned, State},
    sync, words,
};
use crate::{
    api::types::{BackupDone, BackupRequest},
    core::Core,
};

/// How long, and how often, to wait for the confirmations of holders before it is said what is confirmed.
const CONFIRMATION_PAUSE: Duration = Duration::from_millis(100);
const CONFIRMATION_TRIES: u32 = 50;
/// How long, and how often, to wait for packs that seem lost before they are.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
const IDLE_LOOKS: u32 = 4;
/// How often a snapshot is made anew because packs went away meanwhile.
const ATTEMPTS: u32 = 3;
/// The most paths of a backup, as the format has it.
const MAX_PATHS: usize = 64;

/// What the threads need.
struct Job {
    core: Arc<Core>,
    state: State,
    owned: Arc<Owned>,
    wanted: scan::Wanted,
    /// Packs that nobody can bring back.
    gone: BTreeSet<PackId>,
    far: Far,
    meter: Arc<Meter>,
}

/// What the threads made.
struct Made {
    scanned: Scanned,
    /// All packs that were sealed, or kept by an earlier backup that did not finish, index packs apart.
    listed: Vec<Listed>,
    indexes: Vec<PackId>,
    /// Those that holders have acknowledged to this backup.
    fresh: BTreeSet<PackId>,
    /// What the device's snapshots needed before.
    needed: BTreeSet<PackId>,
    new_bytes: u64,
}

/// Makes one snapshot.
pub(super) async fn back_up(
    core: &Arc<Core>,
    request: BackupRequest,
    meter: Arc<Meter>,
) -> Result<BackupDone, BackupError> {
    let _stopped_when_dropped = meter.clone().stop_on_drop();
    let (mut replaces, mut attempt) = (None, 1);
    loop {
        let (done, snapshot) = attempt_one(core, &request, meter.clone(), replaces).await?;
        if !done.lacks_packs || attempt == ATTEMPTS {
            return Ok(done.told);
        }
        // Another device pruned meanwhile what this one relied on: it is stored again, under a further head.
        tracing::info!("packs went away during the backup; their pieces are stored again");
        (replaces, attempt) = (Some(snapshot), attempt + 1);
    }
}

/// A snapshot that was committed.
struct Committed {
    told: BackupDone,
    /// Packs that it needs went away while it was made.
    lacks_packs: bool,
}

/// One snapshot, in the place of one that lacks packs.
async fn attempt_one(
    core: &Arc<Core>,
    request: &BackupRequest,
    meter: Arc<Meter>,
    replaces: Option<SnapshotId>,
) -> Result<(Committed, SnapshotId), BackupError> {
    let scheme = parse_scheme(&request.redundancy)?;
    let (paths, exclude) = (request.paths.clone(), scan::parse_globs(&request.exclude)?);
    let paths = canonical(core, paths).await?;
    let state = sync::state(core).await?;
    let mut owned = sync::load_or_found(core, &state).await?;
    sync::with_network(core, &state, &mut owned).await?;
    if !owned.allows(&core.id(), Rights::WRITE) {
        return Err(BackupError::NotAllowed);
    }
    let owned = Arc::new(owned);
    let gone = gone(core, &state, &owned).await?;
    let sender = Arc::new(Sender::new(core, &owned, scheme));
    let far = Far::new(core, &owned);
    let wanted = scan::Wanted {
        disk: core.world.disk.clone(),
        crew: core.config.scanners(),
        before: base(&owned, core, &paths),
        paths: paths.clone(),
        exclude,
        home: canonical(core, vec![core.home.path.clone()]).await?.remove(0),
        began_unix_s: core.unix_s(),
    };
    let job = Job {
        core: core.clone(),
        state: state.clone(),
        owned: owned.clone(),
        wanted,
        gone: gone.clone(),
        far,
        meter,
    };
    let (packs, queue) = mpsc::channel(QUEUED_PACKS);
    let sealing = core.world.work.call_waiting(move || seal(job, &packs));
    let (made, sent) = tokio::join!(sealing, send_all(&sender, &state, queue));
    // If sending failed, that is why the threads stopped.
    sent?;
    let made = made?;
    let sent = std::mem::take(&mut *lock(&sender.sent));
    let commit = Commit {
        core,
        state: &state,
        owned: &owned,
        paths: &paths,
        gone: &gone,
        replaces,
    };
    commit.finish(made, sent).await
}

/// Whether a backup of that could be begun.
///
/// # Errors
/// What is wrong with the request.
pub(crate) async fn validate(core: &Arc<Core>, request: &BackupRequest) -> Result<(), BackupError> {
    parse_scheme(&request.redundancy)?;
    scan::parse_globs(&request.exclude)?;
    canonical(core, request.paths.clone()).await.map(drop)
}

fn parse_scheme(text: &str) -> Result<Option<Scheme>, BackupError> {
    match text {
        "" | "auto" => Ok(None),
        text => {
            let scheme = text.parse();
            scheme
                .map(Some)
                .map_err(|_| BackupError::Redundancy(text.to_owned()))
        }
    }
}

async fn canonical(core: &Arc<Core>, paths: Vec<PathBuf>) -> Result<Vec<PathBuf>, BackupError> {
    if !(1..=MAX_PATHS).contains(&paths.len()) {
        return Err(BackupError::Paths);
    }
    let disk = core.world.disk.clone();
    let resolve = move || {
        let one = |path: PathBuf| {
            let resolved = disk.canonical(&path);
            resolved.map_err(|error| BackupError::Path { path, error })
        };
        paths.into_iter().map(one).collect()
    };
    core.world.work.call(resolve).await
}

/// The root of the snapshot to compare with: the newest of these paths by this device, else the newest at all.
fn base(owned: &Owned, core: &Core, paths: &[PathBuf]) -> Option<Content> {
    let names: Vec<Vec<u8>> = paths.iter().map(|path| bytes(path)).collect();
    let all = owned.heads.iter().flat_map(|(device, known)| {
        let is_own = *device == core.id();
        let snapshots = known.catalog.snapshots.iter();
        snapshots.map(move |snapshot| (is_own, snapshot))
    });
    let best = all.max_by_key(|(is_own, snapshot)| (*is_own, snapshot.paths == names, snapshot.made_unix_s));
    best.map(|(_, snapshot)| snapshot.root.clone())
}

fn bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

/// Which packs are not to be relied on: those that are lost, and those that are condemned and in no head of this
/// device. Their pieces are stored again.
async fn gone(core: &Arc<Core>, state: &State, owned: &Arc<Owned>) -> Result<BTreeSet<PackId>, BackupError> {
    let far = Far::new(core, owned);
    let (inner, heads) = (state.clone(), owned.clone());
    let device = core.id();
    let list = move || {
        let near = Near {
            state: &inner,
            far: &far,
        };
        let mut of = near.listing(&heads, &device, |_| true).of;
        let own = of.remove(&device).unwrap_or_default();
        let mut all: BTreeSet<PackId> = of.into_values().flatten().chain(own.iter().copied()).collect();
        all.extend(inner.pending()?.iter().map(|listed| listed.pack));
        Ok::<_, std::io::Error>((own, all))
    };
    let (own, all) = core.world.work.call_waiting(list).await?;
    let mut gone = lost_for_good(core, owned.owner, all).await?;
    let condemned = words::sentences(core, owned.owner).await?;
    gone.extend(condemned.into_keys().filter(|pack| !own.contains(pack)));
    Ok(gone)
}

/// Which of these packs are lost. A coordinator that has lost its home hears of them again from one holder after the
/// other: what comes back within moments is not stored twice.
async fn lost_for_good(
    core: &Arc<Core>,
    owner: OwnerId,
    packs: BTreeSet<PackId>,
) -> Result<BTreeSet<PackId>, BackupError> {
    let mut lost = sync::lost(core, owner, packs).await?;
    let mut idle = 0;
    while !lost.is_empty() && idle < IDLE_LOOKS {
        time::sleep(LOOK_PAUSE).await;
        let now = sync::lost(core, owner, lost.iter().copied()).await?;
        idle = if now.len() < lost.len() { 0 } else { idle + 1 };
        lost = now;
    }
    Ok(lost)
}

/// Scans, seals and hands the packs over. Blocks.
fn seal(job: Job, packs: &mpsc::Sender<Sealed>) -> Result<Made, BackupError> {
    let (owned, device) = (&job.owned, job.core.id());
    let near = Near {
        state: &job.state,
        far: &job.far,
    };
    let Listing {
        mut index,
        of,
        unreadable,
    } = near.listing(owned, &device, |pack| !job.gone.contains(pack));
    for (pack, reason) in unreadable {
        // What only it lists is stored again.
        tracing::warn!("the index {pack} cannot be read: {reason}");
    }
    let needed = of.get(&device).cloned().unwrap_or_default();
    let mut listed = pending(&job, &needed)?;
    listed.iter().cloned().for_each(|listed| index.insert(listed));
    let sealed = Mutex::new(Vec::new());
    let entropy = || job.core.world.entropy.bytes32();
    let out = |pack: Sealed| {
        job.state.keep_near(&pack);
        lock(&sealed).push(list(&pack));
        if job.core.world.work.wait_for(packs.send(pack)).is_err() {
            job.meter.stop();
        }
    };
    let sealer = Sealer::new(keys(owned)?, &index, &entropy, &out);
    let reader = Reader::new(&owned.ring, &index, &near);
    let scanned = scan::scan(&job.wanted, &sealer, &reader, &job.meter)?;
    sealer.flush();
    let mut fresh: BTreeSet<PackId> = lock(&sealed).iter().map(|listed| listed.pack).collect();
    listed.append(&mut lock(&sealed));
    listed.extend(foreign(&index, &sealer.reused(), &needed));
    let indexes = seal_index(&sealer, &sealed, &listed);
    fresh.extend(&indexes);
    let new_bytes = sealer.new_bytes();
    drop((reader, sealer));
    Ok(Made {
        scanned,
        listed,
        indexes,
        fresh,
        needed,
        new_bytes,
    })
}

/// What holders keep of a backup that did not finish.
fn pending(job: &Job, needed: &BTreeSet<PackId>) -> Result<Vec<Listed>, BackupError> {
    let mut pending = job.state.pending()?;
    let is_usable = |listed: &Listed| {
        !job.gone.contains(&listed.pack)
            && !needed.contains(&listed.pack)
            && listed.contents.kind != Kind::Index
    };
    pending.retain(is_usable);
    Ok(pending)
}

/// Packs of other devices of which pieces are used: from now on this device needs them too.
pub(super) fn foreign(index: &Index, reused: &BTreeSet<PackId>, needed: &BTreeSet<PackId>) -> Vec<Listed> {
    let is_foreign = |listed: &&Listed| reused.contains(&listed.pack) && !needed.contains(&listed.pack);
    index.packs().filter(is_foreign).cloned().collect()
}

/// What is left when all packs are kept.
struct Commit<'a> {
    core: &'a Arc<Core>,
    state: &'a State,
    owned: &'a Owned,
    paths: &'a [PathBuf],
    gone: &'a BTreeSet<PackId>,
    replaces: Option<SnapshotId>,
}

impl Commit<'_> {
    async fn finish(self, made: Made, sent: Sent) -> Result<(Committed, SnapshotId), BackupError> {
        let own = self.owned.heads.get(&self.core.id());
        let mut catalog = own.map(|known| known.catalog.clone()).unwrap_or_default();
        catalog.indexes.extend(&made.indexes);
        catalog
            .snapshots
            .retain(|snapshot| self.replaces != Some(snapshot.id()));
        let snapshot = self.snapshot(&made.scanned, &catalog);
        let id = snapshot.id();
        if catalog.snapshots.len() >= MAX_SNAPSHOTS {
            return Err(HeadError::TooLong.into());
        }
        catalog.snapshots.push(snapshot);
        let mut needed = made.needed;
        needed.extend(&made.indexes);
        needed.extend(made.listed.iter().map(|listed| listed.pack));
        let list = needed.iter().copied().collect();
        sync::commit(self.core, self.state, self.owned, catalog, list).await?;
        self.tidy(&needed).await;
        let survives = self.survives(&needed, sent.survives.unwrap_or(0)).await;
        // Holders have acknowledged what is fresh, whether the coordinator has heard of it or not.
        let relied = needed.into_iter().filter(|pack| !made.fresh.contains(pack));
        let lost = sync::lost(self.core, self.owned.owner, relied).await;
        let told = BackupDone {
            snapshot: id.to_string(),
            files: made.scanned.files,
            bytes: made.scanned.bytes,
            new_bytes: made.new_bytes,
            stored_bytes: sent.stored_bytes,
            skipped: made.scanned.skipped,
            survives,
            fragile: sent.fragile,
        };
        let lacks_packs = lost.is_ok_and(|lost| lost.iter().any(|pack| !self.gone.contains(pack)));
        Ok((Committed { told, lacks_packs }, id))
    }

    /// How many holders may vanish. They tell the coordinator themselves what they keep, which takes a moment.
    async fn survives(&self, needed: &BTreeSet<PackId>, expected: u32) -> u32 {
        let mut survives = 0;
        for _ in 0..CONFIRMATION_TRIES {
            let health = sync::health(self.core, self.owned.owner, needed.iter().copied()).await;
            let Ok(Some(is)) = health else { break };
            survives = is.survives;
            if is.lost.is_empty() && survives >= expected {
                break;
            }
            time::sleep(CONFIRMATION_PAUSE).await;
        }
        survives
    }

    fn snapshot(&self, scanned: &Scanned, catalog: &Catalog) -> Snapshot {
        // A device's snapshots ascend, so no two are the same.
        let last = catalog.snapshots.last();
        let earliest = last.map_or(0, |last| last.made_unix_s + 1);
        Snapshot {
            made_unix_s: self.core.unix_s().max(earliest),
            host: self.core.name().to_string().into_bytes(),
            paths: self.paths.iter().map(|path| bytes(path)).collect(),
            root: scanned.root.clone(),
            files: scanned.files,
            bytes: scanned.bytes,
            missing: scanned.skipped.len() as u64,
        }
    }

    /// Removes from the home what is of no use any more. What stays there does no harm.
    async fn tidy(&self, needed: &BTreeSet<PackId>) {
        let (state, mut needed) = (self.state.clone(), needed.clone());
        let others = self.owned.heads.values();
        needed.extend(others.flat_map(|known| known.catalog.indexes.iter().copied()));
        let tidy = move || {
            state.settle_pending()?;
            state.sweep_near(&needed)
        };
        if let Err(error) = self.core.world.work.call(tidy).await {
            tracing::warn!("the home could not be tidied after a backup: {error}");
        }
    }
}
