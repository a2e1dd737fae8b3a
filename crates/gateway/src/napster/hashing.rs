//! SHA-256 of files: of those that are there, and of those that are being written.

use std::io;

use sha2::{Digest, Sha256};
use skep_world::File;

use super::{codec::FileHash, peer::Known};

/// Bytes that are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Hashes a file; its size is what was read. Blocking.
///
/// # Errors
/// When it cannot be read; of kind `FileTooLarge` when its size does not fit a message.
pub(super) fn hash(file: &dyn File) -> io::Result<Known> {
    if file.stat()?.size > u64::from(u32::MAX) {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    SoFar::default().finish(file)
}

/// The hash of the beginning of a file.
#[derive(Default)]
pub(super) struct SoFar {
    sha256: Sha256,
    bytes: u64,
}

impl SoFar {
    /// Something was written, and will not change. It counts now if it is what comes next.
    pub(super) fn wrote(&mut self, offset: u64, bytes: &[u8]) {
        if offset == self.bytes {
            self.sha256.update(bytes);
            self.bytes += bytes.len() as u64;
        }
    }

    /// Reads what has not counted yet: this is the hash of all of the file. Blocking.
    ///
    /// # Errors
    /// As of [`hash`].
    pub(super) fn finish(mut self, file: &dyn File) -> io::Result<Known> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let file_size = u32::try_from(self.bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
            let read = file.read_at(self.bytes, &mut piece)?;
            if read == 0 {
                let hash = FileHash(self.sha256.finalize().into());
                return Ok(Known { file_size, hash });
            }
            self.wrote(self.bytes, piece.get(..read).unwrap_or_default());
        }
    }
}
