//! A page of an outline: 8 bytes of size, 8 of page number, then the message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_wire::{
    BlobId,
    message::{Message, OutlinePage},
    outline,
};

fuzz_target!(|data: &[u8]| {
    let Some((size, rest)) = data.split_first_chunk() else {
        return;
    };
    let Some((number, body)) = rest.split_first_chunk() else {
        return;
    };
    let (size, number) = (u64::from_le_bytes(*size), u64::from_le_bytes(*number));
    let Ok(page) = OutlinePage::decode(body) else {
        return;
    };
    let number = number % outline::page_count(size).max(1);
    assert!(outline::verify_page(BlobId([7; 32]), size, number, page.into()).is_err());
});
