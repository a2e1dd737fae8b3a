//! What other copies on this machine have of a download: that need not be fetched.
//!
//! A copy is believed only where it verifies. For large files that takes the pages of their
//! outlines, which are small; they are fetched first if there is a copy to hold against them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use skep_net::Link;
use skep_store::{Hashing, Partial, Place};

use super::{error::GetError, job::Job, resolve::Choice, target::Target};
use crate::core::Core;

/// Copies on this machine that may have some of it: the same content elsewhere, an older state of
/// the same share, and what is at the target.
pub(crate) async fn donors(core: &Arc<Core>, choice: &Choice, target: &Target) -> Vec<Place> {
    let paths: BTreeSet<_> = {
        let state = core.catalog.state();
        let same_share = |held: &&crate::catalog::Held| {
            held.content.id == choice.record.content.id
                || held.records.iter().filter_map(|r| r.peek().ok()).any(|record| {
                    record.publisher == choice.record.publisher && record.name == choice.record.name
                })
        };
        state
            .held
            .values()
            .filter(same_share)
            .map(|held| held.path.clone())
            .collect()
    };
    let core = core.clone();
    let mut places: Vec<Place> = core
        .world
        .clone()
        .work
        .call(move || {
            let place = |path: &std::path::PathBuf| crate::holdings::place_of(&core, path).ok();
            paths.iter().filter_map(place).map(|(place, _)| place).collect()
        })
        .await;
    if target.exists {
        places.push(target.place.clone());
    }
    places
}

/// Takes what the donors have of these chunks. Outline pages come over `links`; without any, only
/// what can be verified already is taken.
pub(crate) async fn reuse(
    job: &Arc<Job>,
    partial: &Arc<Partial>,
    chunks: Range<u64>,
    links: Vec<Link>,
) -> Result<(), GetError> {
    if job.donors.is_empty() {
        return Ok(());
    }
    fetch_pages(job, partial, chunks, links).await;
    let adopt = {
        let (job, partial, stop) = (job.clone(), partial.clone(), job.stop_flag());
        move || {
            let hashing = Hashing {
                workers: job.core.config.workers,
                progress: &|_| {},
                stop: &stop,
            };
            let mut donors = job.donors.iter();
            donors.try_for_each(|donor| partial.adopt(donor, &hashing).map(drop))
        }
    };
    let adopted = job.core.world.work.call(adopt).await;
    adopted.map_err(|source| job.error(source))
}

/// Gets the outline pages of the chunks that are missing. A link that fails is not tried again:
/// what is not had now comes with the chunks.
async fn fetch_pages(job: &Arc<Job>, partial: &Arc<Partial>, chunks: Range<u64>, mut links: Vec<Link>) {
    let missing = {
        let partial = partial.clone();
        job.core
            .world
            .work
            .call(move || missing_pages(&partial, chunks))
            .await
    };
    for chunk in missing {
        while let Some(link) = links.last() {
            if job.fetch_page(partial, link, chunk).await.is_ok() {
                break;
            }
            links.pop();
        }
    }
}

/// A chunk for each page that is needed.
fn missing_pages(partial: &Partial, chunks: Range<u64>) -> Vec<u64> {
    let stored = partial.stored();
    let mut pages = BTreeMap::new();
    for chunk in chunks.filter(|&chunk| !stored.contains(chunk)) {
        if let Ok(Some(page)) = partial.missing_page(chunk) {
            pages.entry(page).or_insert(chunk);
        }
    }
    pages.into_values().collect()
}
