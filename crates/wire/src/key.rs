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

/// Whether `signature` is the signature of `message` by the key `public`.
#[must_use]
pub fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&signature::ED25519, public)
        .verify(message, signature)
        .is_ok()
}

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
    fn a_key_prints_its_public_half_alone() {
        let key = SigningKey::from_seed([0x5e; 32]);
        assert_eq!(format!("{key:?}"), format!("SigningKey({:?})", key.peer_id()));
        assert_eq!(**key.seed(), [0x5e; 32]);
    }
}
