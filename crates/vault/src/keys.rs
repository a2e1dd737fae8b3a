//! The secrets of an owner that devices work with: the naming key and the key of each epoch.
//!
//! All of them are wiped when dropped and none is ever printed. Who hands them to whom is in
//! [`crate::owner`].

use std::{collections::BTreeMap, fmt};

use zeroize::Zeroizing;

/// The most epochs of an owner: each begins with a revocation.
pub const MAX_EPOCHS: u32 = 256;

/// The key under which pieces are named, the same for all epochs: so a piece that was stored once is
/// found again, by any device. It opens nothing.
#[derive(Clone)]
pub struct NamingKey(Zeroizing<[u8; 32]>);

/// The key of an epoch, from which the keys of packs and heads are derived.
#[derive(Clone)]
pub struct EpochKey(Zeroizing<[u8; 32]>);

/// What a device has: the naming key and the keys of some epochs.
#[derive(Clone)]
pub struct KeyRing {
    naming: NamingKey,
    epochs: BTreeMap<u32, EpochKey>,
}

impl NamingKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// A key for one use of the naming key.
    pub(crate) fn derive(&self, context: &'static str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(context, &*self.0))
    }
}

impl EpochKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl KeyRing {
    /// No epochs yet.
    #[must_use]
    pub fn new(naming: NamingKey) -> Self {
        Self {
            naming,
            epochs: BTreeMap::new(),
        }
    }

    /// Adds the key of an epoch.
    pub fn insert(&mut self, epoch: u32, key: EpochKey) {
        self.epochs.insert(epoch, key);
    }

    /// The naming key.
    #[must_use]
    pub fn naming(&self) -> &NamingKey {
        &self.naming
    }

    /// The key of an epoch, if the device has it.
    #[must_use]
    pub fn epoch(&self, epoch: u32) -> Option<&EpochKey> {
        self.epochs.get(&epoch)
    }

    /// The newest epoch of which it has the key.
    #[must_use]
    pub fn newest(&self) -> Option<u32> {
        self.epochs.last_key_value().map(|(epoch, _)| *epoch)
    }

    /// The naming key, and for each epoch its number (4 bytes, little-endian) and key.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(32 + self.epochs.len() * 36));
        out.extend_from_slice(&*self.naming.0);
        for (epoch, key) in &self.epochs {
            out.extend_from_slice(&epoch.to_le_bytes());
            out.extend_from_slice(key.bytes());
        }
        out
    }

    /// Reads what [`KeyRing::encode`] made; none if it is not that.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (naming, rest) = bytes.split_first_chunk::<32>()?;
        let (entries, []) = rest.as_chunks::<36>() else {
            return None;
        };
        if entries.len() > MAX_EPOCHS as usize {
            return None;
        }
        let mut ring = Self::new(NamingKey(Zeroizing::new(*naming)));
        for entry in entries {
            let (number, key) = entry.split_first_chunk::<4>()?;
            let key = EpochKey(Zeroizing::new(key.try_into().ok()?));
            ring.insert(u32::from_le_bytes(*number), key);
        }
        (ring.epochs.len() == entries.len()).then_some(ring)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing(epochs {:?})", self.epochs.keys().collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(epochs: &[u32]) -> KeyRing {
        let mut ring = KeyRing::new(NamingKey::new(Zeroizing::new([5; 32])));
        for epoch in epochs {
            ring.insert(*epoch, EpochKey::new(Zeroizing::new([6; 32])));
        }
        ring
    }

    #[test]
    fn bytes_round_trip() {
        for epochs in [&[][..], &[1], &[1, 2, 700]] {
            let bytes = ring(epochs).encode();
            let read = KeyRing::decode(&bytes).unwrap();
            assert_eq!(read.encode(), bytes);
            assert_eq!(read.newest(), epochs.last().copied());
        }
    }

    #[test]
    fn what_is_no_ring_is_refused() {
        let good = ring(&[1, 2]).encode();
        let twice = [&good[..], &good[32..68]].concat();
        let many = [&good[..32], &vec![1; 257 * 36]].concat();
        for wrong in [&good[..31], &good[..good.len() - 1], &twice, &many] {
            assert!(KeyRing::decode(wrong).is_none(), "{}", wrong.len());
        }
    }

    #[test]
    fn a_ring_prints_no_keys() {
        assert_eq!(format!("{:?}", ring(&[1, 2])), "KeyRing(epochs [1, 2])");
    }
}
