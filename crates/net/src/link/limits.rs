//! How much a link takes on, by what it is for.

use std::time::Duration;

use skep_wire::message::Lane;

const KIB: u32 = 1024;
const MIB: u32 = 1024 * KIB;

/// Bounds of one link. Every queue and every wait of the link is under one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests without their last answer, counted in each direction apart. Asking waits for a
    /// free place; a request of the other side over the bound is refused as busy.
    pub outstanding: u32,
    /// Bytes of messages that wait to be written.
    pub queued_bytes: u32,
    /// Bytes of bulk answers that wait to be written.
    pub queued_bulk_bytes: u32,
    /// Bytes of bulk answers that the other side may have under way to this one, at least one segment.
    pub window_bytes: u32,
    /// The longest wait for an answer; in a bulk answer, for its next bytes.
    pub reply_timeout: Duration,
    /// The longest time that one frame may take from its first byte to its last, in either direction.
    pub frame_timeout: Duration,
    /// Closed when nothing has arrived for so long; after half of it a ping is sent. None: never.
    pub silence: Option<Duration>,
}

impl Limits {
    /// What fits this kind of connection.
    #[must_use]
    pub fn of(lane: Lane) -> Self {
        let talk = Self {
            outstanding: 256,
            queued_bytes: 2 * MIB,
            queued_bulk_bytes: 512 * KIB,
            window_bytes: 512 * KIB,
            reply_timeout: Duration::from_secs(20),
            frame_timeout: Duration::from_secs(60),
            silence: Some(Duration::from_secs(60)),
        };
        match lane {
            Lane::Control | Lane::Talk => talk,
            Lane::Bulk => Self {
                window_bytes: 8 * MIB,
                ..talk
            },
        }
    }
}
