//! Backups that the running peer makes by itself, again and again: kept in the home, run one after the other.
//!
//! What is due when is decided in [`book`], from times in [`when`]; here are the file, the clock and the work.

pub(crate) mod book;
pub(crate) mod when;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use skep_world::disk::Replace;
use thiserror::Error;
use tokio::{
    sync::{Mutex, MutexGuard, Notify},
    time,
};

use self::book::Book;
use self::when::{ParseWhenError, When};
use crate::{
    api::types::{BackupRequest, ScheduleLine, ScheduleRequest, ScheduleResult},
    backup::{self, BackupError, Meter},
    core::Core,
    home::name,
};

/// Its name in the home.
const FILE: &str = "schedules";
const LIMIT: usize = 16 << 20;
/// The clock is looked at so often: it may be set, and machines sleep.
const LOOK_EVERY: Duration = Duration::from_secs(20);

/// Why a schedule was not made or removed.
#[derive(Debug, Error)]
pub(crate) enum ScheduleError {
    /// It is no time.
    #[error(transparent)]
    When(#[from] ParseWhenError),
    /// It could not be backed up even now.
    #[error(transparent)]
    Request(BackupError),
    /// There are too many.
    #[error("there are too many schedules")]
    TooMany,
    /// No schedule has this number.
    #[error("there is no schedule {0}")]
    NoSuchSchedule(u64),
    /// The home cannot be used.
    #[error("the schedules in the home cannot be read or written: {0}")]
    Home(#[from] io::Error),
}

/// The schedules of a running peer.
#[derive(Default)]
pub(crate) struct Schedules {
    /// None until it is read.
    book: Mutex<Option<Book>>,
    /// The number of the one that is running; 0: none.
    running: AtomicU64,
    changed: Notify,
}

impl Schedules {
    fn running(&self) -> Option<u64> {
        Some(self.running.load(Ordering::Relaxed)).filter(|number| *number > 0)
    }
}

/// All schedules, and when they are due.
pub(crate) async fn list(core: &Arc<Core>) -> Result<Vec<ScheduleLine>, ScheduleError> {
    let mut guard = core.schedules.book.lock().await;
    let running = core.schedules.running();
    Ok(book(core, &mut guard)
        .await?
        .lines(core.unix_s(), &core.config.zone, running))
}

/// Makes a schedule. It runs for the first time when its time comes.
pub(crate) async fn add(core: &Arc<Core>, request: ScheduleRequest) -> Result<ScheduleLine, ScheduleError> {
    let when: When = request.when.parse()?;
    backup::validate(core, &request.request)
        .await
        .map_err(ScheduleError::Request)?;
    let now = core.unix_s();
    let add = |book: &mut Book| book.add(when, request.request, now).ok_or(ScheduleError::TooMany);
    let number = change(core, add).await?;
    core.schedules.changed.notify_one();
    let made = list(core).await?.into_iter().find(|line| line.number == number);
    made.ok_or(ScheduleError::NoSuchSchedule(number))
}

/// Removes a schedule. What it has backed up stays.
pub(crate) async fn remove(core: &Arc<Core>, number: u64) -> Result<(), ScheduleError> {
    let remove = |book: &mut Book| {
        let removed = book.remove(number).then_some(());
        removed.ok_or(ScheduleError::NoSuchSchedule(number))
    };
    change(core, remove).await
}

/// The book, read if it was not yet.
async fn book<'a>(
    core: &Arc<Core>,
    guard: &'a mut MutexGuard<'_, Option<Book>>,
) -> Result<&'a mut Book, io::Error> {
    if guard.is_none() {
        let inner = core.clone();
        let read = move || inner.home.dir.read_whole(&name(FILE), LIMIT);
        let book = match core.world.work.call(read).await? {
            Some(bytes) => serde_json::from_slice(&bytes)?,
            None => Book::default(),
        };
        **guard = Some(book);
    }
    Ok(guard.as_mut().expect("it was read just now"))
}

/// Changes the book, durably or not at all.
async fn change<T>(
    core: &Arc<Core>,
    change: impl FnOnce(&mut Book) -> Result<T, ScheduleError>,
) -> Result<T, ScheduleError> {
    let mut guard = core.schedules.book.lock().await;
    let known = book(core, &mut guard).await?;
    let mut changed = known.clone();
    let outcome = change(&mut changed)?;
    write(core, &changed).await?;
    *known = changed;
    Ok(outcome)
}

async fn write(core: &Arc<Core>, book: &Book) -> io::Result<()> {
    let (inner, bytes) = (core.clone(), serde_json::to_vec(book)?);
    let write = move || inner.home.dir.write_whole(&name(FILE), &bytes, Replace::Allow);
    core.world.work.call(write).await
}

/// Runs what is due, as long as the peer runs.
pub(crate) async fn run(core: Arc<Core>) {
    loop {
        // Without the coordinator no backup can be made; what is due stays so.
        core.session.wait_until(|view| view.connected).await;
        let made = match due(&core).await {
            Some((number, request)) => make(&core, number, request).await,
            None => false,
        };
        if !made {
            wait(&core).await;
        }
    }
}

async fn due(core: &Arc<Core>) -> Option<(u64, BackupRequest)> {
    let mut guard = core.schedules.book.lock().await;
    match book(core, &mut guard).await {
        Ok(book) => book.due(core.unix_s(), &core.config.zone),
        Err(error) => {
            tracing::warn!("no scheduled backup is made: {}", ScheduleError::Home(error));
            None
        }
    }
}

/// Waits until something may be due.
async fn wait(core: &Arc<Core>) {
    let now = core.unix_s();
    let next = match &*core.schedules.book.lock().await {
        Some(book) => book.next(now, &core.config.zone),
        None => None,
    };
    let left = next.map_or(LOOK_EVERY, |next| Duration::from_secs(next.saturating_sub(now)));
    let pause = left.clamp(Duration::from_secs(1), LOOK_EVERY);
    let _ = time::timeout(pause, core.schedules.changed.notified()).await;
}

/// Makes one backup and notes what came of it. False: another one is being made just now.
async fn make(core: &Arc<Core>, number: u64, request: BackupRequest) -> bool {
    let began = core.unix_s();
    core.schedules.running.store(number, Ordering::Relaxed);
    let done = backup::back_up(core, request, Arc::new(Meter::default())).await;
    core.schedules.running.store(0, Ordering::Relaxed);
    let mut result = ScheduleResult {
        at: core.unix_s(),
        ..ScheduleResult::default()
    };
    match done {
        Err(BackupError::Busy) => return false,
        Err(error) => {
            tracing::warn!("the scheduled backup {number} failed: {error}");
            result.error = Some(error.to_string());
        }
        Ok(done) => {
            tracing::info!("the scheduled backup {number} made snapshot {}", done.snapshot);
            (result.files, result.bytes) = (done.files, done.bytes);
            result.skipped = done.skipped.len();
            result.snapshot = Some(done.snapshot);
        }
    }
    note(core, number, began, result).await;
    true
}

/// Notes what came of a run; in memory at least, so that a disk that takes nothing does not make it run for ever.
async fn note(core: &Arc<Core>, number: u64, began: u64, result: ScheduleResult) {
    let mut guard = core.schedules.book.lock().await;
    let noted = match book(core, &mut guard).await {
        Ok(book) => {
            book.ran(number, began, result);
            write(core, book).await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = noted {
        tracing::warn!("what came of a scheduled backup was not written: {error}");
    }
}
