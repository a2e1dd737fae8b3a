//! Ed25519 keys (RFC 8032): what a peer, a coordinator and a network are known by.

use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use zeroize::Zeroizing;

use crate::id::PeerId;

/// A private key. Never printed; its seed leaves only through [`SigningKey::seed`].
pub struct SigningKey {
    pair: Ed25519KeyPair,
    seed: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl SigningKey {
    /// The key of a 32-byte seed (the private key of RFC 8032).
    ///
    /// # Panics
    /// Never: every 32 bytes are a valid seed.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed");
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Self {
            pair,
            seed: Zeroizing::new(seed),
            public,
        }
    }

    /// The public half, 32 bytes.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// The public half as the identity of a peer.
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.public)
    }

    /// The seed, to be kept in a file of mode 0600.
    pub fn seed(&self) -> &Zeroizing<[u8; 32]> {
        &self.seed
    }

    /// The 64-byte signature of `message`.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut out = [0; 64];
        out.copy_from_slice(self.pair.sign(message).as_ref());
        out
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:?})", self.peer_id())
    }
}

/// Whether two secrets are the same, in a time that does not tell where they differ.
#[must_use]
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// Whether `signature` is the signature of `message` by the key `public`.
///
/// Keys of small order sign nothing: under them, anybody can make a signature of anything.
#[must_use]
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let key = UnparsedPublicKey::new(&signature::ED25519, public);
    !is_weak(public) && key.verify(message, signature).is_ok()
}

/// Whether the key is a point of order 1, 2, 4 or 8.
fn is_weak(public: &[u8; 32]) -> bool {
    let mut y = *public;
    y[31] &= 0x7f; // without the sign of x
    WEAK.contains(&y)
}

/// The y coordinates of the points of small order, little-endian. What is not reduced modulo p is no
/// key in the first place.
const WEAK: [[u8; 32]; 5] = [
    small(0x00),
    small(0x01),
    P_MINUS_1,
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5,
        0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a,
        0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
];

const fn small(first: u8) -> [u8; 32] {
    let mut y = [0; 32];
    y[0] = first;
    y
}

const P_MINUS_1: [u8; 32] = {
    let mut y = [0xff; 32];
    y[0] = 0xec;
    y[31] = 0x7f;
    y
};

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        HEXLOWER.decode(text.as_bytes()).unwrap().try_into().unwrap()
    }

    #[test]
    fn the_second_test_of_rfc_8032() {
        let key = SigningKey::from_seed(hex(
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        ));
        let public = hex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature = hex(concat!(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ));
        assert_eq!(key.public(), public);
        assert_eq!(key.sign(&[0x72]), signature);
        assert!(verify(&public, &[0x72], &signature));
        assert!(!verify(&public, &[0x73], &signature));
        assert!(!verify(&[0; 32], &[0x72], &signature));
    }

    #[test]
    fn keys_of_small_order_sign_nothing() {
        for public in WEAK {
            // R is a point of small order too, and S is 0: no secret went into it.
            let forged = WEAK.map(|point| {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&point);
                signature
            });
            let mut accepted_without_us = 0;
            for (message, signature) in (0..64u8).flat_map(|n| forged.map(|signature| ([n], signature))) {
                let key = UnparsedPublicKey::new(&signature::ED25519, public);
                accepted_without_us += u32::from(key.verify(&message, &signature).is_ok());
                assert!(!verify(&public, &message, &signature));
            }
            assert!(accepted_without_us > 0, "{public:x?} is not weak");
        }
    }

    #[test]
    fn a_key_prints_its_public_half_alone() {
        let key = SigningKey::from_seed([0x5e; 32]);
        assert_eq!(format!("{key:?}"), format!("SigningKey({:?})", key.peer_id()));
        assert_eq!(**key.seed(), [0x5e; 32]);
    }
}
