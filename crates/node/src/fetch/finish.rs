//! The end of a download: durable under its final name, noted, offered, announced.

use std::{sync::Arc, time::Duration};

use skep_store::{Hashing, Source};
use tokio::{sync::oneshot, time};

use super::{
    error::GetError,
    job::{Body, Job},
    resolve::Choice,
    run::Moved,
};
use crate::{
    announce,
    api::types::{GetDone, PeerShare},
    catalog::{Entry, Held},
    holdings, shelf,
};

/// Who gets something waits so long for the coordinator to list it here, too.
const ANNOUNCEMENT: Duration = Duration::from_secs(2);

pub(crate) async fn finish(
    job: &Arc<Job>,
    choice: &Choice,
    overwrite: bool,
    moved: Moved,
    started: Duration,
) -> Result<GetDone, GetError> {
    let core = &job.core;
    let verified = core.mono().saturating_sub(started);
    let source = durable(job, overwrite).await?;
    let durable = core.mono().saturating_sub(started);
    let bytes = source.bytes();
    if job.goal.record.is_some() {
        keep(job, choice, source).await?;
        announced(job).await;
    }
    Ok(GetDone {
        id: job.goal.content.id.to_string(),
        bytes,
        fetched: moved.fetched,
        verified_seconds: verified.as_secs_f64(),
        seconds: durable.as_secs_f64(),
        path: job.target.path.clone(),
        peers: peers(&moved, verified),
        from: moved.from,
    })
}

/// Tells the coordinator that everything is here. A coordinator that is away is not waited for: it is
/// told when it is back.
async fn announced(job: &Arc<Job>) {
    let (told, done) = oneshot::channel::<()>();
    let of_job = job.clone();
    job.core.spawn(async move {
        if let Err(error) = announce::hold(&of_job.core, &[of_job.goal.content.id], true).await {
            tracing::debug!("{} is announced later: {error}", of_job.goal.name);
        }
        drop(told);
    });
    if job.core.session.is_up() {
        let _ = time::timeout(ANNOUNCEMENT, done).await;
    }
}

/// What each holder gave, at which speed over the whole time.
fn peers(moved: &Moved, time: Duration) -> Vec<PeerShare> {
    let average = |peer: &PeerShare| PeerShare {
        rate: rate(peer.bytes, time),
        ..peer.clone()
    };
    moved.peers.iter().map(average).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "for people"
)]
fn rate(bytes: u64, time: Duration) -> u64 {
    (bytes as f64 / time.as_secs_f64().max(0.001)) as u64
}

/// Whole, synced and under its final name.
pub(crate) async fn durable(job: &Arc<Job>, overwrite: bool) -> Result<Arc<Source>, GetError> {
    let partial = match &job.body {
        Body::Finished(source) => return Ok(source.clone()),
        Body::Growing(partial) => partial.clone(),
    };
    let (workers, stop) = (job.core.config.workers, job.stop_flag());
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
