//! A content: which pieces, in which order, make up a file or the entries of a folder.
//!
//! A few names stand in the tree itself. Where they are more, the list of names is cut into pieces of
//! its own, and so on: a content has a depth, at most [`MAX_DEPTH`]. A list is the names, one after
//! the other, 32 bytes each.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use thiserror::Error;

use crate::{cut::Cutter, piece::PieceId};

/// The most names that stand in a tree: 32 MiB of average pieces.
pub const MAX_INLINE: usize = 128;
/// The most lists above each other. Each level is 2,000 times wider or more; three are enough for 2^64 bytes.
pub const MAX_DEPTH: u8 = 3;

/// The pieces of a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Bytes of the content itself.
    pub size: u64,
    /// How many times lists must be read before the pieces are those of the content.
    #[serde(deserialize_with = "depth")]
    pub depth: u8,
    /// The pieces, or those of the list of them. At most [`MAX_INLINE`].
    #[serde(serialize_with = "write_names", deserialize_with = "read_names")]
    pub pieces: Vec<PieceId>,
}

/// A list of pieces that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContentError {
    /// Not whole names.
    #[error("a list of pieces is not a row of names")]
    Malformed,
    /// Nothing to descend into.
    #[error("the content has no list of pieces")]
    NoList,
    /// More bytes than any file has.
    #[error("the content is too long")]
    TooLong,
}

impl Content {
    /// The content of `size` bytes with these pieces. `store` seals the pieces of lists, where it takes lists,
    /// and returns their names.
    ///
    /// # Errors
    /// [`ContentError::TooLong`] when the lists do not get shorter.
    pub fn new(
        size: u64,
        pieces: Vec<PieceId>,
        cutter: &Cutter,
        mut store: impl FnMut(&[u8]) -> PieceId,
    ) -> Result<Self, ContentError> {
        let mut content = Self {
            size,
            depth: 0,
            pieces,
        };
        while content.pieces.len() > MAX_INLINE {
            if content.depth == MAX_DEPTH {
                return Err(ContentError::TooLong);
            }
            let list: Vec<u8> = content.pieces.iter().flat_map(|piece| piece.0).collect();
            content.pieces = cutter.ranges(&list).map(|range| store(&list[range])).collect();
            content.depth += 1;
        }
        Ok(content)
    }

    /// The names in a list that was read: one level down.
    ///
    /// # Errors
    /// [`ContentError::Malformed`].
    pub fn names(list: &[u8]) -> Result<Vec<PieceId>, ContentError> {
        match list.as_chunks::<32>() {
            (names, []) => Ok(names.iter().map(|name| PieceId(*name)).collect()),
            _ => Err(ContentError::Malformed),
        }
    }

    /// The pieces of the content itself. `fetch` gets the plaintext of a list's piece.
    ///
    /// # Errors
    /// What `fetch` says, or [`ContentError`] when a list cannot be one.
    pub fn expand<E: From<ContentError>>(
        &self,
        mut fetch: impl FnMut(&PieceId) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<PieceId>, E> {
        let mut pieces = self.pieces.clone();
        for _ in 0..self.depth {
            let mut list = Vec::new();
            for piece in &pieces {
                list.extend_from_slice(&fetch(piece)?);
            }
            pieces = Self::names(&list)?;
        }
        Ok(pieces)
    }
}

fn depth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    match u8::deserialize(deserializer)? {
        depth @ 0..=MAX_DEPTH => Ok(depth),
        _ => Err(D::Error::custom("lists above lists above lists")),
    }
}

fn write_names<S: Serializer>(names: &[PieceId], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(|name| name.0))
}

fn read_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PieceId>, D::Error> {
    let names = Vec::<[u8; 32]>::deserialize(deserializer)?;
    if names.len() > MAX_INLINE {
        return Err(D::Error::custom("too many pieces beside each other"));
    }
    Ok(names.into_iter().map(PieceId).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use zeroize::Zeroizing;

    use super::*;
    use crate::keys::NamingKey;

    fn names(count: u64) -> Vec<PieceId> {
        (0..count)
            .map(|n| PieceId(*blake3::hash(&n.to_le_bytes()).as_bytes()))
            .collect()
    }

    /// Makes a content of so many pieces and gets them back. Returns its depth and how many lists it has.
    fn round_trip(count: u64) -> (u8, usize) {
        let cutter = Cutter::new(&NamingKey::new(Zeroizing::new([1; 32])));
        let mut stored = HashMap::new();
        let store = |list: &[u8]| {
            let id = PieceId(*blake3::hash(list).as_bytes());
            stored.insert(id, list.to_vec());
            id
        };
        let content = Content::new(count * 1000, names(count), &cutter, store).unwrap();
        let bytes = postcard::to_allocvec(&content).unwrap();
        let content: Content = postcard::from_bytes(&bytes).unwrap();
        let fetch = |id: &PieceId| stored.get(id).cloned().ok_or(ContentError::Malformed);
        assert_eq!(content.expand(fetch), Ok(names(count)));
        (content.depth, stored.len())
    }

    #[test]
    fn few_pieces_stand_by_themselves_and_more_in_lists() {
        for count in [0, 1, 128] {
            assert_eq!(round_trip(count), (0, 0), "{count}");
        }
        assert_eq!(round_trip(129), (1, 1));
        let (depth, lists) = round_trip(300_000);
        assert_eq!(depth, 1);
        assert!((20..=128).contains(&lists), "{lists}");
    }

    #[test]
    fn lists_that_never_end_are_refused() {
        // What a store of a device gone mad returns does not matter: the depth is bounded.
        let mut content = Content {
            size: 0,
            depth: MAX_DEPTH + 1,
            pieces: names(1),
        };
        let bytes = postcard::to_allocvec(&content).unwrap();
        assert!(postcard::from_bytes::<Content>(&bytes).is_err());
        (content.depth, content.pieces) = (0, names(129));
        let bytes = postcard::to_allocvec(&content).unwrap();
        assert!(postcard::from_bytes::<Content>(&bytes).is_err());
        for len in [1, 31, 33] {
            assert_eq!(Content::names(&vec![0; len]), Err(ContentError::Malformed));
        }
    }
}
