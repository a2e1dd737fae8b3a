//! One download from its first to its last attempt: waits for wishes, for room and for holders.
//!
//! An attempt that fails for want of room or holders is made again; one that somebody watches
//! fails for want of holders at once, because they can do something about it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use skep_store::{Hashing, Partial, partial::Opened};
use tokio::{sync::mpsc, time};
use tokio_util::sync::CancellationToken;

use super::{
    control::{Doing, Wish},
    downloads::Download,
    error::GetError,
    finish,
    goal::Goal,
    job::{Body, Job},
    reuse, run, space, target,
};
use crate::{api::types::GetDone, core::Core};

/// What is over sooner is not worth being remembered over a restart.
const REMEMBER_AFTER: Duration = Duration::from_millis(500);
/// The shortest and the longest pause before the next attempt.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Does what is wished for until the download is over.
pub(crate) async fn run(core: Arc<Core>, download: Arc<Download>) {
    tokio::select! {
        biased;
        () = download.control.until(Wish::Cancel) => withdraw(&core, &download).await,
        () = until_over(&core, &download) => {}
    }
}

/// Attempts until one succeeds, or fails while somebody watches and nothing has come.
async fn until_over(core: &Arc<Core>, download: &Arc<Download>) {
    let mut pause = PAUSE.0;
    let mut best = 0;
    loop {
        download.control.until(Wish::Run).await;
        let (mut wishes, mut calls) = (download.control.wishes(), download.control.calls());
        let outcome = tokio::select! {
            biased;
            outcome = attempt(core, download) => outcome,
            never = remember(core, download) => match never {},
        };
        let error = match outcome {
            Ok(done) => return succeed(core, download, done).await,
            Err(error) => error,
        };
        let Some(doing) = patience(&error, download.control.is_watched()) else {
            if fail(core, download, error).await {
                return;
            }
            continue;
        };
        let bytes = download.control.progress().bytes;
        if bytes > best {
            (best, pause) = (bytes, PAUSE.0);
        }
        download.control.say(doing);
        tracing::info!(
            "the download of {} is {}: {error}",
            download.name(),
            doing.words()
        );
        tokio::select! {
            biased;
            _ = wishes.changed() => {}
            _ = calls.changed() => {}
            () = wait(core, download, doing, pause) => {}
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// What to wait for after this error; none: it is of no use.
fn patience(error: &GetError, watched: bool) -> Option<Doing> {
    match error {
        GetError::Full(_) => Some(Doing::WaitingForSpace),
        GetError::NoHolders(_) | GetError::Stuck { .. } if !watched => Some(Doing::WaitingForHolders),
        _ => None,
    }
}

/// One attempt, from what is here already to being a holder.
async fn attempt(core: &Arc<Core>, download: &Arc<Download>) -> Result<GetDone, GetError> {
    let errand = &download.errand;
    download.set_partial(None);
    let target = target::at(core, &errand.path).await?;
    let control = &download.control;
    let goal = Goal::of(core, &errand.choice, control).await?;
    let (news, inbox) = mpsc::channel(1024);
    download.know(goal.content, news.clone());
    // Blocking work under way has to notice that nobody wants it any more.
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let donors = reuse::donors(core, &errand.choice, &target).await;
    let job = Job::open(core, control, goal, target, donors, stop).await?;
    if let Body::Growing(partial) = &job.body {
        download.set_partial(Some(partial.clone()));
    }
    let outcome = run::run(&job, download.manner().only, news, inbox).await?;
    let (overwrite, started) = (download.manner().overwrite, download.begun());
    finish::finish(&job, &errand.choice, overwrite, outcome, started).await
}

/// A download that takes its time goes on after a restart.
async fn remember(core: &Arc<Core>, download: &Arc<Download>) -> Infallible {
    time::sleep(REMEMBER_AFTER).await;
    note(core, download).await;
    std::future::pending().await
}

async fn note(core: &Core, download: &Download) {
    if let Err(error) = download.keep(core).await {
        tracing::warn!(
            "a restart will forget the download of {}: {error}",
            download.name()
        );
    }
}

async fn succeed(core: &Core, download: &Arc<Download>, done: GetDone) {
    let told = download.control.is_watched();
    download.forget(core).await;
    download.control.say_done(done.bytes);
    download.control.end(Some(Ok(done)));
    if told {
        core.downloads.remove(download);
    } else {
        tracing::info!("{} is downloaded", download.name());
        core.downloads.sweep();
    }
}

/// Tells who watches. Whether it is off the list: of what never began, nothing is left.
async fn fail(core: &Core, download: &Arc<Download>, error: GetError) -> bool {
    let told = download.control.is_watched();
    let over = told && download.control.progress().bytes == 0;
    download.fail(error.to_string());
    if over {
        download.forget(core).await;
    } else {
        tracing::warn!("the download of {} has stopped: {error}", download.name());
        note(core, download).await;
    }
    download.control.end(Some(Err(Arc::new(error))));
    if over {
        core.downloads.remove(download);
    }
    over
}

async fn wait(core: &Arc<Core>, download: &Download, doing: Doing, pause: Duration) {
    if doing == Doing::WaitingForSpace {
        let progress = download.control.progress();
        let missing = progress.total.saturating_sub(progress.bytes);
        space::wait(core, &download.errand.path, missing, pause).await;
    } else {
        time::sleep(pause).await;
    }
}

/// Removes what has come, and nothing else.
async fn withdraw(core: &Arc<Core>, download: &Arc<Download>) {
    let removed = match download.take_partial() {
        Some(partial) => abandon(core, partial).await,
        None => withdraw_unopened(core, download).await,
    };
    if let Err(error) = removed {
        tracing::warn!(
            "the rest of {} could not be removed: {error}",
            download.errand.path.display()
        );
    }
    download.forget(core).await;
    download
        .control
        .end(Some(Err(Arc::new(GetError::Cancelled(download.name())))));
    core.downloads.remove(download);
}

async fn withdraw_unopened(core: &Arc<Core>, download: &Arc<Download>) -> Result<(), GetError> {
    let Some(content) = download.content() else {
        return Ok(());
    };
    let target = target::at(core, &download.errand.path).await?;
    let (opening, place) = (core.clone(), target.place.clone());
    let open = move || {
        let hashing = Hashing {
            workers: opening.config.workers,
            progress: &|_| {},
            stop: &std::sync::atomic::AtomicBool::new(false),
        };
        Partial::open(&opening.store, &place, content, &hashing)
    };
    match core.world.work.call(open).await {
        Ok(Opened::Partial(partial)) => abandon(core, Arc::from(partial)).await,
        Ok(Opened::Finished(_)) => Ok(()),
        Err(source) => Err(GetError::Store {
            share: download.name(),
            source,
        }),
    }
}

async fn abandon(core: &Arc<Core>, partial: Arc<Partial>) -> Result<(), GetError> {
    let abandoned = core.world.work.call(move || partial.abandon()).await;
    abandoned.map_err(|source| GetError::Store {
        share: "the download".to_owned(),
        source,
    })
}
