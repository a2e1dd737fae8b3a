//! The requests of this side that have no last answer yet.
//!
//! Each is exactly one of: waiting for a message, waiting for bulk bytes, being read (its buffer is
//! with the reading task), abandoned (nobody waits, but the other side has not ended it).

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use skep_wire::frame::REPLY;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What came back.
pub(super) enum Answer {
    /// A message.
    Message { kind: u16, body: Bytes },
    /// All bytes of a bulk answer.
    Bulk(BytesMut),
}

/// Where a bulk answer goes.
pub(super) struct BulkSink {
    pub(super) buffer: BytesMut,
    /// Bytes that may still come.
    pub(super) left: usize,
    pub(super) arrived: Arc<AtomicU64>,
    pub(super) done: oneshot::Sender<Answer>,
}

impl BulkSink {
    pub(super) fn count(&mut self, bytes: usize) {
        self.left -= bytes;
        self.arrived.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Who waits.
pub(super) enum Waiter {
    /// Somebody, for a message.
    Message(oneshot::Sender<Answer>),
    /// Somebody, for bulk bytes.
    Bulk(BulkSink),
    /// Somebody, for bulk bytes; a segment is being read.
    Reading,
    /// Nobody. So many bulk bytes may still come.
    Abandoned { left: usize },
}

/// What to do with a segment.
pub(super) enum SegmentFor {
    /// Read it into this, then [`Asked::put_back`] or [`Asked::finish`].
    Sink(BulkSink),
    /// Read it and throw it away.
    Nobody,
    /// No bulk answer is expected under this id.
    Unexpected,
    /// It is more than was asked for.
    TooMuch,
}

/// The table.
pub(super) struct Asked {
    places: Arc<Semaphore>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last_id: u32,
    open: BTreeMap<u32, Entry>,
    closed: bool,
}

struct Entry {
    waiter: Waiter,
    _place: OwnedSemaphorePermit,
}

impl Asked {
    pub(super) fn new(outstanding: u32) -> Self {
        Self {
            places: Arc::new(Semaphore::new(outstanding as usize)),
            table: Mutex::default(),
        }
    }

    /// Waits until one more request may be asked; none when the link is closing.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Opens a request and returns its id; none when the link is closing.
    pub(super) fn open(&self, place: OwnedSemaphorePermit, waiter: Waiter) -> Option<u32> {
        let mut table = self.lock();
        if table.closed {
            return None;
        }
        let id = table.free_id();
        table.open.insert(
            id,
            Entry {
                waiter,
                _place: place,
            },
        );
        Some(id)
    }

    /// How many requests are open.
    pub(super) fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// Opens a request for whose answer nobody waits, if there is a free place.
    pub(super) fn open_unwaited(&self) -> Option<u32> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        self.open(place, Waiter::Abandoned { left: 0 })
    }

    /// Nobody waits any more. True if the other side should be told.
    pub(super) fn abandon(&self, id: u32) -> bool {
        match self.lock().open.get_mut(&id) {
            Some(entry) => {
                let left = match &entry.waiter {
                    Waiter::Bulk(sink) => sink.left,
                    Waiter::Abandoned { left } => *left,
                    // Known once the segment has been read.
                    Waiter::Message(_) | Waiter::Reading => 0,
                };
                entry.waiter = Waiter::Abandoned { left };
                true
            }
            None => false,
        }
    }

    /// Hands over a message, which ends the request. False if there is no such request.
    pub(super) fn answer(&self, id: u32, kind: u16, body: Bytes) -> bool {
        let Some(entry) = self.lock().open.remove(&id) else {
            return false;
        };
        let done = match entry.waiter {
            Waiter::Message(done) => done,
            Waiter::Bulk(sink) => sink.done,
            Waiter::Reading | Waiter::Abandoned { .. } => return true,
        };
        // Whoever waited may be gone since: then nobody wants the answer.
        let _ = done.send(Answer::Message { kind, body });
        true
    }

    /// Where the next segment of this request goes, which has so many bytes.
    pub(super) fn segment(&self, id: u32, length: usize) -> SegmentFor {
        let mut table = self.lock();
        let Some(entry) = table.open.get_mut(&id) else {
            return SegmentFor::Unexpected;
        };
        match std::mem::replace(&mut entry.waiter, Waiter::Reading) {
            Waiter::Bulk(sink) if length > sink.left => SegmentFor::TooMuch,
            Waiter::Bulk(sink) => SegmentFor::Sink(sink),
            Waiter::Abandoned { left } => {
                entry.waiter = Waiter::Abandoned {
                    left: left.saturating_sub(length),
                };
                match length > left {
                    true => SegmentFor::TooMuch,
                    false => SegmentFor::Nobody,
                }
            }
            waiter @ (Waiter::Message(_) | Waiter::Reading) => {
                entry.waiter = waiter;
                SegmentFor::Unexpected
            }
        }
    }

    /// A segment has been read and more follow.
    pub(super) fn put_back(&self, id: u32, sink: BulkSink) {
        if let Some(entry) = self.lock().open.get_mut(&id) {
            entry.waiter = match entry.waiter {
                Waiter::Reading => Waiter::Bulk(sink),
                _ => Waiter::Abandoned { left: sink.left },
            };
        }
    }

    /// The last segment has been read.
    pub(super) fn finish(&self, id: u32, sink: Option<BulkSink>) {
        self.lock().open.remove(&id);
        if let Some(sink) = sink {
            // As above.
            let _ = sink.done.send(Answer::Bulk(sink.buffer));
        }
    }

    /// Ends all requests without an answer and takes no more.
    pub(super) fn close(&self) {
        self.places.close();
        let mut table = self.lock();
        table.closed = true;
        let open = std::mem::take(&mut table.open);
        drop(table);
        drop(open);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn free_id(&mut self) -> u32 {
        loop {
            self.last_id = (self.last_id + 1) % REPLY;
            if self.last_id != 0 && !self.open.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_wrap_without_the_reply_bit_or_zero_and_skip_open_ones() {
        let asked = Asked::new(8);
        let open = || {
            let place = Arc::clone(&asked.places).try_acquire_owned().unwrap();
            asked.open(place, Waiter::Abandoned { left: 0 }).unwrap()
        };
        assert_eq!(open(), 1);
        asked.lock().last_id = REPLY - 2;
        assert_eq!(open(), REPLY - 1);
        assert_eq!(open(), 2);
    }

    #[tokio::test]
    async fn a_place_comes_back_with_the_last_answer_only() {
        let asked = Asked::new(1);
        let place = asked.place().await.unwrap();
        let id = asked.open(place, Waiter::Message(oneshot::channel().0)).unwrap();
        assert!(asked.abandon(id));
        assert_eq!(asked.places.available_permits(), 0);
        assert!(asked.answer(id, 4, Bytes::new()));
        assert_eq!(asked.places.available_permits(), 1);
        assert!(!asked.answer(id, 4, Bytes::new()));
    }
}
