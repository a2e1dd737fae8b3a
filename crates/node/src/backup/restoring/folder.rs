//! A folder that is being restored. Its attributes are set when nothing in it is under way any more:
//! each file that is put into it would change its time.

use std::{io, path::PathBuf, sync::Arc};

use skep_vault::tree::Entry;
use skep_world::raw::{Folder, Kind};

use super::Run;

/// The mode of a folder while it is filled, and after a crash: nobody chooses it.
const UNFINISHED: u16 = 0o1700;

/// Where things go.
#[derive(Clone)]
pub(super) enum Place {
    /// Into this folder.
    Folder(Arc<Folder>),
    /// Nowhere: they are read and verified.
    Nowhere,
}

/// A folder of which something is under way.
pub(super) struct Open {
    pub(super) place: Place,
    /// Its path in the snapshot.
    pub(super) path: PathBuf,
    /// What it shall be like at the end, if it is ours to say.
    finish: Option<Entry>,
    above: Option<Arc<Open>>,
}

impl Open {
    /// The target itself, which stays as it is.
    pub(super) fn root(place: Place) -> Self {
        Self {
            place,
            path: PathBuf::from("/"),
            finish: None,
            above: None,
        }
    }

    /// A folder in this one, made if it is not there.
    pub(super) fn enter(self: &Arc<Self>, entry: &Entry, path: PathBuf, run: &Run<'_>) -> io::Result<Self> {
        let (place, ours) = match &self.place {
            Place::Nowhere => (Place::Nowhere, false),
            Place::Folder(folder) => {
                let (made, is_new) = enter(folder, entry.name.as_bytes())?;
                (Place::Folder(Arc::new(made)), is_new || run.overwrite)
            }
        };
        Ok(Self {
            place,
            path,
            finish: ours.then(|| entry.clone()),
            above: Some(self.clone()),
        })
    }

    /// One who worked in it has finished; the last one sets the attributes.
    pub(super) fn close(self: Arc<Self>, run: &Run<'_>) {
        let mut last = Arc::into_inner(self);
        while let Some(open) = last {
            if let Err(error) = open.finish(run) {
                run.fail(
                    &open.path,
                    format!("its mode and times could not be set: {error}"),
                );
            }
            last = open.above.and_then(Arc::into_inner);
        }
    }

    fn finish(&self, run: &Run<'_>) -> io::Result<()> {
        let (Some(entry), Place::Folder(folder)) = (&self.finish, &self.place) else {
            return Ok(());
        };
        // What was interrupted looks as if it was.
        if run.meter.is_stopped() {
            return Ok(());
        }
        let (attributes, xattrs) = run.attributes(entry);
        folder.set(&attributes, &xattrs)
    }
}

/// The folder of this name, and whether it is ours: made now, or by a restore that did not finish.
fn enter(folder: &Folder, name: &[u8]) -> io::Result<(Folder, bool)> {
    match folder.find(name)? {
        None => Ok((folder.make_folder(name, UNFINISHED)?, true)),
        Some(stat) if stat.kind == Kind::Dir => Ok((folder.folder(name)?, stat.mode == UNFINISHED)),
        Some(_) => Err(io::Error::other("something that is no folder is there")),
    }
}
