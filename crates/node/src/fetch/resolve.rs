//! From words to one share: asks the coordinator, and believes only signed words.

use std::{collections::BTreeMap, sync::Arc};

use skep_wire::{BlobId, PeerId, PeerName, RelPath, Signed, message::Listed, record::ShareRecord};

use super::{
    error::GetError,
    wanted::{Reading, Wanted},
};
use crate::{catalog::Entry, core::Core, listing};

/// The share that is meant.
pub(crate) struct Choice {
    /// What its publisher says.
    pub(crate) record: ShareRecord,
    /// The same, to keep.
    pub(crate) signed: Signed<ShareRecord>,
    /// The publisher's name.
    pub(crate) publisher: PeerName,
    /// The part of the folder that is wanted; none: all.
    pub(crate) sub: Option<RelPath>,
}

/// Finds the one share that the words mean.
pub(crate) async fn resolve(core: &Arc<Core>, wanted: &Wanted) -> Result<Choice, GetError> {
    if wanted
        .link
        .as_ref()
        .is_some_and(|link| link.network != core.trust.network())
    {
        return Err(GetError::OtherNetwork);
    }
    for reading in &wanted.readings {
        let found = listing::find(core, reading.query.clone()).await?;
        if let Some(choice) = choose(&wanted.text, reading, found)? {
            check(core, &choice).await?;
            return Ok(choice);
        }
    }
    Err(GetError::NotFound(wanted.text.clone()))
}

/// The key of the only peer to download from, if one was named.
pub(crate) async fn only_from(core: &Arc<Core>, name: Option<&str>) -> Result<Option<PeerId>, GetError> {
    let Some(name) = name else { return Ok(None) };
    let rows = listing::peers(core).await?;
    let row = rows.into_iter().find(|row| row.name.as_str() == name);
    row.map(|row| Some(row.peer))
        .ok_or_else(|| GetError::NoSuchPeer(name.to_owned()))
}

/// One content may be published by several; several contents under one name are for a person to tell apart.
fn choose(
    text: &str,
    reading: &Reading,
    found: Vec<(ShareRecord, Listed)>,
) -> Result<Option<Choice>, GetError> {
    let mut contents: BTreeMap<BlobId, (ShareRecord, Listed)> = BTreeMap::new();
    for (record, listed) in found {
        contents.entry(record.content.id).or_insert((record, listed));
    }
    if contents.len() > 1 {
        let name = |(record, listed): &(ShareRecord, Listed)| format!("{}/{}", listed.publisher, record.name);
        let candidates = contents.values().map(name).collect();
        return Err(GetError::Ambiguous {
            what: text.to_owned(),
            candidates,
        });
    }
    Ok(contents.into_values().next().map(|(record, listed)| Choice {
        record,
        signed: listed.record,
        publisher: listed.publisher,
        sub: reading.sub.clone(),
    }))
}

/// Names are pinned to the first key seen, and what a publisher said last is not taken back by others.
async fn check(core: &Arc<Core>, choice: &Choice) -> Result<(), GetError> {
    let record = &choice.record;
    let seen_key = (record.publisher, record.name.clone());
    let (pinned, seen) = {
        let state = core.catalog.state();
        let pinned = state.pinned.get(&choice.publisher).copied();
        (pinned, state.seen.get(&seen_key).copied().unwrap_or_default())
    };
    if pinned.is_some_and(|key| key != record.publisher) {
        return Err(GetError::KeyChanged {
            publisher: choice.publisher.to_string(),
        });
    }
    if record.sequence < seen {
        let share = format!("{}/{}", choice.publisher, record.name);
        return Err(GetError::RolledBack {
            share,
            offered: record.sequence,
            seen,
        });
    }
    let mut news = Vec::new();
    if pinned.is_none() {
        news.push(Entry::Pinned(choice.publisher.clone(), record.publisher));
    }
    if record.sequence > seen {
        news.push(Entry::Seen(
            record.publisher,
            record.name.clone(),
            record.sequence,
        ));
    }
    if !news.is_empty() {
        core.catalog.commit(news).await?;
    }
    Ok(())
}
