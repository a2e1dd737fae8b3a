//! Reading with limits: nothing after the end, and inside only so many elements, bytes, characters.
//! What allocates is bounded before, by the limit of the whole body.

use serde::{Deserialize, Deserializer, de::Error};

use crate::{endpoint, path};

/// The value whose encoding is all of `bytes`; what is left over makes it none.
#[must_use]
pub fn whole<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Option<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Some(value),
        _ => None,
    }
}

/// At most `N` elements: for `#[serde(deserialize_with = "...")]`.
///
/// # Errors
/// When there are more, or they cannot be read.
pub fn list<'de, const N: usize, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let list = Vec::<T>::deserialize(deserializer)?;
    if list.len() > N {
        return Err(D::Error::custom("too many elements"));
    }
    Ok(list)
}

/// At most `N` bytes, without the characters that could deceive who reads it on a terminal.
pub(crate) fn text<'de, const N: usize, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    check_text::<N>(&text).map_err(D::Error::custom)?;
    Ok(text)
}

/// The same, where there is one.
pub(crate) fn text_or_none<'de, const N: usize, D>(deserializer: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.iter()
        .try_for_each(|text| check_text::<N>(text))
        .map_err(D::Error::custom)?;
    Ok(text)
}

/// A host, where there is one.
pub(crate) fn host_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let host = Option::<String>::deserialize(deserializer)?;
    host.iter()
        .try_for_each(|host| endpoint::check_host(host))
        .map_err(D::Error::custom)?;
    Ok(host)
}

/// At most 16 words of 255 bytes.
pub(crate) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let words = list::<16, String, D>(deserializer)?;
    words
        .iter()
        .try_for_each(|word| check_text::<255>(word))
        .map_err(D::Error::custom)?;
    Ok(words)
}

/// Numbers, each higher than the one before.
pub(crate) fn ascending<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u64>, D::Error> {
    let numbers = Vec::<u64>::deserialize(deserializer)?;
    if numbers.is_sorted_by(|a, b| a < b) {
        Ok(numbers)
    } else {
        Err(D::Error::custom("numbers out of order"))
    }
}

fn check_text<const N: usize>(text: &str) -> Result<(), &'static str> {
    if text.len() > N {
        Err("too long a text")
    } else if text.chars().any(path::deceives) {
        Err("a control character in a text")
    } else {
        Ok(())
    }
}
