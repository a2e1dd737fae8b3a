//! A record kept byte for byte with its signature.
//!
//! The signature covers a domain string, which names the kind of record, and the original bytes:
//! a record of one kind can never stand in for another, and nobody re-encodes what they verify.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::{
    bounded,
    key::{self, SigningKey},
};

/// A kind of record that is signed.
pub trait Record: Serialize + DeserializeOwned {
    /// What the signature covers before the bytes, e.g. `skep share record v1`.
    const DOMAIN: &'static str;
    /// The most bytes such a record may have.
    const LIMIT: usize;
}

/// The bytes of a `T` and a signature over them. Nothing is known of it before [`Signed::open`].
#[derive(Serialize, Deserialize)]
pub struct Signed<T> {
    bytes: Vec<u8>,
    #[serde(with = "signature_bytes")]
    signature: [u8; 64],
    #[serde(skip)]
    kind: PhantomData<fn() -> T>,
}

/// Why a signed record is not to be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignedError {
    /// Not signed by the expected key.
    #[error("the signature is wrong")]
    Signature,
    /// Signed, but not a record of this kind or version.
    #[error("the record cannot be read")]
    Malformed,
}

impl<T: Record> Signed<T> {
    /// Encodes and signs `record`.
    ///
    /// # Panics
    /// If the record's type cannot be encoded, which the tests of each type rule out.
    #[must_use]
    pub fn new(record: &T, key: &SigningKey) -> Self {
        let bytes = postcard::to_allocvec(record).expect("records encode");
        let signature = key.sign(&covered::<T>(&bytes));
        Self {
            bytes,
            signature,
            kind: PhantomData,
        }
    }

    /// The record, if `signer` signed it.
    ///
    /// # Errors
    /// [`SignedError`] when the signature or the encoding is wrong.
    pub fn open(&self, signer: &[u8; 32]) -> Result<T, SignedError> {
        if self.bytes.len() > T::LIMIT {
            return Err(SignedError::Malformed);
        }
        if !key::verify(signer, &covered::<T>(&self.bytes), &self.signature) {
            return Err(SignedError::Signature);
        }
        self.peek()
    }

    /// What the record claims, unverified: only to find out which key to verify it with.
    ///
    /// # Errors
    /// [`SignedError::Malformed`] when it cannot be read.
    pub fn peek(&self) -> Result<T, SignedError> {
        if self.bytes.len() > T::LIMIT {
            return Err(SignedError::Malformed);
        }
        bounded::whole(&self.bytes).ok_or(SignedError::Malformed)
    }

    /// The record's bytes and the signature, as they stand in messages: for keeping them.
    ///
    /// # Panics
    /// Never: bytes encode.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        postcard::to_allocvec(self).expect("bytes encode")
    }

    /// Reads what [`Signed::encode`] made; trailing bytes are an error. Verifies nothing.
    ///
    /// # Errors
    /// [`SignedError::Malformed`] when it cannot be read.
    pub fn decode(bytes: &[u8]) -> Result<Self, SignedError> {
        bounded::whole(bytes).ok_or(SignedError::Malformed)
    }
}

fn covered<T: Record>(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(T::DOMAIN.len() + 1 + bytes.len());
    out.extend_from_slice(T::DOMAIN.as_bytes());
    out.push(0);
    out.extend_from_slice(bytes);
    out
}

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            signature: self.signature,
            kind: PhantomData,
        }
    }
}

impl<T> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.signature == other.signature
    }
}

impl<T> Eq for Signed<T> {}

impl<T> std::fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signed({} bytes)", self.bytes.len())
    }
}

mod signature_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 64], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 64], D::Error> {
        let bytes = <Vec<u8>>::deserialize(deserializer)?;
        bytes
            .try_into()
            .map_err(|_| D::Error::custom("a signature has 64 bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{NetworkId, PeerId},
        record::{CoordinatorCertificate, Revocations},
    };

    fn certificate() -> CoordinatorCertificate {
        CoordinatorCertificate {
            network: NetworkId([1; 32]),
            coordinator: PeerId([2; 32]),
            expires_unix_s: 0,
        }
    }

    fn key() -> SigningKey {
        SigningKey::from_seed([9; 32])
    }

    #[test]
    fn only_the_signer_opens_it() {
        let signed = Signed::new(&certificate(), &key());
        assert_eq!(signed.open(&key().public()), Ok(certificate()));
        assert_eq!(signed.peek(), Ok(certificate()));
        let other = SigningKey::from_seed([8; 32]).public();
        assert_eq!(signed.open(&other), Err(SignedError::Signature));
        assert_eq!(signed.open(&[0; 32]), Err(SignedError::Signature));
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let signed = Signed::new(&certificate(), &key());
        for bit in 0..signed.bytes.len() * 8 {
            let mut changed = signed.clone();
            changed.bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                changed.open(&key().public()),
                Err(SignedError::Signature),
                "{bit}"
            );
        }
        for bit in 0..512 {
            let mut changed = signed.clone();
            changed.signature[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                changed.open(&key().public()),
                Err(SignedError::Signature),
                "{bit}"
            );
        }
    }

    #[test]
    fn a_record_of_one_kind_is_none_of_another() {
        // Same bytes, same key, other domain.
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Impostor(CoordinatorCertificate);
        impl Record for Impostor {
            const DOMAIN: &'static str = "skep impostor v1";
            const LIMIT: usize = 256;
        }
        let signed = Signed::new(&certificate(), &key());
        let impostor = Signed::<Impostor> {
            bytes: signed.bytes,
            signature: signed.signature,
            kind: PhantomData,
        };
        assert_eq!(impostor.open(&key().public()), Err(SignedError::Signature));
    }

    #[test]
    fn what_is_signed_and_yet_no_record() {
        let sign = |bytes: Vec<u8>| Signed::<CoordinatorCertificate> {
            signature: key().sign(&covered::<CoordinatorCertificate>(&bytes)),
            bytes,
            kind: PhantomData,
        };
        let good = postcard::to_allocvec(&certificate()).unwrap();
        let trailing = [&good[..], &[0]].concat();
        for bytes in [vec![], good[..64].to_vec(), trailing, vec![0; 257]] {
            assert_eq!(sign(bytes).open(&key().public()), Err(SignedError::Malformed));
        }
    }

    #[test]
    fn a_signature_has_64_bytes_on_the_wire() {
        let signed = Signed::new(&certificate(), &key());
        let bytes = signed.encode();
        assert_eq!(Signed::decode(&bytes), Ok(signed.clone()));
        let trailing = [&bytes[..], &[0]].concat();
        assert_eq!(
            Signed::<CoordinatorCertificate>::decode(&trailing),
            Err(SignedError::Malformed)
        );
        for len in [0, 1, 31, 32, 33, 63, 65, 128] {
            let bytes = postcard::to_allocvec(&(&signed.bytes, vec![7u8; len])).unwrap();
            assert!(
                postcard::from_bytes::<Signed<CoordinatorCertificate>>(&bytes).is_err(),
                "{len}"
            );
        }
    }

    #[test]
    fn revoked_serials_ascend() {
        let list = |serials: &[u64]| {
            let serials = serials.to_vec();
            let network = NetworkId([1; 32]);
            let number = 1;
            Signed::new(
                &Revocations {
                    network,
                    number,
                    serials,
                },
                &key(),
            )
            .peek()
        };
        assert!(list(&[1, 2, 9]).is_ok());
        assert_eq!(list(&[2, 1]), Err(SignedError::Malformed));
        assert_eq!(list(&[2, 2]), Err(SignedError::Malformed));
    }
}
