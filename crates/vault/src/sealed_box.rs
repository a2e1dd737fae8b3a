//! A message to one X25519 key, which only its owner opens: ephemeral agreement, HKDF, AES-256-GCM.
//!
//! ```text
//! version (1) | ephemeral public key (32) | ciphertext | tag (16)
//! ```
//!
//! The key is derived from the agreement with both public keys as salt and used once, so the nonce is
//! zero. The box says nothing about who made it: it lies in a signed record.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::cipher::{Cipher, TAG_BYTES};

const VERSION: u8 = 1;
const LABEL: &[u8] = b"skep sealed box v1";
/// Bytes before the ciphertext.
const HEADER_BYTES: usize = 33;

/// The private half of an X25519 key.
pub struct OpeningKey {
    key: PrivateKey,
    public: [u8; 32],
}

/// A key to which nothing can be sealed: a point of small order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("nothing can be sealed to this key")]
pub struct BadKey;

/// The box is damaged, or not for this key or this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the sealed keys do not open with this device's key")]
pub struct BadBox;

impl OpeningKey {
    /// The key of 32 bytes (RFC 7748).
    ///
    /// # Panics
    /// Never: every 32 bytes are a private key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let key = PrivateKey::from_private_key(&X25519, seed).expect("32 bytes are a private key");
        let mut public = [0; 32];
        let computed = key.compute_public_key().expect("a private key has a public one");
        public.copy_from_slice(computed.as_ref());
        Self { key, public }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// What was sealed to this key for the place that `bound` tells.
    ///
    /// # Errors
    /// [`BadBox`] when it does not open.
    pub fn open(&self, bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BadBox> {
        let (header, body) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(BadBox)?;
        let (version, ephemeral) = header.split_first().ok_or(BadBox)?;
        if *version != VERSION || body.len() < TAG_BYTES {
            return Err(BadBox);
        }
        let salt = [ephemeral, &self.public].concat();
        let cipher = agree(&self.key, ephemeral, &salt).ok_or(BadBox)?;
        let mut body = Zeroizing::new(body.to_vec());
        let len = cipher.open(0, bound, &mut body).map_err(|_| BadBox)?.len();
        body.truncate(len);
        Ok(body)
    }
}

/// Seals `message` to the key `to`, for the place that `bound` tells. The seed is random and used once.
///
/// # Errors
/// [`BadKey`] when `to` is no good key.
pub fn seal(
    to: &[u8; 32],
    ephemeral_seed: Zeroizing<[u8; 32]>,
    bound: &[u8],
    message: &[u8],
) -> Result<Vec<u8>, BadKey> {
    let ephemeral = OpeningKey::from_seed(&ephemeral_seed);
    let salt = [ephemeral.public, *to].concat();
    let cipher = agree(&ephemeral.key, to, &salt).ok_or(BadKey)?;
    // So long that it never grows, which would leave plaintext behind.
    let mut out = Vec::with_capacity(HEADER_BYTES + message.len() + TAG_BYTES);
    out.push(VERSION);
    out.extend_from_slice(&ephemeral.public);
    out.extend_from_slice(message);
    cipher.seal(0, bound, &mut out, HEADER_BYTES);
    Ok(out)
}

/// None if the agreement gives zeros, as it does with points of small order.
fn agree(ours: &PrivateKey, theirs: &[u8], salt: &[u8]) -> Option<Cipher> {
    let theirs = UnparsedPublicKey::new(&X25519, theirs);
    agreement::agree(ours, theirs, (), |secret| Ok(Cipher::derive(secret, salt, LABEL))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> OpeningKey {
        OpeningKey::from_seed(&[n; 32])
    }

    fn sealed() -> Vec<u8> {
        seal(&key(1).public(), Zeroizing::new([2; 32]), b"here", b"message").unwrap()
    }

    #[test]
    fn only_its_reader_opens_it_and_only_in_its_place() {
        assert_eq!(**key(1).open(b"here", &sealed()).unwrap(), *b"message");
        assert_eq!(key(1).open(b"there", &sealed()).unwrap_err(), BadBox);
        assert_eq!(key(3).open(b"here", &sealed()).unwrap_err(), BadBox);
        // Not even who made it: the ephemeral key does not open its own box.
        assert_eq!(key(2).open(b"here", &sealed()).unwrap_err(), BadBox);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = sealed();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // The highest bit of an X25519 key is ignored (RFC 7748), but the salt covers it.
            assert_eq!(key(1).open(b"here", &bad).unwrap_err(), BadBox, "bit {bit}");
        }
        for len in 0..good.len() {
            assert_eq!(key(1).open(b"here", &good[..len]).unwrap_err(), BadBox, "{len}");
        }
    }

    #[test]
    fn points_of_small_order_are_refused() {
        let mut one = [0; 32];
        one[0] = 1;
        for weak in [[0; 32], one] {
            assert_eq!(seal(&weak, Zeroizing::new([2; 32]), b"", b"m"), Err(BadKey));
        }
    }

    #[test]
    fn the_bytes_of_version_1() {
        let hex = data_encoding::HEXLOWER.encode(&sealed());
        assert_eq!(hex, include_str!("golden/sealed_box.hex").trim());
    }
}
