//! What a person writes: commands to a role of a dialect, ranges of addresses, names, schemes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_gateway::{console, p2pbrs::peer::command::Command, strangers::Cidr};
use skep_wire::{PeerName, ShareName, backup::Scheme};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(words) = console::words(text) {
        let _ = Command::parse(&words);
        assert!(words.iter().map(String::len).sum::<usize>() <= text.len());
    }
    if let Ok(range) = text.parse::<Cidr>() {
        let _ = range.contains([127, 0, 0, 1].into());
    }
    if let Ok(name) = PeerName::parse(text) {
        assert_eq!(PeerName::parse(name.as_str()), Ok(name));
    }
    if let Ok(name) = ShareName::parse(text) {
        assert_eq!(ShareName::parse(name.as_str()), Ok(name));
    }
    if let Ok(scheme) = text.parse::<Scheme>() {
        assert_eq!(scheme.to_string().parse(), Ok(scheme));
    }
});
