//! One message of any type: two bytes of type, then the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_wire::message;

fuzz_target!(|data: &[u8]| {
    if let Some((kind, body)) = data.split_first_chunk() {
        let _ = message::describe(u16::from_be_bytes(*kind), body);
    }
});
