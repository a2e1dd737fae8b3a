//! At the start: what is held is offered again.
//!
//! Usually a look at the files is enough. What the store has no notes of (they are lost in a power
//! cut), or has notes of that do not fit any more, is read again, in the background.

use std::sync::Arc;

use skep_store::Source;

use crate::{announce, catalog::Held, core::Core, holdings, publish, scanning::Scanning, shelf::Body};

/// Puts what is held on the shelf. Returns what has to be read first. Blocking.
pub(crate) fn restore(core: &Core) -> Vec<Held> {
    let held: Vec<Held> = core.catalog.state().held.values().cloned().collect();
    let unsure = held.into_iter().filter(|held| match recall(core, held) {
        Some(source) => {
            offer(core, held, source);
            false
        }
        None => true,
    });
    unsure.collect()
}

/// Reads these again: offers what is still the same, and drops what is not.
pub(crate) async fn reread(core: Arc<Core>, unsure: Vec<Held>) {
    for held in unsure {
        let id = held.content.id;
        tracing::info!("reading {} again", held.path.display());
        match read(&core, &held).await {
            Some(source) => {
                offer(&core, &held, source);
                if let Err(error) = announce::hold(&core, &[id], true).await {
                    tracing::debug!("{id} is announced later: {error}");
                }
            }
            None => holdings::lost(&core, id).await,
        }
    }
}

fn offer(core: &Core, held: &Held, source: Source) {
    let records = holdings::records_of(&core.catalog.state(), held.content.id);
    core.shelf
        .put(held.content.id, Body::Whole(Arc::new(source)), records);
}

/// The source, if the files are as the store remembers them.
fn recall(core: &Core, held: &Held) -> Option<Source> {
    let (place, _) = holdings::place_of(core, &held.path).ok()?;
    let source = Source::open(&core.store, &place).ok()?;
    let same = source.content() == held.content && source.check_stamps().is_ok();
    same.then_some(source)
}

/// The source, if the files still have the content.
async fn read(core: &Arc<Core>, held: &Held) -> Option<Source> {
    let scanning = Arc::new(Scanning::default());
    let _stop = scanning.clone().stop_on_drop();
    let (reading, path) = (core.clone(), held.path.clone());
    let scan = move || {
        let (place, kind) = holdings::place_of(&reading, &path).ok()?;
        Some(
            publish::scan_place(&reading, &place, kind, &scanning)
                .ok()?
                .source,
        )
    };
    let source = core.world.work.call(scan).await?;
    (source.content() == held.content).then_some(source)
}
