//! A stream of frames, as a connection reads it: header, limit, body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_wire::{frame::Header, message};

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Some((head, after)) = rest.split_first_chunk() {
        let header = Header::decode(*head);
        assert_eq!(header.encode(), *head);
        let limit = message::limit(header.kind).unwrap_or(message::UNKNOWN_LIMIT);
        if header.length > limit {
            return;
        }
        let Some((body, after)) = after.split_at_checked(header.length as usize) else {
            return;
        };
        let _ = message::describe(header.kind, body);
        rest = after;
    }
});
