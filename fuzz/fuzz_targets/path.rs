//! Names and paths, which stay beneath the folder they are resolved in.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use skep_wire::{PeerName, RelPath, ShareName};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(path) = text.parse::<RelPath>() {
        let normal = |component| matches!(component, Component::Normal(_));
        assert!(Path::new(text).components().all(normal));
        assert_eq!(path.as_str(), text);
    }
    if text.parse::<ShareName>().is_ok() || text.parse::<PeerName>().is_ok() {
        assert_eq!(Path::new(text).components().count(), 1);
    }
});
