//! A record kept byte for byte with its signature.
//!
//! The signature covers a domain string, which names the kind of record, and the original bytes:
//! a record of one kind can never stand in for another, and nobody re-encodes what they verify.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::key::{self, SigningKey};

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
        let (record, rest) = postcard::take_from_bytes(&self.bytes).map_err(|_| SignedError::Malformed)?;
        if rest.is_empty() {
            Ok(record)
        } else {
            Err(SignedError::Malformed)
        }
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
