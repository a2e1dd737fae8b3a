//! Sharing files and folders where they lie, and taking that back.
//!
//! A name belongs to its publisher; what it means is counted by a sequence. The record and the
//! holding are kept here before the coordinator hears of them: what was not announced because it
//! was away is announced when it is back.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use skep_store::{Hashing, Place, Scanned, scan};
use skep_wire::{
    NetworkId, ShareName, Signed, SigningKey,
    name::NameError,
    record::{Audience, ShareRecord},
    ticket::Link,
};
use skep_world::disk::Kind;
use thiserror::Error;

use crate::{
    announce::{self, AnnounceError},
    catalog::{CatalogError, Entry, Held, Published, State},
    core::Core,
    holdings, listing,
    scanning::Scanning,
    session::SessionError,
    shelf::Body,
};

/// Why a share failed.
#[derive(Debug, Error)]
pub enum ShareError {
    /// There is nothing at the path, or it is out of reach.
    #[error("{} cannot be shared: {source}", path.display())]
    Path {
        /// Which.
        path: PathBuf,
        /// What the file system says.
        source: std::io::Error,
    },
    /// It is neither a file nor a folder.
    #[error("{} cannot be shared: it is neither a file nor a folder", .0.display())]
    NotAFile(PathBuf),
    /// The name cannot be one of a share.
    #[error("{name:?} cannot be the name of a share: {source}")]
    Name {
        /// Which.
        name: String,
        /// What is wrong.
        source: NameError,
    },
    /// No such peer to share with.
    #[error("no peer is called {0}")]
    NoSuchPeer(String),
    /// Too many peers to share with.
    #[error("a share is for everyone or for at most 256 peers")]
    TooManyPeers,
    /// Nothing is published under that name.
    #[error("this peer publishes nothing called {0}")]
    NotPublished(String),
    /// It cannot be read.
    #[error(transparent)]
    Scan(#[from] scan::ScanError),
    /// Kept here, but the coordinator does not know of it yet.
    #[error("{name} is ready, but was not announced: {source}")]
    NotAnnounced {
        /// Which.
        name: String,
        /// Why.
        source: AnnounceError,
    },
    /// The coordinator did not answer.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// It cannot be noted.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// What to share.
pub(crate) struct ToShare {
    pub(crate) path: PathBuf,
    pub(crate) name: Option<String>,
    pub(crate) to: Vec<String>,
    pub(crate) watched: Option<PathBuf>,
}

/// What was shared.
pub(crate) struct Shared {
    pub(crate) record: ShareRecord,
    pub(crate) files: u64,
    pub(crate) link: Link,
    pub(crate) skipped: Vec<skep_store::Skipped>,
}

/// Publishes a file or folder, or what it has become.
pub(crate) async fn share(
    core: &Arc<Core>,
    wanted: ToShare,
    scanning: Arc<Scanning>,
) -> Result<Shared, ShareError> {
    let audience = audience(core, &wanted.to).await?;
    let (path, place, kind) = {
        let core = core.clone();
        let path = wanted.path.clone();
        core.world.clone().work.call(move || locate(&core, &path)).await?
    };
    let name = share_name(&path, wanted.name.as_deref())?;
    let scanned = {
        let core = core.clone();
        core.world
            .clone()
            .work
            .call(move || scan_place(&core, &place, kind, &scanning))
            .await?
    };
    let Scanned { source, skipped, .. } = scanned;
    let record = next_record(core, &name, &source, audience);
    let files = source.files();
    keep(core, &path, source, &record, wanted.watched).await?;
    let announced = announce::publish(core, &name).await;
    announced.map_err(|source| ShareError::NotAnnounced {
        name: name.to_string(),
        source,
    })?;
    let link = link_to(core, &record);
    Ok(Shared {
        record,
        files,
        link,
        skipped,
    })
}

/// Takes a name back. Others who publish it keep theirs.
pub(crate) async fn unshare(core: &Arc<Core>, name: &str) -> Result<(), ShareError> {
    let missing = || ShareError::NotPublished(name.to_owned());
    let name = ShareName::parse(name).map_err(|_| missing())?;
    let record = published_record(&core.catalog.state(), &name)
        .filter(|r| !r.withdrawn)
        .ok_or_else(missing)?;
    let withdrawn = ShareRecord {
        sequence: record.sequence + 1,
        withdrawn: true,
        ..record.clone()
    };
    let signed = Signed::new(&withdrawn, &core.home.key);
    let published = Published {
        record: signed,
        taken: false,
        watched: None,
    };
    core.catalog
        .commit(vec![Entry::Published(name.clone(), published)])
        .await?;
    holdings::release(core, record.content.id).await?;
    let announced = announce::publish(core, &name).await;
    announced.map_err(|source| ShareError::NotAnnounced {
        name: name.to_string(),
        source,
    })
}

/// The names that mean something, with what they mean.
pub(crate) fn names(state: &State) -> impl Iterator<Item = (ShareRecord, &Published)> {
    let opened = state
        .published
        .values()
        .filter_map(|p| Some((p.record.peek().ok()?, p)));
    opened.filter(|(record, _)| !record.withdrawn)
}

/// After a move to another network: the same names, said there for the first time.
pub(crate) fn for_network(state: &State, key: &SigningKey, network: NetworkId) -> Vec<Entry> {
    let elsewhere = names(state).filter(|(record, _)| record.network != network);
    let say_again = |(record, published): (ShareRecord, &Published)| {
        let record = ShareRecord { network, ..record };
        let published = Published {
            record: Signed::new(&record, key),
            taken: false,
            watched: published.watched.clone(),
        };
        Entry::Published(record.name, published)
    };
    elsewhere.map(say_again).collect()
}

/// What this peer says under `name` now.
pub(crate) fn published_record(state: &State, name: &ShareName) -> Option<ShareRecord> {
    state
        .published
        .get(name)
        .and_then(|published| published.record.peek().ok())
}

fn link_to(core: &Core, record: &ShareRecord) -> Link {
    Link {
        network: record.network,
        publisher: core.id(),
        name: record.name.clone(),
        content: record.content,
    }
}

fn next_record(
    core: &Core,
    name: &ShareName,
    source: &skep_store::Source,
    audience: Audience,
) -> ShareRecord {
    let before = published_record(&core.catalog.state(), name);
    let record = ShareRecord {
        network: core.trust.network(),
        publisher: core.id(),
        name: name.clone(),
        sequence: before.as_ref().map_or(1, |record| record.sequence + 1),
        content: source.content(),
        bytes: source.bytes(),
        audience,
        withdrawn: false,
    };
    match before {
        Some(before)
            if (ShareRecord {
                sequence: before.sequence,
                ..record.clone()
            }) == before =>
        {
            before
        }
        _ => record,
    }
}

/// Notes the holding and the record, durably, and offers the content.
async fn keep(
    core: &Arc<Core>,
    path: &Path,
    source: skep_store::Source,
    record: &ShareRecord,
    watched: Option<PathBuf>,
) -> Result<(), ShareError> {
    let id = record.content.id;
    let before = published_record(&core.catalog.state(), &record.name);
    let unchanged = before.as_ref() == Some(record);
    let taken = unchanged
        && core
            .catalog
            .state()
            .published
            .get(&record.name)
            .is_some_and(|p| p.taken);
    let signed = Signed::new(record, &core.home.key);
    let records = core
        .catalog
        .state()
        .held
        .get(&id)
        .map(|held| held.records.clone())
        .unwrap_or_default();
    let held = Held {
        content: record.content,
        bytes: record.bytes,
        path: path.to_owned(),
        records,
    };
    let published = Published {
        record: signed,
        taken,
        watched,
    };
    let entries = vec![
        Entry::Held(id, Some(held)),
        Entry::Published(record.name.clone(), published),
    ];
    core.catalog.commit(entries).await?;
    let records = holdings::records_of(&core.catalog.state(), id);
    core.shelf.put(id, Body::Whole(Arc::new(source)), records);
    if let Some(old) = before.filter(|old| old.content.id != id) {
        holdings::release(core, old.content.id).await?;
    }
    Ok(())
}

fn share_name(path: &Path, wanted: Option<&str>) -> Result<ShareName, ShareError> {
    let own = || {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default()
    };
    let name = wanted.map_or_else(own, str::to_owned);
    ShareName::parse(&name).map_err(|source| ShareError::Name { name, source })
}

fn locate(core: &Core, path: &Path) -> Result<(PathBuf, Place, Kind), ShareError> {
    let failed = |source| ShareError::Path {
        path: path.to_owned(),
        source,
    };
    let path = core.world.disk.canonical(path).map_err(failed)?;
    let (place, kind) = holdings::place_of(core, &path).map_err(failed)?;
    match kind {
        Kind::File | Kind::Dir => Ok((path, place, kind)),
        _ => Err(ShareError::NotAFile(path)),
    }
}

pub(crate) fn scan_place(
    core: &Core,
    place: &Place,
    kind: Kind,
    scanning: &Scanning,
) -> Result<Scanned, scan::ScanError> {
    let progress = |bytes| {
        scanning.bytes.fetch_add(bytes, Ordering::Relaxed);
    };
    let hashing = Hashing {
        workers: core.config.workers,
        progress: &progress,
        stop: &scanning.stop,
    };
    match kind {
        Kind::Dir => scan::scan_folder(&core.store, place, &hashing),
        _ => scan::scan_file(&core.store, place, &hashing),
    }
}

/// Looks up whom a share is for.
async fn audience(core: &Arc<Core>, to: &[String]) -> Result<Audience, ShareError> {
    if to.is_empty() {
        return Ok(Audience::Everyone);
    }
    if to.len() > 256 {
        return Err(ShareError::TooManyPeers);
    }
    let mut wanted: BTreeSet<&str> = to.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for row in listing::peers(core).await? {
        if wanted.remove(row.name.as_str()) {
            found.push(row.peer);
        }
    }
    match wanted.first() {
        Some(unknown) => Err(ShareError::NoSuchPeer((*unknown).to_owned())),
        None => Ok(Audience::Peers(found)),
    }
}
