//! A signed record of any kind: as it travels, and what lies inside of it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use skep_wire::{
    Signed, SigningKey,
    backup::{
        Cancelation, Condemnation, Head, PackRecord, Permit, Roster, Surplus, decode_pack_list,
        encode_pack_list,
    },
    record::{CoordinatorCertificate, Grant, Revocations, ShareRecord},
    signed::{Record, SignedError},
};

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::from_seed([1; 32]));

fuzz_target!(|data: &[u8]| {
    // As the content of a record that somebody would have signed.
    let inner = postcard::to_allocvec(&(data, &[0u8; 64][..])).expect("bytes encode");
    for bytes in [data, &inner] {
        judge::<Grant>(bytes);
        judge::<CoordinatorCertificate>(bytes);
        judge::<Revocations>(bytes);
        judge::<ShareRecord>(bytes);
        judge::<Roster>(bytes);
        judge::<PackRecord>(bytes);
        judge::<Head>(bytes);
        judge::<Condemnation>(bytes);
        judge::<Cancelation>(bytes);
        judge::<Surplus>(bytes);
        judge::<Permit>(bytes);
    }
    if let Some(packs) = decode_pack_list(data) {
        assert_eq!(encode_pack_list(packs), data);
    }
});

fn judge<T: Record + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    let Ok(signed) = Signed::<T>::decode(bytes) else {
        return;
    };
    let Ok(record) = signed.peek() else {
        return;
    };
    let again = postcard::to_allocvec(&record).expect("records encode");
    let again = postcard::to_allocvec(&(again, &[0u8; 64][..])).expect("bytes encode");
    let again = Signed::<T>::decode(&again).expect("it was written here");
    assert_eq!(again.peek().as_ref(), Ok(&record));
    // Keys are slow. Nothing of them depends on what is in a record, so an input of 64 will do.
    if blake3::hash(bytes).as_bytes()[0] % 64 == 0 {
        assert_ne!(signed.open(&KEY.public()), Err(SignedError::Malformed));
        assert_eq!(Signed::new(&record, &KEY).open(&KEY.public()), Ok(record));
    }
}
