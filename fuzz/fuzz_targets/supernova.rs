//! Messages of the dialect supernova, and the files of its tracker and peers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_gateway::supernova::{
    book,
    codec::{END, Message},
};

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Message::decode(data) {
        let again = message.encode();
        let body = again.strip_suffix(END).expect("every message ends so");
        assert_eq!(Message::decode(body), Ok(message));
    }
    if let Ok(peers) = book::read_peers(data) {
        let again = book::write_peers(peers.iter().map(|(name, record)| (name, record)));
        assert_eq!(book::read_peers(&again).expect("it was written here"), peers);
    }
    if let Ok(settings) = book::read_settings(data) {
        let again = book::write_settings(&settings);
        assert_eq!(
            book::read_settings(&again).expect("it was written here"),
            settings
        );
    }
});
