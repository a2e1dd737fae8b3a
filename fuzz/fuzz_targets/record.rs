//! A signed record of any kind: as it travels, and what lies inside of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_wire::{
    Signed, SigningKey,
    backup::{
        Cancelation, Condemnation, Head, PackRecord, Permit, Roster, decode_pack_list, encode_pack_list,
    },
    record::{CoordinatorCertificate, Grant, Revocations, ShareRecord},
    signed::Record,
};

fuzz_target!(|data: &[u8]| {
    judge::<Grant>(data);
    judge::<CoordinatorCertificate>(data);
    judge::<Revocations>(data);
    judge::<ShareRecord>(data);
    judge::<Roster>(data);
    judge::<PackRecord>(data);
    judge::<Head>(data);
    judge::<Condemnation>(data);
    judge::<Cancelation>(data);
    judge::<Permit>(data);
    if let Some(packs) = decode_pack_list(data) {
        assert_eq!(encode_pack_list(packs), data);
    }
});

fn judge<T: Record + PartialEq + std::fmt::Debug>(data: &[u8]) {
    // As the content of a record that somebody would have signed.
    let inner = postcard::to_allocvec(&(data, &[0u8; 64][..])).expect("bytes encode");
    for bytes in [data, &inner] {
        let Ok(signed) = Signed::<T>::decode(bytes) else {
            continue;
        };
        assert!(signed.open(&[0; 32]).is_err());
        if let Ok(record) = signed.peek() {
            let key = SigningKey::from_seed([1; 32]);
            assert_eq!(Signed::new(&record, &key).peek().as_ref(), Ok(&record));
        }
    }
}
