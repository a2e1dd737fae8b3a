//! redb's storage, kept in a file of the world: so that it runs on a simulated disk as well.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use skep_world::File;

/// A [`File`] as redb wants it.
pub(crate) struct FileBackend {
    file: Arc<dyn File>,
    sync_failed: Arc<AtomicBool>,
}

impl FileBackend {
    /// `sync_failed` is set when a sync fails: what was written is then neither known to be on
    /// disk nor to be missing, and trying again proves nothing (the kernel may have dropped it).
    pub(crate) fn new(file: Arc<dyn File>, sync_failed: Arc<AtomicBool>) -> Self {
        Self { file, sync_failed }
    }
}

impl fmt::Debug for FileBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileBackend")
    }
}

impl redb::StorageBackend for FileBackend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.stat()?.size)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file
            .sync()
            .inspect_err(|_| self.sync_failed.store(true, Ordering::SeqCst))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, data)
    }
}
