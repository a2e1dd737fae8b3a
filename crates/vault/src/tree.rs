//! A folder as it is stored: its entries, one after the other, ascending by name.
//!
//! Each entry is its length (u32 LE) and that many bytes of postcard. A tree is a content like a file's:
//! it is cut into pieces, so a folder of a million files costs no more memory than a small one, and a
//! change in it costs a piece. Folders name the content of their own tree; nothing is nested in the
//! encoding.
//!
//! Names and targets of links are bytes, as Unix has them, UTF-8 or not. A name that could lead out of
//! its folder cannot be read at all; what an honest device writes has none. Where a name is restored
//! to a system with other rules, [`Name::check_anywhere`] tells.

mod entry;
mod name;

use skep_wire::bounded;
use thiserror::Error;

pub use self::{
    entry::{Entry, Hole, Meta, Node, Stamp, Time, Xattr},
    name::{BadName, Name},
};

/// The most bytes of an entry: 64 KiB of attributes, names, and a content.
pub const MAX_ENTRY_BYTES: usize = 256 << 10;
/// The most folders inside each other.
pub const MAX_FOLDERS: usize = 1024;

/// Why a tree cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TreeError {
    /// An entry is no entry, or too long.
    #[error("an entry of a folder cannot be read")]
    Malformed,
    /// Names do not ascend: an entry twice, or out of order.
    #[error("the entries of a folder are not in order")]
    Order,
    /// The end is missing.
    #[error("the entries of a folder end in the middle of one")]
    CutOff,
}

/// What cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the entry is too long to be stored, or its parts contradict each other")]
pub struct Unstorable;

/// Appends an entry to the bytes of a tree. Entries come in ascending order of their names.
///
/// # Errors
/// [`Unstorable`] when no reader would take the entry.
///
/// # Panics
/// Never: entries encode.
pub fn encode(entry: &Entry, out: &mut Vec<u8>) -> Result<(), Unstorable> {
    let bytes = postcard::to_allocvec(entry).expect("entries encode");
    if bytes.len() > MAX_ENTRY_BYTES || entry.check().is_err() {
        return Err(Unstorable);
    }
    let len = u32::try_from(bytes.len()).map_err(|_| Unstorable)?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Reads a tree that comes piece by piece, with memory for one piece and one entry.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    /// Bytes of the buffer that were read.
    read: usize,
    last: Option<Name>,
}

impl Reader {
    /// At the beginning of a tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes. The entries in them should be read before the next.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.read);
        self.read = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next entry; none if it takes more bytes.
    ///
    /// # Errors
    /// [`TreeError`]; after one, nothing more of this tree is to be believed.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TreeError> {
        let Some((len, rest)) = self.buffer[self.read..].split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*len) as usize;
        if len > MAX_ENTRY_BYTES {
            return Err(TreeError::Malformed);
        }
        let Some(bytes) = rest.get(..len) else {
            return Ok(None);
        };
        let entry = decode(bytes)?;
        if self.last.as_ref().is_some_and(|last| *last >= entry.name) {
            return Err(TreeError::Order);
        }
        self.read += 4 + len;
        self.last = Some(entry.name.clone());
        Ok(Some(entry))
    }

    /// The tree ends here.
    ///
    /// # Errors
    /// [`TreeError::CutOff`] when bytes are left over.
    pub fn finish(&self) -> Result<(), TreeError> {
        if self.read == self.buffer.len() {
            Ok(())
        } else {
            Err(TreeError::CutOff)
        }
    }
}

fn decode(bytes: &[u8]) -> Result<Entry, TreeError> {
    let entry: Entry = bounded::whole(bytes).ok_or(TreeError::Malformed)?;
    entry.check().map_err(|Unstorable| TreeError::Malformed)?;
    Ok(entry)
}

#[cfg(test)]
mod tests;
