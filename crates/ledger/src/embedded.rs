//! Facts in one file, kept by redb.
//!
//! Commits are two-phase: of two commits, the older can then never stand in for a newer one whose
//! pages were damaged. Opening verifies all checksums, so damage is found before anything is
//! promised on top of it. There is no group commit here: whoever has many changes makes one batch.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use skep_wire::RelPath;
use skep_world::{
    Dir, File,
    disk::{Open, Replace},
};
use thiserror::Error;

use crate::{
    backend::FileBackend,
    store::{Change, CommitError, Epoch, FactStore, Head, LoadError, Revision, check_batch},
};

const FACTS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("facts");
const HEAD: TableDefinition<&str, u64> = TableDefinition::new("ledger");

/// The format of what this version writes into the tables.
const FORMAT: u64 = 1;
/// What every file of redb begins with.
const MAGIC: &[u8; 9] = b"redb\x1a\x0a\xa9\x0d\x0a";

/// A [`FactStore`] in a file.
///
/// After a failed write the file is opened anew by the next call, which undoes what was half done.
/// After a failed sync the store is broken: what the kernel kept is then not known, and a second
/// sync that succeeds would prove nothing.
pub struct Redb {
    place: Place,
    state: Mutex<State>,
}

/// Where the file is, and how to open it.
struct Place {
    dir: Arc<dyn Dir>,
    name: RelPath,
    cache_bytes: usize,
}

enum State {
    Open(Opened),
    /// A write failed; the file is to be opened anew.
    Closed,
    /// Why nothing can be promised any more.
    Broken(String),
}

struct Opened {
    database: Database,
    head: Head,
    sync_failed: Arc<AtomicBool>,
}

/// Why a ledger file cannot be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Reading or writing failed.
    #[error("the ledger {path} cannot be opened: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{path} is not a ledger")]
    Foreign {
        /// The file.
        path: String,
    },
    /// It was a ledger, but bytes are missing or changed.
    #[error("the ledger {path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// A later version of this program made it.
    #[error("the ledger {path} has format {found}, and this version knows formats up to {known}")]
    TooNew {
        /// The file.
        path: String,
        /// Its format.
        found: u64,
        /// The newest format known.
        known: u64,
    },
}

impl Redb {
    /// Opens the ledger `name` in `dir`, or makes it. `cache_bytes` bounds the memory for its pages.
    ///
    /// The caller MUST hold a lock that keeps others away from the file, and `name`.new as well.
    ///
    /// # Errors
    /// [`OpenError`] when it is not a whole ledger of a known format, or cannot be read.
    pub fn open(dir: Arc<dyn Dir>, name: &RelPath, cache_bytes: usize) -> Result<Self, OpenError> {
        let name = name.clone();
        let place = Place {
            dir,
            name,
            cache_bytes,
        };
        if !place.exists()? {
            place.create()?;
        }
        let state = Mutex::new(State::Open(place.open()?));
        Ok(Self { place, state })
    }

    /// The state, to be used by one caller at a time.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            *state = State::Broken("a call to it panicked".to_owned());
            state
        })
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state.try_lock().as_deref() {
            Ok(State::Open(opened)) => format!("{:?}", opened.head),
            Ok(State::Closed) => "closed".to_owned(),
            Ok(State::Broken(why)) => format!("broken: {why}"),
            Err(TryLockError::WouldBlock | TryLockError::Poisoned(_)) => "busy".to_owned(),
        };
        write!(f, "Redb({}, {state})", self.place.path())
    }
}

impl FactStore for Redb {
    fn load(&self, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<Head, LoadError> {
        let mut state = self.state();
        let opened = state.ready(&self.place).map_err(|trouble| match trouble {
            Trouble::Failed(e) => LoadError::Failed(e),
            Trouble::Broken(why) => LoadError::Broken(why),
        })?;
        read(&opened.database, visit).map_err(|e| match io_error(e) {
            Ok(e) => LoadError::Failed(e),
            Err(what) => LoadError::Damaged(what),
        })?;
        Ok(opened.head)
    }

    fn commit(&self, epoch: Epoch, expected: Revision, batch: &[Change]) -> Result<Revision, CommitError> {
        check_batch(batch)?;
        let mut state = self.state();
        let opened = state.ready(&self.place).map_err(|trouble| match trouble {
            Trouble::Failed(e) => CommitError::Failed(e),
            Trouble::Broken(why) => CommitError::Broken(why),
        })?;
        opened.head.check(epoch, expected)?;
        let revision = expected.next();
        let head = Head { epoch, revision };
        match write(&opened.database, head, batch) {
            Ok(()) => {
                opened.head = head;
                Ok(revision)
            }
            Err(e) => Err(state.fail(e)),
        }
    }
}

/// Why a state is not ready.
enum Trouble {
    Failed(io::Error),
    Broken(String),
}

impl State {
    /// The open database, opened anew if an earlier write failed.
    fn ready(&mut self, place: &Place) -> Result<&mut Opened, Trouble> {
        if matches!(self, State::Closed) {
            *self = match place.open() {
                Ok(opened) => State::Open(opened),
                Err(OpenError::Io { source, .. }) => return Err(Trouble::Failed(source)),
                Err(e) => State::Broken(e.to_string()),
            };
        }
        match self {
            State::Open(opened) => Ok(opened),
            State::Broken(why) => Err(Trouble::Broken(why.clone())),
            State::Closed => unreachable!("it was opened or broken above"),
        }
    }

    /// Takes note of a commit that failed.
    fn fail(&mut self, error: redb::Error) -> CommitError {
        let synced = match self {
            State::Open(opened) => !opened.sync_failed.load(Ordering::SeqCst),
            State::Closed | State::Broken(_) => true,
        };
        let broken = match io_error(error) {
            Ok(e) if synced => {
                *self = State::Closed;
                return CommitError::Failed(e);
            }
            Ok(e) => format!("what was written could not be made durable: {e}"),
            Err(what) => what,
        };
        *self = State::Broken(broken.clone());
        CommitError::Broken(broken)
    }
}

impl Place {
    fn path(&self) -> String {
        self.dir
            .host_path()
            .join(self.name.as_str())
            .display()
            .to_string()
    }

    fn io(&self, source: io::Error) -> OpenError {
        let path = self.path();
        OpenError::Io { path, source }
    }

    fn damaged(&self, what: impl Into<String>) -> OpenError {
        let (path, what) = (self.path(), what.into());
        OpenError::Damaged { path, what }
    }

    fn exists(&self) -> Result<bool, OpenError> {
        match self.dir.stat(&self.name) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(self.io(e)),
        }
    }

    /// Makes an empty ledger under another name first, so that a crash leaves none or a whole one.
    fn create(&self) -> Result<(), OpenError> {
        let new = RelPath::parse(&format!("{}.new", self.name)).map_err(|e| self.damaged(e.to_string()))?;
        match self.dir.remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(self.io(e)),
            _ => {}
        }
        let file = self
            .dir
            .open(&new, Open::CreateNewPrivate)
            .map_err(|e| self.io(e))?;
        let database = self.database(file.clone(), &Arc::default())?;
        write(&database, Head::default(), &[]).map_err(|e| self.explain(e))?;
        drop(database);
        file.sync()
            .and_then(|()| self.dir.rename(&new, &self.name, Replace::Never))
            .and_then(|()| self.dir.sync(self.name.parent().as_ref()))
            .map_err(|e| self.io(e))
    }

    /// Opens the file and verifies all of it. redb is made for honest files and may panic on
    /// others; here that is one more way to find damage.
    fn open(&self) -> Result<Opened, OpenError> {
        let file = self.dir.open(&self.name, Open::Write).map_err(|e| self.io(e))?;
        self.check_magic(&file)?;
        catch_unwind(AssertUnwindSafe(|| self.verify(file)))
            .unwrap_or_else(|_| Err(self.damaged("its pages contradict each other")))
    }

    fn check_magic(&self, file: &Arc<dyn File>) -> Result<(), OpenError> {
        let mut magic = [0; MAGIC.len()];
        match file.read_exact_at(0, &mut magic) {
            Ok(()) if magic == *MAGIC => Ok(()),
            Ok(()) => Err(OpenError::Foreign { path: self.path() }),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Err(self.damaged("it was cut short")),
            Err(e) => Err(self.io(e)),
        }
    }

    fn verify(&self, file: Arc<dyn File>) -> Result<Opened, OpenError> {
        let sync_failed = Arc::default();
        let mut database = self.database(file, &sync_failed)?;
        let clean = database.check_integrity().map_err(|e| self.explain(e.into()))?;
        if !clean {
            tracing::warn!(path = self.path(), "the ledger's free space was rebuilt");
        }
        let head = self.read_head(&database)?;
        Ok(Opened {
            database,
            head,
            sync_failed,
        })
    }

    fn database(&self, file: Arc<dyn File>, sync_failed: &Arc<AtomicBool>) -> Result<Database, OpenError> {
        Database::builder()
            .set_cache_size(self.cache_bytes)
            .create_with_backend(FileBackend::new(file, sync_failed.clone()))
            .map_err(|e| self.explain(e.into()))
    }

    fn read_head(&self, database: &Database) -> Result<Head, OpenError> {
        let [format, epoch, revision] = head_fields(database).map_err(|e| self.explain(e))?;
        let format = format.ok_or_else(|| OpenError::Foreign { path: self.path() })?;
        if format > FORMAT {
            let (path, found, known) = (self.path(), format, FORMAT);
            return Err(OpenError::TooNew { path, found, known });
        }
        match (epoch, revision) {
            (Some(epoch), Some(revision)) => Ok(Head {
                epoch: Epoch(epoch),
                revision: Revision(revision),
            }),
            _ => Err(self.damaged("it does not say its revision")),
        }
    }

    fn explain(&self, error: redb::Error) -> OpenError {
        match io_error(error) {
            Ok(e) => self.io(e),
            Err(what) => self.damaged(what),
        }
    }
}

/// Tells trouble with the disk from a file that is wrong.
fn io_error(error: redb::Error) -> Result<io::Error, String> {
    match error {
        redb::Error::Io(e) => match e.kind() {
            io::ErrorKind::UnexpectedEof => Err("it was cut short".to_owned()),
            io::ErrorKind::InvalidData => Err(e.to_string()),
            _ => Ok(e),
        },
        redb::Error::PreviousIo => Ok(io::Error::other("an earlier write failed")),
        redb::Error::Corrupted(what) => Err(what),
        other => Err(other.to_string()),
    }
}

fn read(database: &Database, visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), redb::Error> {
    let facts = database.begin_read()?.open_table(FACTS)?;
    for fact in facts.iter()? {
        let (key, value) = fact?;
        visit(key.value(), value.value());
    }
    Ok(())
}

/// Format, epoch and revision, as far as the file says them.
fn head_fields(database: &Database) -> Result<[Option<u64>; 3], redb::Error> {
    let reading = database.begin_read()?;
    let mut names = reading.list_tables()?;
    if !names.any(|table| table.name() == HEAD.name()) {
        return Ok([None; 3]);
    }
    let table = reading.open_table(HEAD)?;
    let field = |name| Ok::<_, redb::Error>(table.get(name)?.map(|value| value.value()));
    Ok([field("format")?, field("epoch")?, field("revision")?])
}

fn write(database: &Database, head: Head, batch: &[Change]) -> Result<(), redb::Error> {
    let mut writing = database.begin_write()?;
    writing.set_two_phase_commit(true);
    {
        let mut table = writing.open_table(HEAD)?;
        table.insert("format", FORMAT)?;
        table.insert("epoch", head.epoch.0)?;
        table.insert("revision", head.revision.0)?;
        let mut facts = writing.open_table(FACTS)?;
        for change in batch {
            match &change.value {
                Some(value) => facts.insert(change.key.as_slice(), value.as_slice())?,
                None => facts.remove(change.key.as_slice())?,
            };
        }
    }
    writing.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests;
