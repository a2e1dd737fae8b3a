//! Open files, the most recently used ones: one bounded set for all of a home's contents.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use skep_world::File;

/// What a file is to its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Object(u32),
    Inventory,
    Outlines,
}

/// At most so many files at once; whose turn comes last is closed first.
pub(crate) struct OpenFiles {
    limit: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    scopes: u64,
    /// The most recently used last.
    files: VecDeque<(u64, Part, Arc<dyn File>)>,
}

/// The open files of one content; they are closed with it.
pub(crate) struct Scope {
    all: Arc<OpenFiles>,
    number: u64,
}

impl OpenFiles {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        let open = Mutex::default();
        Arc::new(Self { limit, open })
    }

    pub(crate) fn scope(self: &Arc<Self>) -> Scope {
        let mut open = self.lock();
        open.scopes += 1;
        Scope {
            all: Arc::clone(self),
            number: open.scopes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Every state between two statements is a valid one.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Scope {
    /// The file of `part`, opened by `open` if it is not.
    pub(crate) fn get(
        &self,
        part: Part,
        open: impl FnOnce() -> io::Result<Arc<dyn File>>,
    ) -> io::Result<Arc<dyn File>> {
        if let Some(file) = self.take(part) {
            self.keep(part, &file);
            return Ok(file);
        }
        // Not under the lock: opening may take long.
        let file = open()?;
        self.keep(part, &file);
        Ok(file)
    }

    /// Closes the file of `part` as soon as nobody reads it.
    pub(crate) fn forget(&self, part: Part) {
        self.take(part);
    }

    /// Closes all.
    pub(crate) fn forget_all(&self) {
        self.all.lock().files.retain(|(scope, ..)| *scope != self.number);
    }

    fn take(&self, part: Part) -> Option<Arc<dyn File>> {
        let files = &mut self.all.lock().files;
        let at = files
            .iter()
            .rposition(|(scope, p, _)| (*scope, *p) == (self.number, part))?;
        files.remove(at).map(|(.., file)| file)
    }

    fn keep(&self, part: Part, file: &Arc<dyn File>) {
        let files = &mut self.all.lock().files;
        files.push_back((self.number, part, Arc::clone(file)));
        if files.len() > self.all.limit {
            files.pop_front();
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        self.forget_all();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use skep_wire::RelPath;
    use skep_world::{Disk as _, disk::Open, simulated::Disk};

    use super::*;

    #[test]
    fn the_least_recently_used_is_closed_and_scopes_do_not_mix() {
        let dir = Disk::new().make_dir(Path::new("/x")).unwrap();
        let open = |name: &str| dir.open(&RelPath::parse(name).unwrap(), Open::OpenOrCreatePrivate);
        let files = OpenFiles::new(2);
        let (a, b) = (files.scope(), files.scope());
        let kept = |scope: &Scope, part| scope.get(part, || Err(io::ErrorKind::NotFound.into())).is_ok();
        a.get(Part::Object(1), || open("a1")).unwrap();
        b.get(Part::Object(1), || open("b1")).unwrap();
        assert!(kept(&a, Part::Object(1)));
        a.get(Part::Inventory, || open("a")).unwrap();
        assert!(!kept(&b, Part::Object(1)), "used before the other");
        assert!(kept(&a, Part::Object(1)));
        a.forget(Part::Object(1));
        assert!(!kept(&a, Part::Object(1)));
        drop(a);
        assert!(files.lock().files.is_empty());
    }
}
