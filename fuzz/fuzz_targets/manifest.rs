//! A manifest, and the layout that follows from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_wire::{Layout, Manifest, manifest::MAGIC};

fuzz_target!(|data: &[u8]| {
    judge(data);
    judge(&[MAGIC, data].concat());
});

fn judge(bytes: &[u8]) {
    let Ok(manifest) = Manifest::decode(bytes) else {
        return;
    };
    assert_eq!(Manifest::decode(&manifest.encode()).as_ref(), Ok(&manifest));
    let layout = Layout::collection(bytes.len() as u64, &manifest);
    for chunk in [0, layout.chunks() / 2, layout.chunks() - 1] {
        assert!(layout.extent(chunk).is_some());
    }
    assert_eq!(layout.extent(layout.chunks()), None);
}
