//! Downloads: from words to a verified file or folder, and to being a holder of it.
//!
//! [`wanted`] reads the words, `resolve` asks what they mean, `target` finds the place,
//! `reuse` takes what is on this machine already,
//! `run` moves the chunks as the scheduler in `skep-engine` says, and `finish` keeps the result.

pub mod wanted;

mod error;
mod finish;
mod goal;
mod holders;
mod job;
mod part;
mod resolve;
mod reuse;
mod run;
mod target;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use skep_wire::{BlobId, PeerId, message::HaveMore};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use self::error::GetError;
use self::{job::News, wanted::Wanted};
use crate::{
    api::types::{GetDone, GetRequest, Progress, TransferLine},
    core::Core,
};

/// Every download of this peer.
#[derive(Default)]
pub(crate) struct Downloads {
    running: Mutex<BTreeMap<u64, Running>>,
    count: AtomicU64,
}

/// One that is going on.
struct Running {
    name: String,
    content: BlobId,
    path: PathBuf,
    progress: watch::Receiver<Progress>,
    news: mpsc::Sender<News>,
}

/// Takes a download out of the list when it is over, however it ended.
struct Entry<'a> {
    downloads: &'a Downloads,
    number: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.downloads.running().remove(&self.number);
    }
}

impl Downloads {
    /// What is going on, in the order it began.
    pub(crate) fn list(&self) -> Vec<TransferLine> {
        let line = |(&number, running): (&u64, &Running)| TransferLine {
            number,
            name: running.name.clone(),
            id: running.content.to_string(),
            path: running.path.clone(),
            progress: running.progress.borrow().clone(),
        };
        self.running().iter().map(line).collect()
    }

    /// A holder says that it has more chunks.
    pub(crate) fn have_more(&self, peer: PeerId, more: &HaveMore) {
        for running in self.running().values().filter(|r| r.content == more.content) {
            let news = News::HaveMore {
                peer,
                chunks: more.chunks.clone(),
            };
            // A full queue loses a hint, nothing else.
            let _ = running.news.try_send(news);
        }
    }

    fn enter(&self, running: Running) -> Result<Entry<'_>, GetError> {
        let mut all = self.running();
        if all.values().any(|other| other.path == running.path) {
            return Err(GetError::AlreadyRunning(running.path));
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        all.insert(number, running);
        Ok(Entry {
            downloads: self,
            number,
        })
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Downloads what was asked for, and keeps it. Dropping the future stops it; what is there stays
/// for the next time.
///
/// # Errors
/// [`GetError`] says what failed and about what.
pub(crate) async fn get(
    core: &Arc<Core>,
    request: GetRequest,
    progress: watch::Sender<Progress>,
) -> Result<GetDone, GetError> {
    let started = core.mono();
    let wanted = Wanted::parse(&request.what)?;
    let choice = resolve::resolve(core, &wanted).await?;
    let target = target::find(core, &request, &choice).await?;
    let goal = goal::Goal::of(core, &choice).await?;
    let (news, inbox) = mpsc::channel(1024);
    let running = Running {
        name: goal.name.clone(),
        content: goal.content.id,
        path: target.path.clone(),
        progress: progress.subscribe(),
        news: news.clone(),
    };
    let _entry = core.downloads.enter(running)?;
    let only = resolve::only_from(core, request.from.as_deref()).await?;
    // Blocking work under way has to notice that nobody wants it any more.
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let donors = reuse::donors(core, &choice, &target).await;
    let job = job::Job::open(core, goal, target, donors, request.overwrite, stop).await?;
    let outcome = run::run(&job, only, news, inbox, &progress).await?;
    finish::finish(&job, &choice, outcome, started).await
}
