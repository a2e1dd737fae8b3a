//! The recovery phrase: 24 English words that stand for 32 bytes (BIP-39), and nothing else of BIP-39.
//!
//! The words carry a checksum of 8 bits, so that a mistyped phrase is told from a wrong one.

use std::fmt;

use bip39::{Error, Language, Mnemonic};
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// Words in a phrase.
pub const WORDS: usize = 24;

/// The secret from which everything of an owner follows. Wiped when dropped, never printed.
pub struct Phrase(Zeroizing<[u8; 32]>);

/// Why a text is not a phrase. It never repeats the words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PhraseError {
    /// Too few or too many.
    #[error("a recovery phrase has 24 words, and these are {0}")]
    Count(usize),
    /// Not in the list of words.
    #[error("word {0} is not one of the 2,048 words of recovery phrases")]
    Word(usize),
    /// All are words, but not of one phrase.
    #[error("these words are not a recovery phrase: one of them is wrong, or two are swapped")]
    Checksum,
}

impl Phrase {
    /// The phrase of 32 random bytes.
    #[must_use]
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        Self(Zeroizing::new(entropy))
    }

    /// Reads what a person typed: case and the white space between the words do not matter.
    ///
    /// # Errors
    /// [`PhraseError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let count = text.split_whitespace().count();
        if count != WORDS {
            return Err(PhraseError::Count(count));
        }
        let lower = Zeroizing::new(text.to_lowercase());
        let mut mnemonic = Mnemonic::parse_in_normalized(Language::English, &lower).map_err(reason)?;
        let (mut bytes, len) = mnemonic.to_entropy_array();
        let mut entropy = Zeroizing::new([0; 32]);
        entropy.copy_from_slice(&bytes[..32]);
        bytes.zeroize();
        mnemonic.zeroize();
        debug_assert_eq!(len, 32, "24 words");
        Ok(Self(entropy))
    }

    /// The words, with a space between them.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        let mut mnemonic =
            Mnemonic::from_entropy_in(Language::English, &*self.0).expect("32 bytes are 24 words");
        // So long that it never grows, which would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(WORDS * 9));
        for word in mnemonic.words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        mnemonic.zeroize();
        text
    }

    /// The bytes.
    pub(crate) fn entropy(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(..)")
    }
}

fn reason(error: Error) -> PhraseError {
    match error {
        Error::UnknownWord(index) => PhraseError::Word(index + 1),
        Error::BadWordCount(count) => PhraseError::Count(count),
        _ => PhraseError::Checksum,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The vectors of BIP-39 for 256 bits.
    const ZEROS: &str = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                         abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon \
                         abandon art";

    #[test]
    fn the_vectors_of_bip_39() {
        assert_eq!(*Phrase::from_entropy([0; 32]).words(), ZEROS);
        let last = format!("{}vote", "zoo ".repeat(23));
        assert_eq!(*Phrase::from_entropy([0xff; 32]).words(), last);
    }

    #[test]
    fn how_it_is_typed_does_not_matter() {
        let typed = format!("  {}\n", ZEROS.to_uppercase().replace(' ', "\n\t "));
        assert_eq!(Phrase::parse(&typed).unwrap().entropy(), &[0; 32]);
    }

    #[test]
    fn what_is_wrong_is_told_without_repeating_it() {
        let refused = |text: &str| Phrase::parse(text).unwrap_err();
        assert_eq!(refused(""), PhraseError::Count(0));
        assert_eq!(refused("abandon art"), PhraseError::Count(2));
        assert_eq!(refused(&format!("{ZEROS} art")), PhraseError::Count(25));
        assert_eq!(refused(&ZEROS.replace("art", "tra")), PhraseError::Word(24));
        assert_eq!(refused(&ZEROS.replace("art", "able")), PhraseError::Checksum);
        assert_eq!(refused(&"é ".repeat(24)), PhraseError::Word(1));
        assert_eq!(format!("{:?}", Phrase::from_entropy([1; 32])), "Phrase(..)");
    }

    proptest! {
        #[test]
        fn words_and_bytes_are_the_same(entropy in any::<[u8; 32]>()) {
            let words = Phrase::from_entropy(entropy).words();
            prop_assert!(words.len() < WORDS * 9);
            let read = Phrase::parse(&words).unwrap();
            prop_assert_eq!(read.entropy(), &entropy);
        }
    }
}
