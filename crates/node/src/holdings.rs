//! The contents on this machine: kept over restarts, offered, and dropped when their files change.
//!
//! What is held follows from the catalog; what can be served now is on the shelf.

use std::{path::Path, sync::Arc};

use skep_store::Place;
use skep_wire::{
    BlobId, RelPath,
    record::{Audience, ShareRecord},
};
use skep_world::disk::Kind;

use crate::{
    announce,
    api::types::ShareLine,
    catalog::{CatalogError, Entry, State},
    core::Core,
};

/// A content that was here is gone or has changed: offer it no more.
pub(crate) async fn lost(core: &Arc<Core>, content: BlobId) {
    core.shelf.remove(content);
    if let Err(error) = core.catalog.commit(vec![Entry::Held(content, None)]).await {
        tracing::warn!("it could not be noted that {content} is gone: {error}");
    }
    if let Err(error) = announce::forget(core, &[content]).await {
        tracing::debug!("the coordinator will hear later that {content} is gone: {error}");
    }
}

/// The records that a content is held under.
pub(crate) fn records_of(state: &State, content: BlobId) -> Vec<ShareRecord> {
    let own = state.published.values().map(|published| &published.record);
    let others = state
        .held
        .get(&content)
        .into_iter()
        .flat_map(|held| &held.records);
    let mine = own.filter_map(|record| record.peek().ok());
    let theirs = others.filter_map(|record| record.peek().ok());
    mine.chain(theirs)
        .filter(|record| record.content.id == content && !record.withdrawn)
        .collect()
}

/// What lies on this machine and is offered to others, by name.
pub(crate) fn local(core: &Core) -> Vec<ShareLine> {
    let state = core.catalog.state();
    let mut lines = Vec::new();
    for held in state.held.values() {
        for record in records_of(&state, held.content.id) {
            let own = record.publisher == core.id();
            let known = state.pinned.iter().find(|(_, key)| **key == record.publisher);
            let publisher = if own {
                core.name().to_string()
            } else {
                known.map_or_else(|| record.publisher.short(), |(name, _)| name.to_string())
            };
            lines.push(ShareLine {
                name: record.name.to_string(),
                id: record.content.id.to_string(),
                bytes: record.bytes,
                kind: record.content.kind,
                publisher,
                holders: 1,
                open: record.audience == Audience::Everyone,
                path: Some(held.path.clone()),
            });
        }
    }
    lines.sort_by(|a, b| (&a.name, &a.publisher).cmp(&(&b.name, &b.publisher)));
    lines
}

/// Limits what is served of contents with this name or id; none: no limit. Whether there is any.
pub(crate) fn set_up_rate(core: &Core, name: &str, rate: Option<u64>) -> bool {
    let state = core.catalog.state();
    let is_called = |id: &BlobId| {
        let records = records_of(&state, *id);
        id.to_string() == name || records.iter().any(|record| record.name.as_str() == name)
    };
    let ids: Vec<BlobId> = state.held.keys().copied().filter(is_called).collect();
    drop(state);
    let items: Vec<_> = ids.into_iter().filter_map(|id| core.shelf.item(id)).collect();
    items.iter().for_each(|item| item.up.set(rate));
    !items.is_empty()
}

/// Stops offering a content that is under no name any more.
pub(crate) async fn release(core: &Arc<Core>, content: BlobId) -> Result<(), CatalogError> {
    let records = records_of(&core.catalog.state(), content);
    if !records.is_empty() {
        if let Some(item) = core.shelf.item(content) {
            item.set_records(records);
        }
        return Ok(());
    }
    core.shelf.remove(content);
    core.catalog.commit(vec![Entry::Held(content, None)]).await?;
    if let Err(error) = announce::forget(core, &[content]).await {
        tracing::debug!("the coordinator will hear later that {content} is gone: {error}");
    }
    Ok(())
}

/// What lies at an absolute path, and what it is. Blocking.
pub(crate) fn place_of(core: &Core, path: &Path) -> std::io::Result<(Place, Kind)> {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| RelPath::parse(name).ok());
    match (path.parent(), name) {
        (Some(parent), Some(name)) => {
            let dir = core.world.disk.dir(parent)?;
            let kind = dir.stat(&name)?.kind;
            Ok((Place::new(dir, name), kind))
        }
        // A folder may be called anything; it is the names in it that travel.
        _ => Ok((Place::whole(core.world.disk.dir(path)?), Kind::Dir)),
    }
}
