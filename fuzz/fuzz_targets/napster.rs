//! Messages of the dialect napster: what is read is written so that it is read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_gateway::napster::codec::Message;

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Message::decode(data) {
        let again = message.encode();
        assert_eq!(again.len(), data.len());
        assert_eq!(Message::decode(&again), Ok(message));
    }
});
