//! Beginning a download, waiting for it, and commanding those that there are.

use std::sync::Arc;

use skep_store::Partial;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    control::{Outcome, Wish},
    downloads::{Download, Errand, Manner},
    error::GetError,
    resolve::{self, Choice},
    supervise,
    target::{self, Target},
    wanted::Wanted,
};
use crate::{
    api::types::{GetDone, GetRequest, Progress, TransferLine},
    core::Core,
};

/// A download that somebody waits for. It goes on when this is dropped.
pub struct Getting {
    download: Arc<Download>,
    outcome: watch::Receiver<Option<Outcome>>,
    stop: CancellationToken,
    commands: u64,
}

/// One who waited for a download, and what had been commanded when they began to.
#[derive(Debug, Clone, Copy)]
pub struct Watcher {
    number: u64,
    commands: u64,
}

impl Getting {
    fn of(core: &Core, download: Arc<Download>) -> Self {
        Self {
            outcome: download.control.watch(),
            stop: core.cancel.clone(),
            commands: download.commands(),
            download,
        }
    }

    /// How far it is, as it changes.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.download.control.follow()
    }

    /// Who waits here, for [`crate::Node::unwatched`].
    #[must_use]
    pub fn watcher(&self) -> Watcher {
        Watcher {
            number: self.download.number,
            commands: self.commands,
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// [`GetError`].
    pub async fn done(mut self) -> Result<GetDone, Arc<GetError>> {
        let ended = async {
            let outcome = self.outcome.wait_for(Option::is_some).await;
            outcome.expect("the download is held here").clone()
        };
        tokio::select! {
            biased;
            outcome = ended => outcome.expect("waited for one"),
            () = self.stop.cancelled() => Err(Arc::new(GetError::Stopping)),
        }
    }
}

/// Begins to download what is asked for, or goes on with it.
///
/// # Errors
/// [`GetError`] when it cannot be begun.
pub(crate) async fn begin(core: &Arc<Core>, request: &GetRequest) -> Result<Getting, GetError> {
    let begun = core.mono();
    let wanted = Wanted::parse(&request.what)?;
    let choice = resolve::resolve(core, &wanted).await?;
    let target = target::find(core, &request.output, &choice).await?;
    let manner = Manner {
        only: resolve::only_from(core, request.from.as_deref()).await?,
        overwrite: request.overwrite,
    };
    if let Some(download) = core.downloads.at(&target.path)
        && let Some(getting) = join(core, download, &choice, &target, manner).await?
    {
        return Ok(getting);
    }
    if target.exists && !request.overwrite && !is_there(core, &choice, &target).await {
        return Err(GetError::Exists(target.path));
    }
    let errand = Errand {
        choice,
        path: target.path,
    };
    let download = core.downloads.add(core, errand, manner, begun)?;
    let getting = Getting::of(core, download.clone());
    core.spawn(supervise::run(core.clone(), download));
    Ok(getting)
}

/// Whether what is wanted lies there already: a download ended, and perhaps its peer too, before somebody heard of it.
async fn is_there(core: &Arc<Core>, choice: &Choice, target: &Target) -> bool {
    if choice.sub.is_some() {
        return false;
    }
    let (store, place, content) = (core.store.clone(), target.place.clone(), choice.record.content);
    let work = &core.world.work;
    work.call(move || Partial::is_finished(&store, &place, content))
        .await
}

/// Goes on with a download to the same place. None: there is none any more.
async fn join(
    core: &Arc<Core>,
    download: Arc<Download>,
    choice: &Choice,
    target: &Target,
    manner: Manner,
) -> Result<Option<Getting>, GetError> {
    let same = download.is_of(choice);
    if download.is_done() {
        core.downloads.remove(&download);
        // What went on by itself ended well, and nobody was told.
        return Ok((same && target.exists).then(|| Getting::of(core, download)));
    }
    if same {
        if !download.is_running() {
            download.set_manner(manner);
            download.run();
        }
        download.call(core.mono());
        return Ok(Some(Getting::of(core, download)));
    }
    if download.is_running() {
        return Err(GetError::AlreadyRunning(target.path.clone()));
    }
    download.control.set(Wish::Cancel);
    download.gone.cancelled().await;
    Ok(None)
}

/// Goes on with what was not over when the peer stopped.
pub(crate) fn restore(core: &Arc<Core>) {
    for download in core.downloads.restore(core) {
        core.spawn(supervise::run(core.clone(), download));
    }
}

/// Lets downloads stand still, also after a restart.
///
/// # Errors
/// [`GetError`] when there is none of that name, or it cannot be noted.
pub(crate) async fn pause(core: &Core, word: Option<&str>) -> Result<Vec<TransferLine>, GetError> {
    let chosen = chosen(core, word)?;
    for download in &chosen {
        download.command();
        download.pause();
        download.keep(core).await?;
    }
    Ok(lines(&chosen))
}

/// Lets a download stand still that nobody waits for any more, unless somebody has said since what is
/// to become of it.
pub(crate) async fn unwatched(core: &Core, watcher: Watcher) {
    let Some(download) = core.downloads.numbered(watcher.number) else {
        return;
    };
    let commanded = download.commands() != watcher.commands;
    if commanded || download.control.is_watched() || !download.is_running() {
        return;
    }
    download.pause();
    if let Err(error) = download.keep(core).await {
        tracing::warn!("a restart will forget that a download is paused: {error}");
    }
}

/// Lets downloads go on.
///
/// # Errors
/// [`GetError`] when there is none of that name, or it cannot be noted.
pub(crate) async fn resume(core: &Core, word: Option<&str>) -> Result<Vec<TransferLine>, GetError> {
    let mut chosen = chosen(core, word)?;
    chosen.retain(|download| !download.is_done());
    for download in &chosen {
        download.command();
        download.run();
        download.keep(core).await?;
    }
    Ok(lines(&chosen))
}

/// Ends downloads and removes what has come of them. What is finished stays.
///
/// # Errors
/// [`GetError`] when there is none of that name.
pub(crate) async fn cancel(core: &Core, word: Option<&str>) -> Result<Vec<TransferLine>, GetError> {
    let chosen = chosen(core, word)?;
    let lines = lines(&chosen);
    for download in chosen {
        if download.is_done() {
            core.downloads.remove(&download);
        }
        download.control.set(Wish::Cancel);
        tokio::select! {
            biased;
            () = download.gone.cancelled() => {}
            () = core.cancel.cancelled() => return Err(GetError::Stopping),
        }
    }
    Ok(lines)
}

/// Limits downloads of that name; none: no limit. Whether there is any.
///
/// # Errors
/// [`GetError`] when it cannot be noted.
pub(crate) async fn set_down_rate(core: &Core, word: &str, rate: Option<u64>) -> Result<bool, GetError> {
    let chosen = core.downloads.named(Some(word));
    for download in &chosen {
        download.control.down.set(rate);
        download.keep(core).await?;
    }
    Ok(!chosen.is_empty())
}

fn chosen(core: &Core, word: Option<&str>) -> Result<Vec<Arc<Download>>, GetError> {
    let chosen = core.downloads.named(word);
    match word {
        Some(word) if chosen.is_empty() => Err(GetError::NoSuchDownload(word.to_owned())),
        _ => Ok(chosen),
    }
}

fn lines(chosen: &[Arc<Download>]) -> Vec<TransferLine> {
    chosen.iter().map(|download| download.line()).collect()
}
