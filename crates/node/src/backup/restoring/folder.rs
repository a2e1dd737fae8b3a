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
    Folder(Arc<dyn Folder>),
    /// Nowhere: they are read and verified.
    Nowhere,
}

/// A folder of which something is under way.
pub(super) struct Open {
    pub(super) place: Place,
    /// Its path in the snapshot.
    pub(super) path: PathBuf,
    /// Whether it was made just now, so that nothing of others is in it.
    pub(super) is_new: bool,
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
            is_new: false,
            finish: None,
            above: None,
        }
    }

    /// A folder in this one, made if it is not there.
    pub(super) fn enter(self: &Arc<Self>, entry: &Entry, path: PathBuf, run: &Run<'_>) -> io::Result<Self> {
        let inner = |place, is_new, is_ours: bool| Self {
            place,
            path,
            is_new,
            finish: is_ours.then(|| entry.clone()),
            above: Some(self.clone()),
        };
        let Place::Folder(folder) = &self.place else {
            return Ok(inner(Place::Nowhere, false, false));
        };
        let (entered, state) = enter(&**folder, entry.name.as_bytes())?;
        let is_ours = state != State::Finished || run.overwrite;
        Ok(inner(Place::Folder(entered), state == State::New, is_ours))
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

/// How a folder was found.
#[derive(PartialEq, Eq)]
enum State {
    /// It was not there.
    New,
    /// Made by a restore that did not finish.
    Unfinished,
    /// Made by somebody else, or finished.
    Finished,
}

/// The folder of this name, made if it is not there.
fn enter(folder: &dyn Folder, name: &[u8]) -> io::Result<(Arc<dyn Folder>, State)> {
    match folder.find(name)? {
        None => Ok((folder.make_folder(name, UNFINISHED)?, State::New)),
        Some(stat) if stat.kind == Kind::Dir => {
            let state = match stat.mode == UNFINISHED {
                true => State::Unfinished,
                false => State::Finished,
            };
            Ok((folder.folder(name)?, state))
        }
        Some(_) => Err(io::Error::other("something that is no folder is there")),
    }
}
