//! A line of a `.skepignore`, and whether it means a path.
//!
//! A target of its own beside `peer`: to compile a pattern takes far longer than all else that a peer reads.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use skep_node::parsers;

fuzz_target!(|data: &[u8]| {
    // Each line by itself is slow enough.
    let _ = parsers::mentions(&data[..data.len().min(40)], Path::new("/a/b.c"));
});
