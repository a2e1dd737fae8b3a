//! SHA-256 of files, off the async threads.

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
    let mut sha256 = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    loop {
        let bytes = file.read_at(offset, &mut piece)?;
        if bytes == 0 {
            break;
        }
        sha256.update(piece.get(..bytes).unwrap_or_default());
        offset += bytes as u64;
        if offset > u64::from(u32::MAX) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
    let file_size = u32::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let hash = FileHash(sha256.finalize().into());
    Ok(Known { file_size, hash })
}
