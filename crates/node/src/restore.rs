//! At the start: what is held is offered again.
//!
//! Usually a look at the files is enough. What the store has no notes of (they are lost in a power
//! cut), or has notes of that do not fit any more, is read again, in the background. Only what is seen to
//! be gone or changed is dropped: what cannot be read now, or noted on a full disk, may be later.

use std::{io, sync::Arc, time::Duration};

use skep_store::{
    Source,
    scan::{ScanError, Scanned, SkipReason},
};

use crate::{announce, catalog::Held, core::Core, holdings, publish, scanning::Scanning, shelf::Body};

/// What cannot be read is tried again after so long, and then each time after twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// What became of something that is held.
enum Seen {
    Same(Arc<Source>),
    Gone,
    /// Nobody can say now, and why.
    Unclear(String),
}

/// Puts what is held on the shelf. Returns what has to be read first. Blocking.
pub(crate) fn restore(core: &Core) -> Vec<Held> {
    let held: Vec<Held> = core.catalog.state().held.values().cloned().collect();
    let unsure = held.into_iter().filter(|held| match recall(core, held) {
        Some(source) => {
            offer(core, held, Arc::new(source));
            false
        }
        None => true,
    });
    unsure.collect()
}

/// Reads these again: offers what is still the same, and drops what is not.
pub(crate) async fn reread(core: Arc<Core>, mut unsure: Vec<Held>) {
    let mut pause = FIRST_PAUSE;
    loop {
        unsure = look_at(&core, unsure).await;
        if unsure.is_empty() {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Returns those of which nobody can say now what became of them.
async fn look_at(core: &Arc<Core>, unsure: Vec<Held>) -> Vec<Held> {
    let mut unclear = Vec::new();
    for held in unsure {
        let id = held.content.id;
        tracing::info!("reading {} again", held.path.display());
        match read(core, &held).await {
            Seen::Same(source) => {
                offer(core, &held, source);
                if let Err(error) = announce::hold(core, &[id], true).await {
                    tracing::debug!("{id} is announced later: {error}");
                }
            }
            Seen::Gone => holdings::lost(core, id).await,
            Seen::Unclear(why) => {
                tracing::warn!("{} is not offered for now: {why}", held.path.display());
                unclear.push(held);
            }
        }
    }
    unclear
}

fn offer(core: &Core, held: &Held, source: Arc<Source>) {
    let records = holdings::records_of(&core.catalog.state(), held.content.id);
    core.shelf.put(held.content.id, Body::Whole(source), records);
}

/// The source, if the files are as the store remembers them.
fn recall(core: &Core, held: &Held) -> Option<Source> {
    let (place, _) = holdings::place_of(core, &held.path).ok()?;
    let source = Source::open(&core.store, &place).ok()?;
    let same = source.content() == held.content && source.check_stamps().is_ok();
    same.then_some(source)
}

/// Reads the files.
async fn read(core: &Arc<Core>, held: &Held) -> Seen {
    let scanning = Arc::new(Scanning::default());
    let _stop = scanning.clone().stop_on_drop();
    let (reading, held) = (core.clone(), held.clone());
    let scan = move || match holdings::place_of(&reading, &held.path) {
        Ok((place, kind)) => judge(publish::scan_place(&reading, &place, kind, &scanning), &held),
        Err(error) => Seen::of(&error),
    };
    core.world.work.call(scan).await
}

fn judge(scanned: Result<Scanned, ScanError>, held: &Held) -> Seen {
    let unread = |reason: &SkipReason| matches!(reason, SkipReason::Io(_) | SkipReason::Changing);
    match scanned {
        Ok(Scanned { source, .. }) if source.content() == held.content => Seen::Same(Arc::new(source)),
        Ok(Scanned { skipped, .. }) => match skipped.iter().find(|file| unread(&file.reason)) {
            Some(file) => Seen::Unclear(format!("{}: {}", file.path.display(), file.reason)),
            None => Seen::Gone,
        },
        Err(ScanError::Skipped(skipped)) => match &skipped.reason {
            SkipReason::Io(error) => Seen::of(error),
            SkipReason::Changing => Seen::Unclear(skipped.reason.to_string()),
            _ => Seen::Gone,
        },
        Err(ScanError::Place { error, .. }) => Seen::of(&error),
        Err(ScanError::TooLarge) => Seen::Gone,
        Err(error @ (ScanError::Home(_) | ScanError::Stopped(_))) => Seen::Unclear(error.to_string()),
    }
}

impl Seen {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Gone,
            _ => Self::Unclear(error.to_string()),
        }
    }
}
