//! AES-256-GCM under keys that are derived for one object each (HKDF-SHA256, RFC 5869).
//!
//! A key is derived from a secret and a salt of 256 bits that is never used again, so numbers are
//! enough as nonces. What is opened is opened for its place: a label and whatever the caller binds.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
};

/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: usize = 16;

/// The bytes do not open here: damaged, forged, or of another place or key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// A key for one object.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    /// The key of `secret` and `salt` for the use that `label` names.
    pub(crate) fn derive(secret: &[u8], salt: &[u8], label: &'static [u8]) -> Self {
        let prk = Salt::new(HKDF_SHA256, salt).extract(secret);
        let info = [label];
        let okm = prk
            .expand(&info, &AES_256_GCM)
            .expect("32 bytes are few enough for HKDF");
        Self(LessSafeKey::new(UnboundKey::from(okm)))
    }

    /// Encrypts `out[start..]` in place and appends the tag.
    pub(crate) fn seal(&self, number: u32, bound: &[u8], out: &mut Vec<u8>, start: usize) {
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce(number), Aad::from(bound), &mut out[start..])
            .expect("objects are far below the limit of AES-GCM");
        out.extend_from_slice(tag.as_ref());
    }

    /// Decrypts `sealed` in place and returns what was sealed.
    pub(crate) fn open<'a>(
        &self,
        number: u32,
        bound: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Refused> {
        self.0
            .open_in_place(nonce(number), Aad::from(bound), sealed)
            .map_err(|_| Refused)
    }
}

/// 8 zero bytes and the number, big-endian.
fn nonce(number: u32) -> Nonce {
    let mut bytes = [0; 12];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
