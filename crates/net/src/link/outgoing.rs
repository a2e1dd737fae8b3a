//! What waits to be written: messages first, bulk answers by turns, both under a bound of bytes.
//!
//! A batch is all waiting messages and one segment, so that neither kind can starve the other.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use skep_wire::{
    frame::HEADER_BYTES,
    message::{SEGMENT, SEGMENT_BYTES, SEGMENT_LAST},
};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::frame::{self, Frame};

/// Batches keep no more memory than this between two uses.
const KEPT_BYTES: usize = 16 << 10;

/// The queue between everybody on this side and the writing task.
pub(super) struct Outgoing {
    waiting: Mutex<Waiting>,
    wake: Notify,
    room: Semaphore,
    bulk_room: Semaphore,
    room_bytes: u32,
    bulk_room_bytes: u32,
}

#[derive(Default)]
struct Waiting {
    messages: Vec<u8>,
    /// Permits of `room` that `messages` hold.
    reserved: usize,
    flows: VecDeque<Flow>,
    finishing: bool,
}

/// The waiting part of one bulk answer.
struct Flow {
    request: u32,
    parts: VecDeque<Bytes>,
    end: Option<End>,
}

/// How a bulk answer ends.
pub(super) enum End {
    /// Its last segment is the last of the answer.
    Last,
    /// With this frame after its segments.
    With(Frame),
}

/// What is to be written in one go.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) messages: Vec<u8>,
    pub(super) segment: Option<Segment>,
    reserved: usize,
}

/// A segment and its header.
pub(super) struct Segment {
    pub(super) header: [u8; HEADER_BYTES],
    pub(super) bytes: Bytes,
}

/// The link is closing, or the other side asks without taking what it is sent.
pub(super) struct NoRoom;

impl Outgoing {
    pub(super) fn new(room_bytes: u32, bulk_room_bytes: u32) -> Self {
        Self {
            waiting: Mutex::default(),
            wake: Notify::new(),
            room: Semaphore::new(room_bytes as usize),
            bulk_room: Semaphore::new(bulk_room_bytes as usize),
            room_bytes,
            bulk_room_bytes,
        }
    }

    /// Waits for room for a message; fails when the link is closing.
    pub(super) async fn room(&self, frame: &Frame) -> Result<SemaphorePermit<'_>, NoRoom> {
        let bytes = u32::try_from(frame.wire_bytes()).map_or(self.room_bytes, |n| n.min(self.room_bytes));
        self.room.acquire_many(bytes).await.map_err(|_| NoRoom)
    }

    /// Queues a message for which there is room.
    pub(super) fn push(&self, frame: &Frame, room: SemaphorePermit<'_>) {
        let mut waiting = self.lock();
        if waiting.finishing {
            return;
        }
        waiting.reserved += room.num_permits();
        room.forget();
        frame.append_to(&mut waiting.messages);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Queues a small message without waiting. Fails when twice the room is full: then the other
    /// side asks for such messages without taking them.
    pub(super) fn push_now(&self, frame: &Frame) -> Result<(), NoRoom> {
        let mut waiting = self.lock();
        if waiting.finishing || waiting.messages.len() > 2 * self.room_bytes as usize {
            return Err(NoRoom);
        }
        frame.append_to(&mut waiting.messages);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    /// Waits for room for up to `bytes` of bulk answers and takes it; returns how many that is, at
    /// most a segment. Fails when the link is closing.
    pub(super) async fn bulk_room(&self, bytes: usize) -> Result<usize, NoRoom> {
        let most = self.bulk_room_bytes.min(SEGMENT_BYTES);
        let bytes = u32::try_from(bytes).map_or(most, |bytes| bytes.min(most));
        let room = self.bulk_room.acquire_many(bytes).await.map_err(|_| NoRoom)?;
        room.forget();
        Ok(bytes as usize)
    }

    /// Gives back room that was taken and is not used.
    pub(super) fn return_bulk_room(&self, bytes: usize) {
        self.bulk_room.add_permits(bytes);
    }

    /// Queues part of a bulk answer, for which there is room; fails when the link is closing.
    pub(super) fn push_bulk(&self, request: u32, part: Bytes) -> Result<(), NoRoom> {
        let mut waiting = self.lock();
        if waiting.finishing {
            return Err(NoRoom);
        }
        waiting.flow(request).parts.push_back(part);
        drop(waiting);
        self.wake.notify_one();
        Ok(())
    }

    /// Ends a bulk answer after what is queued of it.
    pub(super) fn end_bulk(&self, request: u32, end: End) {
        let mut waiting = self.lock();
        if waiting.finishing {
            return;
        }
        waiting.flow(request).end = Some(end);
        drop(waiting);
        self.wake.notify_one();
    }

    /// Drops what waits of a bulk answer, but not its end. Returns how many bytes.
    pub(super) fn cut_bulk(&self, request: u32) -> usize {
        let mut waiting = self.lock();
        let Some(flow) = waiting.flows.iter_mut().find(|f| f.request == request) else {
            return 0;
        };
        let bytes = flow.parts.drain(..).map(|part| part.len()).sum();
        waiting.flows.retain(|f| !f.is_spent());
        self.bulk_room.add_permits(bytes);
        bytes
    }

    /// Takes nothing more. What waits is still written, except bulk answers; or none of it with
    /// `discard`. `last` is written at the very end.
    pub(super) fn finish(&self, discard: bool, last: Option<&Frame>) {
        let mut waiting = self.lock();
        waiting.finishing = true;
        waiting.flows.clear();
        if discard {
            waiting.messages.clear();
        }
        if let Some(frame) = last {
            frame.append_to(&mut waiting.messages);
        }
        drop(waiting);
        self.room.close();
        self.bulk_room.close();
        self.wake.notify_one();
    }

    /// Fills `batch` as soon as there is something; false when there will be nothing more.
    pub(super) async fn next(&self, batch: &mut Batch) -> bool {
        loop {
            {
                let mut waiting = self.lock();
                if waiting.fill(batch) {
                    return true;
                }
                if waiting.finishing {
                    return false;
                }
            }
            self.wake.notified().await;
        }
    }

    /// Gives back the room of what has been written.
    pub(super) fn written(&self, batch: &mut Batch) {
        self.room.add_permits(std::mem::take(&mut batch.reserved));
        if let Some(segment) = batch.segment.take() {
            self.bulk_room.add_permits(segment.bytes.len());
        }
        batch.messages.clear();
        batch.messages.shrink_to(KEPT_BYTES);
    }

    /// Whether nothing waits.
    pub(super) fn is_idle(&self) -> bool {
        let waiting = self.lock();
        waiting.messages.is_empty() && waiting.flows.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn flow(&mut self, request: u32) -> &mut Flow {
        let at = self.flows.iter().position(|f| f.request == request);
        let at = at.unwrap_or_else(|| {
            self.flows.push_back(Flow {
                request,
                parts: VecDeque::new(),
                end: None,
            });
            self.flows.len() - 1
        });
        &mut self.flows[at]
    }

    fn fill(&mut self, batch: &mut Batch) -> bool {
        debug_assert!(batch.messages.is_empty() && batch.segment.is_none());
        std::mem::swap(&mut self.messages, &mut batch.messages);
        batch.reserved = std::mem::take(&mut self.reserved);
        if let Some(mut flow) = self.flows.pop_front() {
            match flow.next_segment() {
                Ok(segment) => batch.segment = Some(segment),
                Err(frame) => frame.append_to(&mut batch.messages),
            }
            if !flow.is_spent() {
                self.flows.push_back(flow);
            }
        }
        !batch.messages.is_empty() || batch.segment.is_some()
    }
}

impl Flow {
    fn is_spent(&self) -> bool {
        self.parts.is_empty() && self.end.is_none()
    }

    /// The next segment; or the frame that ends the answer instead of one.
    fn next_segment(&mut self) -> Result<Segment, Frame> {
        let bytes = self.next_bytes();
        let kind = match (self.parts.is_empty(), self.end.take()) {
            (true, Some(End::With(frame))) if bytes.is_empty() => return Err(frame),
            (true, Some(End::Last)) => SEGMENT_LAST,
            (_, end) => {
                self.end = end;
                SEGMENT
            }
        };
        Ok(Segment {
            header: frame::header(kind, self.request, bytes.len()),
            bytes,
        })
    }

    fn next_bytes(&mut self) -> Bytes {
        let Some(part) = self.parts.front_mut() else {
            return Bytes::new();
        };
        if part.len() <= SEGMENT_BYTES as usize {
            return self.parts.pop_front().unwrap_or_default();
        }
        part.split_to(SEGMENT_BYTES as usize)
    }
}

#[cfg(test)]
mod tests {
    use skep_wire::{
        frame::Header,
        message::{Done, Message, Ping, Reason, Refused},
    };

    use super::*;

    const SEG: usize = SEGMENT_BYTES as usize;

    /// Everything that would be written now: kind, request, bytes of the body.
    async fn drain(outgoing: &Outgoing) -> Vec<(u16, u32, usize)> {
        let mut seen = Vec::new();
        let mut batch = Batch::default();
        while !outgoing.is_idle() {
            assert!(outgoing.next(&mut batch).await);
            let mut messages = batch.messages.as_slice();
            while let Some((head, rest)) = messages.split_first_chunk() {
                let header = Header::decode(*head);
                seen.push((header.kind, header.request, header.length as usize));
                messages = &rest[header.length as usize..];
            }
            if let Some(segment) = &batch.segment {
                let header = Header::decode(segment.header);
                assert_eq!(header.length as usize, segment.bytes.len());
                seen.push((header.kind, header.request, segment.bytes.len()));
            }
            outgoing.written(&mut batch);
        }
        seen
    }

    /// Takes room and queues.
    async fn push(outgoing: &Outgoing, request: u32, mut part: Bytes) {
        while !part.is_empty() {
            let room = outgoing.bulk_room(part.len()).await.ok().expect("room");
            assert!(outgoing.push_bulk(request, part.split_to(room)).is_ok());
        }
    }

    #[tokio::test]
    async fn bulk_answers_take_turns_and_messages_go_first() {
        let outgoing = Outgoing::new(1 << 20, 4 << 20);
        for request in [1, 2] {
            let part = Bytes::from(vec![0; 2 * SEG]);
            push(&outgoing, request, part).await;
            outgoing.end_bulk(request, End::Last);
        }
        assert!(outgoing.push_now(&Frame::new(3, &Ping {})).is_ok());
        assert_eq!(
            drain(&outgoing).await,
            [
                (Ping::KIND, 3, 0),
                (SEGMENT, 1, SEG),
                (SEGMENT, 2, SEG),
                (SEGMENT_LAST, 1, SEG),
                (SEGMENT_LAST, 2, SEG)
            ]
        );
    }

    #[tokio::test]
    async fn a_refusal_comes_after_the_segments_before_it() {
        let outgoing = Outgoing::new(1 << 20, 4 << 20);
        let part = Bytes::from(vec![0; SEG + 1]);
        push(&outgoing, 9, part).await;
        outgoing.end_bulk(9, End::With(Frame::refusal(9, Reason::Changed, "")));
        let kinds: Vec<u16> = drain(&outgoing).await.iter().map(|s| s.0).collect();
        assert_eq!(kinds, [SEGMENT, SEGMENT, Refused::KIND]);
    }

    #[tokio::test]
    async fn cutting_keeps_the_end_and_frees_the_room() {
        let outgoing = Outgoing::new(1 << 20, 1 << 20);
        let part = Bytes::from(vec![0; 1 << 20]);
        push(&outgoing, 5, part.clone()).await;
        outgoing.end_bulk(5, End::Last);
        assert_eq!(outgoing.cut_bulk(5), 1 << 20);
        push(&outgoing, 6, part).await;
        assert_eq!(outgoing.cut_bulk(6), 1 << 20);
        assert_eq!(drain(&outgoing).await, [(SEGMENT_LAST, 5, 0)]);
    }

    #[tokio::test]
    async fn room_is_bounded_and_comes_back() {
        let outgoing = Outgoing::new(100, 100);
        let frame = Frame::refusal(1, Reason::Busy, &"x".repeat(70));
        let room = outgoing.room(&frame).await.ok().expect("room");
        outgoing.push(&frame, room);
        let mut second = Box::pin(outgoing.room(&frame));
        let waits = futures_poll(&mut second).await;
        assert!(waits.is_none(), "there is no room for a second one");
        assert_eq!(drain(&outgoing).await.len(), 1);
        assert!(second.await.is_ok());
    }

    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }

    #[tokio::test]
    async fn finishing_keeps_messages_and_ends() {
        let outgoing = Outgoing::new(100, 100);
        assert!(outgoing.push_now(&Frame::new(1, &Done {})).is_ok());
        push(&outgoing, 2, Bytes::from_static(b"x")).await;
        outgoing.finish(false, None);
        assert!(outgoing.push_now(&Frame::new(3, &Done {})).is_err());
        assert_eq!(drain(&outgoing).await, [(Done::KIND, 1, 0)]);
        assert!(!outgoing.next(&mut Batch::default()).await);
    }
}
