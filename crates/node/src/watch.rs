//! Watched folders: each entry is a share of its own, and follows what happens to the file.
//!
//! The system's notices are a hint: they say where to look first. Every folder is also looked
//! through periodically, and a scan reads only what has changed, so nothing is missed for ever.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use skep_wire::{BlobId, ShareName};
use skep_world::disk::Kind;
use tokio::{sync::mpsc, time};

use crate::{
    core::Core,
    holdings,
    publish::{self, ShareError, ToShare},
    scanning::Scanning,
};

/// How long a folder has to be quiet before it is looked at.
const QUIET: Duration = Duration::from_millis(300);
/// How long it may go on being busy before it is looked at anyway.
const BUSY: Duration = Duration::from_secs(1);
/// Notices that wait; when there are more, everything is looked at.
const NOTICES: usize = 1024;

/// Follows the watched folders, and drops what was shared by hand and has changed, until stopped.
pub(crate) async fn run(core: Arc<Core>) {
    let (notices, mut inbox) = mpsc::channel(NOTICES);
    let folders = canonical(&core).await;
    // Dropped at the end: it stops the notices.
    let _watcher = start(&folders, notices);
    let mut troubled = BTreeMap::new();
    let mut rescan = time::interval(core.config.rescan);
    rescan.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        let changed = tokio::select! {
            biased;
            Some(first) = inbox.recv() => settle(first, &mut inbox).await,
            _ = rescan.tick() => {
                drop_changed(&core).await;
                None
            }
        };
        for folder in &folders {
            follow(&core, folder, changed.as_ref(), &mut troubled).await;
        }
    }
}

async fn canonical(core: &Arc<Core>) -> Vec<PathBuf> {
    let core = core.clone();
    let work = core.world.work.clone();
    let all = work.call(move || {
        let canonical = |path: &PathBuf| match core.world.disk.canonical(path) {
            Ok(path) => Some(path),
            Err(error) => {
                tracing::error!("{} cannot be watched: {error}", path.display());
                None
            }
        };
        core.config.watch.iter().filter_map(canonical).collect()
    });
    all.await
}

/// Paths that have changed go to `notices`.
fn start(folders: &[PathBuf], notices: mpsc::Sender<PathBuf>) -> Option<RecommendedWatcher> {
    if folders.is_empty() {
        return None;
    }
    let hear = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        if event.kind.is_access() {
            return;
        }
        for path in event.paths {
            // When the queue is full, the periodic scan finds it.
            let _ = notices.try_send(path);
        }
    };
    let mut watcher = notify::recommended_watcher(hear)
        .inspect_err(|error| tracing::warn!("changes are found by scanning alone: {error}"))
        .ok()?;
    for folder in folders {
        if let Err(error) = watcher.watch(folder, RecursiveMode::Recursive) {
            tracing::warn!(
                "changes in {} are found by scanning alone: {error}",
                folder.display()
            );
        }
    }
    Some(watcher)
}

/// Waits until it is quiet, and says which paths have changed; none: too many to name.
async fn settle(first: PathBuf, inbox: &mut mpsc::Receiver<PathBuf>) -> Option<BTreeSet<PathBuf>> {
    let mut changed = BTreeSet::from([first]);
    let end = time::Instant::now() + BUSY;
    while changed.len() < NOTICES {
        match time::timeout_at(end.min(time::Instant::now() + QUIET), inbox.recv()).await {
            Ok(Some(path)) => changed.insert(path),
            _ => return Some(changed),
        };
    }
    None
}

/// Publishes what is new or changed in one folder, and takes back what is gone.
async fn follow(
    core: &Arc<Core>,
    folder: &Path,
    changed: Option<&BTreeSet<PathBuf>>,
    troubled: &mut BTreeMap<PathBuf, String>,
) {
    let listing = {
        let (world, folder) = (core.world.clone(), folder.to_owned());
        core.world.work.call(move || list(&world, &folder)).await
    };
    let present = match listing {
        Ok(present) => present,
        Err(error) => return tracing::warn!("{} cannot be read: {error}", folder.display()),
    };
    for name in &present {
        let path = folder.join(name);
        if changed.is_some_and(|changed| !changed.iter().any(|c| c.starts_with(&path))) {
            continue;
        }
        let trouble = publish_entry(core, folder, &path)
            .await
            .err()
            .map(|error| error.to_string());
        match trouble {
            None => drop(troubled.remove(&path)),
            Some(text) if troubled.get(&path) != Some(&text) => {
                tracing::warn!("{text}");
                troubled.insert(path, text);
            }
            Some(_) => {}
        }
    }
    withdraw_missing(core, folder, &present).await;
}

async fn publish_entry(core: &Arc<Core>, folder: &Path, path: &Path) -> Result<(), ShareError> {
    if is_foreign(core, folder, path) {
        return Ok(());
    }
    let wanted = ToShare {
        path: path.to_owned(),
        name: None,
        to: Vec::new(),
        watched: Some(folder.to_owned()),
    };
    publish::share(core, wanted, Arc::new(Scanning::default()))
        .await
        .map(drop)
}

/// A name that is published from elsewhere is left alone.
fn is_foreign(core: &Core, folder: &Path, path: &Path) -> bool {
    let state = core.catalog.state();
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| ShareName::parse(name).ok());
    let foreign = name.is_some_and(|name| {
        publish::names(&state)
            .any(|(record, published)| record.name == name && published.watched.as_deref() != Some(folder))
    });
    if foreign {
        tracing::debug!("{} is not published: its name is in use", path.display());
    }
    foreign
}

async fn withdraw_missing(core: &Arc<Core>, folder: &Path, present: &[String]) {
    let missing: Vec<ShareName> = {
        let state = core.catalog.state();
        let ours = publish::names(&state).filter(|(_, p)| p.watched.as_deref() == Some(folder));
        ours.map(|(record, _)| record.name)
            .filter(|name| !present.iter().any(|p| p == name.as_str()))
            .collect()
    };
    for name in missing {
        tracing::info!("{name} is gone from {}", folder.display());
        if let Err(error) = publish::unshare(core, name.as_str()).await {
            tracing::debug!("{error}");
        }
    }
}

/// Names of files and folders that may become shares. Blocking.
fn list(world: &skep_world::World, folder: &Path) -> io::Result<Vec<String>> {
    let entries = world.disk.dir(folder)?.list(None)?;
    let shareable = entries
        .into_iter()
        .filter(|entry| matches!(entry.kind, Kind::File | Kind::Dir));
    let names = shareable.filter_map(|entry| entry.name.into_string().ok());
    Ok(names.filter(|name| !name.starts_with('.')).collect())
}

/// Contents whose files are not what they were are offered no more.
async fn drop_changed(core: &Arc<Core>) {
    let core = core.clone();
    let changed: Vec<BlobId> = {
        let looking = core.clone();
        core.world.work.call(move || looking.shelf.changed()).await
    };
    for content in changed {
        tracing::info!("{content} has changed here and is offered no more");
        holdings::lost(&core, content).await;
    }
}
