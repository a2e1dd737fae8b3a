//! What comes from holders: packs, sealed boxes, pieces; and what lies in them, should a device go mad.
#![no_main]

use std::{cell::RefCell, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use skep_vault::{
    Catalog, Content, KeyRing, Phrase, index,
    keys::{EpochKey, NamingKey},
    pack::{Header, open_contents},
    piece::{Coding, Decoder},
    sealed_box::OpeningKey,
};
use zeroize::Zeroizing;

static RING: LazyLock<KeyRing> = LazyLock::new(|| {
    let mut ring = KeyRing::new(NamingKey::new(Zeroizing::new([1; 32])));
    ring.insert(3, EpochKey::new(Zeroizing::new([3; 32])));
    ring
});
static KEY: LazyLock<OpeningKey> = LazyLock::new(|| OpeningKey::from_seed(&[1; 32]));

thread_local! {
    static DECODER: RefCell<Decoder> = RefCell::new(Decoder::new());
}

fuzz_target!(|data: &[u8]| {
    let _ = Header::parse(data);
    let _ = open_contents(data, &RING);
    // The agreement of keys is slow, and the same whatever is in the box: an input of 64 will do.
    if blake3::hash(data).as_bytes()[0] % 64 == 0 {
        let _ = KEY.open(b"here", data);
    }
    if let Ok(packs) = index::decode(data) {
        assert_eq!(index::encode(&packs).concat(), data);
    }
    if let Some(ring) = KeyRing::decode(data) {
        assert_eq!(ring.encode().len(), data.len());
    }
    if let Some(catalog) = Catalog::decode(data) {
        assert_eq!(Catalog::decode(&catalog.encode()), Some(catalog));
    }
    let _ = Content::names(data);
    let plain = DECODER.with_borrow_mut(|decoder| decoder.decode(Coding::Zstd, data, 4096));
    assert!(plain.map_or(4096, |plain| plain.len()) == 4096);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = Phrase::parse(text);
    }
});
