//! Buffers for bytes that are served: used again, so that serving does not ask for new memory.

use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are kept for the next one.
const SPARE: usize = 16;

/// Buffers that were used before.
#[derive(Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// A buffer; comes back when it is dropped.
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    len: usize,
    home: Buffers,
}

impl Buffers {
    /// A buffer of `len` bytes, with whatever was in it.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        let mut spare = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = spare.pop().unwrap_or_default();
        drop(spare);
        if bytes.len() < len {
            bytes.resize(len, 0);
        }
        Buffer {
            bytes,
            len,
            home: self.clone(),
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spare = self.home.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_have_the_length_that_is_asked_for() {
        let buffers = Buffers::default();
        let mut large = buffers.take(100);
        large.as_mut().fill(7);
        drop(large);
        let small = buffers.take(10);
        assert_eq!(small.as_ref(), [7; 10]);
        assert_eq!(buffers.take(200).as_ref().len(), 200);
        assert_eq!(buffers.0.lock().unwrap().len(), 1);
    }
}
