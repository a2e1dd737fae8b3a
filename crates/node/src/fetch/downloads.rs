//! Every download of this peer: listed, found by what a person calls it, and kept over restarts.
//!
//! What one of them does is `supervise`'s.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_store::Partial;
use skep_wire::{
    BlobId, PeerId, PeerName, RelPath,
    message::{HaveMore, Holder},
    record::{Content, ShareRecord},
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    control::{Control, Doing, Wish},
    error::GetError,
    job::News,
    resolve::Choice,
};
use crate::{
    api::types::TransferLine,
    catalog::{CatalogError, Entry, Unfinished},
    core::Core,
};

/// Parts whose announcement waits for an answer: the coordinator has room for not many of those.
const ANNOUNCING: usize = 8;
/// Finished downloads that nobody has asked about, kept for who does.
const UNCLAIMED: usize = 64;

/// Every download of this peer.
pub(crate) struct Downloads {
    list: Mutex<List>,
    announcing: Arc<Semaphore>,
}

#[derive(Default)]
struct List {
    all: BTreeMap<u64, Arc<Download>>,
    last: u64,
}

/// What is to be downloaded, and where to.
pub(crate) struct Errand {
    pub(crate) choice: Choice,
    /// The target.
    pub(crate) path: PathBuf,
}

/// How it is to be done: what is asked for again may be asked for otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Manner {
    /// The only peer to download from, if one was named.
    pub(crate) only: Option<PeerId>,
    /// Whether something at the target may be replaced.
    pub(crate) overwrite: bool,
}

/// One download: going on, waiting, or over and not told yet.
pub(crate) struct Download {
    pub(crate) number: u64,
    pub(crate) errand: Errand,
    pub(crate) control: Arc<Control>,
    /// When it was asked for last.
    begun: Mutex<Duration>,
    live: Mutex<Live>,
    kept: tokio::sync::Mutex<Kept>,
    /// How often somebody said what is to become of it.
    commands: AtomicU64,
    /// Cancelled when it is off the list.
    pub(crate) gone: CancellationToken,
}

/// What there is while it goes on.
#[derive(Default)]
struct Live {
    manner: Manner,
    content: Option<Content>,
    partial: Option<Arc<Partial>>,
    news: Option<mpsc::Sender<News>>,
    trouble: Option<String>,
}

/// Whether the catalog has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    No,
    Yes,
    Over,
}

impl Downloads {
    /// All that were not over when the peer stopped.
    pub(crate) fn restore(&self, core: &Core) -> Vec<Arc<Download>> {
        let unfinished = core.catalog.state().unfinished.clone();
        let mut list = self.list();
        let mut all = Vec::new();
        for (number, it) in unfinished {
            list.last = list.last.max(number);
            if let Some(download) = Download::restored(core, number, it) {
                let download = Arc::new(download);
                list.all.insert(number, download.clone());
                all.push(download);
            }
        }
        all
    }

    /// What there is, in the order it began.
    pub(crate) fn lines(&self) -> Vec<TransferLine> {
        self.list().all.values().map(|download| download.line()).collect()
    }

    /// Those that a person means: by number, name, id or path. No words mean all.
    pub(crate) fn named(&self, word: Option<&str>) -> Vec<Arc<Download>> {
        let list = self.list();
        let all = list.all.values();
        all.filter(|download| word.is_none_or(|word| download.is_called(word)))
            .cloned()
            .collect()
    }

    /// The one with this number.
    pub(crate) fn numbered(&self, number: u64) -> Option<Arc<Download>> {
        self.list().all.get(&number).cloned()
    }

    /// The one with this target.
    pub(crate) fn at(&self, path: &Path) -> Option<Arc<Download>> {
        let list = self.list();
        list.all
            .values()
            .find(|download| download.errand.path == path)
            .cloned()
    }

    /// A new one, unless another has the same target.
    pub(crate) fn add(
        &self,
        core: &Core,
        errand: Errand,
        manner: Manner,
        begun: Duration,
    ) -> Result<Arc<Download>, GetError> {
        let mut list = self.list();
        if list.all.values().any(|other| other.errand.path == errand.path) {
            return Err(GetError::AlreadyRunning(errand.path));
        }
        list.last += 1;
        let number = list.last;
        let control = Control::new(core.world.clock.clone(), Wish::Run, None);
        let download = Arc::new(Download::new(number, errand, control, begun));
        download.live().manner = manner;
        list.all.insert(number, download.clone());
        Ok(download)
    }

    /// Takes one off the list.
    pub(crate) fn remove(&self, download: &Download) {
        self.list().all.remove(&download.number);
        download.gone.cancel();
    }

    /// Takes the oldest off the list of which nobody wanted to know how they ended.
    pub(crate) fn sweep(&self) {
        let mut list = self.list();
        let done = |download: &&Arc<Download>| download.is_done();
        let numbers: Vec<u64> = list.all.values().filter(done).map(|d| d.number).collect();
        let surplus = numbers.len().saturating_sub(UNCLAIMED);
        for number in &numbers[..surplus] {
            list.all.remove(number);
        }
    }

    /// A holder says that it has more chunks.
    pub(crate) fn have_more(&self, peer: PeerId, more: &HaveMore) {
        self.tell(more.content, || News::HaveMore {
            peer,
            chunks: more.chunks.clone(),
        });
    }

    /// A peer asks what is here of something that is being downloaded: it downloads the same.
    pub(crate) fn met(&self, peer: PeerId, name: &PeerName, content: BlobId) {
        self.tell(content, || News::Met {
            holder: Holder {
                peer,
                name: name.clone(),
                address: None,
                complete: false,
            },
        });
    }

    /// Places for announcements of parts.
    pub(crate) fn announcing(&self) -> Arc<Semaphore> {
        self.announcing.clone()
    }

    fn tell(&self, content: BlobId, news: impl Fn() -> News) {
        let of_it = |download: &&Arc<Download>| download.origin() == content;
        for download in self.list().all.values().filter(of_it) {
            if let Some(to) = &download.live().news {
                // A full queue loses a hint, nothing else.
                let _ = to.try_send(news());
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Downloads {
    fn default() -> Self {
        Self {
            list: Mutex::default(),
            announcing: Arc::new(Semaphore::new(ANNOUNCING)),
        }
    }
}

impl Download {
    fn new(number: u64, errand: Errand, control: Control, begun: Duration) -> Self {
        Self {
            number,
            errand,
            control: Arc::new(control),
            begun: Mutex::new(begun),
            live: Mutex::default(),
            kept: tokio::sync::Mutex::new(Kept::No),
            commands: AtomicU64::new(0),
            gone: CancellationToken::new(),
        }
    }

    fn restored(core: &Core, number: u64, it: Unfinished) -> Option<Self> {
        let record = it.share.peek().ok()?;
        let sub = it.part.as_deref().map(RelPath::parse).transpose().ok()?;
        let wish = if it.paused { Wish::Pause } else { Wish::Run };
        let control = Control::new(core.world.clock.clone(), wish, it.down_rate);
        if it.trouble.is_some() {
            control.say(Doing::Failed);
        }
        let choice = Choice {
            record,
            signed: it.share,
            publisher: it.publisher,
            sub,
        };
        let errand = Errand {
            choice,
            path: it.path,
        };
        let mut download = Self::new(number, errand, control, core.mono());
        download.kept = tokio::sync::Mutex::new(Kept::Yes);
        *download.live() = Live {
            manner: Manner {
                only: it.only,
                overwrite: it.overwrite,
            },
            content: it.content,
            trouble: it.trouble,
            ..Live::default()
        };
        Some(download)
    }

    /// What holders are asked for.
    pub(crate) fn origin(&self) -> BlobId {
        self.record().content.id
    }

    /// What people call it.
    pub(crate) fn name(&self) -> String {
        let share = &self.record().name;
        match &self.errand.choice.sub {
            Some(sub) => format!("{share}/{sub}"),
            None => share.to_string(),
        }
    }

    /// Whether it is about the same content as `choice`.
    pub(crate) fn is_of(&self, choice: &Choice) -> bool {
        self.origin() == choice.record.content.id && self.errand.choice.sub == choice.sub
    }

    /// Whether it is over.
    pub(crate) fn is_done(&self) -> bool {
        matches!(&*self.control.watch().borrow(), Some(Ok(_)))
    }

    /// Whether it takes chunks, or would if it could.
    pub(crate) fn is_running(&self) -> bool {
        !self.is_done() && self.control.wished() == Wish::Run
    }

    /// For people and scripts.
    pub(crate) fn line(&self) -> TransferLine {
        let progress = self.control.progress();
        let live = self.live();
        TransferLine {
            number: self.number,
            name: self.name(),
            id: live
                .content
                .map_or(self.origin(), |content| content.id)
                .to_string(),
            path: self.errand.path.clone(),
            state: progress.state.clone(),
            trouble: live.trouble.clone(),
            down_limit: self.control.down.rate(),
            progress,
        }
    }

    /// Somebody says what is to become of it.
    pub(crate) fn command(&self) {
        self.commands.fetch_add(1, Ordering::Relaxed);
    }

    /// How often somebody said what is to become of it.
    pub(crate) fn commands(&self) -> u64 {
        self.commands.load(Ordering::Relaxed)
    }

    /// Lets it go on. Blames of the past are forgotten.
    pub(crate) fn run(&self) {
        if self.is_running() {
            return;
        }
        self.live().trouble = None;
        self.control.end(None);
        self.control.say(Doing::Preparing);
        self.control.set(Wish::Run);
    }

    /// Somebody asks for it anew.
    pub(crate) fn call(&self, now: Duration) {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.control.call();
    }

    /// Lets it stand still.
    pub(crate) fn pause(&self) {
        if self.is_running() {
            self.control.say(Doing::Paused);
            self.control.set(Wish::Pause);
        }
    }

    /// It cannot go on by itself, and this is why.
    pub(crate) fn fail(&self, trouble: String) {
        self.live().trouble = Some(trouble);
        self.control.say(Doing::Failed);
        self.control.set(Wish::Pause);
    }

    /// When it was asked for last.
    pub(crate) fn begun(&self) -> Duration {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is to lie at the target, as far as it is known.
    pub(crate) fn content(&self) -> Option<Content> {
        self.live().content
    }

    /// It is known now what is to lie at the target; who has news of holders tells `news`.
    pub(crate) fn know(&self, content: Content, news: mpsc::Sender<News>) {
        let mut live = self.live();
        live.content = Some(content);
        live.news = Some(news);
    }

    /// How it is to be done.
    pub(crate) fn manner(&self) -> Manner {
        self.live().manner
    }

    /// From the next attempt on it is to be done so.
    pub(crate) fn set_manner(&self, manner: Manner) {
        self.live().manner = manner;
    }

    /// What has come is here.
    pub(crate) fn set_partial(&self, partial: Option<Arc<Partial>>) {
        self.live().partial = partial;
    }

    /// What has come, if that was looked at.
    pub(crate) fn take_partial(&self) -> Option<Arc<Partial>> {
        self.live().partial.take()
    }

    /// Makes durable how it stands, so that it goes on like that after a restart.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) async fn keep(&self, core: &Core) -> Result<(), CatalogError> {
        let mut kept = self.kept.lock().await;
        if *kept == Kept::Over || self.is_done() {
            return Ok(());
        }
        *kept = Kept::Yes;
        let entry = Entry::Unfinished(self.number, Some(Box::new(self.unfinished())));
        core.catalog.commit(vec![entry]).await
    }

    /// Takes it out of what goes on after a restart, for good.
    pub(crate) async fn forget(&self, core: &Core) {
        let mut kept = self.kept.lock().await;
        if std::mem::replace(&mut *kept, Kept::Over) != Kept::Yes {
            return;
        }
        let entry = Entry::Unfinished(self.number, None);
        if let Err(error) = core.catalog.commit(vec![entry]).await {
            tracing::warn!(
                "it could not be noted that the download of {} is over: {error}",
                self.name()
            );
        }
    }

    fn unfinished(&self) -> Unfinished {
        let Errand { choice, path } = &self.errand;
        let live = self.live();
        Unfinished {
            share: choice.signed.clone(),
            publisher: choice.publisher.clone(),
            part: choice.sub.as_ref().map(ToString::to_string),
            content: live.content,
            path: path.clone(),
            only: live.manner.only,
            overwrite: live.manner.overwrite,
            paused: self.control.wished() == Wish::Pause,
            trouble: live.trouble.clone(),
            down_rate: self.control.down.rate(),
        }
    }

    fn is_called(&self, word: &str) -> bool {
        let path = &self.errand.path;
        word.parse() == Ok(self.number)
            || self.name() == word
            || format!("{}/{}", self.errand.choice.publisher, self.name()) == word
            || self.origin().to_string() == word
            || self
                .content()
                .is_some_and(|content| content.id.to_string() == word)
            || path == Path::new(word)
    }

    fn record(&self) -> &ShareRecord {
        &self.errand.choice.record
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
