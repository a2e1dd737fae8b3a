//! The datagrams and lines of p2pbrs: what is read is written back to something that reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_gateway::p2pbrs::codec::{Header, Message};

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Message::decode(data) {
        assert_eq!(Message::decode(message.encode().as_bytes()), Ok(message));
    }
    if let Ok(header) = Header::decode(data) {
        let line = header.encode();
        assert_eq!(Header::decode(&line), Ok(header));
    }
});
