//! The end of a download: durable under its final name, noted, offered, announced.

use std::{sync::Arc, time::Duration};

use skep_store::{Hashing, Source};

use super::{
    error::GetError,
    job::{Body, Job},
    resolve::Choice,
    run::Moved,
};
use crate::{
    announce,
    api::types::GetDone,
    catalog::{Entry, Held},
    holdings, shelf,
};

pub(crate) async fn finish(
    job: &Arc<Job>,
    choice: &Choice,
    moved: Moved,
    started: Duration,
) -> Result<GetDone, GetError> {
    let core = &job.core;
    let verified = core.mono().saturating_sub(started);
    let source = durable(job).await?;
    let durable = core.mono().saturating_sub(started);
    let bytes = source.bytes();
    if job.goal.record.is_some() {
        keep(job, choice, source).await?;
        if let Err(error) = announce::hold(core, &[job.goal.content.id], true).await {
            tracing::debug!("{} is announced later: {error}", job.goal.name);
        }
    }
    Ok(GetDone {
        id: job.goal.content.id.to_string(),
        bytes,
        fetched: moved.fetched,
        verified_seconds: verified.as_secs_f64(),
        seconds: durable.as_secs_f64(),
        path: job.target.path.clone(),
        from: moved.from,
    })
}

/// Whole, synced and under its final name.
pub(crate) async fn durable(job: &Arc<Job>) -> Result<Arc<Source>, GetError> {
    let partial = match &job.body {
        Body::Finished(source) => return Ok(source.clone()),
        Body::Growing(partial) => partial.clone(),
    };
    let (workers, overwrite, stop) = (job.core.config.workers, job.overwrite, job.stop_flag());
    let finished = job.core.world.work.call(move || {
        let hashing = Hashing {
            workers,
            progress: &|_| {},
            stop: &stop,
        };
        partial.finish(overwrite, &hashing)
    });
    finished.await.map(Arc::new).map_err(|source| job.error(source))
}

/// From now on this peer is a holder, also after a restart.
async fn keep(job: &Arc<Job>, choice: &Choice, source: Arc<Source>) -> Result<(), GetError> {
    let core = &job.core;
    let id = job.goal.content.id;
    let mut records = core
        .catalog
        .state()
        .held
        .get(&id)
        .map(|held| held.records.clone())
        .unwrap_or_default();
    if !records.contains(&choice.signed) {
        records.push(choice.signed.clone());
    }
    let held = Held {
        content: job.goal.content,
        bytes: source.bytes(),
        path: job.target.path.clone(),
        records,
    };
    core.catalog.commit(vec![Entry::Held(id, Some(held))]).await?;
    let records = holdings::records_of(&core.catalog.state(), id);
    core.shelf.put(id, shelf::Body::Whole(source), records);
    Ok(())
}
