//! The native network's open shares as a folder that can be listed and read, and nothing else.
//!
//! It stands beside the real disk, under a path that no file system has.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Buf, Bytes};
use skep_wire::RelPath;
use skep_world::{
    Dir, Disk, File, World,
    disk::{Entry, Kind, Open, Replace, Stat},
    raw,
};
use tokio::sync::mpsc;

use super::{Native, Share};

/// The path of the folder: relative, as no path that a person names is when it gets here.
pub const FOLDER: &str = "the shares of the network";

/// The folder. Cheap to clone; all clones are the same.
#[derive(Clone)]
pub struct Exposed {
    native: Arc<dyn Native>,
    files: Arc<Mutex<BTreeMap<String, Share>>>,
}

impl Exposed {
    /// An empty folder of that network.
    #[must_use]
    pub fn new(native: Arc<dyn Native>) -> Self {
        let files = Arc::default();
        Self { native, files }
    }

    /// The same world with this folder in it.
    #[must_use]
    pub fn world(&self, world: World) -> World {
        let disk = Arc::new(Beside {
            exposed: self.clone(),
            disk: world.disk,
        });
        World { disk, ..world }
    }

    /// What the network shares with everyone now.
    pub(super) async fn look(&self) -> io::Result<Vec<Share>> {
        self.native.shares().await
    }

    /// What there is from now on, by name.
    pub(super) fn set(&self, files: BTreeMap<String, Share>) {
        *self.files() = files;
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<String, Share>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn share(&self, path: &RelPath) -> io::Result<Share> {
        let missing = || io::Error::from(io::ErrorKind::NotFound);
        self.files().get(path.as_str()).cloned().ok_or_else(missing)
    }
}

/// A disk with one folder more.
struct Beside {
    exposed: Exposed,
    disk: Arc<dyn Disk>,
}

impl Disk for Beside {
    fn dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        if path == Path::new(FOLDER) {
            return Ok(Arc::new(self.exposed.clone()));
        }
        self.disk.dir(path)
    }

    fn make_dir(&self, path: &Path) -> io::Result<Arc<dyn Dir>> {
        self.disk.make_dir(path)
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        self.disk.canonical(path)
    }

    /// Nothing is backed up from the bridge's folder.
    fn raw(&self, path: &Path) -> io::Result<Arc<dyn raw::Folder>> {
        self.disk.raw(path)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.disk.free_bytes(path)
    }
}

impl Dir for Exposed {
    fn open(&self, path: &RelPath, how: Open) -> io::Result<Arc<dyn File>> {
        let share = self.share(path);
        match how {
            Open::Read => Ok(Arc::new(Remote {
                native: self.native.clone(),
                share: share?,
                reading: Mutex::new(None),
            })),
            _ => Err(read_only()),
        }
    }

    fn dir(&self, _: &RelPath) -> io::Result<Arc<dyn Dir>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn make_dirs(&self, _: &RelPath) -> io::Result<()> {
        Err(read_only())
    }

    fn rename(&self, _: &RelPath, _: &RelPath, _: Replace) -> io::Result<()> {
        Err(read_only())
    }

    fn remove_file(&self, _: &RelPath) -> io::Result<()> {
        Err(read_only())
    }

    fn remove_dir(&self, _: &RelPath) -> io::Result<()> {
        Err(read_only())
    }

    fn stat(&self, path: &RelPath) -> io::Result<Stat> {
        self.share(path).map(|share| stat(&share))
    }

    fn list(&self, path: Option<&RelPath>) -> io::Result<Vec<Entry>> {
        if path.is_some() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let entry = |name: &String| Entry {
            name: name.into(),
            kind: Kind::File,
        };
        Ok(self.files().keys().map(entry).collect())
    }

    fn set_executable(&self, _: &RelPath, _: bool) -> io::Result<()> {
        Err(read_only())
    }

    fn sync(&self, _: Option<&RelPath>) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &RelPath) -> io::Result<Box<dyn Send + Sync>> {
        Err(read_only())
    }

    fn host_path(&self) -> PathBuf {
        FOLDER.into()
    }
}

fn read_only() -> io::Error {
    io::ErrorKind::ReadOnlyFilesystem.into()
}

fn stat(share: &Share) -> Stat {
    Stat {
        kind: Kind::File,
        size: share.bytes,
        mtime_ns: 0,
        ctime_ns: 0,
        inode: 0,
        executable: false,
    }
}

/// A share that is read. Whoever reads in order has one stream; a leap begins another.
struct Remote {
    native: Arc<dyn Native>,
    share: Share,
    reading: Mutex<Option<Reading>>,
}

/// A stream, and what of it was not taken yet.
struct Reading {
    at: u64,
    piece: Bytes,
    pieces: mpsc::Receiver<io::Result<Bytes>>,
}

impl Reading {
    /// Waits for bytes if there are none.
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let next = self.pieces.blocking_recv();
            self.piece = next.unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))?;
        }
        let bytes = self.piece.len().min(out.len());
        self.piece.copy_to_slice(out.split_at_mut(bytes).0);
        self.at += bytes as u64;
        Ok(bytes)
    }
}

impl File for Remote {
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        if offset >= self.share.bytes || out.is_empty() {
            return Ok(0);
        }
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // A stream that fails is not used again.
        let mut stream = reading
            .take()
            .filter(|reading| reading.at == offset)
            .unwrap_or_else(|| Reading {
                at: offset,
                piece: Bytes::new(),
                pieces: self.native.read(&self.share, offset),
            });
        let bytes = stream.read(out)?;
        *reading = Some(stream);
        Ok(bytes)
    }

    fn read_now_at(&self, _: u64, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn stat(&self) -> io::Result<Stat> {
        Ok(stat(&self.share))
    }
}
