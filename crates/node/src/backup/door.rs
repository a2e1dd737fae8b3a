//! What the local API asks of backups.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use skep_vault::{Owner, Phrase};
use skep_wire::backup::Rights;
use skep_world::raw::Folder;
use tokio::sync::{MutexGuard, mpsc};

use super::{
    checking,
    error::BackupError,
    far::Far,
    forgetting, looking, making,
    mending::Mender,
    meter::Meter,
    near::{Listing, Near},
    needs, pruning,
    reader::Reader,
    restoring, snapshots,
    state::{Owned, State},
    sync,
};
use crate::{
    api::types::{
        BackupDone, BackupRequest, CheckDone, CheckRequest, DiffRequest, Difference, EntryLine, ForgetDone,
        ForgetRequest, LookRequest, PruneDone, PruneRequest, RecoverDone, RestoreDone, RestoreRequest,
        SnapshotLine,
    },
    core::Core,
};

/// At most one operation that writes backups runs at a time.
#[derive(Default)]
pub(crate) struct Backups {
    busy: tokio::sync::Mutex<()>,
    pub(super) found: needs::Found,
}

impl Backups {
    /// Nobody else writes until the result is dropped.
    pub(super) fn alone(&self) -> Result<MutexGuard<'_, ()>, BackupError> {
        self.busy.try_lock().map_err(|_| BackupError::Busy)
    }
}

/// Makes a snapshot.
pub(crate) async fn back_up(
    core: &Arc<Core>,
    request: BackupRequest,
    meter: Arc<Meter>,
) -> Result<BackupDone, BackupError> {
    let _alone = core.backups.alone()?;
    making::back_up(core, request, meter).await
}

/// The owner's snapshots, as far as the network or, if it does not answer, this device knows them.
pub(crate) async fn list(core: &Arc<Core>) -> Result<Vec<SnapshotLine>, BackupError> {
    let (_, owned) = known(core).await?;
    Ok(snapshots::lines(&owned))
}

/// The words, if this device keeps them.
pub(crate) async fn phrase(core: &Arc<Core>) -> Result<Phrase, BackupError> {
    let state = sync::state(core).await?;
    // So that the words can be written down before the first backup.
    sync::load_or_found(core, &state).await?;
    let read = core.world.work.call(move || state.phrase()).await?;
    read.ok_or(BackupError::NoPhrase)
}

/// Keeps the words here no longer. Whoever wants that shows that they are kept elsewhere.
pub(crate) async fn drop_phrase(core: &Arc<Core>, words: &str) -> Result<(), BackupError> {
    let _alone = core.backups.alone()?;
    let given = Owner::new(&Phrase::parse(words)?).id();
    let (state, owned) = known_here(core).await?;
    if given != owned.owner {
        return Err(BackupError::WrongPhrase);
    }
    core.world.work.call(move || state.drop_phrase()).await
}

/// Makes this peer a device of who has the phrase.
pub(crate) async fn recover(core: &Arc<Core>, words: &str) -> Result<RecoverDone, BackupError> {
    let _alone = core.backups.alone()?;
    let owned = sync::recover(core, &Phrase::parse(words)?).await?;
    Ok(RecoverDone {
        owner: owned.owner.to_string(),
        snapshots: snapshots::all(&owned).len(),
    })
}

/// Restores a snapshot, or a part of it, or only reads it.
pub(crate) async fn restore(
    core: &Arc<Core>,
    request: RestoreRequest,
    meter: Arc<Meter>,
) -> Result<RestoreDone, BackupError> {
    let started = core.mono();
    let (state, owned) = known(core).await?;
    let (id, snapshot) = snapshots::find(&owned, &request.snapshot)?;
    let wanted = restoring::Wanted {
        crew: core.config.restorers(),
        root: snapshot.root,
        path: snapshots::parse(request.path.as_ref())?,
        overwrite: request.overwrite,
    };
    let is_all = wanted.path.is_empty();
    if is_all {
        meter.expect(snapshot.bytes);
    }
    let _stopped_when_dropped = meter.clone().stop_on_drop();
    let beside = request.beside.map(|folder| folder.join(format!("restored-{id}")));
    let path = request.to.or(beside);
    let (inner, to) = (core.clone(), path.clone());
    let work = move |reader: &Reader<'_>| {
        let target = to.map(|to| open_target(&inner, to)).transpose()?;
        let restored = restoring::restore(&wanted, target, reader, &meter)?;
        match meter.is_stopped() {
            true => Err(BackupError::Stopped),
            false => Ok(restored),
        }
    };
    let restored = reading(core, work).await?;
    if is_all && path.is_none() && restored.failed.is_empty() {
        let all: Vec<_> = snapshots::all(&owned).into_iter().map(|(id, _)| id).collect();
        let now = core.unix_s();
        let noted = core.world.work.call(move || state.keep_drill(id, now, &all));
        noted.await?;
    }
    Ok(RestoreDone {
        snapshot: id.to_string(),
        files: restored.files,
        bytes: restored.bytes,
        seconds: core.mono().saturating_sub(started).as_secs_f64(),
        path,
        failed: restored.failed,
    })
}

fn open_target(core: &Core, path: PathBuf) -> Result<Arc<dyn Folder>, BackupError> {
    let disk = &core.world.disk;
    let opened = disk.make_dir(&path).and_then(|_| disk.raw(&path));
    opened.map_err(|error| BackupError::Target { path, error })
}

/// Looks whether everything is there, and with `read_data` whether it can be read; mends what is not.
pub(crate) async fn check(
    core: &Arc<Core>,
    request: CheckRequest,
    meter: Arc<Meter>,
) -> Result<CheckDone, BackupError> {
    let (state, owned) = known(core).await?;
    if !owned.allows(&core.id(), Rights::READ) {
        return Err(BackupError::NotAllowed);
    }
    let _stopped_when_dropped = meter.clone().stop_on_drop();
    let roots = snapshots::all(&owned);
    let roots = roots.into_iter().map(|(id, snapshot)| (id, snapshot.root));
    let roots: Vec<_> = roots.collect();
    let (needed, _) = reading_listed(core, |_| Ok(())).await?;
    let packs: Vec<_> = needed.into_iter().collect();
    let owned = Arc::new(owned);
    let mender = Mender {
        core,
        state: &state,
        owned: &owned,
        meter: meter.clone(),
    };
    let mended = mender.mend(packs.clone(), request.read_data).await?;
    let wanted = Arc::new(checking::Wanted {
        roots,
        read_data: request.read_data,
        lost: sync::lost(core, owned.owner, packs.iter().copied()).await?,
    });
    let asked = wanted.clone();
    let work = move |reader: &Reader<'_>| Ok(checking::read(reader, &asked, &meter));
    let read = reading(core, work).await?;
    let number = packs.len();
    let health = sync::health(core, owned.owner, packs).await?;
    Ok(checking::report((&wanted, number), read, mended, health))
}

/// Lets snapshots go.
pub(crate) async fn forget(core: &Arc<Core>, request: ForgetRequest) -> Result<ForgetDone, BackupError> {
    let _alone = core.backups.alone()?;
    let (state, mut owned) = known_here(core).await?;
    sync::with_network(core, &state, &mut owned).await?;
    if !owned.allows(&core.id(), Rights::WRITE) {
        return Err(BackupError::NotAllowed);
    }
    forgetting::forget(core, &state, owned, request).await
}

/// Condemns what no snapshot needs.
pub(crate) async fn prune(
    core: &Arc<Core>,
    request: PruneRequest,
    meter: Arc<Meter>,
) -> Result<PruneDone, BackupError> {
    let _alone = core.backups.alone()?;
    let (state, mut owned) = known_here(core).await?;
    sync::with_network(core, &state, &mut owned).await?;
    if !owned.allows(&core.id(), Rights::ALL) {
        return Err(BackupError::NotAllowed);
    }
    let _stopped_when_dropped = meter.clone().stop_on_drop();
    pruning::prune(core, &state, owned, request, meter).await
}

/// What is in a snapshot.
pub(crate) async fn look(core: &Arc<Core>, request: LookRequest) -> Result<Vec<EntryLine>, BackupError> {
    let (_, snapshot) = snapshots::find(&known(core).await?.1, &request.snapshot)?;
    let work = move |reader: &Reader<'_>| looking::list(reader, &snapshot.root, &request.path);
    reading(core, work).await
}

/// What differs between two snapshots.
pub(crate) async fn diff(core: &Arc<Core>, request: DiffRequest) -> Result<Vec<Difference>, BackupError> {
    let owned = known(core).await?.1;
    let (_, old) = snapshots::find(&owned, &request.old)?;
    let (_, new) = snapshots::find(&owned, &request.new)?;
    let work = move |reader: &Reader<'_>| looking::differ(reader, &old.root, &new.root);
    reading(core, work).await
}

/// Sends the bytes of a file of a snapshot, as long as somebody takes them.
pub(crate) async fn cat(
    core: &Arc<Core>,
    request: LookRequest,
    bytes: mpsc::Sender<Vec<u8>>,
) -> Result<(), BackupError> {
    let (_, snapshot) = snapshots::find(&known(core).await?.1, &request.snapshot)?;
    let waits = core.world.work.clone();
    let work = move |reader: &Reader<'_>| {
        let send = |part| waits.wait_for(bytes.send(part)).is_ok();
        looking::cat(reader, &snapshot.root, &request.path, send)
    };
    reading(core, work).await
}

/// This device's owner, with what the network knows of it, if it answers.
pub(super) async fn known(core: &Arc<Core>) -> Result<(State, Owned), BackupError> {
    let (state, mut owned) = known_here(core).await?;
    if let Err(error) = sync::with_network(core, &state, &mut owned).await {
        match error {
            BackupError::Session(error) => {
                tracing::info!("what is known here of backups may be old: {error}")
            }
            error => return Err(error),
        }
    }
    Ok((state, owned))
}

/// This device's owner, as this device knows it.
pub(super) async fn known_here(core: &Arc<Core>) -> Result<(State, Owned), BackupError> {
    let state = sync::state(core).await?;
    let owned = sync::load(core, &state).await?;
    Ok((state, owned))
}

/// Does blocking work with a reader of all snapshots.
pub(super) async fn reading<T: Send + 'static>(
    core: &Arc<Core>,
    work: impl FnOnce(&Reader<'_>) -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    reading_listed(core, work).await.map(|(_, done)| done)
}

/// The same, and which packs the snapshots need.
async fn reading_listed<T: Send + 'static>(
    core: &Arc<Core>,
    work: impl FnOnce(&Reader<'_>) -> Result<T, BackupError> + Send + 'static,
) -> Result<(BTreeSet<skep_wire::PackId>, T), BackupError> {
    let (state, owned) = known(core).await?;
    let device = core.id();
    if !owned.allows(&device, Rights::READ) {
        return Err(BackupError::NotAllowed);
    }
    let far = Far::new(core, &owned);
    let job = move || {
        let near = Near {
            state: &state,
            far: &far,
        };
        let mut listing = near.listing(&owned, &device, |_| true);
        for (pack, reason) in &listing.unreadable {
            tracing::warn!("the index {pack} cannot be read: {reason}");
        }
        if !listing.unreadable.is_empty() {
            near.salvage(&mut listing, &owned.ring, far.all()?);
        }
        let Listing { index, of, .. } = listing;
        let reader = Reader::new(&owned.ring, &index, &near);
        let done = work(&reader)?;
        Ok((of.into_values().flatten().collect(), done))
    };
    core.world.work.call_waiting(job).await
}
