//! The entries of a folder, fed in two parts. What is read can be written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_vault::tree::{Reader, encode};

fuzz_target!(|data: &[u8]| {
    let Some((split, bytes)) = data.split_first() else {
        return;
    };
    let (first, second) = bytes.split_at(usize::from(*split).min(bytes.len()));
    let (mut reader, mut written) = (Reader::new(), Vec::new());
    for fed in [first, second] {
        reader.feed(fed);
        loop {
            match reader.next_entry() {
                Ok(Some(entry)) => encode(&entry, &mut written).expect("it was read"),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
    let mut again = Reader::new();
    again.feed(&written);
    while again.next_entry().expect("it was written").is_some() {}
    again.finish().expect("it was written whole");
});
